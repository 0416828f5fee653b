"""Following the log: from any position on, in order, each once, as fast as the client reads."""
import json
import signal
import threading
import time

import pytest

from client import Raw, eventually
from conftest import FAST
from shop import (UNKNOWN_ID, add_product, order, order_body, place, publish, types_of, unique,
                  wait_for)
from stream import Stream, positions
from test_health import metrics

QUIET = ["--set=log.audit=false"]


def last_position(client):
    return client.all("/events?after=0&limit=500")[-1]["position"]


def pour(server, sku, n, at_once=16):
    """So many orders over one connection, pipelined; each is accepted."""
    body = json.dumps(order_body(sku, 1))
    request = ("POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    with Raw(server, timeout=60) as raw:
        sent = answered = 0
        tail = b""
        while answered < n:
            room = min(n - sent, at_once - (sent - answered))
            if room > at_once // 2 or (room and room == n - sent):
                raw.send(request * room)
                sent += room
            piece = raw.socket.recv(1 << 20)
            assert piece, "the server has closed"
            text = tail + piece
            answered += text.count(b"HTTP/1.1 ")
            assert b"HTTP/1.1 4" not in text and b"HTTP/1.1 5" not in text, text
            tail = text[-8:]  # shorter than what is counted
    return n


def pour_by(server, sku, n, connections):
    threads = [threading.Thread(target=pour, args=(server, sku, n // connections))
               for _ in range(connections)]
    for t in threads:
        t.start()
    return threads


# ---- what comes


def test_each_position_can_be_resumed_from(server, client):
    order = place(client)["orderId"]
    wait_for(client, order, "SHIPPED")
    last = last_position(client)
    events = client.all("/events?after=0")
    with Stream(server, "/events/stream?after=0") as stream:
        frames = stream.upto(last)
    assert [f.json for f in frames] == events
    assert [f.event for f in frames] == [e["eventType"] for e in events]
    epoch = stream.start.split(".")[0]
    assert len(epoch) == 32 and set(epoch) <= set("0123456789abcdef")
    assert [f.id for f in frames] == [f"{epoch}.{p}" for p in range(1, last + 1)]
    for n, frame in enumerate(frames[:-1]):
        with Stream(server, "/events/stream?after=0", {"Last-Event-ID": frame.id}) as stream:
            assert stream.start == frame.id
            assert positions(stream.upto(last)) == list(range(n + 2, last + 1))


def test_messages_are_those_of_the_list(server, client):
    wait_for(client, place(client)["orderId"], "SHIPPED")
    for pattern in ("order.*", "payment.processed", "*"):
        listed = client.all(f"/messages?after=0&topic={pattern}")
        with Stream(server, f"/api/messages/stream?after=0&topic={pattern}") as stream:
            frames = stream.take(len(listed))
        assert [f.json for f in frames] == listed
        assert [f.event for f in frames] == [m["topic"] for m in listed]


def test_filters_hold_for_history_and_for_now(server, client):
    before = place(client)["orderId"]
    wait_for(client, before, "SHIPPED")
    end = last_position(client)
    with Stream(server, "/events/stream?after=0&eventType=OrderShipped") as shipped, \
            Stream(server, f"/events/stream?orderId={before}") as silent, \
            Stream(server, "/messages/stream?topic=shipment.*") as shipments:
        after = place(client)["orderId"]
        wait_for(client, after, "SHIPPED")
        with Stream(server, f"/events/stream?after=0&correlationId={after}") as one:
            assert [f.event for f in one.take(7)] == types_of(client, after)
        while (frame := shipped.event()).json["aggregateId"] != after:
            assert frame.event == "OrderShipped" and frame.position <= end
        frame = shipments.event()
        assert frame.event == "shipment.created" and frame.json["correlationId"] == after
        shipment = order(client, before)["shipmentId"]
        client.post(f"/shipments/{shipment}/dispatch").is_(200)
        assert silent.event().event == "ShipmentDispatched"


def test_history_and_now_join_without_a_gap(start):
    """100,000 events of history, read while new ones come in."""
    server = start(*FAST, *QUIET, "--store=memory")
    with server.client() as client:
        sku = add_product(client, stock=1000000)
        for t in pour_by(server, sku, 13600, 2):
            t.join()
        threads = pour_by(server, sku, 800, 2)
        with Stream(server, "/events/stream?after=0", timeout=60) as stream, \
                Stream(server, "/messages/stream?after=0&topic=order.placed", timeout=60) as placed:
            n = 1 + 7 * 14400
            frames = stream.take(n)
            assert positions(frames) == list(range(1, n + 1))
            orders = placed.take(14400)
            assert positions(orders) == [f.position for f in frames if f.event == "OrderPlaced"]
        for t in threads:
            t.join()


def test_an_outside_context_hears_all_over_restarts(start, tmp_path):
    """It keeps its last id; the log is the same one after a kill, so it goes on from there."""
    where = (*FAST, "--data", str(tmp_path / "data"))
    heard, last_id = [], None
    for _ in range(3):
        server = start(*where)
        resume = {"Last-Event-ID": last_id} if last_id else {}
        with server.client() as client:
            with Stream(server, "/messages/stream?topic=order.placed&after=0", resume) as stream:
                if heard:
                    heard.append(stream.event().json["payload"]["orderId"])
                for _ in range(2):
                    placed = place(client)["orderId"]
                    frame = stream.event()
                    assert frame.json["payload"]["orderId"] == placed
                    heard.append(placed)
                    last_id = frame.id
            missed = place(client)["orderId"]  # nobody listens
        server.stop(signal.SIGKILL)
    with start(*where).client() as client:
        listed = [m["payload"]["orderId"] for m in client.all("/messages?topic=order.placed")]
    assert heard + [missed] == listed


# ---- what is refused


def test_a_place_in_another_log_is_gone(start, tmp_path):
    first = start("--store=memory")
    with Stream(first, "/events/stream") as stream:
        here = stream.start
    with first.client() as client:
        client.get("/events/stream?after=1").problem(410, "log_restored")
        client.get("/messages/stream", headers={"Last-Event-ID": here + "1"}).problem(
            410, "log_restored")
        for bad in ("x", "-1", "1.", ".1", here + ".1", "1" * 30):
            answer = client.get(f"/events/stream?after={bad}").problem(400, "validation")
            assert answer["errors"][0]["parameter"] == "after"
            client.get("/events/stream", headers={"Last-Event-ID": bad}).problem(400, "validation")
        client.get("/events/stream", headers={"Accept": "application/json"}).is_(406)
        client.get("/events/stream?topic=order.placed").problem(400, "validation")
        assert client.request("HEAD", "/messages/stream").is_(200).body == b""
    # A log in memory is another one with each process.
    with start("--store=memory").client() as client:
        client.get(f"/events/stream?after={here}").problem(410, "log_restored")


def test_roles(start, tmp_path):
    tokens = tmp_path / "tokens"
    names = {role: unique(role) + "x" * 40 for role in ("customer", "context", "operator")}
    tokens.write_text("".join(f"{role} {token} {role}\n" for role, token in names.items()))
    tokens.chmod(0o600)
    server = start("--token-file", str(tokens))
    may = {"/events/stream": {"operator"}, "/messages/stream": {"context", "operator"}}
    for path, roles in may.items():
        for role, token in names.items():
            headers = {"Authorization": f"Bearer {token}"}
            if role in roles:
                Stream(server, path, headers).socket.close()
            else:
                with server.client() as client:
                    client.get(path, headers=headers).problem(403, "forbidden")
        with server.client() as client:
            client.get(path).problem(401, "unauthorized")


def test_a_token_that_is_taken_back_ends_its_streams(start, tmp_path):
    tokens = tmp_path / "tokens"
    old, new = unique("old") + "x" * 40, unique("new") + "x" * 40

    def write(*lines):
        tokens.write_text("".join(f"context {token} {name}\n" for token, name in lines))
        tokens.chmod(0o600)
    write((old, "payments"), (new, "payments"))
    server = start("--token-file", str(tokens))
    with Stream(server, "/messages/stream", {"Authorization": f"Bearer {old}"}) as first, \
            Stream(server, "/messages/stream", {"Authorization": f"Bearer {new}"}) as second:
        write((new, "payments"))
        server.send_signal(signal.SIGHUP)
        assert first.rest() == []
        with server.client(token=new) as client:
            client.get("/messages/stream",
                       headers={"Authorization": f"Bearer {old}"}).problem(401, "unauthorized")
            publish(client, "payment.declined", UNKNOWN_ID, reason="no").is_(202)
        assert second.event().event == "payment.declined"


# ---- bounds


def clients_of(client):
    found = metrics(client)
    return sum(v for (name, _), v in found.items() if name == "orderly_stream_clients")


def test_so_many_clients_may_follow(start):
    server = start("--set=stream_clients_max=3")
    streams = [Stream(server, path) for path in ("/events/stream", "/messages/stream",
                                                 "/events/stream?after=0")]
    with server.client() as client:
        refused = client.get("/messages/stream")
        refused.problem(503, "overloaded")
        assert refused.headers["Retry-After"]
        assert client.request("HEAD", "/messages/stream").status == 200
        assert clients_of(client) == 3
        # One that goes makes room for the next, though it says nothing.
        streams.pop().socket.close()
        eventually(lambda: clients_of(client) == 2)
        streams.append(Stream(server, "/messages/stream"))
        for stream in streams:
            stream.socket.close()
        eventually(lambda: clients_of(client) == 0)


def test_a_thousand_clients_hear_every_event(start):
    server = start(*FAST)
    with server.client() as client:
        sku = add_product(client, stock=1000)
        streams = [Stream(server, "/messages/stream?topic=order.*" if n % 2 else "/events/stream")
                   for n in range(1000)]
        client.get("/events/stream").problem(503, "overloaded")
        orders = [place(client, sku)["orderId"] for _ in range(5)]
        for order in orders:
            wait_for(client, order, "SHIPPED")
        events = client.all("/events?after=1")
        ours = [e["position"] for e in events if e["eventType"].startswith("Order")]
        for n, stream in enumerate(streams):
            expected = ours if n % 2 else [e["position"] for e in events]
            assert positions(stream.take(len(expected))) == expected
            stream.socket.close()


def test_a_reader_that_does_not_read_is_cut_off(start):
    server = start(*FAST, *QUIET, "--store=memory", "--set=http.stream_queue_max=20000")
    with server.client() as client:
        sku = add_product(client, stock=1000000)
        with Stream(server, "/events/stream", receive_buffer=4096) as slow, \
                Stream(server, "/messages/stream?topic=order.placed") as other:
            first = slow.start
            n = 0

            def is_cut_off():
                return metrics(client)["orderly_stream_overflows_total", 'kind="events"'] == 1
            while not is_cut_off():
                n += pour(server, sku, 1000)
                assert n <= 20000, "it is never cut off"
            assert len(positions(other.take(n))) == n  # who reads is not
            frames = slow.rest()
        last = frames.pop()
        assert last.event == "overflow" and last.id is None
        assert last.json["code"] == "overflow"
        p = int(first.split(".")[1])
        assert positions(frames) == list(range(p + 1, p + 1 + len(frames)))
        assert "streams_cut_off" in server.log()
        # It goes on behind its last id, and what it reads then is history.
        with Stream(server, "/events/stream", {"Last-Event-ID": frames[-1].id}) as stream:
            end = frames[-1].position
            more = stream.take(1000)
            assert positions(more) == list(range(end + 1, end + 1001))


def test_something_comes_at_once_and_after_fifteen_seconds(start):
    server = start()
    with Stream(server, "/messages/stream") as stream:
        began = time.monotonic()
        assert stream.frame().comment == f"from {stream.start}"
        assert stream.frame().comment == ""
        assert 14.5 < time.monotonic() - began < 28


# ---- the end


@pytest.mark.parametrize("reads", [True, False])
def test_open_streams_end_with_the_server(start, reads):
    server = start(*FAST)
    with server.client() as client:
        wait_for(client, place(client)["orderId"], "SHIPPED")
        last = last_position(client)
    streams = [Stream(server, "/events/stream?after=0" if n % 2 else "/messages/stream")
               for n in range(20)]
    if reads:
        assert positions(streams[1].upto(last)) == list(range(1, last + 1))
    server.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for n, stream in enumerate(streams):
        frames = stream.rest()
        if n % 2 and not (reads and n == 1):
            got = positions(frames)
            assert got == list(range(1, len(got) + 1))  # a beginning of it
        stream.socket.close()
    assert server.wait() == 0
    assert time.monotonic() - began < 5


def test_a_client_that_does_not_read_holds_nobody_up(start):
    server = start(*FAST, *QUIET, "--store=memory")
    with server.client() as client:
        pour(server, add_product(client, stock=10000), 2000)
        with Stream(server, "/events/stream?after=0", receive_buffer=4096):
            def has_stalled():
                pages = metrics(client)["orderly_stream_pages_total", ""]
                time.sleep(0.1)
                return 0 < pages == metrics(client)["orderly_stream_pages_total", ""]
            eventually(has_stalled)
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            assert time.monotonic() - began < 8  # --drain is 10 s
            assert "drain_over" not in server.log()
