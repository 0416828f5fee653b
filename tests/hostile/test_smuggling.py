"""Requests that two readers of the same bytes could take apart differently.

Each shape has a request in front and one hidden in what could be its body; each of the two would
add a product of its own. A doubtful one is refused, the connection ends, and neither was done."""
import json

import pytest

from attack import JSON, bytes_of, exchange, head, refused
from client import Raw
from shop import unique

CHUNKED = "Transfer-Encoding: chunked"


def adding(sku):
    """A body that adds this product."""
    return json.dumps({"sku": sku, "name": "smuggled", "price": 1.00, "currency": "USD",
                       "stockQuantity": 1})


def whole(sku):
    """A request that adds this product, and ends its connection."""
    body = adding(sku)
    return head("POST /products HTTP/1.1", JSON, f"Content-Length: {len(body)}",
                "Connection: close") + body


def chunks(*parts, end="0\r\n\r\n"):
    return "".join(f"{len(p):x}\r\n{p}\r\n" for p in parts) + end


class Hidden:
    """The two products of one attack."""

    def __init__(self):
        self.front, self.behind = unique("FRONT"), unique("BEHIND")
        self.body, self.request = adding(self.front), whole(self.behind)
        self.length = len(self.body)

    def skus_made(self, client):
        return [sku for sku in (self.front, self.behind)
                if client.get(f"/products/{sku}").status != 404]


def post(hidden, *fields, body=None, line="POST /products HTTP/1.1", **kwargs):
    return head(line, JSON, *fields, **kwargs) + (hidden.body if body is None else body)




# ---- the shapes: (name, bytes of a hidden, status, code)

def both(h, first, second):
    """A length that ends before the hidden request, a coding whose body reaches beyond it."""
    return post(h, first.format(n=len(chunks(h.body))), second.format(n=len(chunks(h.body))),
                body=chunks(h.body) + h.request)


