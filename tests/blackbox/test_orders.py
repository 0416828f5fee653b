"""Placing, pricing, reading and listing orders, and the steps of the store."""
import pytest

from client import eventually
from conftest import FAST
from shop import (ADDRESS, FINAL, UNKNOWN_ID, add_product, cancel, checkout, fill_cart, order,
                  order_body, place, publish, simulate, types_of, unique, wait_for, wait_order,
                  wait_status)


@pytest.fixture
def waiting(start):
    """Payments waits for somebody to say pay."""
    with start(*FAST, "--set=simulators.payments.mode=wait").client() as c:
        yield c


# ---- placing

def test_a_placed_order_is_where_location_says(client):
    answer = client.post("/orders", order_body(add_product(client))).is_(201)
    o = answer.json
    assert answer.headers["Location"] == f"/orders/{o['orderId']}"
    assert answer.etag == '"1"'
    assert o["sequence"] == 1
    assert o["status"] == "PENDING"
    assert (o["subtotal"], o["totalAmount"], o["currency"]) == (39.98, 39.98, "USD")
    line = o["items"][0]
    assert (line["unitPrice"], line["discount"], line["lineTotal"]) == (19.99, 0.0, 39.98)
    assert o["shippingAddress"] == ADDRESS


def test_product_id_is_another_name_for_sku(client):
    sku = add_product(client)
    o = place(client, items=[{"productId": sku, "quantity": 1}])
    assert o["items"][0]["sku"] == o["items"][0]["productId"] == sku


@pytest.mark.parametrize("change, pointers", [
    ({"customerId": None}, ["/customerId"]),
    ({"customerId": "a b"}, ["/customerId"]),
    ({"items": []}, ["/items"]),
    ({"items": [{"sku": "X-1", "quantity": 0}]}, ["/items/0/quantity"]),
    ({"items": [{"sku": "X-1", "quantity": 10001}]}, ["/items/0/quantity"]),
    ({"items": [{"sku": "X-1", "quantity": 1, "unitPrice": 1},
                {"quantity": 1, "unitPrice": -1}]}, ["/items/1/sku", "/items/1/unitPrice"]),
    ({"items": [{"sku": "X-1", "quantity": 1, "unitPrice": "5"}]}, ["/items/0/unitPrice"]),
    ({"items": [{"sku": "X-1", "quantity": 1, "unitPrice": 1, "colour": 1}]}, ["/items/0/colour"]),
    ({"flow": "cash_first"}, ["/flow"]),
    ({"currency": "dollar"}, ["/currency"]),
    ({"shippingAddress": {}}, ["/shippingAddress/city", "/shippingAddress/country",
                               "/shippingAddress/postalCode", "/shippingAddress/street"]),
    ({"shippingAddress": {**ADDRESS, "street": "x" * 201}}, ["/shippingAddress/street"]),
    ({"shippingAddress": {**ADDRESS, "addressLine2": "x" * 201}}, ["/shippingAddress/addressLine2"]),
    ({"shippingAddress": {**ADDRESS, "city": "x" * 101}}, ["/shippingAddress/city"]),
    ({"shippingAddress": {**ADDRESS, "postalCode": "x" * 21}}, ["/shippingAddress/postalCode"]),
    ({"shippingAddress": {**ADDRESS, "country": "U"}}, ["/shippingAddress/country"]),
    ({"shippingAddress": {**ADDRESS, "deliveryInstructions": "x" * 501}},
     ["/shippingAddress/deliveryInstructions"]),
    ({"shippingAddress": {**ADDRESS, "planet": "Mars"}}, ["/shippingAddress/planet"]),
    ({"surprise": 1, "flow": 1}, ["/flow", "/surprise"]),
])
def test_what_is_wrong_with_an_order_is_pointed_at(client, change, pointers):
    body = order_body("X-1", 1)
    body["items"][0]["unitPrice"] = 1
    assert client.post("/orders", {**body, **change}).pointers() == pointers


def test_an_order_has_at_most_a_hundred_lines(client):
    line = {"sku": "X-1", "quantity": 1, "unitPrice": 1}
    assert len(place(client, items=[line] * 100)["items"]) == 100
    assert client.post("/orders", order_body("X", items=[line] * 101)).pointers() == ["/items"]


