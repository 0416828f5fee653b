"""What may be this long, this many, this deep, with the defaults: n is taken, n + 1 is not.

The rows of the HTTP server's own table are tried with small values in
tests/blackbox/test_limits.py."""
import json
import time

import pytest

from attack import JSON, exchange, head, refused
from beside import Bystander, PATIENCE_SECONDS, Vitals, wait_until
from client import Raw
from serving import FAST
from shop import (ADDRESS, add_product, checkout, fill_cart, order_body, place, simulate, unique,
                  wait_for)



# ---- the defaults of a request's frame

def line_of(n):
    line = "GET /livez?{} HTTP/1.1"
    return line.format("x" * (n - len(line.format(""))))


def head_of(n_bytes=None, n_fields=None):
    fields = ["X: 1"] * ((n_fields or 1) - 1)
    if n_bytes:
        fields.append("X-Pad: " + "x" * (n_bytes - len("Host: localhost\r\nX-Pad: \r\n")))
    return head("GET /livez HTTP/1.1", *fields)


def chunked(extension="", trailer=""):
    body = '{"customerId":"c"}'
    return head("POST /carts HTTP/1.1", JSON, "Transfer-Encoding: chunked",
                "Connection: close") + f"{len(body):x}{extension}\r\n{body}\r\n0\r\n{trailer}\r\n"


