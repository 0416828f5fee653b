"""protoc, with nothing but the schemas that are given away, reads every message that a relay sends, and
what it writes is taken."""
import datetime
import json
import re

import pytest

import nats
import protoc
import tour
from client import eventually
from serving import FAST
from shop import checkout, simulate, unique, wait_event, wait_for

PROTOBUF = "application/cloudevents+protobuf"
URL = "type.googleapis.com/"
# What JSON says twice, for those who know one of the names only.
ALIASES = {"amount": "approvedAmount", "reservations": "items", "sku": "productId"}


@pytest.fixture(scope="module")
def relayed(start_once, tmp_path_factory, need_adapter):
    """A client, and all messages of the stream: {id: (headers, body)}"""
    protoc.need()
    need_adapter("nats")
    broker = nats.Server(tmp_path_factory.mktemp("nats"))
    try:
        server = start_once(*FAST, "--relay", f"nats://127.0.0.1:{broker.port}",
                            "--set=relay.nats.encoding=protobuf", "--set=relay.nats.topics=*")
        with server.client() as c:
            tour.everything(c)

            def has_all():
                own = tour.said_here(c)
                # A connection for each look: on one, what is new comes to those who looked before, too.
                with nats.Client(broker.port) as reader:
                    read = {h["Nats-Msg-Id"]: (h, body) for _, h, body in reader.read_all()}
                return set(read) == own and read
            yield c, eventually(has_all, 120)
    finally:
        broker.end()


def messages(client, encoding):
    """All, with numbers as they are written."""
    found, path = [], f"/messages?limit=500&encoding={encoding}"
    while path:
        answer = client.get(path).is_(200)
        page = json.loads(answer.body, parse_float=protoc.Numeral, parse_int=protoc.Numeral)
        found += page if encoding == "cloudevents" else page["data"]
        link = answer.headers["Link"]
        path = link.split(">")[0][1:] if link else None
    return found


def snake(name):
    return re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)


def schema():
    """{message: {field: type}}"""
    text = (protoc.PROTO / "orderly/v1/messages.proto").read_text()
    return {m[1]: {f[2]: f[1].replace("repeated ", "") for f in
                   re.finditer(r"^  ((?:repeated )?[\w.]+) (\w+) = \d+;", m[2], re.M)}
            for m in re.finditer(r"^message (\w+) \{\n(.*?)^\}", text, re.M | re.S)}


def instant(fields):
    """A Timestamp as we print it."""
    seconds, nanos = (int(fields.get(name, ["0"])[0]) for name in ("seconds", "nanos"))
    assert nanos % 1_000_000 == 0
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds,
                                                           milliseconds=nanos // 1_000_000)
    return t.isoformat(timespec="milliseconds") + "Z"


def is_empty(value):
    return value in (None, "", []) or value == "0" and isinstance(value, protoc.Numeral)


def check(where, types, name, fields, payload):
    """Every field of the JSON is in the protobuf with the same value, and no other is."""
    known, seen = types[name], set()
    for key, value in payload.items():
        field = snake(key)
        if field not in known:
            assert payload[ALIASES[key]] == value, (where, key)
            continue
        seen.add(field)
        got = fields.get(field, [])
        if is_empty(value):
            assert got == [], (where, key, got)
        elif known[field] in types:
            values = value if isinstance(value, list) else [value]
            assert len(got) == len(values), (where, key)
            for i, item in enumerate(values):
                check(f"{where}/{key}/{i}", types, known[field], got[i], item)
        elif known[field] == "google.protobuf.Timestamp":
            assert [instant(t) for t in got] == [value], (where, key)
        elif known[field] == "int64":
            assert got == [value] and isinstance(value, protoc.Numeral), (where, key, got)
        else:
            assert [t.decode() for t in got] == [value], (where, key, got)
    assert set(fields) <= seen, (where, set(fields) - seen)


def test_protoc_reads_every_topic_as_the_json_has_it(relayed):
    client, read = relayed
    types, topics = schema(), set()
    for message in messages(client, "json"):
        if message["messageId"] not in read:
            continue
        headers, body = read[message["messageId"]]
        assert headers["content-type"] == PROTOBUF
        any_of = protoc.decoded(protoc.ENVELOPE, body)["proto_data"][0]
        url = any_of["type_url"][0].decode()
        assert url.startswith(URL + "orderly.v1.")
        fields = protoc.decoded(url[len(URL):], any_of["value"][0])
        check(message["topic"], types, url[len(URL + "orderly.v1."):], fields, message["payload"])
        topics.add(message["topic"])
    assert topics >= tour.ORDER_TOPICS | tour.CONTEXT_TOPICS | tour.SHOP_TOPICS


def test_the_attributes_of_the_envelope_are_those_of_the_json_event(relayed):
    client, read = relayed
    n = 0
    for event in messages(client, "cloudevents"):
        if event["id"] not in read:
            continue
        n += 1
        envelope = protoc.decoded(protoc.ENVELOPE, read[event["id"]][1])
        got = {name: envelope[field][0].decode() for name, field in (
            ("id", "id"), ("source", "source"), ("specversion", "spec_version"), ("type", "type"))}
        for entry in envelope["attributes"]:
            name = entry["key"][0].decode()
            assert name not in got
            (kind, value), = entry["value"][0].items()
            assert kind == {"time": "ce_timestamp", "dataschema": "ce_uri"}.get(name, "ce_string")
            got[name] = instant(value[0]) if kind == "ce_timestamp" else value[0].decode()
        assert got.pop("dataschema") == envelope["proto_data"][0]["type_url"][0].decode()
        assert got.pop("datacontenttype") == "application/protobuf"
        assert event.pop("datacontenttype") == "application/json"
        del event["data"]
        assert got == event
    assert n == len(read)


