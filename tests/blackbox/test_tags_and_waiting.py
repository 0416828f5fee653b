"""ETag, If-None-Match and If-Match, and answers that wait for something to happen."""
import threading
import time

import pytest

from conftest import FAST
from shop import (UNKNOWN_ID, add_product, cancel, checkout, fill_cart, order, place, simulate,
                  wait_for, wait_status)


@pytest.fixture
def held(start):
    """Payments waits, so that an order stays where it is."""
    with start(*FAST, "--set=simulators.payments.mode=wait").client() as c:
        yield c


def seconds_of(call):
    began = time.monotonic()
    result = call()
    return time.monotonic() - began, result


# ---- tags

def test_the_tag_is_the_place_of_the_orders_last_event(client):
    o = place(client)
    wait_status(client, o["orderId"], "SHIPPED")
    answer = client.get(f"/orders/{o['orderId']}")
    assert answer.etag == f'"{answer.json["sequence"]}"' == '"4"'
    same = client.get(f"/orders/{o['orderId']}", headers={"If-None-Match": answer.etag}).is_(304)
    assert (same.body, same.etag) == (b"", answer.etag)
    for other in ('"3"', 'W/"3"', '"x"', '"3", "7"'):
        client.get(f"/orders/{o['orderId']}", headers={"If-None-Match": other}).is_(200)
    for hit in (f'"1", {answer.etag}', "*", f"W/{answer.etag}"):
        client.get(f"/orders/{o['orderId']}", headers={"If-None-Match": hit}).is_(304)


def test_a_command_can_name_the_state_that_it_is_meant_for(held):
    o = checkout(held)
    wait_status(held, o["orderId"], "AWAITING_PAYMENT")
    path, body = f"/orders/{o['orderId']}/cancel", {"reason": "r"}
    held.post(path, body, headers={"If-Match": '"99"'}).problem(412, "precondition_failed")
    assert order(held, o["orderId"])["status"] == "AWAITING_PAYMENT"
    etag = held.get(f"/orders/{o['orderId']}").etag
    held.post(path, body, headers={"If-Match": f'"99", {etag}'}).is_(200)
    assert held.get(f"/orders/{o['orderId']}").etag != etag


def test_any_state_will_do_for_a_star_but_there_must_be_one(held):
    o = checkout(held)
    held.post(f"/orders/{o['orderId']}/cancel", {"reason": "r"}, headers={"If-Match": "*"}).is_(200)
    answer = held.post(f"/orders/{UNKNOWN_ID}/cancel", {"reason": "r"}, headers={"If-Match": "*"})
    assert answer.status in (404, 412)


def test_a_weak_tag_matches_no_command(held):
    o = checkout(held)
    held.post(f"/orders/{o['orderId']}/cancel", {"reason": "r"},
              headers={"If-Match": 'W/"1"'}).is_(412)


def test_carts_have_tags_too(client):
    cart = fill_cart(client)
    etag = client.get(f"/carts/{cart}").etag
    client.get(f"/carts/{cart}", headers={"If-None-Match": etag}).is_(304)
    item = {"productId": "X-1", "quantity": 1}
    client.post(f"/carts/{cart}/items", item, headers={"If-Match": '"77"'}).is_(412)
    client.post(f"/carts/{cart}/items", item, headers={"If-Match": etag}).is_(200)
    client.get(f"/carts/{cart}", headers={"If-None-Match": etag}).is_(200)


# ---- waiting

def test_until_answers_as_soon_as_the_state_is_reached(start):
    with start().client() as client:
        o = place(client)
        took, answer = seconds_of(lambda: client.get(
            f"/orders/{o['orderId']}?until=SHIPPED&wait=10s"))
        assert answer.is_(200).json["status"] == "SHIPPED"
        assert took < 5


def test_until_answers_at_once_when_the_order_has_been_there(client):
    o = place(client)
    wait_status(client, o["orderId"], "SHIPPED")
    for state in ("PENDING", "CONFIRMED", "PAID", "SHIPPED", "DELIVERED,PAID"):
        took, answer = seconds_of(lambda: client.get(
            f"/orders/{o['orderId']}?until={state}&wait=20s"))
        assert answer.is_(200).json["status"] == "SHIPPED"
        assert took < 5


