"""Many clients at once: one wins, the others are told, and nothing is lost or done twice."""
import signal
import threading

import pytest

from client import Client, Raw, eventually
from conftest import FAST
from shop import (ADDRESS, add_product, cancel, checkout, events_of, fill_cart, order, order_body,
                  place, stock_of, types_of, unique, wait_for, wait_order, wait_status)


def at_once(server, calls):
    """Runs call(client) for each, all let go at the same moment; gives the answers."""
    answers = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(n):
        with Client(server.host, server.port) as client:
            client.get("/livez")  # connected
            gate.wait()
            answers[n] = calls[n](client)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=30)
    assert all(answers), "an answer is missing"
    return answers


def statuses(answers):
    return sorted(a.status for a in answers)


@pytest.fixture
def held(start):
    server = start(*FAST, "--set=simulators.payments.mode=wait")
    with server.client() as c:
        server.held = c
        yield server


def test_an_order_is_cancelled_once(held):
    o = checkout(held.held)["orderId"]
    answers = at_once(held, [lambda c, n=n: cancel(c, o, f"reason {n}") for n in range(20)])
    assert statuses(answers) == [200] * 20
    assert types_of(held.held, o).count("OrderCancelled") == 1
    assert len({a.json["cancellationReason"] for a in answers}) == 1


def test_an_order_is_paid_by_one_of_many_payments(held):
    o = checkout(held.held)["orderId"]
    answers = at_once(held, [lambda c, n=n: c.post(f"/orders/{o}/mark-paid", {
        "paymentId": f"{o}-{n}"}) for n in range(10)])
    assert statuses(answers) == [200] + [409] * 9
    paid = wait_for(held.held, o, "STOCK_RESERVED")["paymentId"]
    assert types_of(held.held, o).count("OrderPaid") == 1
    assert paid in [a.json["paymentId"] for a in answers if a.status == 200]


def test_a_payment_belongs_to_one_of_many_orders(held):
    orders = [checkout(held.held)["orderId"] for _ in range(8)]
    payment = unique("shared")
    answers = at_once(held, [lambda c, o=o: c.post(f"/orders/{o}/mark-paid", {
        "paymentId": payment}) for o in orders])
    assert statuses(answers) == [200] + [409] * 7
    assert {a.json["code"] for a in answers if a.status == 409} == {"payment_taken"}


def test_pay_and_cancel_leave_no_money_behind(held):
    for _ in range(10):
        o = checkout(held.held)["orderId"]
        at_once(held, [lambda c: c.post(f"/orders/{o}/pay"), lambda c: cancel(c, o)])
        wait_status(held.held, o, "CANCELLED")

        def settled():
            types = types_of(held.held, o)
            approved = types.count("PaymentApproved")
            assert approved == types.count("OrderRefunded") == types.count("PaymentRefunded")
            assert types.count("StockReserved") == types.count("OrderStockReleased")
            assert order(held.held, o)["refund"]["status"] in ("none", "done")
        eventually(settled)


def test_one_change_of_a_seen_state_wins(server, client):
    sku = add_product(client, stock=10)
    etag = client.get(f"/products/{sku}").etag
    answers = at_once(server, [lambda c, n=n: c.patch(f"/products/{sku}", {"stockQuantity": 20 + n},
                                                      headers={"If-Match": etag})
                               for n in range(10)])
    assert statuses(answers) == [200] + [412] * 9


def test_deltas_add_up(server, client):
    sku = add_product(client, stock=0)
    answers = at_once(server, [lambda c: [c.patch(f"/products/{sku}", {"stockDelta": 3}).is_(200)
                                          for _ in range(10)][-1] for _ in range(10)])
    assert statuses(answers) == [200] * 10
    assert stock_of(client, sku) == (300, 0, 300)


def test_the_last_pieces_go_to_as_many_orders(server, client):
    sku = add_product(client, stock=7)
    answers = at_once(server, [lambda c: c.post("/orders", order_body(sku, 1)) for _ in range(20)])
    states = [wait_for(client, a.is_(201).json["orderId"], "SHIPPED", "REJECTED")["status"]
              for a in answers]
    assert states.count("SHIPPED") == 7
    assert stock_of(client, sku) == (7, 7, 0)


