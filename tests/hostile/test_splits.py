"""Every request of every route, cut in two at every byte: where the network cuts means nothing."""
import json
import re

import pytest

from attack import JSON, head
from beside import Vitals
from client import Raw
from serving import ROOT
from shop import (ADDRESS, add_product, cancel, checkout, fill_cart, order, order_body, place,
                  publish, unique, wait_dead_letter, wait_for, wait_status)

# As many as lie open at once; each holds one cut.
CONNECTIONS = 64
ROUTES_OF_STREAMS = ("/events/stream", "/messages/stream")


def plain(line, *fields):
    return head(f"{line} HTTP/1.1", *fields).encode()


def with_body(line, body, *fields, content_type=JSON):
    body = json.dumps(body)
    return (head(f"{line} HTTP/1.1", content_type, f"Content-Length: {len(body)}", *fields) +
            body).encode()


def cloud_event(order_id):
    return {"specversion": "1.0", "id": unique("ce"), "source": "https://pay.example/",
            "type": "payment.declined", "data": {"orderId": order_id, "reason": "r"}}


def in_chunks(line, body, *fields, step=25):
    body = json.dumps(body)
    parts = [body[at:at + step] for at in range(0, len(body), step)]
    text = "".join(f"{len(p):X};part={n}\r\n{p}\r\n" for n, p in enumerate(parts))
    return (head(f"{line} HTTP/1.1", JSON, "Transfer-Encoding: chunked", *fields) + text +
            "00;last\r\nX-Sum: 7\r\n\r\n").encode()


def key():
    """Answers to the same request with the same key are the same to the byte."""
    return f'Idempotency-Key: "{unique("key")}"'


def letter_of_nobody(client):
    """A dead letter of its own: a message about an order that nobody has heard of."""
    nobody = unique("nobody")
    publish(client, "payment.processed", nobody, paymentId=unique("p"), approvedAmount=1.00,
            currency="USD").is_(202)
    return nobody, wait_dead_letter(client, nobody)["deadLetterId"]