def test_other_names_of_address_fields_are_understood(client):
    address = {**ADDRESS, "zipCode": "62701", "state": "IL", "deliveryInstructions": "ring twice"}
    del address["postalCode"], address["stateOrProvince"]
    o = place(client, shippingAddress=address)
    assert o["shippingAddress"]["postalCode"] == "62701"
    assert o["shippingAddress"]["stateOrProvince"] == "IL"
    assert o["shippingAddress"]["deliveryInstructions"] == "ring twice"


def test_an_unknown_product_without_a_price_is_refused(client):
    client.post("/orders", order_body("NOBODYS-1")).problem(400, "unknown_product")


# ---- prices

def test_the_catalogues_price_wins_and_another_one_is_refused(client):
    sku = add_product(client, price=19.99)
    line = {"sku": sku, "quantity": 1}
    client.post("/orders", order_body(sku, items=[{**line, "unitPrice": 19.98}])).problem(
        409, "price_changed")
    for same in (19.99, 19.990):
        assert place(client, items=[{**line, "unitPrice": same}])["totalAmount"] == 19.99


def test_more_digits_than_the_currency_has_are_a_fault_before_the_price_is_compared(client):
    sku = add_product(client, price=19.99)
    body = order_body(sku, items=[{"sku": sku, "quantity": 1, "unitPrice": 19.995}])
    assert client.post("/orders", body).pointers() == ["/items/0/unitPrice"]


@pytest.mark.parametrize("text, ok", [("5", True), ("5.0", True), ("5.00", True), ("5.000", True),
                                      ("5.001", False), ("5e0", False), ("-5", False),
                                      ('"5"', False), ("1e400", False)])
def test_amounts_are_read_from_their_text(client, text, ok):
    raw = ('{"customerId":"c","items":[{"sku":"NONE-1","quantity":1,"unitPrice":%s}],'
           '"currency":"USD","shippingAddress":{"street":"s","city":"c","postalCode":"1",'
           '"country":"US"}}' % text).encode()
    answer = client.post("/orders", raw=raw)
    if ok:
        assert answer.is_(201).json["totalAmount"] == 5
    else:
        assert answer.pointers() == ["/items/0/unitPrice"]


def test_a_currency_without_minor_unit_has_no_digits_after_the_point(client):
    sku = add_product(client, price=500, currency="JPY")
    answer = client.post("/orders", order_body(sku, 2)).is_(201)
    assert b'"totalAmount":1000,' in answer.body.replace(b" ", b"")
    line = {"sku": "NONE-2", "quantity": 1, "unitPrice": 5.5}
    assert client.post("/orders", order_body("x", items=[line], currency="JPY")).pointers() == [
        "/items/0/unitPrice"]


def test_one_order_has_one_currency(client):
    dollars, yen = add_product(client), add_product(client, price=500, currency="JPY")
    lines = [{"sku": dollars, "quantity": 1}, {"sku": yen, "quantity": 1}]
    client.post("/orders", order_body("x", items=lines)).is_(400)
    client.post("/orders", order_body(dollars, currency="EUR")).is_(400)


def test_a_sum_beyond_a_million_million_is_refused(client):
    line = {"sku": "NONE-3", "quantity": 10000, "unitPrice": 1000000}
    assert place(client, items=[line], currency="USD")["totalAmount"] == 10**10  # 10^12 cents
    client.post("/orders", order_body("x", items=[line, {**line, "quantity": 1}])).problem(
        400, "validation")


def test_an_order_keeps_the_price_it_was_placed_at(client):
    sku = add_product(client, price=10.00)
    o = place(client, sku, 1)
    client.patch(f"/products/{sku}", {"price": 12.00, "name": "Dearer"}).is_(200)
    kept = order(client, o["orderId"])["items"][0]
    assert (kept["unitPrice"], kept["name"]) == (10.00, "Widget")


def test_discounts_are_off_unless_they_are_set(client):
    o = checkout(client, add_product(client, price=50.00), 10)
    assert (o["discounts"], o["totalAmount"]) == ([], 500.00)