def test_until_answers_when_the_order_is_final(client):
    o = place(client, add_product(client, stock=0))
    took, answer = seconds_of(lambda: client.get(
        f"/orders/{o['orderId']}?until=SHIPPED&wait=20s"))
    assert answer.is_(200).json["status"] == "REJECTED"
    assert took < 5


def test_the_order_as_it_is_when_the_wait_is_over(held):
    o = checkout(held)
    took, answer = seconds_of(lambda: held.get(
        f"/orders/{o['orderId']}?until=STOCK_RESERVED&wait=300ms"))
    assert answer.is_(200).json["status"] == "AWAITING_PAYMENT"
    assert 0.29 <= took < 5
    etag = held.get(f"/orders/{o['orderId']}").etag
    took, answer = seconds_of(lambda: held.get(
        f"/orders/{o['orderId']}?until=STOCK_RESERVED&wait=200ms", headers={"If-None-Match": etag}))
    answer.is_(304)
    assert took >= 0.19


def test_wait_alone_answers_when_anything_changes(held):
    o = checkout(held)
    etag = held.get(f"/orders/{o['orderId']}").etag
    answers = []

    def wait():
        with held.__class__(held.host, held.port) as other:
            answers.append(other.get(f"/orders/{o['orderId']}?wait=20s",
                                     headers={"If-None-Match": etag}))
    waiter = threading.Thread(target=wait)
    waiter.start()
    cancel(held, o["orderId"]).is_(200)
    waiter.join(timeout=15)
    assert not waiter.is_alive()
    assert answers[0].is_(200).json["status"] == "CANCELLED"


def test_no_wait_is_no_wait(held):
    o = checkout(held)
    for query in ("until=STOCK_RESERVED&wait=0", "wait=0s", ""):
        took, answer = seconds_of(lambda: held.get(f"/orders/{o['orderId']}?{query}"))
        answer.is_(200)
        assert took < 10


@pytest.mark.parametrize("query", ["until=LOST", "until=", "until=PAID,LOST", "wait=61s",
                                   "wait=-1s", "wait=soon", "wait=1h"])
def test_what_cannot_be_waited_for_is_a_fault(client, query):
    o = place(client)
    client.get(f"/orders/{o['orderId']}?{query}").problem(400, "validation")


def test_waiting_for_an_order_that_is_not_there_is_not_found(client):
    took, answer = seconds_of(lambda: client.get(f"/orders/{UNKNOWN_ID}?until=PAID&wait=20s"))
    answer.problem(404, "not_found")
    assert took < 5


def test_many_wait_for_one_order(held):
    o = checkout(held)
    answers = []

    def wait():
        with held.__class__(held.host, held.port) as other:
            answers.append(other.get(f"/orders/{o['orderId']}?until=STOCK_RESERVED&wait=20s"))
    waiters = [threading.Thread(target=wait) for _ in range(20)]
    for w in waiters:
        w.start()
    held.post(f"/orders/{o['orderId']}/pay").is_(202)
    for w in waiters:
        w.join(timeout=15)
    assert [a.json["status"] for a in answers] == ["STOCK_RESERVED"] * 20


def test_a_waiter_that_goes_away_disturbs_nobody(held):
    o = checkout(held)
    for _ in range(5):
        with held.__class__(held.host, held.port, timeout=0.2) as other:
            with pytest.raises(OSError):
                other.get(f"/orders/{o['orderId']}?until=STOCK_RESERVED&wait=20s")
    held.post(f"/orders/{o['orderId']}/pay").is_(202)
    assert wait_for(held, o["orderId"], "STOCK_RESERVED")


def test_a_context_that_is_off_keeps_the_order_where_it_is(client):
    simulate(client, "inventory", enabled=False)
    try:
        o = place(client)
        took, answer = seconds_of(lambda: client.get(
            f"/orders/{o['orderId']}?until=CONFIRMED&wait=200ms"))
        assert answer.json["status"] == "PENDING" and took >= 0.19
    finally:
        simulate(client, "inventory", enabled=True)
