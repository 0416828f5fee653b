"""What can go wrong with payment, stock and time, and how each order ends."""
import pytest

from client import eventually
from conftest import FAST
from shop import (ADDRESS, UNKNOWN_ID, add_product, approve, cancel, checkout, event_of, events_of,
                  fill_cart, order, place, publish, simulate, stock_of, types_of, unique,
                  wait_dead_letter, wait_event, wait_for, wait_order, wait_status)


@pytest.fixture
def fresh(start):
    """A server of the test's own, whose contexts it may change."""
    with start(*FAST).client() as c:
        yield c


def test_a_declined_cart_order_has_failed(fresh):
    simulate(fresh, "payments", mode="decline", reason="Card declined")
    sku = add_product(fresh, stock=5)
    o = checkout(fresh, sku)
    done = wait_for(fresh, o["orderId"], "PAYMENT_FAILED")
    assert done["paymentFailureReason"] == "Card declined"
    assert done["refund"] == {"status": "none", "amount": 0}
    assert types_of(fresh, o["orderId"]) == ["OrderPlaced", "PaymentDeclined", "OrderPaymentFailed"]
    assert stock_of(fresh, sku) == (5, 0, 5)


def test_a_declined_direct_order_gives_its_stock_back(fresh):
    simulate(fresh, "payments", mode="decline", reason="Insufficient funds")
    sku = add_product(fresh, stock=5)
    o = place(fresh, sku, 2)
    wait_for(fresh, o["orderId"], "PAYMENT_FAILED")
    done = wait_order(fresh, o["orderId"], release__status="done")
    assert done["paymentFailureReason"] == "Insufficient funds"
    assert types_of(fresh, o["orderId"]) == [
        "OrderPlaced", "InventoryReserved", "OrderConfirmed", "PaymentFailed",
        "OrderPaymentFailed", "InventoryReleased", "OrderStockReleased"]
    failed = event_of(fresh, o["orderId"], "OrderPaymentFailed")["payload"]
    assert failed["release"] == {"reservationId": done["reservationId"]}
    eventually(lambda: stock_of(fresh, sku) == (5, 0, 5))


def test_only_what_is_above_the_level_is_declined(fresh):
    simulate(fresh, "payments", declineAbove=100.00)
    sku = add_product(fresh, price=50.00)
    assert wait_for(fresh, place(fresh, sku, 2)["orderId"], "SHIPPED")
    assert wait_for(fresh, place(fresh, sku, 3)["orderId"], "PAYMENT_FAILED")


def test_a_share_of_payments_fails_by_the_order_and_not_by_chance(fresh):
    simulate(fresh, "payments", failureRate=1.0)
    assert wait_for(fresh, place(fresh)["orderId"], "PAYMENT_FAILED")
    simulate(fresh, "payments", failureRate=0.0)
    assert wait_for(fresh, place(fresh)["orderId"], "SHIPPED")


def test_a_direct_order_without_stock_is_rejected(client):
    sku = add_product(client, stock=100)
    o = place(client, sku, 200)
    done = wait_for(client, o["orderId"], "REJECTED")
    assert done["rejectionReason"] == f"Insufficient stock for {sku}: requested 200, available 100"
    assert types_of(client, o["orderId"]) == ["OrderPlaced", "InventoryReservationFailed",
                                              "OrderRejected"]
    assert stock_of(client, sku) == (100, 0, 100)


def test_a_paid_cart_order_without_stock_is_cancelled_and_refunded(client):
    sku = add_product(client, stock=1)
    o = checkout(client, sku, 2)
    wait_for(client, o["orderId"], "CANCELLED")
    done = wait_order(client, o["orderId"], refund__status="done")
    assert done["refund"]["amount"] == o["totalAmount"]
    assert [r["status"] for r in done["refunds"]] == ["done"]
    assert types_of(client, o["orderId"]) == ["OrderPlaced", "PaymentApproved", "OrderPaid",
                                              "StockRejected", "OrderCancelled", "PaymentRefunded",
                                              "OrderRefunded"]
    cancelled = event_of(client, o["orderId"], "OrderCancelled")["payload"]
    assert cancelled["previousStatus"] == "PAID"
    assert cancelled["refund"] == {"paymentId": done["paymentId"], "amount": o["totalAmount"],
                                   "currency": "USD"}
    assert cancelled["release"] is None


