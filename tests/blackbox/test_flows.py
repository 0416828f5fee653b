"""Both flows from the first event to the last, and how long they take."""
import datetime

import pytest

from client import eventually
from shop import (PAY_FIRST_EVENTS, STOCK_FIRST_EVENTS, add_product, checkout, events_of, order,
                  place, stock_of, types_of, wait_event, wait_for, wait_order, wait_status)


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def milliseconds(events):
    return (time_of(events[-1]["occurredAt"]) - time_of(events[0]["occurredAt"])).total_seconds() * 1000


def test_a_cart_becomes_an_order_with_reserved_stock_in_exactly_five_events(client):
    sku = add_product(client, stock=10)
    o = checkout(client, sku, 2)
    assert o["flow"] == "pay_first"
    assert o["status"] == "AWAITING_PAYMENT"
    done = wait_status(client, o["orderId"], "STOCK_RESERVED")
    assert types_of(client, o["orderId"]) == PAY_FIRST_EVENTS
    assert done["paymentId"].startswith("payment-")
    assert done["reservationId"].startswith("reservation-")
    assert done["shipmentId"] is None
    assert stock_of(client, sku) == (10, 2, 8)


def test_a_direct_order_is_shipped_in_exactly_seven_events(client):
    sku = add_product(client, stock=10)
    o = place(client, sku, 3)
    assert o["flow"] == "stock_first"
    assert o["status"] == "PENDING"
    done = wait_status(client, o["orderId"], "SHIPPED")
    assert types_of(client, o["orderId"]) == STOCK_FIRST_EVENTS
    assert done["paymentId"].startswith("payment-")
    assert done["reservationId"].startswith("reservation-")
    assert done["shipmentId"].startswith("shipment-")
    assert done["trackingNumber"].startswith("TRK-")
    assert stock_of(client, sku) == (10, 3, 7)  # reserved until it leaves the house


def test_a_picked_up_order_takes_its_stock_off_hand(client):
    sku = add_product(client, stock=10)
    o = checkout(client, sku, 2)
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    ready = client.post(f"/orders/{o['orderId']}/ready").is_(200).json
    assert ready["status"] == "READY"
    done = client.post(f"/orders/{o['orderId']}/complete", {"invoiceId": "INV-7"}).is_(200).json
    assert (done["status"], done["invoiceId"]) == ("COMPLETED", "INV-7")
    wait_event(client, o["orderId"], "StockTaken")
    assert types_of(client, o["orderId"]) == PAY_FIRST_EVENTS + ["OrderReadied", "OrderCompleted",
                                                                 "StockTaken"]
    eventually(lambda: stock_of(client, sku) == (8, 0, 8))


def test_a_delivered_order_took_its_stock_off_hand_when_it_was_dispatched(client):
    sku = add_product(client, stock=10)
    o = place(client, sku, 2)
    shipment = wait_status(client, o["orderId"], "SHIPPED")["shipmentId"]
    eventually(lambda: client.post(f"/shipments/{shipment}/dispatch").status == 200)
    wait_event(client, o["orderId"], "StockTaken")
    eventually(lambda: stock_of(client, sku) == (8, 0, 8))
    assert order(client, o["orderId"])["status"] == "SHIPPED"
    client.post(f"/shipments/{shipment}/deliver").is_(200)
    done = wait_status(client, o["orderId"], "DELIVERED")
    assert done["refund"]["status"] == "none"
    types = types_of(client, o["orderId"])
    assert types[:7] == STOCK_FIRST_EVENTS
    assert sorted(types[7:]) == ["OrderDelivered", "ShipmentDelivered", "ShipmentDispatched",
                                 "StockTaken"]
    assert types.index("ShipmentDispatched") < types.index("ShipmentDelivered")


@pytest.mark.parametrize("begin, expected", [(checkout, PAY_FIRST_EVENTS),
                                             (place, STOCK_FIRST_EVENTS)])