LENGTH = "Content-Length: {n}"
SHAPES = {
    # Two ways to say where the body ends.
    "length and coding": (lambda h: both(h, LENGTH, CHUNKED), 400, "bad_framing"),
    "coding and length": (lambda h: both(h, CHUNKED, LENGTH), 400, "bad_request"),
    "length of nothing, and coding": (lambda h: post(
        h, "Content-Length: 0", CHUNKED, body=chunks(h.request)), 400, "bad_framing"),
    "a short length, and coding that ends at once": (lambda h: post(
        h, "Content-Length: 5", CHUNKED, body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "a long length, and coding that ends at once": (lambda h: post(
        h, f"Content-Length: {5 + len(h.request)}", CHUNKED, body="0\r\n\r\n" + h.request),
        400, "bad_framing"),
    "both on HTTP/1.0": (lambda h: post(
        h, "Content-Length: 5", CHUNKED, "Connection: keep-alive",
        line="POST /products HTTP/1.0", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "both, the length in a trailer's place": (lambda h: post(
        h, CHUNKED, "Content-Length : 5", body="0\r\n\r\n" + h.request), 400, "bad_request"),

    # A coding that one reader knows and the other does not.
    "coding with a blank before the colon": (lambda h: post(
        h, "Transfer-Encoding : chunked", LENGTH.format(n=len(h.body)),
        body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding with a tab before the colon": (lambda h: post(
        h, "Transfer-Encoding\t: chunked", body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding with a vertical tab": (lambda h: post(
        h, "Transfer-Encoding: \x0bchunked", body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding with a NUL": (lambda h: post(
        h, "Transfer-Encoding: chunked\x00", body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding in quotes": (lambda h: post(
        h, 'Transfer-Encoding: "chunked"', body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding in single quotes": (lambda h: post(
        h, "Transfer-Encoding: 'chunked'", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding xchunked": (lambda h: post(
        h, "Transfer-Encoding: xchunked", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding identity": (lambda h: post(
        h, "Transfer-Encoding: identity", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding identity beside chunked": (lambda h: post(
        h, "Transfer-Encoding: identity", CHUNKED, body="0\r\n\r\n" + h.request),
        501, "coding_not_implemented"),
    "coding chunked, then another": (lambda h: post(
        h, "Transfer-Encoding: chunked, x", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding chunked, then another field": (lambda h: post(
        h, CHUNKED, "Transfer-Encoding: x", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding chunked twice": (lambda h: post(
        h, "Transfer-Encoding: chunked, chunked", body="0\r\n\r\n" + h.request),
        400, "bad_framing"),
    "coding with an empty element": (lambda h: post(
        h, "Transfer-Encoding: chunked,", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding with a parameter": (lambda h: post(
        h, "Transfer-Encoding: chunked;x=1", body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "coding on a folded line": (lambda h: post(
        h, "Transfer-Encoding:\r\n chunked", body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding folded onto another field": (lambda h: post(
        h, "X: y\r\n\tTransfer-Encoding: chunked", body="0\r\n\r\n" + h.request),
        400, "bad_request"),
    "coding behind a bare line feed": (lambda h: post(
        h, "X: y\nTransfer-Encoding: chunked", body="0\r\n\r\n" + h.request), 400, "bad_request"),
    "coding behind a bare carriage return": (lambda h: post(
        h, "X: y\rTransfer-Encoding: chunked", body="0\r\n\r\n" + h.request),
        400, "bad_request"),
    "coding on HTTP/1.0": (lambda h: post(
        h, CHUNKED, "Connection: keep-alive", line="POST /products HTTP/1.0",
        body="0\r\n\r\n" + h.request), 400, "bad_framing"),
    "gzip before chunked": (lambda h: post(
        h, "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n" + h.request),
        501, "coding_not_implemented"),

    # Lengths.
    "two lengths that differ": (lambda h: post(
        h, f"Content-Length: {h.length}", f"Content-Length: {h.length + len(h.request)}",
        body=h.body + h.request), 400, "bad_request"),
    "two lengths that agree": (lambda h: post(
        h, f"Content-Length: {h.length}", f"Content-Length: {h.length}",
        body=h.body + h.request), 400, "bad_request"),
    "two lengths of nothing": (lambda h: post(
        h, "Content-Length: 0", "Content-Length: 0", body=h.request), 400, "bad_request"),
    "a list of lengths that agree": (lambda h: post(
        h, f"Content-Length: {h.length}, {h.length}", body=h.body + h.request),
        400, "bad_request"),
    "a list of lengths that differ": (lambda h: post(
        h, f"Content-Length: {h.length}, 0", body=h.body + h.request), 400, "bad_request"),
    "a length with a plus": (lambda h: post(
        h, f"Content-Length: +{h.length}", body=h.body + h.request), 400, "bad_request"),
    "a negative length": (lambda h: post(
        h, f"Content-Length: -{h.length}", body=h.body + h.request), 400, "bad_request"),
    "minus nothing": (lambda h: post(
        h, "Content-Length: -0", body=h.request), 400, "bad_request"),
    "a length with a blank inside": (lambda h: post(
        h, f"Content-Length: {h.length // 10} {h.length % 10}", body=h.body + h.request),
        400, "bad_request"),
    "a length in hexadecimal": (lambda h: post(
        h, f"Content-Length: 0x{h.length:x}", body=h.body + h.request), 400, "bad_request"),
    "a length in bare hexadecimal": (lambda h: post(
        h, "Content-Length: af", body=h.body + h.request), 400, "bad_request"),
    "a length with a point": (lambda h: post(
        h, f"Content-Length: {h.length}.0", body=h.body + h.request), 400, "bad_request"),
    "a length with an exponent": (lambda h: post(
        h, "Content-Length: 1e2", body=h.body + h.request), 400, "bad_request"),
    "no length": (lambda h: post(
        h, "Content-Length:", body=h.request), 400, "bad_request"),
    "a length that comes round at 32 bits to its right value": (lambda h: post(
        h, f"Content-Length: {(1 << 32) + h.length}", body=h.body + h.request),
        413, "too_large"),
    "a length that comes round at 64 bits to its right value": (lambda h: post(
        h, f"Content-Length: {(1 << 64) + h.length}", body=h.body + h.request),
        400, "bad_request"),
    "a length of all bits": (lambda h: post(
        h, f"Content-Length: {(1 << 64) - 1}", body=h.body + h.request), 413, "too_large"),
    "a length with a NUL": (lambda h: post(
        h, f"Content-Length: {h.length}\x00", body=h.body + h.request), 400, "bad_request"),
    "a length in full-width digits": (lambda h: post(
        h, "Content-Length: \xef\xbc\x95", body=h.body + h.request), 400, "bad_request"),
    "a length with a blank before the colon": (lambda h: post(
        h, f"Content-Length : {h.length}", body=h.body + h.request), 400, "bad_request"),
    "a folded length": (lambda h: post(
        h, f"Content-Length:\r\n {h.length}", body=h.body + h.request), 400, "bad_request"),

    # Chunks.
    "a chunk whose size comes round at 64 bits": (lambda h: post(
        h, CHUNKED, body=f"1{h.length:016x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk whose size comes round at 32 bits": (lambda h: post(
        h, CHUNKED, body=f"1{h.length:08x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        413, "too_large"),
    "a chunk of a negative size": (lambda h: post(
        h, CHUNKED, body=f"-{h.length:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk whose size has a prefix": (lambda h: post(
        h, CHUNKED, body=f"0x{h.length:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk whose size has a blank behind it": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x} \r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk whose size has a blank before it": (lambda h: post(
        h, CHUNKED, body=f" {h.length:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk without a size": (lambda h: post(
        h, CHUNKED, body=f"\r\n{h.body}\r\n0\r\n\r\n" + h.request), 400, "bad_chunk"),
    "a chunk's line that ends in a bare line feed": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk's extension that ends in a bare line feed": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x};a\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "an extension that hides a chunk behind a bare line feed": (lambda h: post(
        h, CHUNKED, body=f"0;\n{h.length:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk's line that ends in a bare carriage return": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\r{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk longer than its size": (lambda h: post(
        h, CHUNKED, body=f"{h.length - 2:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk shorter than its size": (lambda h: post(
        h, CHUNKED, body=f"{h.length + 2:x}\r\n{h.body}\r\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a chunk whose data end in a bare line feed": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\r\n{h.body}\n0\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a last chunk that ends in bare line feeds": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\r\n{h.body}\r\n0\n\n" + h.request), 400, "bad_chunk"),
    "trailers that end in a bare line feed": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\r\n{h.body}\r\n0\r\nX: y\n\r\n" + h.request),
        400, "bad_chunk"),
    "a folded trailer": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x}\r\n{h.body}\r\n0\r\nX: y\r\n z\r\n\r\n" + h.request),
        400, "bad_chunk"),
    "a trailer without a colon": (lambda h: post(
        h, CHUNKED, body=chunks(h.body, end="0\r\nGET / HTTP/1.1\r\n\r\n") + h.request),
        400, "bad_chunk"),
    "an extension without an end": (lambda h: post(
        h, CHUNKED, body=f"{h.length:x};" + "a" * 2000 + f"\r\n{h.body}\r\n0\r\n\r\n"),
        400, "bad_chunk"),

    # Lines.
    "a folded line": (lambda h: post(
        h, f"Content-Length: {h.length}", "X: y\r\n z", body=h.body + h.request),
        400, "bad_request"),
    "a bare carriage return in a value": (lambda h: post(
        h, f"Content-Length: {h.length}", "X: y\rz", body=h.body + h.request),
        400, "bad_request"),
    "a bare carriage return that ends a field": (lambda h: post(
        h, f"Content-Length: {h.length}\rX: y", body=h.body + h.request), 400, "bad_request"),
    "bare line feeds throughout": (lambda h: post(
        h, f"Content-Length: {h.length}", body="").replace("\r\n", "\n") + h.body + h.request,
        400, "bad_request"),
    "a head that ends in a bare line feed": (lambda h: post(
        h, f"Content-Length: {h.length}", body="")[:-2] + "\n" + h.body + h.request,
        400, "bad_request"),
    "a NUL in a value": (lambda h: post(
        h, f"Content-Length: {h.length}", "X: y\x00z", body=h.body + h.request),
        400, "bad_request"),
    "a NUL in a name": (lambda h: post(
        h, f"Content-Length: {h.length}", "X\x00: y", body=h.body + h.request),
        400, "bad_request"),
    "a NUL in the target": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST /products\x00 HTTP/1.1",
        body=h.body + h.request), 400, "bad_request"),
    "a field without a colon": (lambda h: post(
        h, f"Content-Length: {h.length}", "X", body=h.body + h.request), 400, "bad_request"),
    "a blank line's worth of blanks": (lambda h: post(
        h, f"Content-Length: {h.length}", " ", body=h.body + h.request), 400, "bad_request"),
    "two Hosts": (lambda h: post(
        h, "Host: localhost", f"Content-Length: {h.length}", body=h.body + h.request),
        400, "bad_host"),
    "no Host": (lambda h: post(
        h, f"Content-Length: {h.length}", host=None, body=h.body + h.request), 400, "bad_host"),
    "an underscore for the hyphen of the coding": (lambda h: post(
        h, "Transfer_Encoding: chunked", f"Content-Length: {h.length}\r\nContent-Length: 0",
        body=h.body + h.request), 400, "bad_request"),

    # Targets.
    "the authority's form": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST localhost:80 HTTP/1.1",
        body=h.body + h.request), 400, "bad_request"),
    "CONNECT": (lambda h: head("CONNECT localhost:80 HTTP/1.1") + h.request,
                501, "method_not_implemented"),
    "a whole URL of another host": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST http://example.com/products HTTP/1.1",
        body=h.body + h.request), 421, "misdirected_request"),
    "a whole URL, and another host in Host": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST http://localhost/products HTTP/1.1",
        host="example.com", body=h.body + h.request), 421, "misdirected_request"),
    "a whole URL with a user": (lambda h: post(
        h, f"Content-Length: {h.length}",
        line="POST http://localhost@example.com/products HTTP/1.1",
        body=h.body + h.request), 400, "bad_request"),
    "a whole URL of another scheme": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST ftp://localhost/products HTTP/1.1",
        body=h.body + h.request), 400, "bad_request"),
    "two versions": (lambda h: post(
        h, f"Content-Length: {h.length}", line="POST /products HTTP/1.1 HTTP/1.1",
        body=h.body + h.request), 400, "bad_request"),
    "no version": (lambda h: "POST /products\r\n\r\n" + h.request, 400, "bad_request"),
    "HTTP/2's preface": (lambda h: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h.request,
                         505, "version_not_supported"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_doubtful_request_is_refused_and_nothing_of_it_is_done(server, client, beside, name):
    make, status, code = SHAPES[name]
    hidden = Hidden()
    refused(server, make(hidden), status, code)
    assert hidden.skus_made(client) == []


def test_the_hidden_request_would_be_found_if_it_were_done(server, client):
    """As a second request that is really one."""
    hidden = Hidden()
    answers, _ = exchange(server, post(hidden, f"Content-Length: {hidden.length}",
                                       body=hidden.body + hidden.request))
    assert [a.status for a in answers] == [201, 201]
    assert hidden.skus_made(client) == [hidden.front, hidden.behind]


# ---- a body is a body, whoever wants it

BODIES_UNWANTED = {
    "of a GET": ("GET /livez HTTP/1.1", 200),
    "of a HEAD": ("HEAD /livez HTTP/1.1", 200),
    "of an OPTIONS": ("OPTIONS * HTTP/1.1", 204),
    "of a DELETE": ("DELETE /carts/x/items/y HTTP/1.1", 404),
    "of an unknown path": ("POST /nothing HTTP/1.1", 404),
    "of a method that is not allowed": ("PUT /livez HTTP/1.1", 405),
    "of a command that takes none": ("POST /orders/x/pay HTTP/1.1", 404),
    "that is no JSON": ("POST /carts HTTP/1.1", 415),
}


@pytest.mark.parametrize("name", BODIES_UNWANTED)
def test_a_request_in_a_body_that_nobody_wants_is_not_one(server, client, beside, name):
    line, status = BODIES_UNWANTED[name]
    hidden = Hidden()
    with Raw(server, timeout=60) as raw:
        raw.send(head(line, f"Content-Length: {len(hidden.request)}") + hidden.request)
        answer = raw.answer(is_head=line.startswith("HEAD"))
        assert answer.status == status, (answer.status, answer.body)
        if answer.headers["Connection"] == "close":
            assert raw.is_closed()
        else:  # the next request is the one behind the body
            raw.send(head("GET /nothing HTTP/1.1")).answer().problem(404, "not_found")
    assert hidden.skus_made(client) == []


@pytest.mark.parametrize("name", [n for n in BODIES_UNWANTED if n != "of an OPTIONS"])
def test_a_request_in_chunks_that_nobody_wants_is_not_one(server, client, beside, name):
    line, status = BODIES_UNWANTED[name]
    hidden = Hidden()
    with Raw(server, timeout=60) as raw:
        raw.send(head(line, CHUNKED) + chunks(hidden.request))
        answer = raw.answer(is_head=line.startswith("HEAD"))
        assert answer.status == status, (answer.status, answer.body)
        if answer.headers["Connection"] == "close":
            assert raw.is_closed()
        else:
            raw.send(head("GET /nothing HTTP/1.1")).answer().problem(404, "not_found")
    assert hidden.skus_made(client) == []


def with_trailers(hidden, *fields):
    trailers = "".join(f"{field}\r\n" for field in fields)
    return head("POST /products HTTP/1.1", JSON, CHUNKED) + chunks(
        hidden.body, end=f"0\r\n{trailers}\r\n") + hidden.request


def test_trailers_change_nothing(server, client, beside):
    """Neither who asks, nor for whom, nor what becomes of the connection."""
    hidden = Hidden()
    answers, _ = exchange(server, with_trailers(
        hidden, "Host: example.com", "X-User-Id: mallory", "Idempotency-Key: mine",
        "Connection: close", "Expect: 100-continue", "Content-Type: text/plain"))
    assert [a.status for a in answers] == [201, 201]
    assert "Connection" not in answers[0].headers
    event, = [e for e in client.all("/events?eventType=ProductAdded")
              if e["aggregateId"] == hidden.front]
    assert event["metadata"]["userId"] is None


@pytest.mark.parametrize("field", ["Content-Length: 0", "Transfer-Encoding: chunked",
                                   "content-length: 300"])
def test_trailers_that_say_where_a_body_ends_are_refused(server, client, beside, field):
    hidden = Hidden()
    refused(server, with_trailers(hidden, field), 400, "bad_chunk")
    assert hidden.skus_made(client) == []


# ---- what comes behind a request

BEHIND = {
    "garbage": ("\x00\x01\x02 garbage \xff\r\n\r\n", 400, "bad_request"),
    "half a word": ("GARBAGE", 400, "incomplete_request"),
    "a bare line feed": ("\n", 400, "bad_request"),
    "too many empty lines": ("\r\n" * 5, 400, "bad_request"),
    "a TLS handshake": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", 400, "bad_request"),
    "the rest of a body that was longer": ('"}]}', 400, "bad_request"),
}


@pytest.mark.parametrize("name", BEHIND)
def test_what_is_no_request_behind_one_ends_the_connection(server, client, beside, name):
    text, status, code = BEHIND[name]
    hidden = Hidden()
    answers, _ = exchange(server, bytes_of(
        head("GET /livez HTTP/1.1") + text + ("" if name == "half a word" else hidden.request)),
        finish=True)
    assert [a.status for a in answers] == [200, status]
    answers[1].problem(status, code)
    assert hidden.skus_made(client) == []


def test_a_request_after_the_last_one_is_not_read(server, client, beside):
    hidden = Hidden()
    answers, closed = exchange(server, head("GET /livez HTTP/1.1", "Connection: close") +
                               hidden.request)
    assert [a.status for a in answers] == [200] and closed
    assert hidden.skus_made(client) == []
