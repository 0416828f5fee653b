"""The one table of limits: each row is tried with n and with n + 1, on a server where it is small."""
import socket
import subprocess
import time

import pytest

from client import Raw, eventually
from conftest import BINARY, FAST, clean_environment
from shop import add_product, place, unique
from stream import Stream, positions

TRIED = set()


def limit(*names):
    """Marks a test as the one that tries these rows."""
    TRIED.update(names)
    return lambda test: test


def head(line="GET /livez HTTP/1.1", *headers):
    return "\r\n".join([line, "Host: localhost", *headers, "", ""])


def refused(raw, status):
    assert raw.answer().status == status
    assert raw.is_closed()


def small(start, **limits):
    return start(*FAST, *[f"--set=http.{name}={value}" for name, value in limits.items()])


@limit("request_line_max")
def test_a_request_line_may_be_this_long(start):
    server = small(start, request_line_max=200)
    line = "GET /livez?{} HTTP/1.1"
    pad = 200 - len(line.format(""))
    with Raw(server) as raw:
        assert raw.send(head(line.format("x" * pad))).answer().status in (200, 400)
        raw.send(head(line.format("x" * (pad + 1))))
        refused(raw, 414)


@limit("header_block_max")
def test_a_header_block_may_be_this_long(start):
    server = small(start, header_block_max=500)
    pad = 500 - len("Host: localhost\r\nX-Pad: \r\n")
    with Raw(server) as raw:
        raw.send(head("GET /livez HTTP/1.1", "X-Pad: " + "x" * pad)).answer().is_(200)
        raw.send(head("GET /livez HTTP/1.1", "X-Pad: " + "x" * (pad + 1)))
        refused(raw, 431)


@limit("header_fields_max")
def test_a_header_may_have_so_many_fields(start):
    server = small(start, header_fields_max=10)
    with Raw(server) as raw:
        raw.send(head("GET /livez HTTP/1.1", *["X: 1"] * 9)).answer().is_(200)
        raw.send(head("GET /livez HTTP/1.1", *["X: 1"] * 10))
        refused(raw, 431)


@limit("empty_lines_max")
def test_so_many_empty_lines_may_come_before_a_request(start):
    server = small(start, empty_lines_max=3)
    with Raw(server) as raw:
        raw.send("\r\n" * 3 + head()).answer().is_(200)
        raw.send("\r\n" * 4 + head())
        refused(raw, 400)


def chunked_request(extension="", trailer=""):
    body = '{"customerId":"c"}'
    return (head("POST /carts HTTP/1.1", "Content-Type: application/json",
                 "Transfer-Encoding: chunked") +
            f"{len(body):x}{extension}\r\n{body}\r\n0\r\n{trailer}\r\n")


@limit("chunk_extensions_max")
def test_chunk_extensions_may_be_this_long(start):
    server = small(start, chunk_extensions_max=50)
    with Raw(server) as raw:
        raw.send(chunked_request(extension=";a=" + "x" * 47)).answer().is_(201)
        raw.send(chunked_request(extension=";a=" + "x" * 48))
        refused(raw, 400)


@limit("trailers_max")
def test_trailers_may_be_this_long(start):
    server = small(start, trailers_max=50)
    line = "X: {}\r\n"
    with Raw(server) as raw:
        raw.send(chunked_request(trailer=line.format("x" * 45))).answer().is_(201)
        raw.send(chunked_request(trailer=line.format("x" * 46)))
        refused(raw, 400)


def padded(n):
    body = '{"customerId":"c"'
    return body + " " * (n - len(body) - 1) + "}"


@limit("body_max")
def test_a_body_may_be_this_long(start):
    server = small(start, body_max=1000)
    for chunked in (False, True):
        for n, status in ((1000, 201), (1001, 413)):
            with Raw(server) as raw:
                if chunked:
                    raw.send(head("POST /carts HTTP/1.1", "Content-Type: application/json",
                                  "Transfer-Encoding: chunked"))
                    raw.send(f"{n:x}\r\n{padded(n)}\r\n0\r\n\r\n")
                else:
                    raw.send(head("POST /carts HTTP/1.1", "Content-Type: application/json",
                                  f"Content-Length: {n}") + padded(n))
                answer = raw.answer().is_(status)
                if status == 413:
                    answer.problem(413, "too_large")


