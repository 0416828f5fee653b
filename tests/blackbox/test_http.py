"""HTTP/1.1 as RFC 9110 and 9112 ask, byte by byte."""
import json
import re

import pytest

from client import Client, Raw
from shop import ADDRESS, UNKNOWN_ID, add_product, fill_cart, place, unique

GET = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def request(line, *headers, body=""):
    return "\r\n".join([line, "Host: localhost", *headers, "", body])


def post(path, body, *headers):
    return request(f"POST {path} HTTP/1.1", "Content-Type: application/json",
                   f"Content-Length: {len(body)}", *headers, body=body)


@pytest.fixture
def raw(server):
    with Raw(server) as r:
        yield r


# ---- methods and paths

PATHS = {
    "/carts": {"POST"}, "/carts/x": {"GET"}, "/carts/x/items": {"POST"},
    "/carts/x/items/y": {"PUT", "DELETE"}, "/carts/x/convert": {"POST"},
    "/orders": {"GET", "POST"}, "/orders/x": {"GET"}, "/orders/x/pay": {"POST"},
    "/orders/x/mark-paid": {"POST"}, "/orders/x/cancel": {"POST"}, "/orders/x/ready": {"POST"},
    "/orders/x/complete": {"POST"}, "/shipments/x": {"GET"}, "/shipments/x/dispatch": {"POST"},
    "/shipments/x/deliver": {"POST"}, "/products": {"GET", "POST"},
    "/products/x": {"GET", "PATCH"}, "/events": {"GET"}, "/events/x": {"GET"},
    "/messages": {"GET", "POST"}, "/messages/stock.rejected": {"POST"}, "/dead-letters": {"GET"},
    "/dead-letters/x": {"GET"}, "/simulators/payments": {"GET", "PUT"}, "/livez": {"GET"},
    "/readyz": {"GET"}, "/metrics": {"GET"},
}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_other_methods_are_405_with_what_is_allowed(client, path):
    known = PATHS[path] | {"OPTIONS"} | ({"HEAD"} if "GET" in PATHS[path] else set())
    options = client.request("OPTIONS", path)
    assert options.status in (200, 204)
    assert set(options.headers["Allow"].split(", ")) == known
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
        answer = client.request(method, path, {} if method != "GET" else None)
        answer.problem(405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == known


@pytest.mark.parametrize("path", ["/nothing", "/orders/", "/orders/x/y/z", "/apiorders",
                                  "/api/api/orders", "//orders", "/Orders", "/orders/x/explode"])
def test_an_unknown_path_is_not_found(client, path):
    client.get(path).problem(404, "not_found")


def test_every_path_answers_under_api_too(client):
    sku = add_product(client)
    cart = client.post("/api/carts", {"customerId": "c"}).is_(201)
    assert cart.headers["Location"] == f"/api/carts/{cart.json['cartId']}"
    client.post(f"/api/carts/{cart.json['cartId']}/items", {"productId": sku, "quantity": 1}).is_(200)
    o = client.post("/api/orders/checkout", {"cartId": cart.json["cartId"],
                                             "shippingAddress": ADDRESS}).is_(201)
    assert o.headers["Location"] == f"/api/orders/{o.json['orderId']}"
    client.get(o.headers["Location"]).is_(200)
    for path in ("/livez", "/products", "/events", "/messages", "/metrics"):
        client.get("/api" + path).is_(200)


def test_the_next_page_keeps_the_prefix(client):
    for _ in range(2):
        add_product(client)
    assert client.get("/api/products?limit=1").headers["Link"].startswith("</api/products?")


def test_head_is_get_without_the_body(server, raw):
    with server.client() as client:
        o = place(client)
        full = client.get(f"/orders/{o['orderId']}")
    path = f"/orders/{o['orderId']}"
    head = raw.send(request(f"HEAD {path} HTTP/1.1")).answer(is_head=True).is_(200)
    assert int(head.headers["Content-Length"]) > 0
    assert head.headers["Content-Type"] == full.headers["Content-Type"]
    raw.send(GET).answer().is_(200)  # nothing of a body came between
    raw.send(request(f"HEAD {path}?until=DELIVERED&wait=30s HTTP/1.1")).answer(is_head=True).is_(200)


def test_an_unknown_method_is_not_implemented(server):
    for method in ("BREW", "CONNECT", "PROPFIND"):
        with Raw(server) as raw:
            assert raw.send(request(f"{method} /orders HTTP/1.1")).answer().status == 501


def test_options_of_the_server_as_a_whole(raw):
    assert raw.send(request("OPTIONS * HTTP/1.1")).answer().status in (200, 204)


def test_percent_signs_in_paths_are_decoded_once(client):
    client.get("/live%7A").is_(200)
    client.get("/%6Frders").is_(200)
    client.get("/orders%2Fcheckout").is_(404)
    client.get("/orders/%zz").is_(400)
    assert client.get("/products/%00").status in (400, 404)


def test_query_parameters_are_decoded(client):
    client.get("/messages?topic=order%2E%2A").is_(200)
    client.get("/orders?limit=1&limit=2").problem(400, "validation")


# ---- what is sent and what is asked for

@pytest.mark.parametrize("content_type, ok", [
    ("application/json", True), ("application/json; charset=utf-8", True),
    ("Application/JSON;charset=UTF-8", True), ("application/vnd.shop+json", True),
    ("text/plain", False), ("application/x-www-form-urlencoded", False),
    ("application/json; charset=latin1", False), ("", False), (None, False)])
def test_bodies_are_json(server, content_type, ok):
    body = '{"customerId":"c"}'
    headers = [] if content_type is None else [f"Content-Type: {content_type}"]
    with Raw(server) as raw:
        answer = raw.send(request("POST /carts HTTP/1.1", f"Content-Length: {len(body)}", *headers,
                                  body=body)).answer()
    if ok:
        answer.is_(201)
    else:
        answer.problem(415, "unsupported_media_type")


def test_a_coded_body_is_not_understood(server):
    body = '{"customerId":"c"}'
    with Raw(server) as raw:
        answer = raw.send(post("/carts", body, "Content-Encoding: gzip")).answer()
        answer.problem(415, "unsupported_media_type")


@pytest.mark.parametrize("accept, ok", [
    ("*/*", True), ("application/json", True), ("application/*", True), ("", True),
    ("text/html, */*;q=0.1", True), ("application/problem+json, application/json", True),
    ("text/html", False), ("application/json;q=0", False), ("image/*", False)])
def test_answers_are_json_if_that_is_accepted(client, accept, ok):
    answer = client.get("/products", headers={"Accept": accept})
    assert answer.status == (200 if ok else 406)


@pytest.mark.parametrize("body", [
    b"{", b"{} {}", b"[1,]", b"nul", b'{"customerId":"c",}', b"{'customerId':'c'}",
    b'{"customerId":"\xff"}', b'{"customerId":"c\\ud800"}', b'// x\n{}', b'{"a":01}', b'{"a":NaN}',
    b'\xef\xbb\xbf{"customerId":"c"}', b"[" * 33 + b"]" * 33,
])
def test_what_is_no_json_is_malformed(client, body):
    client.post("/carts", raw=body).problem(400, "malformed_json")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"7", b"null", b'{"customerId":"a","customerId":"b"}',
                                  b'{"customerId":"c\\u0000d"}'])
