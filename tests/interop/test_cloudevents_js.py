"""The CloudEvents library of JavaScript decodes every rendering that we give, and what it encodes is
taken. It neither encodes nor decodes percent escapes, so attributes are of plain characters here.

'./dev interop' fetches the library; nobody else needs it."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import kafka
import nats
import tour
from amqp import Client as Amqp
from brokers import KafkaMock, RabbitServer
from client import eventually
from serving import FAST, ROOT
from shop import checkout, order, place, simulate, unique, wait_event, wait_for
from stream import Stream

HERE = pathlib.Path(__file__).resolve().parent
MODULES = pathlib.Path(os.environ.get("ORDERLY_INTEROP", ROOT / "build" / "interop"))
EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
RELAYED = ("order.", "payment.", "stock.", "inventory.", "shipment.")


@pytest.fixture(scope="module", autouse=True)
def library():
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (MODULES / "node_modules" / "cloudevents").is_dir():
        pytest.skip(f"{MODULES} has no library 'cloudevents': './dev interop' fetches it")


def node(what, **request):
    done = subprocess.run(["node", HERE / "cloudevents.js", MODULES], capture_output=True, timeout=120,
                          input=json.dumps({"do": what, **request}).encode())
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def decode(*messages):
    """Each message as the list of its events."""
    return node("decode", messages=[{"binding": "HTTP", **m} for m in messages])


# ---- what we say over HTTP

@pytest.fixture(scope="module")
def said(start_once):
    """A server that has said everything there is to say; all of it as events, by pages."""
    server = start_once(*FAST)
    with server.client() as c:
        tour.everything(c)
        pages, path = [], "/messages?limit=40"
        while path:
            pages.append(c.get(path, headers={"Accept": BATCH}).is_(200))
            link = pages[-1].headers["Link"]
            path = link.split(">")[0][1:] if link else None
    events = [e for page in pages for e in page.json]
    assert {e["type"] for e in events} >= tour.ORDER_TOPICS | tour.CONTEXT_TOPICS | tour.SHOP_TOPICS
    return server, pages, events


def test_every_page_of_a_list_is_a_batch(said):
    _, pages, events = said
    decoded = decode(*({"headers": dict(page.headers), "body": page.body.decode()} for page in pages))
    assert len(decoded) > 1 and [e for page in decoded for e in page] == events


def test_every_event_of_a_stream_is_one_in_the_structured_mode(said):
    server, _, events = said
    with Stream(server, "/messages/stream?after=0", headers={"Accept": f"text/event-stream, {EVENT}"}) as s:
        frames = s.take(len(events))
    decoded = decode(*({"headers": {"content-type": EVENT}, "body": f.data} for f in frames))
    assert decoded == [[e] for e in events]


# ---- what it says over HTTP

@pytest.fixture(scope="module")
def server(start_once):
    return start_once(*FAST)


@pytest.fixture
def waiting(server):
    """A client, and an order that waits for its payment."""
    with server.client() as client:
        simulate(client, "payments", mode="wait")
        yield client, checkout(client)
        simulate(client, "payments", mode="approve")


def an_approval(o, **more):
    return {"id": unique("event"), "source": "https://pay.example/", "type": "payment.approved",
            "datacontenttype": "application/json",
            "data": {"orderId": o["orderId"], "paymentId": unique("p"),
                     "approvedAmount": o["totalAmount"], "currency": "USD"}, **more}


def send(client, message, path):
    headers = {name.title(): value for name, value in message["headers"].items()}
    return client.post(path, raw=message["body"].encode(), headers=headers)


def check_paid(client, o, event):
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    approved = wait_event(client, o["orderId"], "PaymentApproved")
    assert approved["metadata"]["messageId"] == event["id"]
    assert approved["payload"]["paymentId"] == event["data"]["paymentId"]


MORE = [
    {},
    {"subject": "two words", "time": "2026-11-20T13:00:05.5+01:00", "dataschema": "https://pay.example/s#1",
     "partitionkey": "p", "sequence": "7", "retries": -3, "live": True},
    {"datacontenttype": "application/vnd.pay+json"},
]


@pytest.mark.parametrize("path", ["/messages", "/messages/payment.approved"])
@pytest.mark.parametrize("more", MORE)
def test_what_it_encodes_is_taken_in_each_mode_as_the_same_event(waiting, path, more):
    client, o = waiting
    event = an_approval(o, **more)
    receipts = []
    for mode in ("binary", "structured", "batch"):
        message, = node("encode", binding="HTTP", mode=mode, events=[event])
        answer = send(client, message, path).is_(202).json
        receipts.append(answer["results"][0] if mode == "batch" else answer)
    assert receipts == receipts[:1] * 3 and receipts[0]["messageId"] == event["id"]
    check_paid(client, o, event)


def test_bytes_that_are_json_are_taken_in_each_mode(waiting):
    client, o = waiting
    event = an_approval(o)
    for mode in ("structured", "binary", "batch"):
        message, = node("encode", binding="HTTP", mode=mode, events=[{**event, "bytes": True}])
        assert ("data_base64" in message["body"]) == (mode != "binary")
        send(client, message, "/messages").is_(202)
    check_paid(client, o, event)


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_its_own_transport_is_answered(waiting, server, mode):
    client, o = waiting
    event = an_approval(o)
    answer, = node("emit", url=f"{server.url}/messages", mode=mode, events=[event])
    assert json.loads(answer["body"])["messageId"] == event["id"]
    check_paid(client, o, event)


# ---- by brokers

class Nats:
    """Its binding is that of HTTP: `ce-…` headers."""
    name, binding = "nats", "HTTP"

    def __init__(self, folder):
        self.server = nats.Server(folder)
        self.url = f"nats://127.0.0.1:{self.server.port}"

    def close(self):
        self.server.end()

    def open(self, channel):
        pass

    def read(self, channel):
        with nats.Client(self.server.port) as c:
            for _, headers, body in c.read_all(channel.upper()):
                headers.pop("", None)
                yield {"headers": headers, "body": body.decode()}

    def write(self, channel, topic, message):
        with nats.Client(self.server.port) as c:
            c.put(f"{channel}.{topic}", message["body"].encode(), message["headers"])


class Rabbit:
    """The library does not know its binding, which is that of HTTP with another prefix."""
    name, binding = "rabbitmq", "HTTP"

    def __init__(self, folder):
        self.server = RabbitServer(folder)
        self.url = f"amqp://127.0.0.1:{self.server.port}"
        self.taken = {}

    def close(self):
        self.server.stop()

    def open(self, channel):
        with Closing(Amqp(self.server.port)) as c:
            c.exchange(channel)
            c.queue(f"all-{channel}", "#", channel)
        self.taken[channel] = []

    def read(self, channel):
        with Closing(Amqp(self.server.port)) as c:
            while (one := c.get(f"all-{channel}")) is not None:
                _, properties, body = one
                headers = {name.replace("cloudEvents_", "ce-"): value
                           for name, value in properties.get("headers", {}).items()}
                self.taken[channel].append({"headers": {
                    "content-type": properties["content_type"], **headers}, "body": body.decode()})
        return self.taken[channel]

    def write(self, channel, topic, message):
        headers = {name.replace("ce-", "cloudEvents_"): value
                   for name, value in message["headers"].items() if name.startswith("ce-")}
        with Closing(Amqp(self.server.port)) as c:
            c.confirm()
            c.publish(topic, message["body"].encode(), channel, headers=headers,
                      content_type=message["headers"]["content-type"])
            c.hear((60, 80))


class Kafka:
    """Read and written by kcat."""
    name, binding = "kafka", "Kafka"

    def __init__(self, folder):
        kafka.need()
        self.mock = KafkaMock()
        self.url = f"kafka://{self.mock.address}"

    def close(self):
        self.mock.stop()

    def open(self, channel):
        self.mock.do("topic", channel, 4)

    def read(self, channel):
        for m in kafka.read(self.mock.address, channel):
            yield {"headers": m["headers"], "body": m["payload"], "value": m["payload"], "key": m["key"]}

    def write(self, channel, topic, message):
        kafka.write(self.mock.address, message["key"], message["headers"], message["body"].encode(),
                    channel)


class Closing:
    def __init__(self, thing):
        self.thing = thing

    def __enter__(self):
        return self.thing

    def __exit__(self, *_):
        self.thing.close()


@pytest.fixture(scope="module", params=[Nats, Kafka, Rabbit], ids=lambda kind: kind.name)
def broker(request, tmp_path_factory, need_adapter):
    need_adapter(request.param.name)
    b = request.param(tmp_path_factory.mktemp(request.param.name))
    yield b
    b.close()


@pytest.fixture(params=["binary", "structured"])
def relay(request, start, broker):
    """A client of a server whose payments come from outside, the mode and the channel."""
    channel = f"shop-{request.param}"
    broker.open(channel)
    server = start(*FAST, "--set=simulators.payments.enabled=false", "--relay", broker.url,
                   f"--set=relay.{broker.name}.channel={channel}",
                   f"--set=relay.{broker.name}.group={channel}",
                   f"--set=relay.{broker.name}.encoding=cloudevents",
                   f"--set=relay.{broker.name}.mode={request.param}")
    with server.client() as c:
        # A queue of RabbitMQ has only what comes when it is there.
        connected = f'orderly_relay_connected{{relay="{broker.name}"}} 1\n'
        eventually(lambda: connected in c.get("/metrics").is_(200).body.decode(), 120)
        yield c, request.param, channel


def test_what_a_relay_sends_is_decoded_and_what_it_is_sent_is_taken(broker, relay):
    client, mode, channel = relay
    orders = [checkout(client), checkout(client)]
    place(client)
    approvals = [an_approval(o, partitionkey=o["orderId"], subject=o["orderId"], retries=3) for o in orders]
    approvals[1]["bytes"] = mode == "structured"
    messages = node("encode", binding=broker.binding, mode=mode, events=approvals)
    for message in messages:
        broker.write(channel, "payment.approved", message)
    for o, event in zip(orders, approvals):
        # To join a group of Kafka takes its time.
        eventually(lambda: order(client, o["orderId"])["status"] == "STOCK_RESERVED", 120)
        check_paid(client, o, event)

    def has_all():
        own = tour.said_here(client)
        events = {e["id"]: e for e in client.get("/messages?limit=500&encoding=cloudevents").is_(200).json
                  if e["id"] in own and e["type"].startswith(RELAYED)}
        read = [m for m in broker.read(channel) if m["body"] not in sent]
        decoded = node("decode", messages=[{"binding": broker.binding, **m} for m in read])
        assert all(len(found) == 1 for found in decoded)
        got = {found[0]["id"]: found[0] for found in decoded}
        return set(got) == set(events) and (got, events)
    sent = {m["body"] for m in messages}
    got, events = eventually(has_all, 120)
    assert len(got) >= 8
    for id, event in events.items():
        assert got[id] == event
