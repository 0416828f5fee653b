"""Every example of the wire's page, checked against the server: the same members in the same order,
values of the same kind. A text with "…" in an example stands for any text of its form."""
import json
import re

import pytest

from client import eventually
from shop import (ADDRESS, cancel, fill_cart, simulate, unique, wait_dead_letter, wait_event,
                  wait_for, wait_order)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CART = """
{"cartId":"0199a1f2-…","customerId":"customer-123","items":[{"productId":"COFFEE-COL-001","quantity":2}],"itemCount":1,"isConverted":false,"orderId":null}
"""
ORDER_REQUEST = """
{"customerId":"customer-789","items":[{"sku":"WIDGET-001","quantity":2,"unitPrice":19.99}],
 "shippingAddress":{"street":"1 Main St","city":"Springfield","stateOrProvince":"IL","postalCode":"62701","country":"US"},"currency":"USD"}
"""
ORDER = """
{"orderId":"0199a1f3-…","flow":"stock_first","status":"PENDING","customerId":"customer-789","cartId":null,
 "items":[{"productId":"WIDGET-001","sku":"WIDGET-001","name":"Widget","description":"…","quantity":2,"unitPrice":19.99,"discount":0.00,"lineTotal":39.98}],
 "subtotal":39.98,"discounts":[],"totalAmount":39.98,"currency":"USD",
 "shippingAddress":{"street":"1 Main St","city":"Springfield","stateOrProvince":"IL","postalCode":"62701","country":"US"},
 "paymentId":null,"reservationId":null,"shipmentId":null,"trackingNumber":null,"invoiceId":null,
 "cancellationReason":null,"rejectionReason":null,"paymentFailureReason":null,
 "refund":{"status":"none","amount":0.00},"refunds":[],"release":{"status":"none"},"paymentDeadline":"2026-11-20T12:30:00.000Z",
 "createdAt":"2026-11-20T12:00:00.000Z","updatedAt":"2026-11-20T12:00:00.000Z","sequence":1}
"""
PRODUCT_REQUEST = """
{"sku":"widget-002","name":"Widget","description":"…","price":19.99,"currency":"USD","stockQuantity":100}
"""
PRODUCT = """
{"sku":"WIDGET-002","name":"Widget","description":"…","price":19.99,"currency":"USD","onHand":100,"reserved":0,"available":100,"sequence":1}
"""
EVENT = """
{"eventId":"0199…","eventType":"OrderPlaced","aggregateId":"0199a1f3-…","aggregateType":"Order","version":1,"sequence":1,"position":42,
 "occurredAt":"2026-11-20T12:00:00.000Z",
 "payload":{"orderId":"0199a1f3-…","flow":"stock_first","customerId":"customer-789","items":[{"productId":"WIDGET-001","sku":"WIDGET-001","name":"Widget","description":"…","quantity":2,"price":19.99,"discount":0.00}],"subtotal":39.98,"discounts":[],"totalAmount":39.98,"currency":"USD","shippingAddress":{"street":"1 Main St","city":"Springfield","stateOrProvince":"IL","postalCode":"62701","country":"US"},"paymentDeadline":"2026-11-20T12:30:00.000Z","timestamp":"2026-11-20T12:00:00.000Z"},
 "metadata":{"correlationId":"0199a1f3-…","causationId":null,"userId":null}}
"""
MESSAGE = """
{"messageId":"0199…","topic":"order.placed","timestamp":"2026-11-20T12:00:00.000Z","correlationId":"0199a1f3-…","position":42,"payload":{"orderId":"0199a1f3-…","flow":"stock_first"}}
"""
OUTSIDE_MESSAGE = """
{"messageId":"prov-77","correlationId":"%s","timestamp":"2026-11-20T12:00:05Z",
 "payload":{"orderId":"%s","paymentId":"payment-77","approvedAmount":39.98,"currency":"USD","timestamp":"2026-11-20T12:00:05Z"}}
"""
SIMULATOR = """
{"enabled":true,"mode":"approve","delayMs":{"pay_first":10,"stock_first":100},"failureRate":0.0,"seed":1,"failFirst":0,"declineAbove":null,"reason":"Card declined"}
"""
DEAD_LETTER = """
{"deadLetterId":"…","subscription":"orders","orderId":"0199…","messageId":"…","topic":"payment.approved","position":57,"attempts":4,"firstFailedAt":"…","lastFailedAt":"…","error":{"code":"handler_failed","detail":"…"},"state":"parked|open|retried|discarded","queuedBehind":2,"message":{"…":"…"}}
"""
PROBLEM = """
{"type":"/problems/validation","title":"Bad Request","status":400,"code":"validation","detail":"2 fields need your attention","errors":[{"pointer":"/items/0/quantity","detail":"must be an integer from 1 to 10000"}],"requestId":"…"}
"""


