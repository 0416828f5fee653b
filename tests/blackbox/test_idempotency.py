"""Idempotency-Key: the same request again gets the same answer, byte for byte."""
import json

import pytest

from client import Raw
from shop import (ADDRESS, UNKNOWN_ID, add_product, cancel, fill_cart, order_body, place, types_of,
                  unique, wait_for)

STORED = ("Content-Type", "Location", "ETag")


def keyed(client, path, body, key, **kwargs):
    return client.post(path, body, headers={"Idempotency-Key": key, **kwargs.pop("headers", {})},
                       **kwargs)


def assert_replayed(first, again):
    assert first.headers["Idempotent-Replayed"] is None
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, again.body) == (first.status, first.body)
    for name in STORED:
        assert again.headers[name] == first.headers[name], name


def test_a_repeated_order_is_placed_once(client):
    key, body = unique("key"), order_body(add_product(client))
    first = keyed(client, "/orders", body, key).is_(201)
    wait_for(client, first.json["orderId"], "SHIPPED")
    again = keyed(client, "/orders", body, key)
    assert_replayed(first, again)
    assert again.json["status"] == "PENDING"  # as it was answered then
    assert len(client.all(f"/orders?customerId={body['customerId']}")) == 1


@pytest.mark.parametrize("make", [
    lambda c: ("/carts", {"customerId": unique("c")}),
    lambda c: ("/products", {"sku": unique("S"), "name": "N"}),
    lambda c: (f"/carts/{fill_cart(c)}/items", {"productId": "X-1", "quantity": 2}),
    lambda c: (f"/carts/{fill_cart(c, ('X-1', 1))}/convert", None),
    lambda c: ("/orders/checkout", {"cartId": fill_cart(c, (add_product(c), 1)),
                                    "shippingAddress": ADDRESS}),
    lambda c: (f"/orders/{place(c)['orderId']}/pay", None),
    lambda c: (f"/orders/{UNKNOWN_ID}/cancel", {"reason": "gone"}),  # 404
    lambda c: ("/products", {"sku": add_product(c), "name": "N"}),   # 409
])
def test_every_post_can_be_repeated(client, make):
    path, body = make(client)
    key = unique("key")
    first = keyed(client, path, body, key)
    assert first.status < 300 or first.status in (404, 409), first.body
    assert_replayed(first, keyed(client, path, body, key))


def test_a_repeated_addition_adds_once(client):
    cart, key = fill_cart(client), unique("key")
    for _ in range(3):
        keyed(client, f"/carts/{cart}/items", {"productId": "X-1", "quantity": 2}, key).is_(200)
    assert client.get(f"/carts/{cart}").json["items"][0]["quantity"] == 2


def test_the_same_key_with_another_request_is_refused(client):
    key, body = unique("key"), order_body(add_product(client))
    keyed(client, "/orders", body, key).is_(201)
    keyed(client, "/orders", {**body, "customerId": "somebody-else"}, key).problem(
        422, "idempotency_mismatch")
    keyed(client, "/carts", {"customerId": "c"}, key).problem(422, "idempotency_mismatch")
    # The body counts as it was sent, not what it means.
    client.post("/orders", raw=json.dumps(body, indent=1).encode(),
                headers={"Idempotency-Key": key}).problem(422, "idempotency_mismatch")


def test_the_ids_in_the_path_are_part_of_the_request(client):
    one, two, key = fill_cart(client), fill_cart(client), unique("key")
    item = {"productId": "X-1", "quantity": 1}
    keyed(client, f"/carts/{one}/items", item, key).is_(200)
    keyed(client, f"/carts/{two}/items", item, key).problem(422, "idempotency_mismatch")


def test_the_prefix_is_no_part_of_the_request(client):
    key, body = unique("key"), {"customerId": unique("c")}
    first = keyed(client, "/carts", body, key).is_(201)
    again = keyed(client, "/api/carts", body, key).is_(201)
    assert again.json == first.json


def test_a_quoted_key_is_the_same_key(client):
    key, body = unique("key"), {"customerId": unique("c")}
    first = keyed(client, "/carts", body, key).is_(201)
    assert_replayed(first, keyed(client, "/carts", body, f'"{key}"'))


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é", '""', '"a b"'])
def test_a_key_is_1_to_255_visible_characters(client, key):
    keyed(client, "/carts", {"customerId": "c"}, key.encode().decode("latin-1")).is_(400)


def test_the_longest_key_is_taken(client):
    keyed(client, "/carts", {"customerId": "c"}, unique("k").ljust(255, "x")).is_(201)


def test_a_refused_request_is_not_kept(client):
    key, customer = unique("key"), unique("c")
    keyed(client, "/carts", {"customerId": ""}, key).problem(400, "validation")
    keyed(client, "/carts", {"customerId": customer}, key).is_(201)


def test_a_request_whose_precondition_failed_is_not_kept(client):
    o, key = place(client), unique("key")
    path, body = f"/orders/{o['orderId']}/cancel", {"reason": "r"}
    wait_for(client, o["orderId"], "SHIPPED")
    keyed(client, path, body, key, headers={"If-Match": '"999"'}).is_(412)
    keyed(client, path, body, key).problem(409, "illegal_state")


def test_a_conflict_stays_a_conflict(client):
    o, key = place(client), unique("key")
    wait_for(client, o["orderId"], "SHIPPED")
    first = keyed(client, f"/orders/{o['orderId']}/cancel", {"reason": "r"}, key).is_(409)
    assert_replayed(first, keyed(client, f"/orders/{o['orderId']}/cancel", {"reason": "r"}, key))


def test_two_at_once_place_one_order(server, client):
    body = json.dumps(order_body(add_product(client), customerId=(customer := unique("twin"))))
    request = (f"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Idempotency-Key: {unique('key')}\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    with Raw(server) as raw:
        raw.send(request * 2)
        first, second = raw.answer().is_(201), raw.answer()
    if second.status == 409:
        second.problem(409, "idempotency_in_flight")
        assert int(second.headers["Retry-After"]) >= 1
    else:
        assert_replayed(first, second)
    assert len(client.all(f"/orders?customerId={customer}")) == 1


def test_keys_beyond_the_limit_are_refused_and_never_forgotten_early(start):
    with start("--set=idempotency_keys_max=3").client() as client:
        keys = [unique("key") for _ in range(3)]
        bodies = [{"customerId": unique("c")} for _ in keys]
        first = [keyed(client, "/carts", b, k).is_(201) for b, k in zip(bodies, keys)]
        refused = keyed(client, "/carts", {"customerId": "c"}, unique("key"))
        refused.problem(503, "overloaded")
        assert refused.headers["Retry-After"]
        client.post("/carts", {"customerId": "c"}).is_(201)  # without a key as ever
        for a, b, k in zip(first, bodies, keys):
            assert_replayed(a, keyed(client, "/carts", b, k))


def test_cancel_is_done_once_however_often_it_is_sent(client):
    o = place(client, add_product(client, stock=0))
    wait_for(client, o["orderId"], "REJECTED")
    key = unique("key")
    for _ in range(3):
        keyed(client, f"/orders/{o['orderId']}/cancel", {"reason": "r"}, key).is_(409)
    cancel(client, o["orderId"]).is_(409)
    assert "OrderCancelled" not in types_of(client, o["orderId"])
