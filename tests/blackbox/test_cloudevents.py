"""Messages as CloudEvents 1.0 over HTTP, as a client of others would write and read them."""
import json
import signal
from urllib.parse import quote

import pytest

from client import eventually
from shop import (STOCK_FIRST_EVENTS, UNKNOWN_ID, checkout, order, place, simulate, types_of, unique,
                  wait_event, wait_for)
from stream import Stream

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
REQUIRED = ("specversion", "id", "source", "type")


def an_event(topic="payment.declined", order_id=UNKNOWN_ID, **attributes):
    return {"specversion": "1.0", "id": unique("event"), "source": "https://pay.example/",
            "type": topic, "data": {"orderId": order_id, "reason": "no"}, **attributes}


def structured(client, event, path="/messages"):
    return client.post(path, event, headers={"Content-Type": EVENT})


def batch(client, events, path="/messages"):
    return client.post(path, events, headers={"Content-Type": BATCH})


def binary(client, event, path="/messages", **more):
    """As the HTTP binding has it: every attribute percent-encoded, the data alone as the body."""
    headers = {f"ce-{name}": quote(value, safe="!#$&'()*+,/:;=?@[]\\^`{|}<>~-._")
               for name, value in event.items() if name != "data"}
    return client.post(path, event["data"], headers={**headers, **more})


def metadata_of(client, answer):
    position = answer.is_(202).json["position"]
    event = client.get(f"/events?after={position - 1}&limit=1").is_(200).json["data"][0]
    assert event["position"] == position
    return event


# ---- what we say

def check_event(event, message):
    """A CloudEvent says what the message says, and nothing about it is missing."""
    assert event["specversion"] == "1.0"
    assert event["source"] == "/orderly"
    assert event["id"] == message["messageId"]
    assert event["type"] == message["topic"]
    assert event["time"] == message["timestamp"]
    assert event["datacontenttype"] == "application/json"
    assert event["subject"] == event["partitionkey"] == event["correlationid"] \
        == message["correlationId"]
    assert event["sequence"] == f"{message['position']:020}"
    assert event["data"] == message["payload"]
    assert set(event) - {"causationid", "traceparent"} == {
        "specversion", "id", "source", "type", "time", "datacontenttype", "subject", "partitionkey",
        "correlationid", "sequence", "data"}


def test_the_list_is_a_batch_where_accept_asks_for_it(client):
    o = place(client)
    eventually(lambda: types_of(client, o["orderId"]) == STOCK_FIRST_EVENTS)
    first = int(client.get(f"/events?orderId={o['orderId']}&limit=1").json["data"][0]["position"])
    plain = client.get(f"/messages?after={first - 1}&limit=100").is_(200).json["data"]
    answer = client.get(f"/messages?after={first - 1}&limit=100", headers={"Accept": BATCH}).is_(200)
    assert answer.headers["Content-Type"] == BATCH
    events = answer.json
    assert len(events) >= 7
    for event, message in zip(events, plain):
        check_event(event, message)
    mine = [e for e in events if e["subject"] == o["orderId"]]
    assert "causationid" not in mine[0]
    ids = [e["id"] for e in mine]
    for event in mine[1:]:
        assert event["causationid"] in ids


def test_a_batch_names_its_next_page_in_link_alone(client):
    for _ in range(3):
        place(client)
    seen, path = [], "/messages?limit=2&encoding=cloudevents&topic=order.placed"
    for _ in range(1000):
        answer = client.get(path).is_(200)
        assert answer.headers["Content-Type"] == BATCH
        seen += answer.json
        link = answer.headers["Link"]
        if not link:
            break
        path = link.split(">")[0][1:]
        assert "encoding=cloudevents" in path
    ids = [m["messageId"] for m in client.all("/messages?topic=order.placed")]
    assert [e["id"] for e in seen] == ids[:len(seen)] and len(seen) >= 3


def test_who_reads_one_event_only_gets_no_list(client):
    client.get("/messages", headers={"Accept": EVENT}).problem(406, "not_acceptable")
    assert client.get("/messages?encoding=yaml").parameters() == ["encoding"]