def test_a_message_may_have_256_kib_and_other_bodies_a_mebibyte(client):
    def message(n):
        text = '{"messageId":"%s","payload":{"orderId":"x","reason":"r"}' % unique("m")
        return (text + " " * (n - len(text) - 1) + "}").encode()
    client.post("/messages/stock.rejected", raw=message(256 << 10)).is_(202)
    client.post("/messages/stock.rejected", raw=message((256 << 10) + 1)).problem(413, "too_large")
    client.post("/carts", raw=padded(1 << 20).encode()).is_(201)
    client.post("/carts", raw=padded((1 << 20) + 1).encode()).problem(413, "too_large")


@limit("header_time_ms")
def test_a_header_must_come_in_time(start):
    server = small(start, header_time_ms=400)
    with Raw(server) as raw:
        began = time.monotonic()
        raw.send("GET /livez HTTP/1.1\r\nHost: local")
        refused(raw, 408)
        assert 0.35 < time.monotonic() - began < 5
    with Raw(server) as raw:  # drop by drop is no better
        raw.socket.settimeout(0.05)
        with pytest.raises((AssertionError, OSError, EOFError)):
            for c in head() * 20:
                raw.send(c)
                time.sleep(0.02)
                try:
                    assert raw._more() == b"never"
                except socket.timeout:
                    pass
        assert raw.buffer.startswith(b"HTTP/1.1 408") or raw.buffer == b""


