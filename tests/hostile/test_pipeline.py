"""Ten thousand requests on one connection before the first answer is read."""
import json
import socket
import struct
import threading

from attack import JSON, head
from beside import PATIENCE_SECONDS, Vitals
from client import Raw
from shop import add_product, unique

DEEP = 10_000
MIB = 1 << 20


def post(path, body):
    body = json.dumps(body)
    return head(f"POST {path} HTTP/1.1", JSON, f"Content-Length: {len(body)}") + body


class Sender(threading.Thread):
    """Writes all of it, however long the server does not read."""

    def __init__(self, raw, data):
        super().__init__(daemon=True)
        self.raw, self.data, self.error = raw, data, None
        self.start()

    def run(self):
        try:
            self.raw.socket.sendall(self.data)
        except OSError as e:
            self.error = e


def pipe(server, **kwargs):
    return Raw(server, timeout=PATIENCE_SECONDS, **kwargs)


def test_ten_thousand_requests_are_answered_in_their_order(server, client, beside):
    """Each fifth makes a cart, which only this very request could have made."""
    skus = [add_product(client) for _ in range(7)]
    mark = unique("deep")

    def request(n):
        if n % 5 == 0:
            return post("/carts", {"customerId": f"{mark}-{n}"})
        return head(f"GET /products/{skus[n % len(skus)]} HTTP/1.1")
    vitals = Vitals(server)
    before = vitals.resident()
    with pipe(server, receive_buffer=4096) as raw:
        sender = Sender(raw, "".join(map(request, range(DEEP))).encode())
        # Nothing is read yet: what the server holds meanwhile is bounded.
        beside.await_rounds(5)
        held = vitals.resident() - before
        for n in range(DEEP):
            answer = raw.answer()
            if n % 5 == 0:
                assert answer.is_(201).json["customerId"] == f"{mark}-{n}"
            else:
                assert answer.is_(200).json["sku"] == skus[n % len(skus)]
        sender.join(PATIENCE_SECONDS)
        assert sender.error is None and not sender.is_alive()
        assert not raw.buffer
        raw.send(head("GET /livez HTTP/1.1")).answer().is_(200)
    print(f"held {held >> 10} KiB for {DEEP} requests that nobody read the answers of")
    assert held < 64 * MIB
    beside.stop()
    vitals.await_rest(others=1)  # the fixture's client


def test_a_fault_in_the_depth_ends_the_pipeline_there(server, client, beside):
    """Every answer before it comes, then its own, and nothing behind it is done."""
    mark, middle = unique("deep"), DEEP // 2
    carts = [post("/carts", {"customerId": f"{mark}-{n}"}) for n in range(3)]
    data = (head("GET /livez HTTP/1.1") * (middle - 1) + carts[0] +
            "POST /carts HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n" +
            carts[1] * (DEEP - middle)).encode()
    events = len(client.all("/events?eventType=CartCreated"))
    with pipe(server) as raw:
        sender = Sender(raw, data)
        for _ in range(middle - 1):
            raw.answer().is_(200)
        assert raw.answer().is_(201).json["customerId"] == f"{mark}-0"
        raw.answer().problem(400, "bad_request")
        assert raw.is_closed(PATIENCE_SECONDS)
        raw.socket.close()
        sender.join(PATIENCE_SECONDS)
        assert not sender.is_alive()
    assert len(client.all("/events?eventType=CartCreated")) == events + 1


def test_a_client_that_leaves_ten_thousand_requests_behind_disturbs_nobody(server, client, beside):
    vitals = Vitals(server)
    sku = add_product(client, description="x" * 1000)
    for leave in ("close", "reset"):
        raw = pipe(server, receive_buffer=4096)
        sender = Sender(raw, head(f"GET /products/{sku} HTTP/1.1").encode() * DEEP)
        raw.answer().is_(200)
        if leave == "reset":
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.socket.shutdown(socket.SHUT_RDWR)
        raw.socket.close()
        sender.join(PATIENCE_SECONDS)
        assert not sender.is_alive()
    beside.stop()
    vitals.await_rest(others=1)


def test_large_answers_are_not_made_ahead_of_their_reader(server, client, beside):
    """A list may have megabytes: one that waits to be read keeps the next from being made."""
    mark = unique("long")
    filler = {f"filler{n}": "x" * 4000 for n in range(60)}
    for n in range(30):
        client.post("/messages/stock.rejected", {
            "messageId": f"{mark}-{n}",
            "payload": {"orderId": mark, "reason": "r", **filler}}).is_(202)
    request = head(f"GET /events?correlationId={mark}&limit=500 HTTP/1.1")
    vitals = Vitals(server)
    with pipe(server) as raw:  # what one of them needs, once
        size = len(raw.send(request).answer().is_(200).body)
    assert size > 3 * MIB
    before = vitals.resident()
    lines = [pipe(server, receive_buffer=4096) for _ in range(4)]
    for raw in lines:
        raw.send(request * 100)
    beside.await_rounds(50)
    held = vitals.resident() - before
    print(f"held {held / MIB:.1f} MiB for 4 clients that read none of 100 answers of "
          f"{size / MIB:.1f} MiB each")
    for raw in lines:  # each gets all of what it asked for
        for _ in range(3):
            assert len(raw.answer().is_(200).body) == size
        raw.socket.close()
    # The answer that is being written, the next one, and what they are made of.
    assert held < 4 * 4 * size + 32 * MIB
    beside.stop()
    vitals.await_rest(others=1)