def test_a_stream_says_cloud_events_to_who_asks(server, client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    first = int(client.get(f"/events?orderId={o['orderId']}&limit=1").json["data"][0]["position"])
    plain = client.get(f"/messages?after={first - 1}&limit=7").is_(200).json["data"]
    with Stream(server, f"/messages/stream?after={first - 1}&encoding=cloudevents") as by_query, \
            Stream(server, f"/messages/stream?after={first - 1}",
                   headers={"Accept": f"text/event-stream, {EVENT}"}) as by_accept:
        for stream in (by_query, by_accept):
            for frame, message in zip(stream.take(len(plain)), plain):
                check_event(frame.json, message)
                assert frame.event == message["topic"]
                assert frame.position == message["position"]


def test_source_and_prefix_are_configured(start):
    server = start("--demo", "--set=cloudevents.source=https://shop.example/orders",
                   "--set=cloudevents.type_prefix=com.example.")
    with server.client() as client:
        o = place(client, "WIDGET-001")
        event = client.get("/messages?topic=order.*&limit=1&encoding=cloudevents").is_(200).json[0]
        assert event["source"] == "https://shop.example/orders"
        assert event["type"] == "com.example.order.placed"
        event = an_event("com.example.payment.declined", o["orderId"])
        assert metadata_of(client, structured(client, event))["eventType"] == "PaymentDeclined"
        binary(client, an_event("payment.declined", o["orderId"])).is_(202)


# ---- what is said to us

@pytest.mark.parametrize("send", [structured, binary, lambda c, e: batch(c, [e])])
def test_a_payment_by_cloud_event_pays_the_order(client, send):
    simulate(client, "payments", mode="wait")
    try:
        o = checkout(client)
        event = an_event("payment.approved", o["orderId"], correlationid=o["orderId"],
                         subject="Euro € 😀", time="2026-11-20T13:00:05+01:00",
                         data={"orderId": o["orderId"], "paymentId": unique("p"),
                               "approvedAmount": o["totalAmount"], "currency": "USD"})
        send(client, event).is_(202)
        assert wait_for(client, o["orderId"], "STOCK_RESERVED")["paymentId"] \
            == event["data"]["paymentId"]
        approved = wait_event(client, o["orderId"], "PaymentApproved")
        assert approved["metadata"]["messageId"] == event["id"]
        assert order(client, o["orderId"])["status"] in ("STOCK_RESERVED",)
    finally:
        simulate(client, "payments", mode="approve")


def test_the_same_event_is_taken_once_however_it_comes(client):
    event = an_event(order_id=unique("elsewhere"))
    answers = [send(client, event).is_(202).json for send in (structured, binary, structured)]
    answers.append(batch(client, [event, event]).is_(202).json["results"][1])
    answers.append(structured(client, event, "/messages/payment.declined").is_(202).json)
    assert all(a == answers[0] for a in answers), answers
    other = {**event, "data": {**event["data"], "reason": "another"}}
    for send in (structured, binary):
        send(client, other).problem(422, "idempotency_mismatch")
    structured(client, {**event, "source": "/other"}).problem(422, "idempotency_mismatch")


def test_header_values_are_unquoted_and_decoded_once(client):
    event = an_event(order_id=unique("elsewhere"))
    quoted = f'"{event["id"]}"'
    answer = binary(client, event, **{"ce-id": quoted, "ce-subject": '"a \\"b\\" %2525"'}).is_(202)
    assert answer.json["messageId"] == event["id"]
    for bad in ("%", "%4", "%zz", "%C0%A0", "%E2%82", '"open', 'a"b', "100% sure"):
        problem = binary(client, an_event(), **{"ce-subject": bad}).problem(400, "validation")
        assert [e["header"] for e in problem["errors"]] == ["ce-subject"], bad


@pytest.mark.parametrize("name", REQUIRED)
def test_what_an_event_must_have_is_pointed_at(client, name):
    event = an_event()
    del event[name]
    assert structured(client, event).pointers() == [f"/{name}"]
    errors = binary(client, event).problem(400, "validation")["errors"]
    assert [e["header"] for e in errors] == [f"ce-{name}"]
    assert batch(client, [an_event(), event]).pointers() == [f"/1/{name}"]


@pytest.mark.parametrize("change, pointer", [
    ({"specversion": "0.3"}, "/specversion"), ({"id": "x" * 65}, "/id"), ({"id": 7}, "/id"),
    ({"source": "a b"}, "/source"), ({"type": "weather.changed"}, "/type"),
    ({"time": "noon"}, "/time"), ({"datacontenttype": "text/plain"}, "/datacontenttype"),
    ({"data_base64": "e30="}, "/data_base64"), ({"data": "text"}, "/data"), ({"data": None}, "/data"),
    ({"correlationid": "other"}, "/correlationid"), ({"Upper": "x"}, "/Upper"),
    ({"data": {"orderId": UNKNOWN_ID}}, "/data/reason"),
])
def test_what_is_wrong_with_an_event_is_pointed_at(client, change, pointer):
    assert structured(client, an_event(**change)).pointers() == [pointer]
    assert batch(client, [an_event(), an_event(**change)]).pointers() == [f"/1{pointer}"]


def test_only_the_server_speaks_for_orders_in_cloud_events_too(client):
    for send in (structured, binary, lambda c, e: batch(c, [e])):
        send(client, an_event("order.paid")).problem(403, "forbidden_topic")
    structured(client, an_event(), "/messages/order.paid").problem(403, "forbidden_topic")
    assert structured(client, an_event(), "/messages/payment.failed").pointers() == ["/type"]


def test_other_formats_and_plain_json_without_a_topic_are_refused(client):
    for name in ("application/cloudevents+avro", "application/cloudevents-batch+protobuf",
                 "application/cloudevents"):
        client.post("/messages", raw=b"x", headers={"Content-Type": name}) \
            .problem(415, "unsupported_media_type")
    plain = {"messageId": unique("m"), "payload": {"orderId": UNKNOWN_ID, "reason": "no"}}
    errors = client.post("/messages", plain).problem(400, "validation")["errors"]
    assert sorted(e["header"] for e in errors) == sorted(f"ce-{name}" for name in REQUIRED)


def test_a_batch_taken_in_part_says_of_each_event_what_became_of_it(client):
    known = an_event(order_id=unique("elsewhere"))
    structured(client, known).is_(202)
    events = [an_event(order_id=unique("elsewhere")),
              {**known, "data": {**known["data"], "reason": "another"}},
              an_event(order_id=unique("elsewhere"))]
    problem = batch(client, events).problem(422, "idempotency_mismatch")
    assert [r["messageId"] for r in problem["results"]] == [e["id"] for e in events]
    assert [("position" in r, "problem" in r) for r in problem["results"]] == [
        (True, False), (False, True), (True, False)]
    assert problem["results"][1]["problem"]["code"] == "idempotency_mismatch"
    again = batch(client, [events[0], events[2]]).is_(202).json["results"]
    assert again == [problem["results"][0], problem["results"][2]]


def test_a_batch_holds_a_hundred_events_and_no_more(client):
    name = unique("elsewhere")
    events = [an_event(order_id=f"{name}-{i % 9}") for i in range(101)]
    assert batch(client, events).pointers() == [""]
    results = batch(client, events[:100]).is_(202).json["results"]
    assert [r["messageId"] for r in results] == [e["id"] for e in events[:100]]
    by_order = {}
    for event, result in zip(events, results):
        by_order.setdefault(event["data"]["orderId"], []).append(result["position"])
    assert all(positions == sorted(positions) for positions in by_order.values())
    assert batch(client, []).is_(202).json == {"results": []}


def test_what_was_acknowledged_in_a_batch_is_there_after_a_kill(start, tmp_path):
    data = f"--data={tmp_path / 'data'}"
    server = start(data)
    events = [an_event(order_id=unique("elsewhere")) for _ in range(100)]
    with server.client() as client:
        results = batch(client, events).is_(202).json["results"]
    server.stop(signal.SIGKILL)
    with start(data).client() as client:
        # Each time the answers of all of them are read side by side.
        for _ in range(200):
            assert batch(client, events).is_(202).json["results"] == results
        kept = client.all("/events?eventType=PaymentDeclined&limit=500")
        assert [e["metadata"]["messageId"] for e in sorted(kept, key=lambda e: e["position"])] \
            == [r["messageId"] for r in sorted(results, key=lambda r: r["position"])]


def test_the_wire_example_of_a_cloud_event(client):
    o = place(client)
    event = next(e for e in client.get("/messages?encoding=cloudevents&topic=order.placed&limit=500")
                 .is_(200).json if e["subject"] == o["orderId"])
    assert list(event) == ["specversion", "id", "source", "type", "subject", "time", "partitionkey",
                           "correlationid", "sequence", "datacontenttype", "data"]
    assert json.dumps(event["data"]["totalAmount"]) == json.dumps(o["totalAmount"])