def test_an_unknown_product_with_a_price_is_rejected_by_event(client):
    sku = unique("NOBODYS").upper()
    o = place(client, items=[{"sku": sku, "quantity": 1, "unitPrice": 5}])
    done = wait_for(client, o["orderId"], "REJECTED")
    assert done["rejectionReason"] == f"Product {sku} not found"


def test_inventory_can_reject_everything(fresh):
    simulate(fresh, "inventory", mode="reject")
    o = place(fresh)
    assert wait_for(fresh, o["orderId"], "REJECTED")["rejectionReason"]
    o = checkout(fresh)
    wait_for(fresh, o["orderId"], "CANCELLED")
    wait_order(fresh, o["orderId"], refund__status="done")


@pytest.mark.parametrize("begin, types", [
    (checkout, ["OrderPlaced", "OrderCancelled"]),
    (place, ["OrderPlaced", "InventoryReserved", "OrderConfirmed", "OrderCancelled",
             "InventoryReleased", "OrderStockReleased"]),
])
def test_an_unpaid_order_is_cancelled_when_its_time_is_over(start, begin, types):
    server = start(*FAST, "--set=payment.timeout=300ms", "--set=simulators.payments.mode=wait")
    with server.client() as client:
        sku = add_product(client, stock=9)
        o = begin(client, sku, 2)
        assert o["paymentDeadline"] > o["createdAt"]
        done = wait_for(client, o["orderId"], "CANCELLED")
        assert done["cancellationReason"] == "payment_timeout"
        assert done["updatedAt"] >= o["paymentDeadline"]  # never early
        eventually(lambda: [t for t in types_of(client, o["orderId"]) if t != "PaymentPending"]
                   == types)
        eventually(lambda: stock_of(client, sku) == (9, 0, 9))


def test_without_a_payment_timeout_there_is_no_deadline(start):
    with start(*FAST, "--set=payment.timeout=0").client() as client:
        assert place(client).get("paymentDeadline") is None


# ---- cancelling

def paying(client):
    simulate(client, "payments", mode="wait")


def nobody_reserves(client):
    simulate(client, "inventory", enabled=False)


def nobody_ships(client):
    simulate(client, "shipments", mode="wait")


def nothing(client):
    pass


def make_ready(client, id):
    client.post(f"/orders/{id}/ready").is_(200)


CANCELLABLE = [
    # begin, what holds the order, the state, refunded, released
    (checkout, paying, "AWAITING_PAYMENT", False, False),
    (checkout, nobody_reserves, "PAID", True, False),
    (checkout, nothing, "STOCK_RESERVED", True, True),
    (checkout, make_ready, "READY", True, True),
    (place, nobody_reserves, "PENDING", False, False),
    (place, paying, "CONFIRMED", False, True),
    (place, nobody_ships, "PAID", True, True),
]


@pytest.mark.parametrize("begin, hold, state, refunded, released", CANCELLABLE,
                         ids=[f"{c[0].__name__}-{c[2]}" for c in CANCELLABLE])