def same_shape(example, got, path=""):
    """The members of the example in its order, and values of the same kind. Members of an example's
    payload that stand for others ("…") may be any."""
    if isinstance(example, dict):
        assert isinstance(got, dict), path
        if "…" in example:
            return
        assert list(got)[:len(example)] == list(example), f"{path}: {list(got)}"
        for name, value in example.items():
            same_shape(value, got[name], f"{path}/{name}")
    elif isinstance(example, list):
        assert isinstance(got, list), path
        assert bool(example) == bool(got), path
        for n, item in enumerate(got):
            same_shape(example[0], item, f"{path}/{n}")
    elif isinstance(example, str):
        assert isinstance(got, str), path
        if example.startswith("0199"):
            assert UUID.fullmatch(got), (path, got)
        elif re.match(r"\d{4}-\d\d-\d\dT", example):
            assert TIME.fullmatch(got), (path, got)
    elif isinstance(example, bool) or example is None:
        assert got is example, path
    else:
        assert isinstance(got, (int, float)) and not isinstance(got, bool), path


def check(example, got, also=()):
    """`also`: members that the page mentions beside the example."""
    example = json.loads(example)
    same_shape(example, got)
    assert set(got) - set(example) <= set(also)


@pytest.fixture(scope="module")
def demo(start_once):
    server = start_once("--demo")
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def placed(demo):
    answer = demo.post("/orders", raw=ORDER_REQUEST.encode()).is_(201)
    wait_for(demo, answer.json["orderId"], "SHIPPED")
    return answer


def test_cart(demo):
    cart = demo.post("/carts", {"customerId": "customer-123"}).is_(201).json["cartId"]
    answer = demo.post(f"/carts/{cart}/items", {"productId": "COFFEE-COL-001", "quantity": 2})
    check(CART, answer.is_(200).json)
    assert answer.json == {**json.loads(CART), "cartId": cart}


def test_checked_out_order(demo):
    cart = fill_cart(demo, ("COFFEE-COL-001", 2))
    o = demo.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).is_(201).json
    assert (o["status"], o["cartId"], o["totalAmount"]) == ("AWAITING_PAYMENT", cart, 49.98)
    example = json.loads(ORDER)
    assert list(o) == list(example)


def test_order(placed):
    check(ORDER, placed.json)
    example = json.loads(ORDER)
    for name in ("flow", "status", "customerId", "cartId", "subtotal", "totalAmount", "currency",
                 "shippingAddress", "refund", "release", "sequence"):
        assert placed.json[name] == example[name], name
    assert placed.headers["Location"] == f"/orders/{placed.json['orderId']}"
    assert placed.etag == '"1"'
    for text in (b'"unitPrice":19.99', b'"discount":0.00', b'"amount":0.00', b'"lineTotal":39.98'):
        assert text in placed.body.replace(b" ", b"")


def test_an_order_with_a_refund(demo):
    simulate(demo, "payments", delayMs={"pay_first": 0, "stock_first": 0})
    simulate(demo, "shipments", mode="wait")
    try:
        o = demo.post("/orders", raw=ORDER_REQUEST.encode()).is_(201).json
        wait_for(demo, o["orderId"], "PAID")
        cancel(demo, o["orderId"]).is_(200)
        done = wait_order(demo, o["orderId"], refund__status="done", release__status="done")
        assert done["refund"]["amount"] == 39.98
        assert [list(r) for r in done["refunds"]] == [["paymentId", "amount", "currency", "status"]]
    finally:
        simulate(demo, "shipments", mode="auto")


