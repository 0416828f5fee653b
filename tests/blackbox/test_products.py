"""The catalogue and its stock."""
import pytest

from client import eventually
from shop import add_product, place, stock_of, unique, wait_for


def new(**more):
    return {"sku": unique("sku"), "name": "Widget", **more}


def test_a_product_gets_an_upper_case_sku_and_free_stock(client):
    body = new(description="Round", price=19.99, currency="USD", stockQuantity=100)
    answer = client.post("/products", {**body, "sku": f"  {body['sku']}  "}).is_(201)
    sku = body["sku"].upper()
    assert answer.headers["Location"] == f"/products/{sku}"
    assert answer.etag.strip('"').isdigit()
    assert answer.json == {"sku": sku, "name": "Widget", "description": "Round", "price": 19.99,
                           "currency": "USD", "onHand": 100, "reserved": 0, "available": 100,
                           "sequence": 1}
    read = client.get(f"/products/{sku}").is_(200)
    assert read.json == answer.json
    assert read.etag == answer.etag
    assert client.get(f"/products/{sku.lower()}").is_(200).json["sku"] == sku


def test_a_sku_can_be_added_once(client):
    body = new()
    client.post("/products", body).is_(201)
    client.post("/products", {**body, "sku": body["sku"].upper()}).problem(409, "duplicate_sku")


@pytest.mark.parametrize("change, pointer", [
    ({"sku": ""}, "/sku"), ({"sku": "x" * 51}, "/sku"), ({"sku": "a/b"}, "/sku"),
    ({"sku": None}, "/sku"), ({"name": ""}, "/name"), ({"name": "x" * 201}, "/name"),
    ({"description": "x" * 1001}, "/description"), ({"price": -1}, "/price"),
    ({"price": "1"}, "/price"), ({"price": 1.999, "currency": "USD"}, "/price"),
    ({"price": 1, "currency": "usd"}, "/currency"), ({"price": 1, "currency": "XYZ"}, "/currency"),
    ({"stockQuantity": -1}, "/stockQuantity"), ({"stockQuantity": 1.5}, "/stockQuantity"),
    ({"stockQuantity": 10**12 + 1}, "/stockQuantity"), ({"weight": 3}, "/weight"),
])
def test_what_is_wrong_with_a_product_is_pointed_at(client, change, pointer):
    assert client.post("/products", new(**change)).pointers() == [pointer]


def test_all_faults_are_told_at_once(client):
    body = {"sku": "a b", "name": "", "price": -1, "colour": "red"}
    assert client.post("/products", body).pointers() == ["/colour", "/name", "/price", "/sku"]


def test_texts_are_counted_in_characters_and_not_in_bytes(client):
    client.post("/products", new(name="é" * 200)).is_(201)
    assert client.post("/products", new(name="é" * 201)).pointers() == ["/name"]


def test_an_unknown_product_is_not_found(client):
    client.get("/products/NOBODY-1").problem(404, "not_found")
    client.get("/products/%20").problem(404, "not_found")
    client.patch("/products/NOBODY-1", {"stockDelta": 1}).problem(404, "not_found")


def test_stock_is_changed_by_a_delta(client):
    sku = add_product(client, stock=10)
    answer = client.patch(f"/products/{sku}", {"stockDelta": -3}).is_(200)
    assert (answer.json["onHand"], answer.json["available"]) == (7, 7)
    assert client.patch(f"/products/{sku}", {"stockDelta": 5}).is_(200).json["onHand"] == 12
    client.patch(f"/products/{sku}", {"stockDelta": -13}).is_(409)
    assert stock_of(client, sku) == (12, 0, 12)


def test_stock_cannot_go_below_what_is_reserved(client):
    sku = add_product(client, stock=10)
    wait_for(client, place(client, sku, 4)["orderId"], "SHIPPED")
    eventually(lambda: stock_of(client, sku) == (10, 4, 6))
    client.patch(f"/products/{sku}", {"stockDelta": -7}).is_(409)
    etag = client.get(f"/products/{sku}").etag
    client.patch(f"/products/{sku}", {"stockQuantity": 3}, headers={"If-Match": etag}).is_(409)
    client.patch(f"/products/{sku}", {"stockDelta": -6}).is_(200)
    assert stock_of(client, sku) == (4, 4, 0)


