"""More clients than there is room for, and as many as there is."""
import resource
import socket

import pytest

from attack import head
from beside import Bystander, PATIENCE_SECONDS, Vitals
from client import Raw
from serving import FAST
from shop import place, wait_for

CROWD = 10_000
GET = head("GET /livez HTTP/1.1").encode()
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def descriptors():
    """As many for this process as the system allows; given back after."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Many idle connections, of which each second has asked something."""

    def __init__(self, server, n):
        self.sockets = []
        for at in range(n):
            s = socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS)
            self.sockets.append(s)
            if at % 2:
                s.sendall(GET)
        for s in self.sockets[1::2]:
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")

    def ask(self):
        """Each of them once, all at once: they are still there, and served."""
        for s in self.sockets:
            s.sendall(GET)
        for s in self.sockets:
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")

    def leave(self):
        for s in self.sockets:
            s.close()


def test_ten_thousand_idle_connections_cost_little_and_hold_up_nobody(start, descriptors):
    if descriptors < CROWD + 200:
        pytest.skip(f"the system allows {descriptors} descriptors (ulimit -Hn), 10,200 are needed")
    room = CROWD + 100
    if (descriptors - 64) * 8 // 9 - 1 < room:
        pytest.skip(f"the server lowers connections_max for {descriptors} descriptors")
    server = start(*FAST, "--set=log.audit=false", f"--set=http.connections_max={room}",
                   "--set=http.idle_time_ms=600000")
    vitals = Vitals(server)
    with Bystander(server) as beside:
        vitals.await_rest(others=1)
        at_rest, sizes = vitals.descriptors(), [vitals.resident()]
        for nth in range(3):
            crowd = Crowd(server, CROWD)
            try:
                vitals.await_rest(others=1 + CROWD)
                sizes.append(vitals.resident())
                beside.await_rounds(10)
                if nth == 2:  # all at once takes memory of its own, for a while
                    crowd.ask()
                    beside.await_rounds(5)
            finally:
                crowd.leave()
            vitals.await_rest(others=1)
            vitals.await_descriptors(at_rest)
    cost = (sizes[1] - sizes[0]) / CROWD
    print(f"held {cost:.0f} bytes for each of {CROWD} idle connections; MiB in all:",
          [f"{size / MIB:.1f}" for size in sizes])
    assert cost < 4 * KIB
    # The memory of those that went is used again.
    assert sizes[3] - sizes[1] < CROWD * cost


def test_without_descriptors_the_clients_that_are_there_are_served(start):
    """The limit on connections is lowered to fit, so that one too many is told so."""
    allowed = 150
    within = (allowed - 64) * 8 // 9 - 1
    server = start(*FAST, "--set=log.audit=false", descriptors=allowed)
    assert f"event=few_descriptors limit={allowed} connections={within}" in server.log()
    vitals, lines = Vitals(server), []
    with Bystander(server) as beside:
        for _ in range(2):
            at_rest = vitals.descriptors()
            try:
                for n in range(3 * allowed):
                    lines.append(Raw(server, timeout=PATIENCE_SECONDS))
                    answer = lines[-1].send(GET).answer()
                    if n < within - 2:  # the well-behaved one, and whoever asked for the metrics
                        answer.is_(200)
                    elif n >= within:
                        answer.problem(503, "overloaded")
                        assert answer.headers["Retry-After"]
                assert vitals.descriptors() <= allowed
                for raw in lines[:within - 2]:
                    raw.send(GET).answer().is_(200)
                beside.await_rounds(3)
            finally:
                while lines:
                    lines.pop().socket.close()
            # Room again, for everybody.
            vitals.await_rest(others=1)
            vitals.await_descriptors(at_rest)
        beside.await_rounds(3)
    assert "event=connections_refused count=" in server.log()
    with server.client() as client:
        wait_for(client, place(client)["orderId"], "SHIPPED")