def test_discounts_explain_the_total(start):
    settings = {"discounts.pay_first.line_percent": "10", "discounts.pay_first.line_from": "3",
                "discounts.pay_first.order_amount": "10.00",
                "discounts.pay_first.order_above": "100.00"}
    server = start(*FAST, *[f"--set={k}={v}" for k, v in settings.items()])
    with server.client() as client:
        sku = add_product(client, price=33.35)
        o = checkout(client, sku, 3)  # 100.05 - 10.01 (half up) = 90.04: nothing off the order
        assert (o["subtotal"], o["totalAmount"]) == (100.05, 90.04)
        assert o["items"][0]["discount"] == 10.01
        assert round(sum(d["amount"] for d in o["discounts"]), 2) == 10.01
        o = checkout(client, sku, 4)  # 133.40 - 13.34 = 120.06 - 10.00
        assert o["totalAmount"] == 110.06
        assert round(o["subtotal"] - sum(d["amount"] for d in o["discounts"]), 2) == 110.06
        o = checkout(client, sku, 2)
        assert (o["discounts"], o["totalAmount"]) == ([], 66.70)
        assert place(client, sku, 4)["discounts"] == []  # the other flow has none


# ---- reading and listing

def test_an_order_that_is_not_there_is_not_found(client):
    for id in (UNKNOWN_ID, "no-id-of-ours", "a.b:c"):
        client.get(f"/orders/{id}").problem(404, "not_found")
        cancel(client, id).problem(404, "not_found")
        client.post(f"/orders/{id}/pay").problem(404, "not_found")


def test_orders_are_listed_newest_first_and_by_customer(client):
    customer, sku = unique("lister"), add_product(client, stock=1000)
    ids = [place(client, sku, 1, customerId=customer)["orderId"] for _ in range(5)]
    listed = client.all(f"/orders?customerId={customer}&limit=2")
    assert [o["orderId"] for o in listed] == ids[::-1]
    newest = client.get("/orders?limit=1").is_(200).json["data"]
    assert newest[0]["orderId"] == ids[-1]


def test_orders_are_listed_by_status_and_flow(client):
    sku = add_product(client, stock=1)
    rejected = place(client, sku, 2)["orderId"]
    wait_for(client, rejected, "REJECTED")
    shipped = place(client)["orderId"]
    wait_for(client, shipped, "SHIPPED")
    cart = checkout(client)["orderId"]
    wait_for(client, cart, "STOCK_RESERVED")

    def ids(query):
        return [o["orderId"] for o in client.all(f"/orders?{query}")]
    assert rejected in ids("status=REJECTED") and shipped not in ids("status=REJECTED")
    assert cart in ids("flow=pay_first") and shipped not in ids("flow=pay_first")


def test_orders_that_stay_unsettled_are_found(client):
    simulate(client, "inventory", enabled=False)
    try:
        stuck = place(client)["orderId"]
        settled = [o["orderId"] for o in client.all("/orders?status=SHIPPED")]
        found = eventually(lambda: [o["orderId"] for o in client.all("/orders?unsettledFor=0s")]
                           or False)
        assert stuck in found
        assert not set(found) & set(settled)
        assert stuck not in [o["orderId"] for o in client.all("/orders?unsettledFor=15m")]
    finally:
        simulate(client, "inventory", enabled=True)


def test_orders_whose_money_is_due_are_found_with_other_filters_and_page_by_page(client):
    placed = [place(client) for _ in range(3)]
    for o in placed:
        wait_for(client, o["orderId"], "SHIPPED")
        publish(client, "payment.approved", o["orderId"], paymentId=unique("second"),
                approvedAmount=1.00, currency="USD").is_(202)
        wait_order(client, o["orderId"], refund__status="due")

    def ids(query):
        return [o["orderId"] for o in client.all(f"/orders?{query}")
                if o["orderId"] in [p["orderId"] for p in placed]]
    newest_first = [o["orderId"] for o in reversed(placed)]
    assert ids("refund=due") == ids("refund=due&limit=1") == newest_first
    assert ids("refund=due&status=SHIPPED&flow=stock_first&unsettledFor=0s") == newest_first
    assert ids(f"refund=due&customerId={placed[1]['customerId']}") == [placed[1]["orderId"]]
    assert ids("refund=due&flow=pay_first") == ids("refund=due&unsettledFor=1d") == []


@pytest.mark.parametrize("query", ["status=LOST", "flow=cash_first", "refund=maybe",
                                   "refund=", "unsettledFor=", "unsettledFor=-1s",
                                   "unsettledFor=soon", "limit=0", "limit=501", "limit=x",
                                   "after=nonsense!", "colour=red"])