def test_a_cart_becomes_one_order(server, client):
    cart = fill_cart(client, (add_product(client), 1))
    body = {"cartId": cart, "shippingAddress": ADDRESS}
    answers = at_once(server, [lambda c: c.post("/orders/checkout", body) for _ in range(10)])
    assert statuses(answers) == [200] * 9 + [201]
    assert len({a.json["orderId"] for a in answers}) == 1


def test_a_sku_is_added_by_one(server):
    body = {"sku": unique("RACE"), "name": "n"}
    answers = at_once(server, [lambda c: c.post("/products", body) for _ in range(10)])
    assert statuses(answers) == [201] + [409] * 9


def test_a_key_is_used_by_one(server, client):
    key, body = unique("key"), order_body(add_product(client))
    answers = at_once(server, [lambda c: c.post("/orders", body, headers={"Idempotency-Key": key})
                               for _ in range(10)])
    assert set(statuses(answers)) <= {201, 409}
    assert len({a.json["orderId"] for a in answers if a.status == 201}) == 1
    assert {a.json["code"] for a in answers if a.status == 409} <= {"idempotency_in_flight"}
    assert len(client.all(f"/orders?customerId={body['customerId']}")) == 1


def test_a_message_from_outside_counts_once(server, client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    body = {"messageId": unique("m"), "payload": {
        "orderId": o["orderId"], "paymentId": unique("p"), "amount": o["totalAmount"],
        "currency": "USD"}}
    answers = at_once(server, [lambda c: c.post("/messages/payment.processed", body)
                               for _ in range(10)])
    assert set(statuses(answers)) <= {202, 409}
    assert len({a.body for a in answers if a.status == 202}) == 1
    wait_order(client, o["orderId"], refund__status="due")
    types = types_of(client, o["orderId"])
    assert (types.count("PaymentProcessed"), types.count("OrderRefundRequested")) == (2, 1)


def test_commands_beyond_those_that_may_wait_are_refused_and_nothing_is_lost(server, client):
    """Eight connections with sixteen commands each for one cart."""
    cart = fill_cart(client)
    body = '{"productId":"X-1","quantity":1}'
    request = (f"PUT /carts/{cart}/items/X-1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
               "application/json\r\nContent-Length: 14\r\n\r\n" '{"quantity":2}')
    client.post(f"/carts/{cart}/items", raw=body.encode()).is_(200)
    raws = [Raw(server) for _ in range(8)]
    try:
        for raw in raws:
            raw.send(request * 16)
        got = [raw.answer() for raw in raws for _ in range(16)]
    finally:
        for raw in raws:
            raw.socket.close()
    for answer in got:
        if answer.status != 200:
            answer.problem(503, "overloaded")
            assert answer.headers["Retry-After"]
    assert client.get(f"/carts/{cart}").json["items"] == [{"productId": "X-1", "quantity": 2}]


def test_it_ends_under_load_as_asked(start):
    """Every client gets an answer or a closed connection, and what was answered had happened."""
    server = start(*FAST)
    with server.client() as client:
        sku = add_product(client, stock=10**6)
    outcomes, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                with server.client(timeout=10) as c:
                    while not stop.is_set():
                        outcomes.append(c.post("/orders", order_body(sku, 1)).status)
            except (ConnectionError, EOFError):
                return
            except OSError as problem:
                outcomes.append(problem)
                return
    threads = [threading.Thread(target=load) for _ in range(8)]
    for t in threads:
        t.start()
    eventually(lambda: outcomes.count(201) > 100)
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    stop.set()
    for t in threads:
        t.join(timeout=20)
        assert not t.is_alive()
    assert set(outcomes) <= {201, 503}
    assert "drain_over" not in server.log()


def test_orders_do_not_mix(server, client):
    sku = add_product(client, stock=10**6)
    answers = at_once(server, [lambda c: [c.post("/orders", order_body(sku, 1)).is_(201)
                                          for _ in range(10)][-1] for _ in range(10)])
    for answer in answers:
        o = answer.json["orderId"]
        wait_for(client, o, "SHIPPED")
        assert {e["payload"]["orderId"] for e in events_of(client, o)} == {o}
