"""Carts: create, fill, freeze, check out."""
import pytest

from shop import ADDRESS, UNKNOWN_ID, add_product, checkout, fill_cart, order, types_of, unique


@pytest.fixture
def cart(client):
    return client.post("/carts", {"customerId": "customer-123"}).is_(201).json["cartId"]


def add(client, cart, sku, quantity):
    return client.post(f"/carts/{cart}/items", {"productId": sku, "quantity": quantity})


def test_a_new_cart_is_empty(client):
    answer = client.post("/carts", {"customerId": "customer-123"}).is_(201)
    cart = answer.json
    assert cart == {"cartId": cart["cartId"], "customerId": "customer-123", "items": [],
                    "itemCount": 0, "isConverted": False, "orderId": None}
    assert answer.headers["Location"] == f"/carts/{cart['cartId']}"
    assert client.get(f"/carts/{cart['cartId']}").is_(200).json == cart


@pytest.mark.parametrize("body, pointers", [
    ({}, ["/customerId"]),
    ({"customerId": ""}, ["/customerId"]),
    ({"customerId": "x" * 65}, ["/customerId"]),
    ({"customerId": "white space"}, ["/customerId"]),
    ({"customerId": 7}, ["/customerId"]),
    ({"customerId": "c", "colour": "red"}, ["/colour"]),
    ({"colour": "red"}, ["/colour", "/customerId"]),
])
def test_a_cart_needs_a_customer_and_nothing_else(client, body, pointers):
    assert client.post("/carts", body).pointers() == pointers


def test_a_cart_that_is_not_there_is_not_found(client):
    for id in (UNKNOWN_ID, "no-id-of-ours"):
        client.get(f"/carts/{id}").problem(404, "not_found")
        add(client, id, "X-1", 1).problem(404, "not_found")
        client.post(f"/carts/{id}/convert").problem(404, "not_found")
        client.delete(f"/carts/{id}/items/X-1").problem(404, "not_found")
        client.put(f"/carts/{id}/items/X-1", {"quantity": 1}).problem(404, "not_found")


def test_adding_again_adds_up_and_counts_the_product_once(client, cart):
    sku = add_product(client)
    add(client, cart, sku, 2).is_(200)
    other = add_product(client)
    add(client, cart, other, 1).is_(200)
    answer = add(client, cart, sku.lower(), 3).is_(200).json
    assert answer["items"] == [{"productId": sku, "quantity": 5}, {"productId": other, "quantity": 1}]
    assert answer["itemCount"] == 2


@pytest.mark.parametrize("body", [
    {"quantity": 1}, {"productId": "X-1"}, {"productId": "X-1", "quantity": 0},
    {"productId": "X-1", "quantity": 11}, {"productId": "X-1", "quantity": 1.5},
    {"productId": "X-1", "quantity": "1"}, {"productId": "", "quantity": 1},
    {"productId": "a b", "quantity": 1}, {"productId": "X" * 51, "quantity": 1},
    {"productId": "X-1", "quantity": 1, "note": "fast"},
])
def test_an_item_has_a_product_and_one_to_ten_pieces(client, cart, body):
    client.post(f"/carts/{cart}/items", body).problem(400, "validation")
    assert client.get(f"/carts/{cart}").json["items"] == []


def test_a_product_in_a_cart_has_at_most_ten_pieces(client, cart):
    sku = add_product(client)
    add(client, cart, sku, 10).is_(200)
    add(client, cart, sku, 1).problem(400, "validation")
    assert client.get(f"/carts/{cart}").json["items"][0]["quantity"] == 10


def test_a_cart_has_at_most_twenty_products(client, cart):
    for n in range(20):
        add(client, cart, f"TWENTY-{n}", 1).is_(200)
    add(client, cart, "TWENTY-20", 1).problem(400, "validation")
    add(client, cart, "TWENTY-19", 1).is_(200)


def test_an_item_can_be_replaced_and_removed(client, cart):
    add(client, cart, "X-1", 3).is_(200)
    put = client.put(f"/carts/{cart}/items/X-1", {"quantity": 7}).is_(200).json
    assert put["items"] == [{"productId": "X-1", "quantity": 7}]
    client.put(f"/carts/{cart}/items/X-1", {"quantity": 11}).problem(400, "validation")
    client.put(f"/carts/{cart}/items/X-2", {"quantity": 1}).problem(404, "not_found")
    assert client.delete(f"/carts/{cart}/items/X-1").is_(200).json["items"] == []
    client.delete(f"/carts/{cart}/items/X-1").problem(404, "not_found")


def test_an_empty_cart_cannot_be_converted(client, cart):
    client.post(f"/carts/{cart}/convert").problem(400, "empty_cart")
    client.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).problem(
        400, "empty_cart")


def test_a_converted_cart_can_be_converted_again_but_not_changed(client, cart):
    sku = add_product(client)
    add(client, cart, sku, 1).is_(200)
    frozen = client.post(f"/carts/{cart}/convert").is_(200).json
    assert frozen["isConverted"] is True
    assert client.post(f"/carts/{cart}/convert").is_(200).json == frozen
    add(client, cart, sku, 1).problem(409, "cart_converted")
    client.put(f"/carts/{cart}/items/{sku}", {"quantity": 2}).problem(409, "cart_converted")
    client.delete(f"/carts/{cart}/items/{sku}").problem(409, "cart_converted")
    client.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).is_(201)


def test_checking_out_twice_answers_with_the_first_order(client):
    cart = fill_cart(client, (add_product(client), 2))
    body = {"cartId": cart, "shippingAddress": ADDRESS}
    first = client.post("/orders/checkout", body).is_(201)
    id = first.json["orderId"]
    assert first.headers["Location"] == f"/orders/{id}"
    assert first.json["cartId"] == cart
    client.post(f"/orders/{id}/cancel", {"reason": "whatever became of it"})
    again = client.post("/orders/checkout", body).is_(200)
    assert again.json["orderId"] == id
    assert again.json == order(client, id) or again.json["status"] == order(client, id)["status"]
    assert client.get(f"/carts/{cart}").json["orderId"] == id
    assert types_of(client, id).count("OrderPlaced") == 1


def test_checkout_of_a_cart_that_is_not_there_is_not_found(client):
    for id in (UNKNOWN_ID, "no-id-of-ours"):
        client.post("/orders/checkout", {"cartId": id, "shippingAddress": ADDRESS}).problem(
            404, "not_found")


def test_checkout_needs_cart_and_address(client):
    assert client.post("/orders/checkout", {}).pointers() == ["/cartId", "/shippingAddress"]


def test_an_unknown_product_cannot_be_checked_out(client):
    cart = fill_cart(client, (unique("NOBODYS").upper(), 1))
    client.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).problem(
        400, "unknown_product")
    assert client.get(f"/carts/{cart}").json["orderId"] is None


def test_cart_events_have_the_cart_as_their_correlation(client):
    sku = add_product(client)
    o = checkout(client, sku)
    events = client.all(f"/events?aggregateId={o['cartId']}")
    assert [e["eventType"] for e in events] == ["CartCreated", "CartItemAdded", "CartConverted"]
    assert {e["metadata"]["correlationId"] for e in events} == {o["cartId"]}
    assert [e["sequence"] for e in events] == [1, 2, 3]
    assert {e["aggregateType"] for e in events} == {"Cart"}