def make_corpus(client):
    """{route: bytes}: one typical request of each route, whose answer does not change."""
    sku, patched = add_product(client), add_product(client)
    shown = add_product(client, sku=unique("AAA"))  # the first of all, and nobody orders it
    cart, full, changed = [fill_cart(client, (sku, 2)) for _ in range(3)]
    shipped = wait_for(client, place(client, sku)["orderId"], "SHIPPED")
    cancelled = checkout(client, sku)["orderId"]  # may be cancelled wherever it is
    cancel(client, cancelled).is_(200)
    wait_status(client, cancelled, "CANCELLED")
    packed = wait_for(client, checkout(client, sku)["orderId"], "STOCK_RESERVED")["orderId"]
    client.post(f"/orders/{packed}/ready").is_(200)
    done = wait_for(client, checkout(client, sku)["orderId"], "STOCK_RESERVED")["orderId"]
    client.post(f"/orders/{done}/ready").is_(200)
    client.post(f"/orders/{done}/complete", {"invoiceId": "invoice-7"}).is_(200)
    carried = wait_for(client, place(client, sku)["orderId"], "SHIPPED")
    shipment = carried["shipmentId"]

    def dispatched():
        return client.post(f"/shipments/{shipment}/dispatch").status == 200
    while not dispatched():  # 409 until Shipments has handled that it was shipped
        pass
    client.post(f"/shipments/{shipment}/deliver").is_(200)
    wait_status(client, carried["orderId"], "DELIVERED")
    oid, paid = shipped["orderId"], shipped["paymentId"]
    event = client.get(f"/events?orderId={oid}&limit=1").is_(200).json["data"][0]["eventId"]
    nobody, letter = letter_of_nobody(client)
    retried, left_out = letter_of_nobody(client)[1], letter_of_nobody(client)[1]
    etag = client.get(f"/orders/{oid}").etag
    message = {"messageId": unique("m"), "correlationId": nobody, "payload": {
        "orderId": nobody, "reason": "r", "extra": [1.10, {"deep": ["é", None]}]}}
    return {
        "POST /carts": with_body("POST /carts", {"customerId": "c"}, key()),
        "GET /carts/{id}": plain(f"GET /carts/{full}"),
        "POST /carts/{id}/items": with_body(
            f"POST /carts/{cart}/items", {"productId": sku, "quantity": 1}, key()),
        "PUT /carts/{id}/items/{productId}": with_body(
            f"PUT /carts/{changed}/items/{sku}", {"quantity": 3}),
        "DELETE /carts/{id}/items/{productId}": plain(f"DELETE /carts/{full}/items/NONE"),
        "POST /carts/{id}/convert": with_body(
            f"POST /carts/{fill_cart(client, (sku, 1))}/convert", {}),
        "POST /orders/checkout": with_body("POST /orders/checkout", {
            "cartId": fill_cart(client, (sku, 1)), "shippingAddress": ADDRESS}, key()),
        "POST /orders": with_body("POST /orders", order_body(
            sku, shippingAddress={**ADDRESS, "street": "Österåsen 1"}), key()),
        "POST /orders in chunks": in_chunks("POST /orders", order_body(sku), key()),
        "POST /orders with 100-continue": with_body(
            "POST /orders", order_body(sku), key(), "Expect: 100-continue"),
        "GET /orders": plain(f"GET /orders?customerId={shipped['customerId']}&status=SHIPPED"),
        "GET /orders/{id}": plain(f"GET /api/orders/{oid}", "X-Forwarded-For: 10.0.0.1",
                                  "Accept: application/json;q=0.9, */*;q=0.1"),
        "GET /orders/{id} unchanged": plain(f"GET /orders/{oid}", f"If-None-Match: {etag}"),
        "GET /orders/{id} that waits": plain(f"GET /orders/{oid}?until=SHIPPED&wait=10s"),
        "GET /orders/{id}/explain": plain(f"GET /orders/{oid}/explain"),
        "POST /orders/{id}/pay": with_body(f"POST /orders/{oid}/pay", {}),
        "POST /orders/{id}/mark-paid": with_body(
            f"POST /orders/{oid}/mark-paid", {"paymentId": paid}),
        "POST /orders/{id}/cancel": with_body(
            f"POST /orders/{cancelled}/cancel", {"reason": "two\nlines"}),
        "POST /orders/{id}/ready": plain(f"POST /orders/{packed}/ready"),
        "POST /orders/{id}/complete": with_body(
            f"POST /orders/{done}/complete", {"invoiceId": "invoice-7"}),
        "GET /shipments/{id}": plain(f"GET /shipments/{shipment}"),
        "POST /shipments/{id}/dispatch": plain(f"POST /shipments/{shipment}/dispatch"),
        "POST /shipments/{id}/deliver": plain(f"POST /shipments/{shipment}/deliver"),
        "GET /products": plain("GET /products?limit=1"),
        "POST /products": with_body("POST /products", {
            "sku": unique("NEW"), "name": "Gadget", "price": 49.99, "currency": "USD",
            "stockQuantity": 7}, key()),
        "GET /products/{sku}": plain(f"GET /products/%{ord(shown[0]):02x}{shown[1:]}"),
        "PATCH /products/{sku}": with_body(f"PATCH /products/{patched}", {"name": "Widget"}),
        "GET /events": plain(f"GET /events?orderId={oid}&limit=3"),
        "GET /events/{eventId}": plain(f"GET /events/{event}"),
        "GET /messages": plain("GET /messages?topic=order.*&after=0&limit=2"),
        "POST /messages/{topic}": with_body("POST /messages/payment.declined", message),
        "POST /messages/{topic} in chunks": in_chunks("POST /messages/payment.declined", {
            **message, "messageId": unique("m")}),
        "POST /messages": with_body("POST /messages", cloud_event(nobody),
                                    content_type="Content-Type: application/cloudevents+json"),
        "POST /messages, a batch": with_body(
            "POST /messages", [cloud_event(nobody), cloud_event(nobody)],
            content_type="Content-Type: application/cloudevents-batch+json"),
        "POST /messages, in fields": with_body(
            "POST /messages", {"orderId": nobody, "reason": "r"}, "ce-specversion: 1.0",
            f"ce-id: {unique('ce')}", "ce-source: https://pay%2Eexample/",
            'ce-type: "payment.declined"'),
        "GET /dead-letters": plain(f"GET /dead-letters?orderId={nobody}&state=open&limit=1"),
        "POST /dead-letters/retry": with_body("POST /dead-letters/retry", {
            "filter": {"orderId": nobody, "topic": "payment.processed"}, "dryRun": True}),
        "GET /dead-letters/{id}": plain(f"GET /dead-letters/{letter}"),
        "POST /dead-letters/{id}/retry": with_body(
            f"POST /dead-letters/{retried}/retry", {}, key()),
        "POST /dead-letters/{id}/discard": with_body(
            f"POST /dead-letters/{left_out}/discard", {"reason": "nobody's"}, key()),
        "GET /simulators/{name}": plain("GET /simulators/payments"),
        "PUT /simulators/{name}": with_body("PUT /simulators/inventory", {
            "enabled": True, "mode": "auto", "delayMs": {"pay_first": 0, "stock_first": 0}}),
        "GET /": plain("GET /"),
        "GET /livez": plain("HEAD /livez"),
        "GET /readyz": plain("GET /readyz"),
        "GET /metrics": plain("GET /metrics"),
        "GET /events/stream": plain(f"GET /events/stream?orderId={oid}&after=0"),
        "GET /messages/stream": plain("GET /messages/stream?topic=order.placed",
                                      "Last-Event-ID: 0", "Accept: text/event-stream"),
        "OPTIONS": plain("OPTIONS *"),
        "a fault": with_body("POST /orders", {"customerId": "", "items": [{"quantity": 0}]}),
        "nothing there": with_body("POST /nothing", {"a": 1}),
        "a whole URL": plain(f"GET http://localhost:80/orders/{oid}?wait=0s"),
    }