def test_json_that_is_no_command_is_a_fault(client, body):
    client.post("/carts", raw=body).problem(400, "validation")


def test_json_may_be_32_levels_deep_and_no_deeper(client):
    def nested(depth):
        return b'{"messageId":"%s","payload":{"orderId":"x","reason":"r","deep":%s}}' % (
            unique("m").encode(), b"[" * (depth - 2) + b"]" * (depth - 2))
    client.post("/messages/stock.rejected", raw=nested(32)).is_(202)
    client.post("/messages/stock.rejected", raw=nested(33)).problem(400, "malformed_json")


def test_a_text_may_have_4_kib(client):
    def sized(n):
        return {"messageId": unique("m"), "payload": {"orderId": "x", "reason": "r", "long": "x" * n}}
    client.post("/messages/stock.rejected", sized(4096)).is_(202)
    client.post("/messages/stock.rejected", sized(4097)).is_(400)


def test_a_body_where_none_is_needed_may_be_empty_or_an_object(client):
    cart = fill_cart(client, ("X-1", 1))
    client.post(f"/carts/{cart}/convert").is_(200)
    client.post(f"/carts/{cart}/convert", {}).is_(200)
    client.post(f"/carts/{cart}/convert", {"now": True}).problem(400, "validation")


# ---- connections