def test_cancel_gives_back_what_the_order_has(fresh, begin, hold, state, refunded, released):
    if hold is not make_ready:
        hold(fresh)
    sku = add_product(fresh, stock=7)
    o = begin(fresh, sku, 2)
    if hold is make_ready:
        wait_status(fresh, o["orderId"], "STOCK_RESERVED")
        make_ready(fresh, o["orderId"])
    wait_status(fresh, o["orderId"], state)
    answer = cancel(fresh, o["orderId"], "no longer needed").is_(200).json
    assert (answer["status"], answer["cancellationReason"]) == ("CANCELLED", "no longer needed")
    done = wait_order(fresh, o["orderId"], refund__status="done" if refunded else "none",
                      release__status="done" if released else "none")
    payload = event_of(fresh, o["orderId"], "OrderCancelled")["payload"]
    assert payload["previousStatus"] == state
    assert (payload["refund"] is not None) == refunded
    assert (payload["release"] is not None) == released
    if refunded:
        assert done["refund"]["amount"] == o["totalAmount"]
    eventually(lambda: stock_of(fresh, sku) == (7, 0, 7))
    again = cancel(fresh, o["orderId"], "again").is_(200).json
    assert again["cancellationReason"] == "no longer needed"
    assert types_of(fresh, o["orderId"]).count("OrderCancelled") == 1


def test_what_has_left_or_ended_cannot_be_cancelled(fresh):
    shipped = place(fresh)["orderId"]
    wait_for(fresh, shipped, "SHIPPED")
    problem = cancel(fresh, shipped).problem(409, "illegal_state")
    assert problem["status"] == 409 or problem["status"] == "SHIPPED"
    rejected = place(fresh, add_product(fresh, stock=0))["orderId"]
    wait_for(fresh, rejected, "REJECTED")
    cancel(fresh, rejected).problem(409, "illegal_state")
    completed = checkout(fresh)["orderId"]
    wait_for(fresh, completed, "STOCK_RESERVED")
    make_ready(fresh, completed)
    fresh.post(f"/orders/{completed}/complete").is_(200)
    cancel(fresh, completed).problem(409, "illegal_state")
    simulate(fresh, "payments", mode="decline")
    failed = place(fresh)["orderId"]
    wait_for(fresh, failed, "PAYMENT_FAILED")
    cancel(fresh, failed).problem(409, "illegal_state")


# ---- money, stock and goods that nobody expects: Orders alone decides what goes back

def test_a_late_approval_is_refunded_and_changes_no_status(fresh):
    simulate(fresh, "payments", mode="wait")
    o = checkout(fresh)
    cancel(fresh, o["orderId"]).is_(200)
    payment = approve(fresh, o)
    asked = wait_event(fresh, o["orderId"], "OrderRefundRequested")["payload"]
    assert (asked["paymentId"], asked["amount"], asked["currency"], asked["reason"]) == (
        payment, o["totalAmount"], "USD", "late")
    due = wait_order(fresh, o["orderId"], status="CANCELLED", refund__status="due")
    assert due["refunds"] == [{"paymentId": payment, "amount": o["totalAmount"],
                               "currency": "USD", "status": "due"}]
    # What an outside provider took, only it can give back.
    publish(fresh, "payment.refunded", o["orderId"], paymentId=payment, amount=o["totalAmount"],
            currency="USD").is_(202)
    wait_order(fresh, o["orderId"], status="CANCELLED", refund__status="done")


def test_a_second_payment_is_refunded(fresh):
    o = checkout(fresh)
    first = wait_for(fresh, o["orderId"], "STOCK_RESERVED")["paymentId"]
    second = approve(fresh, o)
    asked = wait_event(fresh, o["orderId"], "OrderRefundRequested")["payload"]
    assert (asked["paymentId"], asked["reason"]) == (second, "second")
    done = order(fresh, o["orderId"])
    assert (done["status"], done["paymentId"]) == ("STOCK_RESERVED", first)


@pytest.mark.parametrize("wrong", [{"approvedAmount": 1.00}, {"currency": "EUR"}])
def test_a_payment_of_another_amount_or_currency_does_not_pay(fresh, wrong):
    simulate(fresh, "payments", mode="wait")
    o = place(fresh)
    wait_for(fresh, o["orderId"], "CONFIRMED")
    payment = approve(fresh, o, topic="payment.processed", **wrong)
    asked = wait_event(fresh, o["orderId"], "OrderRefundRequested")["payload"]
    assert (asked["paymentId"], asked["reason"]) == (payment, "amount_mismatch")
    assert asked["amount"] == wrong.get("approvedAmount", o["totalAmount"])
    assert asked["currency"] == wrong.get("currency", "USD")
    assert order(fresh, o["orderId"])["status"] == "CONFIRMED"
    # The right one still pays.
    approve(fresh, o)
    wait_for(fresh, o["orderId"], "SHIPPED")


