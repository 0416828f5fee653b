"""The contract for outside contexts: what they hear, and what they may say."""
import pytest

from client import eventually
from shop import (PAY_FIRST_EVENTS, STOCK_FIRST_EVENTS, UNKNOWN_ID, approve, checkout, event_of,
                  order, place, publish, simulate, types_of, unique, wait_event, wait_for,
                  wait_status)

TOPICS = {
    "OrderPlaced": "order.placed", "OrderConfirmed": "order.confirmed", "OrderPaid": "order.paid",
    "OrderShipped": "order.shipped", "OrderStockReserved": "order.stock_reserved",
    "InventoryReserved": "inventory.reserved", "StockReserved": "stock.reserved",
    "PaymentProcessed": "payment.processed", "PaymentApproved": "payment.approved",
    "ShipmentCreated": "shipment.created",
}
REQUIRED = {
    "payment.approved": {"paymentId": "p-1", "approvedAmount": 1.00, "currency": "USD"},
    "payment.processed": {"paymentId": "p-1", "approvedAmount": 1.00, "currency": "USD"},
    "payment.declined": {"reason": "no"},
    "payment.failed": {"reason": "no"},
    "payment.refunded": {"paymentId": "p-1", "amount": 1.00, "currency": "USD"},
    "stock.reserved": {"reservationId": "r-1"},
    "inventory.reserved": {"reservationId": "r-1"},
    "stock.rejected": {"reason": "no"},
    "inventory.reservation_failed": {"reason": "no"},
    "stock.released": {"reservationId": "r-1"},
    "inventory.released": {"reservationId": "r-1"},
    "shipment.created": {"shipmentId": "s-1", "trackingNumber": "T-1"},
    "shipment.dispatched": {"shipmentId": "s-1"},
    "shipment.delivered": {"shipmentId": "s-1"},
    "shipment.cancelled": {"shipmentId": "s-1"},
}


def messages_of(client, id, query=""):
    return [m for m in client.all(f"/messages?limit=500{query}") if m["correlationId"] == id]


@pytest.mark.parametrize("begin, expected", [(checkout, PAY_FIRST_EVENTS),
                                             (place, STOCK_FIRST_EVENTS)])
def test_each_event_of_an_order_is_one_message(client, begin, expected):
    o = begin(client)
    eventually(lambda: types_of(client, o["orderId"]) == expected)
    messages = messages_of(client, o["orderId"])
    assert [m["topic"] for m in messages] == [TOPICS[t] for t in expected]
    positions = [m["position"] for m in messages]
    assert positions == sorted(positions)
    for m in messages:
        assert m["payload"]["orderId"] == o["orderId"]
        assert set(m) == {"messageId", "topic", "timestamp", "correlationId", "position", "payload"}