def test_absolute_stock_needs_the_tag_of_what_was_seen(client):
    sku = add_product(client, stock=10)
    etag = client.get(f"/products/{sku}").etag
    client.patch(f"/products/{sku}", {"stockQuantity": 80}).problem(400, "validation")
    answer = client.patch(f"/products/{sku}", {"stockQuantity": 80},
                          headers={"If-Match": etag}).is_(200)
    assert answer.json["onHand"] == 80
    assert answer.etag != etag
    client.patch(f"/products/{sku}", {"stockQuantity": 70}, headers={"If-Match": etag}).problem(
        412, "precondition_failed")
    assert client.get(f"/products/{sku}").etag == answer.etag


def test_the_tag_changes_when_an_order_reserves(client):
    sku = add_product(client, stock=10)
    before = client.get(f"/products/{sku}").etag
    wait_for(client, place(client, sku, 1)["orderId"], "SHIPPED")
    assert client.get(f"/products/{sku}").etag != before
    assert client.get(f"/products/{sku}", headers={"If-None-Match": before}).status == 200
    now = client.get(f"/products/{sku}").etag
    assert client.get(f"/products/{sku}", headers={"If-None-Match": now}).is_(304).body == b""


def test_a_change_changes_only_what_it_names(client):
    sku = add_product(client, price=19.99)
    answer = client.patch(f"/products/{sku}", {"price": 21.50}).is_(200).json
    assert (answer["price"], answer["name"], answer["onHand"]) == (21.5, "Widget", 100)
    answer = client.patch(f"/products/{sku}", {"name": "Gadget", "description": "Square"}).json
    assert (answer["price"], answer["name"], answer["description"]) == (21.5, "Gadget", "Square")
    client.patch(f"/products/{sku}", {}).problem(400, "validation")
    client.patch(f"/products/{sku}", {"sku": "OTHER"}).problem(400, "validation")
    client.patch(f"/products/{sku}", {"stockDelta": 1, "stockQuantity": 1},
                 headers={"If-Match": "*"}).problem(400, "validation")


def test_products_are_listed_page_by_page(client):
    skus = {add_product(client) for _ in range(5)}
    answer = client.get("/products?limit=2").is_(200)
    page = answer.json
    assert len(page["data"]) == 2 and page["nextCursor"]
    assert 'rel="next"' in answer.headers["Link"]
    everything = client.all("/products?limit=2")
    listed = [p["sku"] for p in everything]
    assert skus <= set(listed)
    assert len(listed) == len(set(listed))


def test_products_without_a_price_have_none(client):
    sku = add_product(client, price=None)
    p = client.get(f"/products/{sku}").json
    assert p["price"] is None


def test_amounts_are_printed_with_the_currencys_digits(client):
    sku = add_product(client, price=500, currency="JPY")
    assert b'"price":500,' in client.get(f"/products/{sku}").body.replace(b" ", b"")
    sku = add_product(client, price=5)
    assert b'"price":5.00,' in client.get(f"/products/{sku}").body.replace(b" ", b"")


def test_the_demo_adds_what_is_missing(start):
    with start("--demo").client() as client:
        products = {p["sku"]: p for p in client.all("/products")}
        prices = {sku: p["price"] for sku, p in products.items()}
        assert prices == {"WIDGET-001": 19.99, "GADGET-002": 49.99, "COFFEE-COL-001": 24.99,
                          "TEA-EARL-001": 12.99, "MUG-CERAMIC-001": 15.99,
                          "GRINDER-BURR-001": 89.99}
        assert {p["available"] for p in products.values()} == {1000000}
        assert {p["currency"] for p in products.values()} == {"USD"}


def test_the_catalogue_is_bounded(start):
    with start("--set=products_max=2").client() as client:
        for _ in range(2):
            add_product(client)
        assert client.post("/products", new()).pointers() == ["/sku"]