def test_a_payment_before_it_was_asked_for_is_not_expected(fresh):
    simulate(fresh, "inventory", enabled=False)
    o = place(fresh)
    approve(fresh, o)
    asked = wait_event(fresh, o["orderId"], "OrderRefundRequested")["payload"]
    assert asked["reason"] == "not_expected"
    assert order(fresh, o["orderId"])["status"] == "PENDING"


def test_a_reservation_after_cancel_is_released(fresh):
    simulate(fresh, "inventory", enabled=False)
    o = place(fresh)
    cancel(fresh, o["orderId"]).is_(200)
    publish(fresh, "inventory.reserved", o["orderId"], reservationId="res-late-1").is_(202)
    asked = wait_event(fresh, o["orderId"], "OrderReleaseRequested")["payload"]
    assert (asked["reservationId"], asked["reason"]) == ("res-late-1", "late")
    wait_order(fresh, o["orderId"], status="CANCELLED", release__status="due")
    publish(fresh, "inventory.released", o["orderId"], reservationId="res-late-1").is_(202)
    wait_order(fresh, o["orderId"], status="CANCELLED", release__status="done")


def test_a_shipment_after_cancel_is_refused(fresh):
    simulate(fresh, "shipments", mode="wait")
    o = place(fresh)
    wait_status(fresh, o["orderId"], "PAID")
    cancel(fresh, o["orderId"]).is_(200)
    publish(fresh, "shipment.created", o["orderId"], shipmentId="ship-late-1",
            trackingNumber="TRK-LATE").is_(202)
    refused = wait_event(fresh, o["orderId"], "OrderShipmentRefused")["payload"]
    assert refused["shipmentId"] == "ship-late-1"
    assert order(fresh, o["orderId"])["status"] == "CANCELLED"


def test_a_shipment_for_the_other_flow_is_refused(client):
    o = checkout(client)
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    shipment = unique("ship")
    publish(client, "shipment.created", o["orderId"], shipmentId=shipment,
            trackingNumber="TRK-1").is_(202)
    assert wait_event(client, o["orderId"], "OrderShipmentRefused")["payload"]["shipmentId"] == shipment
    assert order(client, o["orderId"])["status"] == "STOCK_RESERVED"


def test_a_cancelled_shipment_cancels_its_order(client):
    sku = add_product(client, stock=5)
    o = place(client, sku, 2)
    shipped = wait_status(client, o["orderId"], "SHIPPED")
    publish(client, "shipment.cancelled", o["orderId"], shipmentId=shipped["shipmentId"]).is_(202)
    done = wait_order(client, o["orderId"], status="CANCELLED", refund__status="done",
                      release__status="done")
    assert done["cancellationReason"] == "shipment_cancelled"
    eventually(lambda: stock_of(client, sku) == (5, 0, 5))


def test_an_unasked_refund_is_recorded_all_the_same(client):
    o = checkout(client)
    payment = wait_for(client, o["orderId"], "STOCK_RESERVED")["paymentId"]
    publish(client, "payment.refunded", o["orderId"], paymentId=payment, amount=o["totalAmount"],
            currency="USD").is_(202)
    recorded = wait_event(client, o["orderId"], "OrderRefunded")["payload"]
    assert recorded["paymentId"] == payment
    assert order(client, o["orderId"])["status"] == "STOCK_RESERVED"


# ---- duplicates and what comes in the wrong state

def count(client, o, event_type):
    return types_of(client, o["orderId"]).count(event_type)