def test_each_event_names_its_cause_its_order_and_its_place(client, begin, expected):
    o = begin(client)
    eventually(lambda: types_of(client, o["orderId"]) == expected)
    events = events_of(client, o["orderId"])
    seen = {}
    for e in events:
        assert e["payload"]["orderId"] == o["orderId"]
        assert e["payload"]["flow"] == o["flow"]
        assert e["metadata"]["correlationId"] == o["orderId"]
        cause = e["metadata"]["causationId"]
        assert cause is None if e["eventType"] == "OrderPlaced" else cause in seen
        seen[e["eventId"]] = e["eventType"]
    streams = [e for e in events if e["aggregateType"] == "Order"]
    assert [e["sequence"] for e in streams] == list(range(1, len(streams) + 1))
    assert order(client, o["orderId"])["sequence"] == len(streams)
    by_type = {e["eventType"]: e for e in events}
    causes = {e["eventType"]: seen.get(e["metadata"]["causationId"]) for e in events}
    if begin is place:
        assert causes == {
            "OrderPlaced": None, "InventoryReserved": "OrderPlaced",
            "OrderConfirmed": "InventoryReserved", "PaymentProcessed": "OrderConfirmed",
            "OrderPaid": "PaymentProcessed", "ShipmentCreated": "OrderPaid",
            "OrderShipped": "ShipmentCreated"}
        assert by_type["ShipmentCreated"]["aggregateType"] == "Shipment"
    else:
        assert causes == {
            "OrderPlaced": None, "PaymentApproved": "OrderPlaced", "OrderPaid": "PaymentApproved",
            "StockReserved": "OrderPaid", "OrderStockReserved": "StockReserved"}
        assert by_type["PaymentApproved"]["aggregateType"] == "Payment"
        assert by_type["StockReserved"]["aggregateType"] == "Reservation"


def test_with_the_default_delays_a_cart_is_reserved_within_a_tenth_of_a_second(start):
    with start().client() as client:
        sku = add_product(client)
        times = []
        for _ in range(5):
            o = checkout(client, sku, 1)
            wait_for(client, o["orderId"], "STOCK_RESERVED")
            times.append(milliseconds(events_of(client, o["orderId"])))
        assert min(times) >= 20  # two hops of 10 ms
        assert sorted(times)[2] < 100, times


def test_with_the_default_delays_a_direct_order_is_shipped_within_four_tenths(start):
    with start().client() as client:
        sku = add_product(client)
        times = []
        for _ in range(5):
            o = place(client, sku, 1)
            wait_for(client, o["orderId"], "SHIPPED")
            times.append(milliseconds(events_of(client, o["orderId"])))
        assert min(times) >= 250  # 50 + 100 + 100 ms
        assert sorted(times)[2] < 400, times


def test_a_direct_order_may_take_the_other_flow(client):
    o = place(client, flow="pay_first")
    assert (o["flow"], o["status"]) == ("pay_first", "AWAITING_PAYMENT")
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    assert types_of(client, o["orderId"]) == PAY_FIRST_EVENTS


def test_many_orders_of_one_product_are_never_oversold(client):
    sku = add_product(client, stock=30)
    orders = [place(client, sku, 1)["orderId"] for _ in range(50)]
    states = [wait_for(client, id, "SHIPPED", "REJECTED")["status"] for id in orders]
    assert (states.count("SHIPPED"), states.count("REJECTED")) == (30, 20)
    assert stock_of(client, sku) == (30, 30, 0)


def test_lines_of_one_product_are_added_up_in_its_reservation(client):
    sku = add_product(client, stock=10)
    body = {"items": [{"sku": sku, "quantity": 4}, {"sku": sku, "quantity": 5}]}
    o = place(client, sku, **body)
    wait_for(client, o["orderId"], "SHIPPED")
    assert stock_of(client, sku) == (10, 9, 1)
    o = place(client, sku, items=[{"sku": sku, "quantity": 1}, {"sku": sku, "quantity": 1}])
    rejected = wait_for(client, o["orderId"], "REJECTED")
    assert rejected["rejectionReason"] == f"Insufficient stock for {sku}: requested 2, available 1"


def test_a_reservation_is_all_or_nothing(client):
    plenty, none = add_product(client, stock=10), add_product(client, stock=0)
    o = place(client, items=[{"sku": plenty, "quantity": 2}, {"sku": none, "quantity": 1}])
    wait_for(client, o["orderId"], "REJECTED")
    assert stock_of(client, plenty) == (10, 0, 10)
    assert wait_order(client, o["orderId"], release__status="none")["reservationId"] is None