def test_answers_have_date_length_and_type(client):
    answer = client.get("/livez").is_(200)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["Date"])
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"].startswith("application/json")


def test_a_connection_is_kept_and_pipelined_answers_come_in_order(server, raw):
    with server.client() as client:
        sku = add_product(client)
    paths = ["/livez", f"/products/{sku}", "/nothing", "/readyz", f"/orders/{UNKNOWN_ID}"] * 4
    raw.send("".join(request(f"GET {p} HTTP/1.1") for p in paths))
    got = [raw.answer() for _ in paths]
    assert [a.status for a in got] == [200, 200, 404, 200, 404] * 4
    assert got[1].json["sku"] == sku


def test_pipelined_commands_take_effect_in_order(server, raw, client):
    cart = fill_cart(client)
    raw.send("".join(post(f"/carts/{cart}/items", json.dumps({"productId": f"P-{n}", "quantity": 1}))
                     for n in range(10)))
    counts = [raw.answer().is_(200).json["itemCount"] for _ in range(10)]
    assert counts == list(range(1, 11))


def test_a_slow_answer_holds_back_the_ones_behind_it(server, raw, client):
    o = place(client)
    raw.send(request(f"GET /orders/{o['orderId']}?until=COMPLETED&wait=300ms HTTP/1.1") + GET)
    assert "orderId" in raw.answer().json
    assert raw.answer().json["status"] == "alive"


def test_requests_may_come_byte_by_byte(raw):
    for c in post("/carts", '{"customerId":"c"}'):
        raw.send(c)
    raw.answer().is_(201)


def test_connection_close_is_honoured(raw):
    answer = raw.send(request("GET /livez HTTP/1.1", "Connection: close")).answer().is_(200)
    assert answer.headers["Connection"] == "close"
    assert raw.is_closed()