def test_the_same_payment_twice_pays_once(fresh):
    simulate(fresh, "payments", mode="wait")
    o = checkout(fresh)
    payment = approve(fresh, o)
    wait_for(fresh, o["orderId"], "STOCK_RESERVED")
    before = order(fresh, o["orderId"])
    approve(fresh, o, payment)  # another message of the same payment
    second = approve(fresh, o)  # the mark: lanes are in order, so what came before it is handled
    asked = wait_event(fresh, o["orderId"], "OrderRefundRequested")["payload"]
    assert asked["paymentId"] == second
    assert count(fresh, o, "OrderRefundRequested") == 1
    assert count(fresh, o, "OrderPaid") == 1
    after = order(fresh, o["orderId"])
    assert (after["status"], after["paymentId"]) == (before["status"], payment)


def test_the_same_reservation_and_shipment_twice_count_once(fresh):
    simulate(fresh, "inventory", enabled=False)
    simulate(fresh, "shipments", enabled=False)
    o = place(fresh)
    for _ in range(2):
        publish(fresh, "inventory.reserved", o["orderId"], reservationId="res-1").is_(202)
    wait_status(fresh, o["orderId"], "PAID")
    for _ in range(2):
        publish(fresh, "shipment.created", o["orderId"], shipmentId="ship-1",
                trackingNumber="TRK-9").is_(202)
    wait_for(fresh, o["orderId"], "SHIPPED")
    publish(fresh, "inventory.reserved", o["orderId"], reservationId="res-2").is_(202)
    asked = wait_event(fresh, o["orderId"], "OrderReleaseRequested")["payload"]
    assert (asked["reservationId"], asked["reason"]) == ("res-2", "second")
    done = order(fresh, o["orderId"])
    assert (done["reservationId"], done["shipmentId"]) == ("res-1", "ship-1")
    for event_type in ("OrderConfirmed", "OrderShipped", "OrderReleaseRequested"):
        assert count(fresh, o, event_type) == 1
    assert count(fresh, o, "OrderShipmentRefused") == 0


@pytest.mark.parametrize("topic, payload", [
    ("payment.declined", {"reason": "too late"}),
    ("payment.failed", {"reason": "too late"}),
    ("stock.rejected", {"reason": "too late"}),
    ("inventory.reservation_failed", {"reason": "too late"}),
])
def test_a_refusal_in_the_wrong_state_changes_nothing(client, topic, payload):
    o = place(client)
    wait_status(client, o["orderId"], "SHIPPED")
    before = order(client, o["orderId"])
    publish(client, topic, o["orderId"], **payload).is_(202)
    second = approve(client, o)  # the mark, handled after it
    wait_event(client, o["orderId"], "OrderRefundRequested")
    after = order(client, o["orderId"])
    assert after["status"] == before["status"]
    assert after["paymentFailureReason"] is None and after["rejectionReason"] is None
    assert [r["paymentId"] for r in after["refunds"]] == [second]
    assert client.all(f"/dead-letters?orderId={o['orderId']}") == []


# ---- permanent failures

def test_a_message_for_an_unknown_order_is_a_dead_letter_at_once(client):
    id = UNKNOWN_ID[:-4] + "dead"
    publish(client, "payment.approved", id, paymentId=unique("p"), approvedAmount=1,
            currency="USD").is_(202)
    letter = wait_dead_letter(client, id)
    assert letter["orderId"] == id
    assert letter["topic"] == "payment.approved"
    assert letter["attempts"] == 1
    assert letter["state"] == "open"
    assert letter["queuedBehind"] == 0
    assert client.get(f"/dead-letters/{letter['deadLetterId']}").is_(200).json == letter
    assert wait_for(client, place(client)["orderId"], "SHIPPED")  # it stopped nothing


def test_an_order_id_that_cannot_be_ours_is_a_dead_letter_too(client):
    publish(client, "stock.reserved", "order-from-elsewhere", reservationId="r-1").is_(202)
    assert eventually(lambda: [d for d in client.all("/dead-letters")
                               if d["orderId"] == "order-from-elsewhere"] or False)


