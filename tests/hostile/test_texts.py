"""Texts and numbers that are not what they should be: in bodies, paths, queries, header fields."""
import json

import pytest

from attack import JSON, head
from beside import Vitals
from client import Raw
from shop import ADDRESS, add_product, order_body, unique

MIB = 1 << 20
MESSAGE_MAX = 256 << 10


# ---- bytes that are no text

NOT_UTF8 = {
    "a lone continuation": b"\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xc0\x80",
    "an overlong slash of three bytes": b"\xe0\x80\xaf",
    "an overlong slash of four bytes": b"\xf0\x80\x80\xaf",
    "an overlong sequence that only just is one": b"\xe0\x9f\xbf",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "one of two bytes": b"\xc3",
    "two of three bytes": b"\xe2\x82",
    "three of four bytes": b"\xf0\x9f\x98",
    "a sequence that an ASCII letter breaks": b"\xe2\x41\x82",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "a sequence of five bytes": b"\xf8\x88\x80\x80\x80",
    "a sequence of six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
}


def escaped(data):
    return "".join(f"%{b:02x}" for b in data)


@pytest.mark.parametrize("name", NOT_UTF8)
def test_bytes_that_are_no_text_are_refused_wherever_they_are(server, client, beside, name):
    bad = NOT_UTF8[name]
    # In a body: a value, a key, and what a message keeps as it is.
    for body in (b'{"customerId":"c' + bad + b'"}', b'{"customerId":"c","' + bad + b'":1}',
                 bad + b'{"customerId":"c"}'):
        client.post("/carts", raw=body).problem(400, "malformed_json")
    kept = b'{"messageId":"m","payload":{"orderId":"x","reason":"r","kept":{"a":["' + bad + b'"]}}}'
    client.post("/messages/stock.rejected", raw=kept).problem(400, "malformed_json")
    # In a path: nothing has such an id.
    for path in ("/carts/", "/orders/", "/shipments/", "/products/", "/events/", "/dead-letters/",
                 "/simulators/"):
        client.get(path + escaped(bad)).problem(404, "not_found")
    client.post(f"/messages/{escaped(bad)}", {}).problem(404, "not_found")
    # In a query: a value, a name.
    for path, parameter in (("/orders?customerId=a", "customerId"), ("/orders?", ""),
                            ("/events?aggregateId=", "aggregateId"), ("/messages?topic=", "topic"),
                            ("/dead-letters?code=", "code")):
        assert client.get(path + escaped(bad)).parameters() == [parameter]
    # In header fields: where one is looked at, it is refused; where none is, it is passed over.
    for field, status, code in (("X-User-Id", 400, "validation"),
                                ("Idempotency-Key", 400, "validation"),
                                ("If-Match", 400, "validation"),
                                ("Content-Type", 415, "unsupported_media_type"),
                                ("Accept", 406, "not_acceptable"),
                                ("Origin", 403, "forbidden"),
                                ("X-Other", 201, None), ("User-Agent", 201, None)):
        fields = [] if field == "Content-Type" else [JSON]
        with Raw(server, timeout=60) as raw:
            raw.send(head("POST /carts HTTP/1.1", *fields, "Content-Length: 18")[:-2].encode() +
                     field.encode() + b": a" + bad + b'\r\n\r\n{"customerId":"c"}')
            answer = raw.answer().is_(status)
            if code:
                answer.problem(status, code)
    # Bare, where a target or a name has to be ASCII.
    for data in (b"GET /products/" + bad + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"GET /orders?customerId=" + bad + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX" + bad + b": 1\r\n\r\n"):
        with Raw(server, timeout=60) as raw:
            raw.send(data).answer().problem(400, "bad_request")
            assert raw.is_closed()
    with Raw(server, timeout=60) as raw:
        raw.send(b"GET /livez HTTP/1.1\r\nHost: " + bad + b"\r\n\r\n").answer().problem(
            400, "bad_host")
        assert raw.is_closed()


def test_any_text_that_is_one_comes_back_as_it_was(client, beside):
    for text in ("\u0001\u001f\u007f\u0080", "\u2028\u2029", "\ufeff\u202e\u200b", "\U0010ffff",
                 "\ud7ff\ue000\uffff", "e\u0301é", '"\\/\b\f\n\r\t', "😀" * 16):
        for ascii_only in (True, False):
            body = json.dumps({"sku": unique("TEXT"), "name": text, "description": text},
                              ensure_ascii=ascii_only).encode()
            answer = client.post("/products", raw=body).is_(201)
            again = client.get(answer.headers["Location"]).is_(200)
            for product in (answer.json, again.json):
                assert product["name"] == text and product["description"] == text


@pytest.mark.parametrize("path", ["/products/%00", "/products/a%00b", "/%00", "/orders/x%00/pay",
                                  "/products/%", "/products/%4", "/products/%4g",
                                  "/products/%%41"])
def test_an_escape_in_a_path_that_is_none_is_refused(client, beside, path):
    client.get(path).problem(400, "bad_request")


@pytest.mark.parametrize("query", ["customerId=%00", "%00=1", "customerId=a%00b", "customerId=%",
                                   "customerId=%4", "customerId=%gg",
                                   "&".join(["limit=1"] * 101)])
def test_a_query_that_is_none_is_refused(client, beside, query):
    assert client.get(f"/orders?{query}").parameters() == [""]


@pytest.mark.parametrize("path", [
    "/orders/../products", "/orders/%2e%2e/products", "/orders/..%2fproducts", "/./products",
    "/products/../../etc/passwd", "//products", "/products//", "/products%2f",
    "/orders%2fcheckout", "/%2fproducts", "/api/../products", "/products;x=1", "/PRODUCTS"])
def test_a_path_is_taken_as_it_is(client, beside, path):
    client.get(path).problem(404, "not_found")


@pytest.mark.parametrize("body, pointers", [
    (b'{"customerId":"c\\u0000d"}', ["/customerId"]),
    (b'{"customerId":"c","a\\u0000b":1}', ["/a\u0000b"]),
])
def test_a_nul_in_a_text_is_refused(client, beside, body, pointers):
    assert client.post("/carts", raw=body).pointers() == pointers


@pytest.mark.parametrize("body", [b'{"customerId":"c\x00d"}', b'{"customerId":"c"}\x00',
                                  b'\x00{"customerId":"c"}', b'{"customerId":\x00"c"}'])
def test_a_nul_between_texts_is_malformed(client, beside, body):
    client.post("/carts", raw=body).problem(400, "malformed_json")


# ---- keys that are there twice

def with_key_twice(at):
    """An order in whose text one key stands a second time."""
    body = order_body("SKU", customerId="first")
    text = json.dumps(body)
    return {
        "at the top": text[:-1] + ',"customerId":"second"}',
        "at the top, escaped": text[:-1] + ',"\\u0063ustomerId":"second"}',
        "with the same value": text[:-1] + ',"customerId":"first"}',
        "inside an item": text.replace('"quantity": 2', '"quantity": 2, "quantity": 3'),
        "inside the address": text.replace('"country": "US"', '"country": "US", "country": "DE"'),
        "of an unknown field": text[:-1] + ',"x":1,"x":2}',
    }[at], {
        "at the top": ["/customerId"], "at the top, escaped": ["/customerId"],
        "with the same value": ["/customerId"], "inside an item": ["/items/0/quantity"],
        "inside the address": ["/shippingAddress/country"], "of an unknown field": ["/x"],
    }[at]


@pytest.mark.parametrize("at", ["at the top", "at the top, escaped", "with the same value",
                                "inside an item", "inside the address", "of an unknown field"])
def test_a_key_that_is_there_twice_is_refused(client, beside, at):
    body, pointers = with_key_twice(at)
    assert client.post("/orders", raw=body.encode()).pointers() == pointers


def test_a_key_that_is_there_twice_is_refused_where_anything_is_kept(client, beside):
    deep = '{"a":[0,{"b":1,"b":2}]}'
    body = '{"messageId":"m","payload":{"orderId":"x","reason":"r","kept":%s}}' % deep
    assert client.post("/messages/stock.rejected", raw=body.encode()).pointers() == [
        "/payload/kept/a/1/b"]
    for first, second in (("sku", "productId"), ("productId", "sku")):  # two names of one field
        items = [{first: "A", second: "B", "quantity": 1}]
        assert client.post("/orders", {**order_body("A"), "items": items}).pointers() == [
            f"/items/0/{second}"]


# ---- deep and huge

def repeat(item, n, between=","):
    return between.join([item] * n)


HUGE = {
    "a mebibyte of brackets": ("[" * MIB, "malformed_json"),
    "a mebibyte of braces": ('{"a":' * (MIB // 5), "malformed_json"),
    "balanced, half a million deep": ("[" * (MIB // 2) + "]" * (MIB // 2), "malformed_json"),
    "half a million numbers": (f"[{repeat('1', MIB // 2 - 2)}]", "validation"),
    "a number of a million digits": ('{"customerId":%s}' % ("9" * (MIB - 20)), "validation"),
    "a fraction of a million digits": ('{"customerId":0.%s}' % ("9" * (MIB - 20)), "validation"),
    "an exponent of a million digits": ('{"customerId":1e%s}' % ("9" * (MIB - 20)), "validation"),
    "a text of a mebibyte": ('{"customerId":"%s"}' % ("x" * (MIB - 20)), "validation"),
    "a text of escapes": ('{"customerId":"%s"}' % ("\\u00e9" * (MIB // 6 - 10)), "validation"),
    "a key of a mebibyte": ('{"%s":1}' % ("k" * (MIB - 20)), "validation"),
    "a hundred thousand unknown keys": (
        "{%s}" % ",".join(f'"{n:x}":0' for n in range(100_000)), "validation"),
    "a hundred thousand times one key": ("{%s}" % repeat('"k":0', 100_000), "validation"),
    "many faults below a long key": (
        '{"%s":{%s}}' % ("/" * 400_000, repeat('"k":0', 100_000)), "validation"),
    "many faults below many long keys": (
        '{"%s":' % ("~" * 30_000) * 30 + "{%s}" % repeat('"k":0', 10_000) + "}" * 30,
        "validation"),
    "a hundred thousand wrong lines": (
        '{"customerId":"c","items":[%s]}' % repeat('{"q":0}', 100_000), "validation"),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_body_costs_little_and_is_refused(server, client, beside, name):
    """The answer is small, and the memory is given back."""
    body, code = HUGE[name]
    assert len(body) <= MIB
    vitals = Vitals(server)
    path = "/orders" if "lines" in name else "/carts"
    client.post(path, raw=body.encode()).problem(400, code)  # what it needs, it needs once
    before = vitals.resident()
    for _ in range(5):
        answer = client.post(path, raw=body.encode())
        answer.problem(400, code)
        # 100 faults, each with a pointer of at most 4 KiB, of which each byte may be escaped.
        assert len(answer.body) < MIB
    assert vitals.resident() - before < 128 * MIB


def test_a_huge_message_is_kept_as_it_is(client, beside):
    """As many values as fit, and as deep as may be; what comes back is the same."""
    for kept in ("[%s]" % repeat("[]", 80_000), "{%s}" % ",".join(
            f'"{n:x}":0' for n in range(25_000)), "[" * 30 + "]" * 30):
        mid, nobody = unique("m"), unique("nobody")
        body = '{"messageId":"%s","payload":{"orderId":"%s","reason":"r","kept":%s}}' % (
            mid, nobody, kept)
        assert len(body) <= MESSAGE_MAX
        answer = client.post("/messages/stock.rejected", raw=body.encode()).is_(202).json
        message, = client.get(f"/messages?after={answer['position'] - 1}&limit=1").is_(200).json[
            "data"]
        assert message["payload"]["kept"] == json.loads(kept)


# ---- numbers

NO_NUMBERS = ["01", "-01", "+1", ".5", "-.5", "1.", "0x10", "1e", "1e+", "-", "--1", "1_000", "NaN",
              "-NaN", "Infinity", "-Infinity", "1,0", "１"]
INTEGERS_REFUSED = ["1e400", "-1e400", "1e-400", "1e0", "1E2", "1.0", "0.1", "-0.0",
                    "9223372036854775807", "9223372036854775808", "-9223372036854775808",
                    "-9223372036854775809", "18446744073709551615", "18446744073709551616",
                    "18446744073709551617", "12345678901234567890", "1" + "0" * 5000,
                    "0." + "0" * 5000 + "1", "true", '"1"', "[1]", "{}"]
AMOUNTS_REFUSED = ["1e400", "-1e400", "1e-400", "1e0", "1E2", "-0", "-0.0", "-0.01",
                   "9223372036854775807", "9223372036854775808", "18446744073709551616",
                   "184467440737095516.17", "12345678901234567890", "10000000000.01",
                   "99999999999999999999.99", "19.999", "0.001", "0.10000000000000000001",
                   "0.12345678901234567890", "0." + "0" * 5000 + "1", "1" + "0" * 5000, "true",
                   '"1"', "[1]", "{}"]


def order_text(quantity="1", price="1"):
    return ('{"customerId":"c","items":[{"sku":"%s","quantity":%s,"unitPrice":%s}],'
            '"shippingAddress":%s}' % (unique("NEW"), quantity, price, json.dumps(ADDRESS)))


def product_text(price="1", stock="1"):
    return '{"sku":"%s","name":"n","price":%s,"currency":"USD","stockQuantity":%s}' % (
        unique("NUMBER"), price, stock)


def message_text(amount):
    return ('{"messageId":"%s","payload":{"orderId":"nobody","paymentId":"p","amount":%s,'
            '"currency":"USD"}}' % (unique("m"), amount))


INTEGERS = {
    "a quantity": ("/orders", lambda n: order_text(quantity=n), "/items/0/quantity"),
    "a stock": ("/products", lambda n: product_text(stock=n), "/stockQuantity"),
}
AMOUNTS = {
    "a line's price": ("/orders", lambda n: order_text(price=n), "/items/0/unitPrice"),
    "a product's price": ("/products", lambda n: product_text(price=n), "/price"),
    "a payment's amount": ("/messages/payment.refunded", message_text, "/payload/amount"),
}


@pytest.mark.parametrize("where", [*INTEGERS, *AMOUNTS])
def test_what_is_no_number_is_malformed(client, beside, where):
    path, body, _ = {**INTEGERS, **AMOUNTS}[where]
    for text in NO_NUMBERS:
        answer = client.post(path, raw=body(text).encode())
        assert answer.status == 400, text
        answer.problem(400, "malformed_json")


@pytest.mark.parametrize("where", INTEGERS)
def test_an_integer_is_one_and_within_its_range(client, beside, where):
    path, body, pointer = INTEGERS[where]
    for text in INTEGERS_REFUSED:
        assert client.post(path, raw=body(text).encode()).pointers() == [pointer], text


@pytest.mark.parametrize("where", AMOUNTS)
def test_an_amount_is_decimal_and_within_its_currency(client, beside, where):
    path, body, pointer = AMOUNTS[where]
    for text in AMOUNTS_REFUSED:
        assert client.post(path, raw=body(text).encode()).pointers() == [pointer], text


@pytest.mark.parametrize("text, shown", [("0.1", "0.10"), ("19.990", "19.99"), ("5.0000", "5.00"),
                                         ("0", "0.00"), ("10000000000.00", "10000000000.00"),
                                         ("5." + "0" * 5000, "5.00")])
def test_an_amount_is_never_rounded(client, beside, text, shown):
    answer = client.post("/products", raw=product_text(price=text).encode()).is_(201)
    assert f'"price":{shown},'.encode() in answer.body


def test_stock_and_its_changes_stay_within_their_range(client, beside):
    sku, most = add_product(client, stock=10**12), 10**12
    for delta in (1, most):
        assert client.patch(f"/products/{sku}", {"stockDelta": delta}).status in (400, 409)
    client.patch(f"/products/{sku}", {"stockDelta": -most}).is_(200)
    assert client.patch(f"/products/{sku}", {"stockDelta": -1}).status == 409
    for text in INTEGERS_REFUSED:
        answer = client.patch(f"/products/{sku}", raw=b'{"stockDelta":%s}' % text.encode())
        assert answer.pointers() == ["/stockDelta"], text
    # Beyond 32 bits it is a number like any other.
    client.patch(f"/products/{sku}", {"stockDelta": (1 << 32) + 1}).is_(200)
    assert client.get(f"/products/{sku}").json["onHand"] == (1 << 32) + 1


@pytest.mark.parametrize("rate", ["1e400", "-1e400", "-1e-400x", "1.0000001", "-0.0000001", "2",
                                  '"0.5"', "true", "0." + "1" * 100])
def test_a_rate_is_from_0_to_1(client, beside, rate):
    body = b'{"failureRate":%s}' % rate.encode()
    answer = client.put("/simulators/payments", raw=body)
    answer.problem(400, "malformed_json" if "x" in rate else "validation")


@pytest.mark.parametrize("kept", ["1e400", "-1e400", "1e-400", "9223372036854775808",
                                  "18446744073709551616", "-0", "-0.0", "12345678901234567890",
                                  "0.12345678901234567890", "1" + "0" * 3000, "1E+2"])
def test_a_number_that_is_only_kept_is_kept_digit_by_digit(client, beside, kept):
    body = '{"messageId":"%s","payload":{"orderId":"nobody","reason":"r","n":%s}}' % (
        unique("m"), kept)
    at = client.post("/messages/stock.rejected", raw=body.encode()).is_(202).json["position"]
    answer = client.get(f"/messages?after={at - 1}&limit=1").is_(200)
    assert b'"n":' + kept.encode() + b"," in answer.body


@pytest.mark.parametrize("path, parameter", [
    ("/orders?limit={}", "limit"), ("/events?limit={}", "limit"), ("/events?after={}", "after"),
    ("/messages?after={}", "after"), ("/orders/x?until=PAID&wait={}s", "wait"),
    ("/orders?unsettledFor={}d", "unsettledFor"), ("/events/stream?after={}", "after")])
def test_a_number_in_a_query_is_one_and_within_its_range(client, beside, path, parameter):
    for text in ("-1", "%2B1", "1e2", "0x10", "1,0", "%201", "1%20", "18446744073709551616",
                 "1" * 100, "%EF%BC%91"):
        answer = client.get(path.format(text))
        assert answer.parameters() == [parameter], (text, answer.body)


@pytest.mark.parametrize("tag", ['"-1"', '"18446744073709551616"', '"1e0"', '"0x1"', '"+1"',
                                 '" 1"', '"' + "1" * 1000 + '"'])
def test_a_tag_that_is_none_of_ours_matches_nothing(client, beside, tag):
    sku = add_product(client)
    client.patch(f"/products/{sku}", {"name": "x"}, headers={"If-Match": tag}).problem(
        412, "precondition_failed")
    client.get(f"/products/{sku}", headers={"If-None-Match": tag}).is_(200)
