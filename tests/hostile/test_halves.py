"""Connections of which only one half is there: clients that reset, that end, that vanish."""
import socket
import struct

import pytest

from attack import JSON, head
from beside import Bystander, PATIENCE_SECONDS, Vitals, wait_until
from client import Raw
from serving import FAST
from shop import place, simulate

EACH = 200
GET = head("GET /livez HTTP/1.1")
TCP_REPAIR = 19
MIB = 1 << 20


@pytest.fixture(scope="module")
def shop(start_once):
    server = start_once(*FAST, "--set=log.audit=false")
    with server.client() as client:  # an order that stands still, to wait for
        simulate(client, "payments", mode="wait")
        server.order = place(client)["orderId"]
        simulate(client, "payments", mode="approve")
    return server


def reset(raw):
    """Ends both halves at once, by a RST."""
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


def post(body, length=None):
    return head("POST /carts HTTP/1.1", JSON, f"Content-Length: {length or len(body)}") + body


BODY = '{"customerId":"half"}'
MOMENTS = {
    "before it says anything": lambda order: "",
    "inside a request line": lambda order: "GET /liv",
    "inside a head": lambda order: GET[:-10],
    "inside a body": lambda order: post(BODY[:5], len(BODY)),
    "inside a chunk": lambda order: head(
        "POST /carts HTTP/1.1", JSON, "Transfer-Encoding: chunked") + "ff\r\n{",
    "behind a request": lambda order: GET,
    "behind a command": lambda order: post(BODY),
    "behind many requests": lambda order: GET * 16,
    "while it waits for an order": lambda order: head(
        f"GET /orders/{order}?until=COMPLETED&wait=60s HTTP/1.1"),
    "while many of its requests wait": lambda order: head(
        f"GET /orders/{order}?until=COMPLETED&wait=60s HTTP/1.1") * 15,
    # As many as may be in flight: it is not read from then on, so it is missed when they end.
    "while all of its requests wait": lambda order: head(
        f"GET /orders/{order}?until=COMPLETED&wait=1s HTTP/1.1") * 16,
    "inside a stream": lambda order: head("GET /events/stream HTTP/1.1"),
    "inside a stream's history": lambda order: head("GET /messages/stream?after=0 HTTP/1.1"),
    "while a body is discarded": lambda order: head(
        "POST /nothing HTTP/1.1", "Content-Length: 1000000") + "x" * 1000,
}
LEAVES = {
    "resets": reset,
    "ends without reading": lambda raw: raw.socket.close(),
    "ends its half and never reads": lambda raw: raw.finish(),
}


@pytest.mark.parametrize("how", LEAVES)
def test_a_client_may_leave_at_any_moment(shop, how):
    """Nothing of it stays: no connection, no waiter, no stream, no descriptor."""
    vitals = Vitals(shop)
    vitals.await_rest()
    with Bystander(shop) as beside:
        descriptors = vitals.descriptors()
        lines = []
        for moment, request in MOMENTS.items():
            for n in range(EACH // 4):
                raw = Raw(shop, timeout=PATIENCE_SECONDS)
                raw.send(request(shop.order))
                if n % 2:  # the others leave when the server knows of them
                    LEAVES[how](raw)
                lines.append((n, moment, raw))
        beside.await_rounds(2)
        for n, moment, raw in lines:
            if n % 2 == 0:
                LEAVES[how](raw)
        if how == "ends its half and never reads":
            # Who ended one half may still read: a stream goes on, everything else is answered.
            streams = sum("stream" in moment for _, moment, _ in lines)

            def is_answered():
                m = vitals.metrics()
                assert m["orderly_waiters"] == 0
                assert sum(v for k, v in m.items() if "stream_clients" in k) == streams
            wait_until(is_answered)
            for _, _, raw in lines:
                raw.socket.close()
        vitals.await_rest(others=1)
        beside.await_rounds(2)
        vitals.await_descriptors(descriptors)


def test_resets_over_and_over_cost_nothing(shop):
    """As many as it takes to see growth, if there is any."""
    vitals = Vitals(shop)
    moments = [m(shop.order) for m in MOMENTS.values()]
    sizes = []
    with Bystander(shop) as beside:
        for _ in range(4):
            for n in range(1000):
                raw = Raw(shop, timeout=PATIENCE_SECONDS)
                raw.send(moments[n % len(moments)])
                reset(raw)
            vitals.await_rest(others=1)
            sizes.append(vitals.resident())
        beside.stop()
    print("held", [s >> 10 for s in sizes], "KiB after each thousand")
    # The first rounds fill the free lists; after that it stays as it is, but for what the
    # well-behaved one orders and the allocator has not given back yet.
    assert sizes[-1] - sizes[1] < 24 * MIB


def vanish(raw):
    """Forgets the connection without a word to the other side. False: this user may not."""
    try:
        raw.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        return False
    raw.socket.close()
    return True


def test_peers_that_vanish_are_given_up(start):
    """No FIN and no RST comes; only time tells, or the first word to them."""
    server = start(*FAST, "--set=http.idle_time_ms=2000", "--set=http.header_time_ms=2000",
                   "--set=http.body_time_ms=2000", "--set=http.linger_time_ms=1000",
                   "--set=http.write_stall_ms=2000")
    with server.client() as client:
        order = place(client)["orderId"]
    vitals = Vitals(server)
    with Bystander(server) as beside:
        descriptors = vitals.descriptors()
        for moment, request in MOMENTS.items():
            if "COMPLETED" in request(order):  # a minute; a stream's first beat is after 15 s
                continue
            for n in range(10):
                raw = Raw(server, timeout=PATIENCE_SECONDS)
                raw.send(request(order))
                if "stream" in moment:
                    raw.answer(is_head=True)
                if not vanish(raw):
                    raw.socket.close()
                    pytest.skip("only root may forget a connection (TCP_REPAIR)")
        vitals.await_rest(others=1)
        beside.await_rounds(2)
        vitals.await_descriptors(descriptors)
