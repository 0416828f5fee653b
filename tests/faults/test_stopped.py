"""A process that is stopped for a while, as by a debugger, a machine that is paused or starved.

5 seconds; ORDERLY_FAULTS=full: 30, as long as most limits.
"""
import contextlib
import os
import signal
import threading
import time

from client import Raw, eventually
from server import QUICK
from shop import STOCK_FIRST_EVENTS, add_product, order, place, types_of, wait_event
from tools import SECONDS
from trade import DELAYS

STOP_S = 30 if os.environ.get("ORDERLY_FAULTS") == "full" else 5
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class stopped:
    """with stopped(server): the process does nothing, for STOP_S at least."""

    def __init__(self, server):
        self.pid = server.process.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        stat = f"/proc/{self.pid}/stat"
        eventually(lambda: open(stat).read().rsplit(")", 1)[1].split()[0] == "T", SECONDS)
        self.began = time.monotonic()

    def __exit__(self, *failure):
        if not any(failure):
            time.sleep(max(0, self.began + STOP_S - time.monotonic()))
        os.kill(self.pid, signal.SIGCONT)


def test_a_server_that_is_stopped_under_load_goes_on(make, trade):
    # Retries are on their way all the time, and deadlines that fall into the stop or just behind it.
    server = make(*DELAYS, "--set=simulators.inventory.failFirst=1", "--set=bus.retry_base=50ms",
                  f"--set=payment.timeout={STOP_S + 1}s")
    server.start()
    shop = trade(server).begin()
    shop.await_orders(100)
    with stopped(server):
        pass
    shop.await_orders(100)
    shop.end()
    shop.ask_again()
    shop.close_the_books()  # there is no dead letter, among others


def test_what_clients_sent_to_a_stopped_server_is_answered(make):
    limit_ms = STOP_S * 900
    server = make(*QUICK, f"--set=http.header_time_ms={limit_ms}", f"--set=http.body_time_ms={limit_ms}",
                  f"--set=http.idle_time_ms={limit_ms}")
    server.start()
    body = b'{"customerId":"c"}'
    post = (b"POST /carts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    with Raw(server, SECONDS) as idle, Raw(server, SECONDS) as head, Raw(server, SECONDS) as half:
        assert idle.send(GET).answer().status == 200
        head.send(GET[:20])
        half.send(post + body[:5])
        with server.client() as client:
            client.get("/livez").is_(200)  # so all three are known to it
        with stopped(server), Raw(server, SECONDS) as fresh:
            idle.send(GET)
            head.send(GET[20:])
            half.send(body[5:])
            fresh.send(GET)
        # Each limit has run out meanwhile, by no fault of theirs.
        assert idle.answer().status == 200
        assert head.answer().status == 200
        assert half.answer().status == 201
    server.stop()


def test_what_was_to_happen_meanwhile_happens_once(make):
    """A delay of each context, and a client that waits, run out while the process is stopped."""
    servers = [make(*QUICK, f"--set=simulators.{context}.delayMs=1000", name=context).start()
               for context in ("inventory", "payments", "shipments")]
    ids, answers = [], []
    for server in servers:
        with server.client() as client:
            ids.append(place(client, add_product(client))["orderId"])
    waiting = [threading.Thread(target=wait, args=(server, id, answers))
               for server, id in zip(servers, ids)]
    for thread in waiting:
        thread.start()
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(stopped(server))
    for thread in waiting:
        thread.join(SECONDS)
    assert [answer.status for answer in answers] == [200] * 3
    for server, id in zip(servers, ids):
        with server.client() as client:
            eventually(lambda: order(client, id)["status"] == "SHIPPED", SECONDS)
            wait_event(client, id, "OrderShipped")
            assert types_of(client, id) == STOCK_FIRST_EVENTS
            assert client.all("/dead-letters") == []
        server.stop()


def wait(server, id, answers):
    with server.client(timeout=SECONDS * 2) as client:
        answers.append(client.get(f"/orders/{id}?until=SHIPPED&wait=2s"))