# The others are done.
NOT_DONE = {"GET /orders/{id} unchanged": 304, "a fault": 400, "nothing there": 404,
            "DELETE /carts/{id}/items/{productId}": 404}

# What may differ between two answers to the same request.
VARYING = [(re.compile(rb'"requestId":"[^"]*"'), b'"requestId":'),
           (re.compile(rb'"at":"[^"]*","position":[0-9]+'), b'"at":')]
NUMBERS_THAT_GROW = ("GET /metrics", "GET /orders/{id}/explain")


def essence(name, answer):
    fields = sorted((k, v) for k, v in answer.headers.items() if k != "Date")
    body = answer.body
    for pattern, instead in VARYING:
        body = pattern.sub(instead, body)
    if name in NUMBERS_THAT_GROW:
        fields = [(k, v) for k, v in fields if k != "Content-Length"]
    if name == "GET /metrics":
        body = b""
    return answer.status, fields, body


def is_stream(name):
    return name.split(" ")[-1] in ROUTES_OF_STREAMS


def take(name, raw):
    """The answer; of a stream its head and its first event."""
    answer = raw.answer(is_head=name == "GET /livez" or is_stream(name))
    if answer.status == 100:
        answer = raw.answer()
    if is_stream(name):
        text = raw._until(b"data: ") + raw._until(b"\n\n")
        answer.body = re.sub(rb"(^|\r\n)[0-9a-f]+\r\n", b"", text)  # without sizes of chunks
    return answer


class Pool:
    """Connections that are kept while the server keeps them."""

    def __init__(self, server):
        self.server = server
        self.free = []

    def get(self):
        return self.free.pop() if self.free else Raw(self.server, timeout=60)

    def put(self, name, raw, answer):
        if is_stream(name) or answer.headers["Connection"] == "close":
            raw.socket.close()
        else:
            assert not raw.buffer, raw.buffer[:200]
            self.free.append(raw)

    def close(self):
        while self.free:
            self.free.pop().socket.close()


@pytest.fixture(scope="module")
def corpus(server):
    with server.client() as client:
        return make_corpus(client)


def test_the_corpus_has_every_route(corpus):
    table = (ROOT / "src" / "infra" / "api" / "routes.c").read_text()
    routes = {" ".join(r) for r in re.findall(r'ROUTE\((\w+), "([^"]+)"', table)}
    assert len(routes) > 30
    assert routes <= set(corpus), routes - set(corpus)


def test_where_a_request_is_cut_means_nothing(server, corpus, beside):
    pool, n_cuts = Pool(server), 0
    with server.client(timeout=60) as mark:
        for name, data in corpus.items():
            expected = None
            for _ in range(2):  # the second answer is the one that repeats
                raw = pool.get()
                answer = take(name, raw.send(data))
                expected = essence(name, answer)
                assert answer.status == NOT_DONE.get(name, answer.status), answer.body
                assert name in NOT_DONE or answer.status < 300, (name, answer.status, answer.body)
                pool.put(name, raw, answer)
            for first in range(1, len(data), CONNECTIONS):
                cuts = range(first, min(first + CONNECTIONS, len(data)))
                lines = [pool.get().send(data[:cut]) for cut in cuts]
                # The loop takes what lies there in the order in which it came: when this is
                # answered, it has read the first halves.
                mark.get("/livez").is_(200)
                # One after the other: a key that is in flight is answered 409.
                for cut, raw in zip(cuts, lines):
                    answer = take(name, raw.send(data[cut:]))
                    assert essence(name, answer) == expected, f"{name}, cut at {cut}"
                    pool.put(name, raw, answer)
                n_cuts += len(cuts)
    pool.close()
    print(f"{len(corpus)} requests, {n_cuts} cuts")
    beside.stop()
    Vitals(server).await_rest(others=0)


def test_requests_may_come_byte_by_byte(server, corpus, beside):
    """All at once on connections of their own, one byte each in turn."""
    with server.client(timeout=60) as mark:
        names = [n for n in corpus if n != "GET /metrics"]
        expected = {}
        for name in names * 2:  # the second answer is the one that repeats
            with Raw(server, timeout=60) as raw:
                expected[name] = essence(name, take(name, raw.send(corpus[name])))
        lines = {name: Raw(server, timeout=60) for name in names}
        try:
            for at in range(max(map(len, corpus.values()))):
                for name, raw in lines.items():
                    if at < len(corpus[name]):
                        raw.send(corpus[name][at:at + 1])
                if at % 16 == 0:
                    mark.get("/livez").is_(200)
            for name, raw in lines.items():
                assert essence(name, take(name, raw)) == expected[name], name
        finally:
            for raw in lines.values():
                raw.socket.close()