def test_product(demo):
    answer = demo.post("/products", raw=PRODUCT_REQUEST.encode()).is_(201)
    check(PRODUCT, answer.json)
    assert answer.json == json.loads(PRODUCT)
    assert answer.etag
    assert demo.patch("/products/WIDGET-002", {"stockDelta": -3}).is_(200).json["onHand"] == 97
    changed = demo.patch("/products/WIDGET-002", {"price": 21.50}).is_(200)
    assert b'"price":21.50' in changed.body
    demo.patch("/products/WIDGET-002", {"stockQuantity": 80},
               headers={"If-Match": changed.etag}).is_(200)


def test_event(demo, placed):
    answer = demo.get(f"/events?orderId={placed.json['orderId']}&limit=1").is_(200).json
    assert list(answer) == ["data", "nextCursor"]
    event = answer["data"][0]
    check(EVENT, event)
    example = json.loads(EVENT)
    assert set(event["payload"]) - set(example["payload"]) <= {"cartId"}
    assert event["aggregateId"] == placed.json["orderId"]


def test_message(demo, placed):
    messages = demo.get("/messages?topic=order.*&limit=500").is_(200).json["data"]
    check(MESSAGE, [m for m in messages if m["correlationId"] == placed.json["orderId"]][0])


def test_message_from_outside(demo):
    simulate(demo, "payments", mode="wait")
    try:
        o = demo.post("/orders", raw=ORDER_REQUEST.encode()).is_(201).json["orderId"]
        wait_for(demo, o, "CONFIRMED")
        body = (OUTSIDE_MESSAGE % (o, o)).encode()
        answer = demo.post("/messages/payment.approved", raw=body).is_(202).json
        assert list(answer) == ["messageId", "position"]
        assert answer["messageId"] == "prov-77"
        assert wait_for(demo, o, "SHIPPED")["paymentId"] == "payment-77"
        event = wait_event(demo, o, "PaymentApproved")
        assert (event["position"], event["metadata"]["messageId"]) == (answer["position"], "prov-77")
    finally:
        simulate(demo, "payments", mode="approve")


def test_simulator(start):
    with start().client() as client:
        now = client.get("/simulators/payments").is_(200).json
        check(SIMULATOR, now, also={"poisonRate"})
        assert {k: now[k] for k in json.loads(SIMULATOR)} == json.loads(SIMULATOR)
        for name in ("inventory", "shipments"):
            assert list(client.get(f"/simulators/{name}").json) == ["enabled", "mode", "delayMs",
                                                                    "failFirst"]


def test_dead_letter(demo):
    unknown = "0199a1f2-0000-7000-8000-00000000beef"
    demo.post("/messages/payment.approved", {"messageId": unique("m"), "payload": {
        "orderId": unknown, "paymentId": "p", "approvedAmount": 1, "currency": "USD"}}).is_(202)
    letter = wait_dead_letter(demo, unknown)
    check(DEAD_LETTER, letter)
    assert letter["subscription"] == "orders"
    assert letter["state"] in ("parked", "open")
    assert letter["message"]["topic"] == letter["topic"]
    assert TIME.fullmatch(letter["firstFailedAt"])


def test_problem(demo):
    body = json.loads(ORDER_REQUEST)
    body["items"][0]["quantity"] = 0
    body["customerId"] = ""
    answer = demo.post("/orders", body)
    problem = answer.problem(400, "validation")
    check(PROBLEM, problem)
    example = json.loads(PROBLEM)
    assert problem["detail"] == example["detail"]
    assert example["errors"][0] in problem["errors"]


@pytest.mark.parametrize("quantity, detail", [
    (200, "Insufficient stock for SCARCE: requested 200, available 100")])
def test_reasons_that_users_see(demo, quantity, detail):
    demo.post("/products", {"sku": "SCARCE", "name": "n", "price": 1, "currency": "USD",
                            "stockQuantity": 100}).is_(201)
    body = json.loads(ORDER_REQUEST)
    body["items"] = [{"sku": "SCARCE", "quantity": quantity}]
    o = demo.post("/orders", body).is_(201).json["orderId"]
    assert wait_for(demo, o, "REJECTED")["rejectionReason"] == detail
    body["items"] = [{"sku": "X-1", "quantity": 1, "unitPrice": 1}]
    o = demo.post("/orders", body).is_(201).json["orderId"]
    assert wait_for(demo, o, "REJECTED")["rejectionReason"] == "Product X-1 not found"
    eventually(lambda: demo.get("/livez").status == 200)