def test_messages_are_chosen_by_topic_and_read_on_from_a_place(client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    only = messages_of(client, o["orderId"], "&topic=order.*")
    assert [m["topic"] for m in only] == ["order.placed", "order.confirmed", "order.paid",
                                          "order.shipped"]
    one = messages_of(client, o["orderId"], "&topic=shipment.created")
    assert [m["topic"] for m in one] == ["shipment.created"]
    first = client.get("/messages?limit=1").is_(200)
    assert len(first.json["data"]) == 1 and 'rel="next"' in first.headers["Link"]
    second = client.get(f"/messages?limit=1&after={first.json['nextCursor']}").is_(200).json
    assert second["data"][0]["position"] > first.json["data"][0]["position"]


# ---- what may be said

@pytest.mark.parametrize("topic", sorted(REQUIRED))
def test_what_a_message_must_have_is_pointed_at(client, topic):
    body = {"messageId": unique("m"), "payload": {}}
    pointers = client.post(f"/messages/{topic}", body).pointers()
    assert pointers == sorted(f"/payload/{n}" for n in ["orderId", *REQUIRED[topic]])


@pytest.mark.parametrize("topic", sorted(REQUIRED))
def test_every_topic_is_accepted_with_what_it_must_have(client, topic):
    order_id = unique("elsewhere")
    message = unique("m")
    answer = publish(client, topic, order_id, message_id=message, **REQUIRED[topic]).is_(202).json
    assert answer["messageId"] == message
    event = client.get(f"/events?after={answer['position'] - 1}&limit=1").is_(200).json["data"][0]
    assert event["position"] == answer["position"]
    assert event["metadata"]["messageId"] == message
    assert event["eventId"] != message
    assert event["payload"]["orderId"] == order_id


@pytest.mark.parametrize("topic", ["order.placed", "order.paid", "order.anything"])
def test_only_the_server_speaks_for_orders(client, topic):
    publish(client, topic, UNKNOWN_ID).problem(403, "forbidden_topic")


@pytest.mark.parametrize("topic", ["payment.pending", "payment.unheard", "stock.taken", "cart.created",
                                   "product.added", "weather.changed", "payment"])
def test_an_unknown_topic_is_not_found_before_the_body_is_looked_at(client, topic):
    client.post(f"/messages/{topic}", raw=b"{not json").problem(404, "not_found")


@pytest.mark.parametrize("change, pointer", [
    ({"messageId": ""}, "/messageId"), ({"messageId": "x" * 65}, "/messageId"),
    ({"messageId": "a b"}, "/messageId"), ({"payload": []}, "/payload"),
    ({"payload": None}, "/payload"), ({"timestamp": "yesterday"}, "/timestamp"),
    ({"topic": "stock.reserved"}, "/topic"), ({"correlationId": "other"}, "/correlationId"),
])
def test_what_is_wrong_with_an_envelope_is_pointed_at(client, change, pointer):
    body = {"messageId": unique("m"), "payload": {"orderId": UNKNOWN_ID, "reason": "no"}, **change}
    assert client.post("/messages/payment.declined", body).pointers() == [pointer]


@pytest.mark.parametrize("change, pointer", [
    ({"paymentId": 7}, "/payload/paymentId"), ({"paymentId": ""}, "/payload/paymentId"),
    ({"approvedAmount": "1.00"}, "/payload/approvedAmount"),
    ({"approvedAmount": -1}, "/payload/approvedAmount"),
    ({"approvedAmount": 1.001}, "/payload/approvedAmount"),
    ({"currency": "Dollar"}, "/payload/currency"), ({"orderId": "a b"}, "/payload/orderId"),
    ({"timestamp": "noon"}, "/payload/timestamp"),
])
def test_known_fields_must_be_well_typed(client, change, pointer):
    payload = {"orderId": UNKNOWN_ID, **REQUIRED["payment.approved"], **change}
    body = {"messageId": unique("m"), "payload": payload}
    assert client.post("/messages/payment.approved", body).pointers() == [pointer]


def test_unknown_fields_are_kept_and_passed_on(client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    publish(client, "payment.declined", o["orderId"], reason="late", provider={"code": 51}).is_(202)
    declined = wait_event(client, o["orderId"], "PaymentDeclined")
    assert declined["payload"]["provider"] == {"code": 51}
    heard = messages_of(client, o["orderId"], "&topic=payment.declined")
    assert heard[0]["payload"]["provider"] == {"code": 51}


def test_the_amount_may_be_called_amount_and_times_may_have_offsets(client):
    simulate(client, "payments", mode="wait")
    try:
        o = checkout(client)
        payment = unique("p")
        client.post("/messages/payment.approved", {
            "messageId": unique("m"), "topic": "payment.approved", "correlationId": o["orderId"],
            "timestamp": "2026-11-20T13:00:05.123456+01:00",
            "payload": {"orderId": o["orderId"], "paymentId": payment, "amount": o["totalAmount"],
                        "currency": "USD", "timestamp": "2026-11-20T12:00:05Z"}}).is_(202)
        assert wait_for(client, o["orderId"], "STOCK_RESERVED")["paymentId"] == payment
        approved = event_of(client, o["orderId"], "PaymentApproved")["payload"]
        assert approved["amount"] == o["totalAmount"]
    finally:
        simulate(client, "payments", mode="approve")


# ---- the same message again

def test_the_same_message_again_changes_nothing(client):
    o = checkout(client)
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    body = {"messageId": unique("m"), "payload": {
        "orderId": o["orderId"], "paymentId": unique("p"), "approvedAmount": o["totalAmount"],
        "currency": "USD"}}
    first = client.post("/messages/payment.approved", body).is_(202).json
    again = client.post("/messages/payment.approved", body).is_(202).json
    assert again == first
    wait_event(client, o["orderId"], "OrderRefundRequested")
    assert types_of(client, o["orderId"]).count("PaymentApproved") == 2  # the built-in one, and it
    assert types_of(client, o["orderId"]).count("OrderRefundRequested") == 1


def test_the_same_message_id_with_other_contents_is_refused(client):
    message = unique("m")
    publish(client, "stock.rejected", unique("x"), message_id=message, reason="one").is_(202)
    publish(client, "stock.rejected", unique("x"), message_id=message, reason="two").problem(
        422, "idempotency_mismatch")
    publish(client, "payment.failed", unique("x"), message_id=message, reason="one").problem(
        422, "idempotency_mismatch")


def test_a_context_of_ones_own_pays_for_an_order(client):
    simulate(client, "payments", enabled=False)
    try:
        o = place(client)
        wait_status(client, o["orderId"], "CONFIRMED")
        heard = messages_of(client, o["orderId"], "&topic=order.confirmed")[0]
        assert heard["payload"]["amount"] == o["totalAmount"]
        payment = approve(client, o, topic="payment.processed")
        assert wait_for(client, o["orderId"], "SHIPPED")["paymentId"] == payment
        assert order(client, o["orderId"])["refund"]["status"] == "none"
    finally:
        simulate(client, "payments", enabled=True)