FRAMES = {
    "a request line": (lambda more: head(line_of(8192 + more)), 400, "validation", 414,
                       "uri_too_long"),
    "a head's bytes": (lambda more: head_of(n_bytes=16384 + more), 200, None, 431,
                       "headers_too_large"),
    "a head's fields": (lambda more: head_of(n_fields=100 + more), 200, None, 431,
                        "headers_too_large"),
    "empty lines": (lambda more: "\r\n" * (4 + more) + head("GET /livez HTTP/1.1"), 200, None, 400,
                    "bad_request"),
    "chunk extensions": (lambda more: chunked(extension=";a=" + "x" * (1021 + more)), 201, None,
                         400, "bad_chunk"),
    "trailers": (lambda more: chunked(trailer="X: " + "x" * (4091 + more) + "\r\n"), 201, None, 400,
                 "bad_chunk"),
    "a chunk's digits": (lambda more: chunked().replace("12\r\n{", f"{18:0{16 + more}x}\r\n{{"),
                         201, None, 400, "bad_chunk"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_may_be_this_large(server, beside, name):
    make, status, code, status_beyond, code_beyond = FRAMES[name]
    with Raw(server, timeout=60) as raw:
        answer = raw.send(make(0)).answer().is_(status)
        if code:
            answer.problem(status, code)
    refused(server, make(1), status_beyond, code_beyond)


def test_a_line_and_a_head_that_never_end_are_refused_when_they_are_too_long(server, beside):
    """Whatever comes, it is not kept: the answer comes while the client still sends."""
    for first, each, status, code in (
            ("GET /", "x" * 1000, 414, "uri_too_long"),
            ("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", "x" * 1000, 431, "headers_too_large"),
            ("GET /livez HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n" * 100, 431,
             "headers_too_large")):
        with Raw(server, timeout=60) as raw:
            raw.send(first)
            try:
                for _ in range(100_000):  # more than the system keeps on its way
                    raw.send(each)
            except ConnectionError:
                pass
            else:
                raise AssertionError("a hundred megabytes of one head were taken")
        answers, _ = exchange(server, first + each * 40)
        answers[0].problem(status, code)


# ---- what the API says of its fields

def text_of(n):
    return "x" * n


FIELDS = {
    # name: (method, path, body of a size, n, pointer)
    "customerId": ("POST", "/carts", lambda n: {"customerId": text_of(n)}, 64, "/customerId"),
    "an order's customerId": ("POST", "/orders", lambda n: {
        **order_body("{sku}"), "customerId": text_of(n)}, 64, "/customerId"),
    "lines": ("POST", "/orders", lambda n: {
        **order_body("{sku}"), "items": [{"sku": "{sku}", "quantity": 1}] * n}, 100, "/items"),
    "quantity": ("POST", "/orders", lambda n: order_body("{sku}", n), 10_000, "/items/0/quantity"),
    **{f"address {name}": ("POST", "/orders", lambda n, name=name: {
        **order_body("{sku}"), "shippingAddress": {**ADDRESS, name: text_of(n)}}, n,
        f"/shippingAddress/{name}") for name, n in (
            ("street", 200), ("addressLine2", 200), ("city", 100), ("stateOrProvince", 100),
            ("postalCode", 20), ("country", 100), ("deliveryInstructions", 500))},
    "sku": ("POST", "/products", lambda n: {
        "sku": (unique("S") + text_of(50))[:n], "name": "n"}, 50, "/sku"),
    "name": ("POST", "/products", lambda n: {"sku": unique("S"), "name": text_of(n)}, 200, "/name"),
    "name, in characters of four bytes": ("POST", "/products", lambda n: {
        "sku": unique("S"), "name": "😀" * n}, 200, "/name"),
    "description": ("POST", "/products", lambda n: {
        "sku": unique("S"), "name": "n", "description": text_of(n)}, 1000, "/description"),
    "stock": ("POST", "/products", lambda n: {
        "sku": unique("S"), "name": "n", "stockQuantity": n}, 10**12, "/stockQuantity"),
    "reason": ("POST", "/orders/{order}/cancel", lambda n: {"reason": text_of(n)}, 500, "/reason"),
    "messageId": ("POST", "/messages/stock.rejected", lambda n: {
        "messageId": (unique("m") + text_of(65))[:n], "payload": {"orderId": "x", "reason": "r"}},
        64, "/messageId"),
    "orderId from outside": ("POST", "/messages/stock.rejected", lambda n: {
        "messageId": unique("m"), "payload": {"orderId": text_of(n), "reason": "r"}}, 64,
        "/payload/orderId"),
    "paymentId": ("POST", "/messages/payment.refunded", lambda n: {
        "messageId": unique("m"), "payload": {
            "orderId": "x", "paymentId": text_of(n), "amount": 1, "currency": "USD"}}, 64,
        "/payload/paymentId"),
    "a text that is kept": ("POST", "/messages/stock.rejected", lambda n: {
        "messageId": unique("m"), "payload": {
            "orderId": "x", "reason": "r", "kept": text_of(n)}}, 4096, "/payload/kept"),
    "delayMs": ("PUT", "/simulators/shipments", lambda n: {
        "delayMs": {"pay_first": n, "stock_first": 0}}, 60_000, "/delayMs/pay_first"),
    "perSecond": ("POST", "/dead-letters/retry", lambda n: {
        "filter": {"orderId": "none"}, "dryRun": True, "perSecond": n}, 10_000, "/perSecond"),
}


@pytest.fixture
def fields_of(client):
    """Fills {sku} and {order} in."""
    def fill(thing):
        text = json.dumps(thing)
        if "{sku}" in text:
            text = text.replace("{sku}", add_product(client, stock=10**6))
        if "{order}" in text:
            # One that comes to rest where it may still be cancelled.
            text = text.replace("{order}", checkout(client)["orderId"])
        return json.loads(text)
    return fill


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_may_have_this_much(client, beside, fields_of, name):
    method, path, body, n, pointer = FIELDS[name]
    for size in (n + 1, n):
        answer = client.request(method, fields_of(path), fields_of(body(size)))
        if size == n:
            assert answer.status in (200, 201, 202), answer.body
        else:
            assert answer.pointers() == [pointer]
    if name == "delayMs":
        simulate(client, "shipments", delayMs={"pay_first": 0, "stock_first": 0})


def test_a_key_of_an_object_may_have_4_kib(client, beside):
    for n, status in ((4096, 202), (4097, 400)):
        answer = client.post("/messages/stock.rejected", {
            "messageId": unique("m"), "payload": {
                "orderId": "x", "reason": "r", "k" * n: 1}}).is_(status)
        if status == 400:
            assert answer.pointers() == ["/payload"]  # the key itself is too long to be told


def test_a_cart_takes_so_many_products_and_pieces(client, beside):
    cart = fill_cart(client, *[(f"P-{n}", 10) for n in range(20)])
    client.post(f"/carts/{cart}/items", {"productId": "P-20", "quantity": 1}).is_(400)
    client.post(f"/carts/{cart}/items", {"productId": "P-0", "quantity": 1}).is_(400)
    client.put(f"/carts/{cart}/items/P-0", {"quantity": 11}).is_(400)
    assert client.get(f"/carts/{cart}").json["itemCount"] == 20


HEADERS = {
    "Idempotency-Key": (lambda n: unique("k").ljust(n, "k"), 255),
    "Idempotency-Key, quoted": (lambda n: '"' + unique("k").ljust(n, "k") + '"', 255),
    "X-User-Id": (lambda n: "u" * n, 64),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_field_may_have_this_much(client, beside, name):
    make, n = HEADERS[name]
    field = name.split(",")[0]
    body = {"customerId": unique("c")}
    client.post("/carts", body, headers={field: make(n)}).is_(201)
    answer = client.post("/carts", body, headers={field: make(n + 1)}).problem(400, "validation")
    assert [e["header"] for e in answer["errors"]] == [field]


QUERIES = {
    "limit": ("/events?limit={}", 500, "limit"),
    "wait": ("/orders/{{order}}?wait={}ms&until=AWAITING_PAYMENT", 60_000, "wait"),
    "after": ("/messages?after={}", 2**64 - 1, "after"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_parameter_may_be_this_large(client, beside, fields_of, name):
    path, n, parameter = QUERIES[name]
    path = fields_of(path.replace("{{", "{").replace("}}", "}").replace("={}", "=<>"))
    assert client.get(path.replace("<>", str(n))).status in (200, 410)
    assert client.get(path.replace("<>", str(n + 1))).parameters() == [parameter]


def test_no_more_than_a_hundred_faults_are_told(client, beside):
    for n in (99, 100, 101, 1000):
        answer = client.post("/carts", {"customerId": "c", **{f"x{i}": 1 for i in range(n)}})
        assert len(answer.problem(400, "validation")["errors"]) == min(n, 100)


# ---- those who wait

def test_ten_thousand_may_wait_and_the_next_is_answered_at_once(start):
    """Sixteen on each connection, as many as are read."""
    waiters, each = 10_000, 16
    server = start(*FAST, "--set=log.audit=false", "--set=simulators.payments.mode=wait")
    vitals = Vitals(server)
    with server.client() as client:
        order = wait_for(client, place(client)["orderId"], "CONFIRMED")["orderId"]
    wait = head(f"GET /orders/{order}?until=PAID&wait=60s HTTP/1.1")
    with Bystander(server) as beside:
        lines = [Raw(server, timeout=PATIENCE_SECONDS).send(wait * each)
                 for _ in range(waiters // each)]

        def all_wait():
            return vitals.metric("orderly_waiters") == waiters
        try:
            wait_until(all_wait)
            with Raw(server, timeout=PATIENCE_SECONDS) as one_more:
                began = time.monotonic()
                one_more.send(wait).answer().is_(200)
                assert time.monotonic() - began < 55  # it has not waited for its minute
            beside.await_rounds(2)
            with server.client(timeout=PATIENCE_SECONDS) as client:
                client.post(f"/orders/{order}/pay").is_(202)
            for raw in lines:  # and all of them hear of it
                for _ in range(each):
                    assert "PAID" in raw.answer().is_(200).body.decode()
        finally:
            for raw in lines:
                raw.socket.close()
        vitals.await_rest(others=1)