def test_http_1_0_closes_unless_it_asks_not_to(server):
    with Raw(server) as raw:
        raw.send("GET /livez HTTP/1.0\r\n\r\n").answer().is_(200)
        assert raw.is_closed()
    with Raw(server) as raw:
        for _ in range(2):
            raw.send("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert raw.answer().is_(200).headers["Connection"].lower() == "keep-alive"


def test_a_half_closed_client_gets_its_answers(server, client):
    with Raw(server) as raw:
        raw.send(GET * 3).finish()
        for _ in range(3):
            raw.answer().is_(200)
        assert raw.is_closed()
    o = place(client)
    with Raw(server) as raw:
        raw.send(request(f"GET /orders/{o['orderId']}?until=COMPLETED&wait=20s HTTP/1.1")).finish()
        assert raw.answer().is_(200).json["orderId"] == o["orderId"]


def test_a_client_that_leaves_inside_a_request_disturbs_nobody(server, client):
    for part in ("GET /liv", request("POST /carts HTTP/1.1", "Content-Length: 100", body="{")):
        with Raw(server) as raw:
            raw.send(part)
        with Raw(server) as raw:
            raw.send(part).finish()
            try:
                assert raw.answer().status == 400
            except EOFError:
                pass
    client.get("/livez").is_(200)


# ---- framing

def chunked(*chunks, trailer="", extension=""):
    return "".join(f"{len(c):x}{extension}\r\n{c}\r\n" for c in chunks) + f"0\r\n{trailer}\r\n"


CHUNKED = ("POST /carts HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")


def test_a_chunked_body_is_put_together(raw):
    body = chunked('{"custom', 'erId":"', 'c"}', trailer="X-Sum: 7\r\n", extension=";a=b")
    assert raw.send(request(*CHUNKED, body=body)).answer().is_(201).json["customerId"] == "c"
    raw.send(GET).answer().is_(200)


@pytest.mark.parametrize("body", ["zz\r\n", "-1\r\n", "5\r\nabc\r\n0\r\n\r\n", "5 \x00\r\n",
                                  "fffffffffffffffff\r\n", "3\nabc\n0\n\n"])
def test_a_broken_chunk_is_bad_and_ends_the_connection(server, body):
    with Raw(server) as raw:
        assert raw.send(request(*CHUNKED, body=body)).answer().status in (400, 413)
        assert raw.is_closed()


@pytest.mark.parametrize("headers", [
    ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ("Transfer-Encoding: chunked, gzip",),
    ("Transfer-Encoding: gzip",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("Content-Length: 5", "Content-Length: 6"),
    ("Content-Length: 5, 6",), ("Content-Length: -5",), ("Content-Length: +5",),
    ("Content-Length: 5x",), ("Content-Length: ",), ("Content-Length: 18446744073709551621",),
    ("Content-Length : 5",), ("Transfer-Encoding : chunked",), (" Folded: x",),
    ("Bad Name: x",), ("X: a\x00b",), ("X: a\rb",), ("no colon",), (": empty",),
])
def test_doubtful_framing_is_refused_and_ends_the_connection(server, headers):
    with Raw(server) as raw:
        raw.send(request("POST /carts HTTP/1.1", "Content-Type: application/json", *headers,
                         body="0\r\n\r\n"))
        assert raw.answer().status == 400
        assert raw.is_closed()


def test_a_coding_before_chunked_is_not_implemented(server):
    with Raw(server) as raw:
        raw.send(request("POST /carts HTTP/1.1", "Transfer-Encoding: gzip, chunked",
                         body="0\r\n\r\n"))
        assert raw.answer().status == 501
        assert raw.is_closed()


def test_chunked_on_http_1_0_is_refused(server):
    with Raw(server) as raw:
        raw.send("POST /carts HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert raw.answer().status == 400
        assert raw.is_closed()


@pytest.mark.parametrize("lines", [
    "GET /livez HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost:x\r\n\r\n"])
def test_exactly_one_valid_host_is_needed(server, lines):
    with Raw(server) as raw:
        assert raw.send(lines).answer().status == 400


def test_an_absolute_target_is_understood(raw):
    raw.send("GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").answer().is_(200)


@pytest.mark.parametrize("line", [
    "GET  /livez HTTP/1.1", "GET /livez", "GET /livez HTTP/1.1 x", "/livez HTTP/1.1",
    "GET livez HTTP/1.1", "GET /li vez HTTP/1.1", "get /livez HTTP/1.1", "GET /livez http/1.1",
    "GET /livez HTTP/1.x", "GET /l\x01vez HTTP/1.1", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"])
def test_a_broken_request_line_is_refused(server, line):
    with Raw(server) as raw:
        raw.send(f"{line}\r\nHost: localhost\r\n\r\n".encode("latin-1"))
        assert raw.answer().status in (400, 501)
        assert raw.is_closed()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.9"])
def test_other_versions_are_refused(server, version):
    with Raw(server) as raw:
        answer = raw.send(f"GET /livez {version}\r\nHost: localhost\r\n\r\n").answer()
        assert answer.status in ((505, 400) if version != "HTTP/1.9" else (200, 505, 400))


def test_the_preface_of_http_2_is_refused(server):
    with Raw(server) as raw:
        assert raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").answer().status in (400, 501, 505)


def test_upgrade_is_ignored(raw):
    raw.send(request("GET /livez HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"))
    raw.answer().is_(200)
    raw.send(GET).answer().is_(200)


def test_expect_continue_is_answered_before_the_body_comes(raw):
    body = '{"customerId":"c"}'
    raw.send(request("POST /carts HTTP/1.1", "Content-Type: application/json",
                     f"Content-Length: {len(body)}", "Expect: 100-continue"))
    raw.answer().is_(100)
    raw.send(body).answer().is_(201)


def test_expect_continue_is_refused_when_the_answer_is_known(raw):
    raw.send(request("POST /nothing HTTP/1.1", "Content-Type: application/json",
                     "Content-Length: 5", "Expect: 100-continue"))
    raw.answer().is_(404)


def test_another_expectation_fails(raw):
    raw.send(request("GET /livez HTTP/1.1", "Expect: miracles")).answer().is_(417)


def test_an_early_error_arrives_though_the_body_is_unread(server):
    """The client writes all of a large body before it reads; the answer must not get lost."""
    with Raw(server) as raw:
        raw.send(request("POST /nothing HTTP/1.1", "Content-Type: application/json",
                         "Content-Length: 900000"))
        raw.send("x" * 900000)
        raw.answer().is_(404)


def test_malformed_and_broken_clients_never_disturb_another(server):
    with Client(server.host, server.port) as good:
        for junk in (b"\x00" * 100, b"\r\n" * 3 + b"GET", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
                     b"POST /carts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"):
            with Raw(server) as raw:
                raw.send(junk)
                good.get("/livez").is_(200)