def test_a_list_says_what_it_cannot_be_asked(client, query):
    assert client.get(f"/orders?{query}").parameters() == [query.split("=")[0]]


def test_a_list_has_at_most_five_hundred_rows(client):
    client.get("/orders?limit=500").is_(200)


# ---- the steps of the store

def test_pay_asks_once_and_charges_even_when_payments_waits(waiting):
    o = checkout(waiting)
    answer = waiting.post(f"/orders/{o['orderId']}/pay").is_(202)
    waiting.post(f"/orders/{o['orderId']}/pay").is_(202)
    wait_for(waiting, o["orderId"], "STOCK_RESERVED")
    waiting.post(f"/orders/{o['orderId']}/pay").is_(202)  # its effect holds already
    types = types_of(waiting, o["orderId"])
    assert types.count("OrderPaymentRequested") == 1
    assert types.count("PaymentPending") == 1
    assert types.count("PaymentApproved") == 1
    assert answer.body == b"" or isinstance(answer.json, dict)


def test_a_direct_order_can_be_paid_when_it_is_confirmed(waiting):
    o = place(waiting)
    wait_status(waiting, o["orderId"], "CONFIRMED")
    waiting.post(f"/orders/{o['orderId']}/pay").is_(202)
    wait_for(waiting, o["orderId"], "SHIPPED")


def test_mark_paid_repeats_safely_and_only_with_its_own_payment(waiting):
    o = checkout(waiting)
    path = f"/orders/{o['orderId']}/mark-paid"
    assert waiting.post(path, {}).pointers() == ["/paymentId"]
    waiting.post(path, {"paymentId": "with blank"}).problem(400, "validation")
    assert waiting.post(path, {"paymentId": "till-1"}).is_(200).json["paymentId"] == "till-1"
    waiting.post(path, {"paymentId": "till-1"}).is_(200)
    waiting.post(path, {"paymentId": "till-2"}).problem(409, "illegal_state")
    assert types_of(waiting, o["orderId"]).count("OrderPaid") == 1


def test_commands_in_the_wrong_state_say_what_is_legal(client):
    o = place(client)
    wait_status(client, o["orderId"], "SHIPPED")
    for step in ("ready", "complete"):
        problem = client.post(f"/orders/{o['orderId']}/{step}").problem(409, "illegal_state")
        assert isinstance(problem["legal"], list)
    o = checkout(client)
    wait_status(client, o["orderId"], "STOCK_RESERVED")
    problem = client.post(f"/orders/{o['orderId']}/complete").problem(409, "illegal_state")
    assert set(problem["legal"]) == {"ready", "cancel"}


def test_ready_and_complete_repeat_safely(client):
    o = checkout(client)
    wait_status(client, o["orderId"], "STOCK_RESERVED")
    for _ in range(2):
        assert client.post(f"/orders/{o['orderId']}/ready").is_(200).json["status"] == "READY"
    first = client.post(f"/orders/{o['orderId']}/complete").is_(200).json
    assert first["status"] == "COMPLETED" and first["invoiceId"]
    again = client.post(f"/orders/{o['orderId']}/complete").is_(200).json
    assert again["invoiceId"] == first["invoiceId"]
    assert types_of(client, o["orderId"]).count("OrderCompleted") == 1


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": 1},
                                  {"reason": "r", "colour": "red"}])
def test_cancel_needs_a_reason(client, body):
    o = place(client)
    client.post(f"/orders/{o['orderId']}/cancel", body).problem(400, "validation")


def test_the_user_is_kept_with_the_event(client):
    cart = fill_cart(client, (add_product(client), 1))
    o = client.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS},
                    headers={"X-User-Id": "alice"}).is_(201).json
    placed = client.all(f"/events?orderId={o['orderId']}&eventType=OrderPlaced")[0]
    assert placed["metadata"]["userId"] == "alice"
    client.post("/carts", {"customerId": "c"}, headers={"X-User-Id": "x" * 65}).is_(400)


def test_an_order_that_can_go_no_further_is_final(client):
    o = place(client, add_product(client, stock=0))
    assert wait_for(client, o["orderId"], "REJECTED")["status"] in FINAL