# ---- and back

def an_approval(o, id, more=""):
    return f"""
        id: "{id}" source: "https://pay.example/" spec_version: "1.0" type: "payment.approved"
        attributes {{ key: "subject" value {{ ce_string: "Euro € 😀" }} }}
        attributes {{ key: "time" value {{ ce_timestamp {{ seconds: 1763640005 nanos: 500000000 }} }} }}
        attributes {{ key: "retries" value {{ ce_integer: -3 }} }}
        attributes {{ key: "live" value {{ ce_boolean: true }} }}
        attributes {{ key: "token" value {{ ce_bytes: "\\001\\002" }} }}
        attributes {{ key: "help" value {{ ce_uri_ref: "/help" }} }}
        {more}
        proto_data {{ [{URL}orderly.v1.PaymentApproved] {{
            order_id: "{o["orderId"]}" payment_id: "p-{id}" approved_amount: "{o["totalAmount"]:.2f}"
            currency: "USD" timestamp {{ seconds: 1763640005 }} }} }}"""


DATA_ATTRIBUTES = f"""
    attributes {{ key: "datacontenttype" value {{ ce_string: "application/protobuf" }} }}
    attributes {{ key: "dataschema" value {{ ce_uri: "{URL}orderly.v1.PaymentApproved" }} }}"""


@pytest.fixture
def waiting(relayed):
    """A client, and an order that waits for its payment."""
    client, _ = relayed
    simulate(client, "payments", mode="wait")
    yield client, checkout(client)
    simulate(client, "payments", mode="approve")


def post(client, path, text, **headers):
    return client.post(path, raw=protoc.encoded(protoc.ENVELOPE, text),
                       headers={"Content-Type": PROTOBUF, **headers})


@pytest.mark.parametrize("path, more", [("/messages/payment.approved", ""),
                                        ("/messages", DATA_ATTRIBUTES)])
def test_what_protoc_writes_pays_the_order(waiting, path, more):
    client, o = waiting
    id = unique("proto")
    first = post(client, path, an_approval(o, id, more)).is_(202).json
    assert first["messageId"] == id
    assert post(client, path, an_approval(o, id, more)).is_(202).json == first
    assert wait_for(client, o["orderId"], "STOCK_RESERVED")["paymentId"] == f"p-{id}"
    event = wait_event(client, o["orderId"], "PaymentApproved")
    assert event["metadata"]["messageId"] == id and event["position"] == first["position"]


def test_json_in_the_envelope_is_taken_as_text_and_as_bytes(waiting):
    client, o = waiting
    payload = json.dumps({"orderId": o["orderId"], "paymentId": unique("p"),
                          "approvedAmount": o["totalAmount"], "currency": "USD"})
    for kind, more in (("text_data", ""), ("binary_data", "application/json; charset=utf-8"),
                       ("text_data", "text/json")):
        attribute = f'attributes {{ key: "datacontenttype" value {{ ce_string: "{more}" }} }}'
        post(client, "/messages", f"""
            id: "{unique("proto")}" source: "/pay" spec_version: "1.0" type: "payment.approved"
            {attribute if more else ""} {kind}: {json.dumps(payload)}""").is_(202)
    wait_for(client, o["orderId"], "STOCK_RESERVED")


def test_what_is_wrong_in_protobuf_is_pointed_at_as_in_the_json_of_the_same_event(waiting):
    client, o = waiting

    def of(text, path="/messages"):
        return post(client, path, text).pointers()
    fine = an_approval(o, unique("proto"))
    assert of(re.sub('id: "proto[^"]*"', "", fine, count=1)) == ["/id"]
    assert of(fine.replace('spec_version: "1.0"', 'spec_version: "0.3"')) == ["/specversion"]
    assert of(fine.replace('"subject"', '"Subject"')) == ["/Subject"]
    assert of(re.sub('payment_id: "[^"]*"', "", fine)) == ["/data/paymentId"]
    assert of(fine, "/messages/payment.declined") == ["/type"]
    assert of(re.sub("proto_data.*", 'text_data: "[1]"', fine, flags=re.S)) == ["/data"]
    assert of(re.sub("proto_data.*", "", fine, flags=re.S)) == [""]
    assert of(fine + 'attributes { key: "datacontenttype" value { ce_string: "text/plain" } }') \
        == ["/datacontenttype"]
    post(client, "/messages", re.sub("proto_data.*", 'text_data: "{"', fine, flags=re.S)) \
        .problem(400, "malformed_json")
    post(client, "/messages", fine.replace('type: "payment.approved"', 'type: "order.paid"')) \
        .problem(403, "forbidden_topic")
    for broken in (b"", b"\x08", b"{}", b"\x0a\x7f"):
        answer = client.post("/messages", raw=broken, headers={"Content-Type": PROTOBUF})
        assert answer.pointers() == [""], broken
    post(client, "/messages", fine, **{"Content-Encoding": "gzip"}) \
        .problem(415, "unsupported_media_type")
    post(client, "/messages", fine).is_(202)