@limit("body_time_ms", "body_rate_min")
def test_a_body_must_come_in_time_and_at_its_rate(start):
    server = small(start, body_time_ms=400, body_rate_min=1000)
    with Raw(server) as raw:
        began = time.monotonic()
        raw.send(head("POST /carts HTTP/1.1", "Content-Type: application/json",
                      "Content-Length: 100") + "{")
        refused(raw, 408)
        assert 0.35 < time.monotonic() - began < 5
    with Raw(server) as raw:  # at 20 kB/s it may take as long as it takes
        began = time.monotonic()
        body = padded(20000)
        raw.send(head("POST /carts HTTP/1.1", "Content-Type: application/json",
                      f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 1000):
            raw.send(body[at:at + 1000])
            time.sleep(0.05)
        raw.answer().is_(201)
        assert time.monotonic() - began > 0.8


@limit("idle_time_ms")
def test_an_idle_connection_is_closed(start):
    server = small(start, idle_time_ms=400)
    with Raw(server) as raw:
        raw.send(head()).answer().is_(200)
        began = time.monotonic()
        assert raw.is_closed()
        assert 0.35 < time.monotonic() - began < 5
    with Raw(server) as raw:  # one that never asked anything too
        assert raw.is_closed()


@limit("pipeline_max")
def test_so_many_requests_of_a_connection_are_in_work_at_once(start):
    def seconds(pipeline_max):
        server = small(start, pipeline_max=pipeline_max)
        with server.client() as client:
            path = f"/orders/{place(client)['orderId']}?until=COMPLETED&wait=200ms"
        with Raw(server) as raw:
            began = time.monotonic()
            raw.send(head(f"GET {path} HTTP/1.1") * 6)
            for _ in range(6):
                raw.answer().is_(200)
            return time.monotonic() - began
    assert seconds(2) >= 0.58  # three rounds
    assert seconds(6) < 0.58   # one


def big_list(server):
    """A path with an answer of some 300 kB."""
    with server.client() as client:
        for _ in range(250):
            add_product(client, description="x" * 1000)
    return "/products?limit=500"


@limit("output_max")
def test_a_client_that_does_not_read_is_not_read_either(start):
    """All answers come in the end; until then the server holds only a bounded part of them."""
    server = small(start, output_max=10000, pipeline_max=16)
    path = big_list(server)
    with Raw(server, receive_buffer=4096) as raw:
        raw.socket.setblocking(False)
        sent, request = 0, head(f"GET {path} HTTP/1.1").encode()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                sent += raw.socket.send(request[sent % len(request):])
            except BlockingIOError:
                time.sleep(0.05)
                if time.monotonic() > deadline - 1:
                    break
        raw.socket.settimeout(20)
        answers = sent // len(request)
        with server.client() as other:
            resident, = [line for line in other.get("/metrics").body.decode().splitlines()
                         if line.startswith("process_resident_memory_bytes ")]
            other.get("/livez").is_(200)
        # Thousands of answers of 300 kB would be gigabytes.
        assert float(resident.split(" ")[1]) < 500e6
        for _ in range(min(answers, 20)):
            raw.answer().is_(200)


@limit("write_stall_ms")
def test_a_client_that_takes_nothing_is_cut_off(start):
    server = small(start, write_stall_ms=400)
    path = big_list(server)

    def connections():
        with server.client() as other:
            text = other.get("/metrics").body.decode()
        return int([line for line in text.splitlines()
                    if line.startswith("orderly_http_connections ")][0].split(" ")[1])
    with Raw(server, receive_buffer=4096) as raw:
        raw.send(head(f"GET {path} HTTP/1.1") * 50)
        eventually(lambda: connections() == 2, seconds=5)
        eventually(lambda: connections() == 1, seconds=10)
        raw.socket.settimeout(5)
        with pytest.raises((EOFError, ConnectionError)):
            for _ in range(50):
                raw.answer()


@limit("discard_max", "linger_max", "linger_time_ms")
def test_an_unwanted_body_is_read_up_to_a_point_so_that_the_answer_arrives(start):
    server = small(start, discard_max=1000, linger_max=100000, linger_time_ms=500)

    def post(n):
        return head("POST /nothing HTTP/1.1", "Content-Type: application/json",
                    f"Content-Length: {n}")
    with Raw(server) as raw:  # small enough to be passed over: the connection goes on
        raw.send(post(1000) + "x" * 1000).answer().is_(404)
        raw.send(head()).answer().is_(200)
    with Raw(server) as raw:  # one more, and it ends
        raw.send(post(1001) + "x" * 1001)
        answer = raw.answer().is_(404)
        assert answer.headers["Connection"] == "close"
        assert raw.is_closed()
    with Raw(server) as raw:  # one that never stops is cut off, by size or by time
        raw.send(post(10**9))
        raw.answer().is_(404)
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 10:
                raw.send("x" * 10000)
                time.sleep(0.01)
    with Raw(server) as raw:
        raw.send(post(10**9))
        raw.answer().is_(404)
        assert raw.is_closed()


@limit("connections_max")
def test_so_many_connections_are_open_at_once(start):
    server = small(start, connections_max=5)
    held = [Raw(server) for _ in range(5)]
    try:
        for raw in held:
            raw.send(head()).answer().is_(200)
        with Raw(server) as raw:
            raw.send(head())
            refused(raw, 503)
        held.pop().socket.close()

        def again():
            with Raw(server) as raw:
                assert raw.send(head()).answer().status == 200
        eventually(again)
        for raw in held:
            raw.send(head()).answer().is_(200)
    finally:
        for raw in held:
            raw.socket.close()


@limit("connections_per_address_max")
def test_loopback_is_exempt_from_the_limit_per_address(start):
    server = small(start, connections_per_address_max=1)
    with Raw(server) as one, Raw(server) as two:
        for raw in (one, two, one):
            raw.send(head()).answer().is_(200)


@limit("stream_queue_max")
def test_a_stream_goes_through_a_queue_of_any_size(start):
    server = small(start, stream_queue_max=1)  # what is larger goes alone
    with server.client() as client:
        sku = add_product(client)
        orders = [place(client, sku)["orderId"] for _ in range(20)]
        with Stream(server, "/events/stream?after=0") as stream:
            assert positions(stream.take(1 + 7 * len(orders))) == list(range(1, 142))


def test_every_row_of_the_table_is_tried():
    text = subprocess.run([BINARY, "help", "serve"], capture_output=True, text=True, check=True,
                          env=clean_environment()).stdout
    rows = {line.split()[0][5:] for line in text.splitlines() if line.startswith("  http.")}
    assert rows == TRIED


@pytest.mark.parametrize("value", ["0", "-1", "many", ""])
def test_a_limit_of_nothing_is_refused(value):
    result = subprocess.run([BINARY, "serve", "--set", f"http.body_max={value}"],
                            capture_output=True, text=True, timeout=20, env=clean_environment())
    assert result.returncode == 64
    assert "http.body_max" in result.stderr