def test_a_payment_of_another_order_is_a_dead_letter_and_mark_paid_says_so(fresh):
    simulate(fresh, "payments", mode="wait")
    mine, other = checkout(fresh), checkout(fresh)
    payment = approve(fresh, mine)
    wait_for(fresh, mine["orderId"], "STOCK_RESERVED")
    approve(fresh, other, payment)
    letter = wait_dead_letter(fresh, other["orderId"])
    assert letter["attempts"] == 1 and letter["state"] == "open"
    fresh.post(f"/orders/{other['orderId']}/mark-paid", {"paymentId": payment}).problem(
        409, "payment_taken")
    assert order(fresh, other["orderId"])["status"] == "AWAITING_PAYMENT"
    approve(fresh, other)  # the order itself is not parked
    wait_for(fresh, other["orderId"], "STOCK_RESERVED")


def test_a_shipment_can_leave_only_when_shipments_knows_that_the_order_counts_it(start):
    server = start(*FAST, "--set=bus.retry_base=400ms")
    with server.client() as client:
        simulate(client, "shipments", failFirst=1)
        o = place(client)
        shipment = wait_status(client, o["orderId"], "SHIPPED")["shipmentId"]
        client.post(f"/shipments/{shipment}/dispatch").problem(409, "not_confirmed")
        publish(client, "shipment.dispatched", o["orderId"], shipmentId=shipment).is_(202)
        letter = wait_dead_letter(client, o["orderId"])
        assert letter["error"]["code"] == "not_confirmed"
        assert (letter["state"], letter["attempts"]) == ("open", 1)
        eventually(lambda: client.post(f"/shipments/{shipment}/dispatch").status == 200)


def test_a_dispatched_shipment_cannot_be_cancelled(client):
    o = place(client)
    shipment = wait_status(client, o["orderId"], "SHIPPED")["shipmentId"]
    eventually(lambda: client.post(f"/shipments/{shipment}/dispatch").status == 200)
    publish(client, "shipment.cancelled", o["orderId"], shipmentId=shipment).is_(202)
    assert wait_dead_letter(client, o["orderId"])["error"]["code"] == "illegal_state"
    assert order(client, o["orderId"])["status"] == "SHIPPED"


def test_delivered_without_dispatched_counts_as_both(client):
    sku = add_product(client, stock=5)
    o = place(client, sku, 2)
    shipment = wait_status(client, o["orderId"], "SHIPPED")["shipmentId"]
    eventually(lambda: client.post(f"/shipments/{shipment}/deliver").status == 200)
    wait_for(client, o["orderId"], "DELIVERED")
    wait_event(client, o["orderId"], "StockTaken")
    assert count(client, o, "StockTaken") == 1
    eventually(lambda: stock_of(client, sku) == (3, 0, 3))


# ---- retries and parking

def test_a_handler_that_fails_at_first_is_tried_again(start):
    server = start(*FAST, "--set=bus.retry_base=10ms")
    with server.client() as client:
        simulate(client, "payments", failFirst=3)
        o = place(client)
        wait_for(client, o["orderId"], "SHIPPED")
        assert client.all(f"/dead-letters?orderId={o['orderId']}") == []


def test_a_poisoned_order_is_parked_while_the_others_flow(start):
    server = start(*FAST, "--set=bus.retry_base=5ms")
    with server.client() as client:
        sku = add_product(client, stock=50)
        simulate(client, "payments", poisonRate=1.0)
        parked = place(client, sku, 2)
        letter = wait_dead_letter(client, parked["orderId"])
        assert letter["state"] == "parked"
        assert letter["subscription"] == "payments"
        assert letter["attempts"] == 4
        assert letter["topic"] == "order.confirmed"
        assert letter["lastFailedAt"] >= letter["firstFailedAt"]
        assert letter["message"]["payload"]["orderId"] == parked["orderId"]
        simulate(client, "payments", poisonRate=0.0)
        assert wait_for(client, place(client, sku, 1)["orderId"], "SHIPPED")
        assert order(client, parked["orderId"])["status"] == "CONFIRMED"
        # Commands on the parked order still work, and its stock comes back.
        answer = cancel(client, parked["orderId"]).is_(200).json
        assert answer["status"] == "CANCELLED"
        wait_order(client, parked["orderId"], release__status="done")
        # The cancellation is behind the parked message, in order.
        eventually(lambda: client.get(f"/dead-letters/{letter['deadLetterId']}").json[
            "queuedBehind"] >= 1)


def test_an_order_answers_while_it_is_retrying(start):
    server = start(*FAST, "--set=bus.retry_base=60s", "--set=bus.retry_max=60s")
    with server.client() as client:
        simulate(client, "payments", failFirst=3)
        o = place(client)
        wait_for(client, o["orderId"], "CONFIRMED")
        assert order(client, o["orderId"])["status"] == "CONFIRMED"
        assert cancel(client, o["orderId"]).is_(200).json["status"] == "CANCELLED"
        wait_order(client, o["orderId"], release__status="done")


def test_an_order_answers_while_a_context_takes_its_time(start):
    with start("--set=simulators.inventory.delayMs=60000", "--drain=100ms").client() as client:
        o = place(client)
        assert order(client, o["orderId"])["status"] == "PENDING"
        assert cancel(client, o["orderId"]).is_(200).json["status"] == "CANCELLED"


# ---- money from outside

def test_an_external_payment_stays_due_until_its_refund_was_reported(fresh):
    simulate(fresh, "payments", mode="wait")
    o = checkout(fresh)
    paid = fresh.post(f"/orders/{o['orderId']}/mark-paid", {"paymentId": "cash-1"}).is_(200).json
    assert paid["paymentId"] == "cash-1"
    wait_for(fresh, o["orderId"], "STOCK_RESERVED")
    cancel(fresh, o["orderId"]).is_(200)
    wait_order(fresh, o["orderId"], status="CANCELLED", refund__status="due",
               release__status="done")
    due = fresh.get("/orders?refund=due").is_(200).json["data"]
    assert o["orderId"] in [d["orderId"] for d in due]
    publish(fresh, "payment.refunded", o["orderId"], paymentId="cash-1", amount=o["totalAmount"],
            currency="USD").is_(202)
    wait_order(fresh, o["orderId"], refund__status="done")
    due = fresh.get("/orders?refund=due").is_(200).json["data"]
    assert o["orderId"] not in [d["orderId"] for d in due]


def test_both_vocabularies_run_the_same_use_case(fresh):
    for name in ("payments", "inventory", "shipments"):
        simulate(fresh, name, enabled=False)
    o = place(fresh)
    publish(fresh, "stock.reserved", o["orderId"], reservationId="r-1").is_(202)
    wait_for(fresh, o["orderId"], "CONFIRMED")
    approve(fresh, o, topic="payment.approved")
    wait_for(fresh, o["orderId"], "PAID")
    publish(fresh, "shipment.created", o["orderId"], shipmentId="s-1", trackingNumber="T-1").is_(202)
    wait_for(fresh, o["orderId"], "SHIPPED")
    o = checkout(fresh)
    approve(fresh, o, topic="payment.processed")
    wait_for(fresh, o["orderId"], "PAID")
    publish(fresh, "inventory.reserved", o["orderId"], reservationId="r-2").is_(202)
    wait_for(fresh, o["orderId"], "STOCK_RESERVED")


def test_a_cart_order_is_cancelled_when_an_outside_inventory_rejects(fresh):
    simulate(fresh, "inventory", enabled=False)
    cart = fill_cart(fresh, (add_product(fresh), 1))
    o = fresh.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).is_(201).json
    wait_for(fresh, o["orderId"], "PAID")
    publish(fresh, "stock.rejected", o["orderId"], reason="flooded cellar").is_(202)
    wait_for(fresh, o["orderId"], "CANCELLED")
    wait_order(fresh, o["orderId"], refund__status="done")
    assert len([e for e in events_of(fresh, o["orderId"])
                if e["eventType"] == "OrderRefunded"]) == 1
