"""What docs/integration.md and the README's parts on brokers tell to do is done as it stands there, but
for ports, folders and ids."""
import json
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import nats
import shop
from client import eventually
from serving import BINARY, ROOT, clean_environment, start  # noqa: F401

PAGE = (ROOT / "docs" / "integration.md").read_text()
README = (ROOT / "README.md").read_text()
PATIENCE_SECONDS = 120
END = {"stock_first": "SHIPPED", "pay_first": "STOCK_RESERVED"}


def part(heading, page=PAGE):
    """From this heading to the next of its rank or a higher one."""
    next_one = rf"^#{{2,{len(heading.split()[0])}}} "
    return re.search(rf"^{re.escape(heading)}\n(.*?)(?={next_one}|\Z)", page, re.M | re.S)[1]


def commands(heading, page=PAGE):
    block, = re.findall(r"^```(?:sh|console)\n(.*?)^```", part(heading, page), re.M | re.S)
    return [shlex.split(line.removeprefix("$ ")) for line in block.splitlines()]


@pytest.fixture
def broker(tmp_path):
    if not (pathlib.Path(BINARY).parent / "orderly-nats.so").exists():
        pytest.skip(f"orderly-nats.so was not built beside {BINARY}: its library is not here")
    server = nats.Server(tmp_path / "nats")
    yield server
    server.end()


def serve(start, tmp_path, words, environment=None, port=None):  # noqa: F811
    """One line of the page: its folder is the test's, its broker as well, its own port a free one."""
    assert words[:2] == ["orderly", "serve"]
    words = words[2:]
    if "--listen" in words:
        del words[words.index("--listen"):][:2]
    words = [str(tmp_path / w) if w.startswith("./") else w.replace(":4222", f":{port}") for w in words]
    return start(*words, env=environment)


def place(client):
    """An order of each flow: {id: flow}"""
    return {shop.place(client, "WIDGET-001")["orderId"]: "stock_first",
            shop.checkout(client, "WIDGET-001")["orderId"]: "pay_first"}


def come_to_their_end(client, orders):
    for id, flow in orders.items():
        eventually(lambda: shop.order(client, id)["status"] == END[flow], PATIENCE_SECONDS)


def has_relay(server):
    with server.client() as c:
        return b'orderly_relay_connected{relay="nats"} 1' in c.get("/metrics").is_(200).body


@pytest.mark.parametrize("rank, page, processes", (("##", PAGE, 4), ("###", README, 2)),
                         ids=("integration.md", "README.md"))
def test_processes_of_some_contexts_bring_orders_to_their_end(start, tmp_path, broker, rank,  # noqa: F811
                                                              page, processes):
    environment, servers = {}, []
    for words in commands(f"{rank} Contexts in processes of their own", page):
        if words[0] == "export":
            name, environment[name] = words[1].split("=")[0], words[1].split("=")[1]
        else:
            servers.append(serve(start, tmp_path, words, environment, broker.port))
    assert environment and len(servers) == processes
    for server in servers:
        eventually(lambda: has_relay(server), PATIENCE_SECONDS)
    with servers[0].client() as c:
        come_to_their_end(c, place(c))


def test_the_broker_that_the_readme_starts_hears_of_an_order(start, tmp_path, broker):  # noqa: F811
    for_broker, for_server = commands("### Brokers", README)
    assert for_broker[0] == "nats-server" and set(for_broker[1:]) <= set(map(str, broker.args))
    server = serve(start, tmp_path, [*for_server, "--demo"], None, broker.port)
    with server.client() as c:
        id = shop.place(c, "WIDGET-001")["orderId"]
    with nats.Client(broker.port) as n:
        eventually(lambda: "orders.order.shipped" in [
            subject for subject, headers, _ in (n.all() if n.count() else [])
            if headers["correlation-id"] == id], PATIENCE_SECONDS)


def test_protoc_writes_and_reads_what_the_page_shows(start, tmp_path):  # noqa: F811
    if not shutil.which("protoc") or not shutil.which("curl"):
        pytest.skip("protoc or curl is not installed")
    block, = re.findall(r"^```sh\n(.*?)^```", part("## Three forms"), re.M | re.S)
    reads, writes = block.split("\n", 1)
    server = start("--demo", "--set=simulators.payments.enabled=false")
    with server.client() as c:
        order = shop.checkout(c, "WIDGET-001")
        assert order["totalAmount"] == 39.98
        writes = writes.replace("http://127.0.0.1:8080", server.url).replace("0199a1f3-…", order["orderId"])
        subprocess.run(["sh", "-c", writes.replace("<<'END' |", f"<<'END' | tee {tmp_path}/message |")],
                       cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
        come_to_their_end(c, {order["orderId"]: "pay_first"})
    read = subprocess.run(["sh", "-c", reads.replace("< message", f"< {tmp_path}/message")], cwd=ROOT,
                          check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout
    assert 'id: "provider-80"' in read and "type.googleapis.com/orderly.v1.PaymentApproved" in read


def test_a_context_of_ones_own_pays_over_http(start, tmp_path):  # noqa: F811
    for_server, for_service = commands("## A context of one's own")
    server = serve(start, tmp_path, for_server)
    program, url, ledger = for_service
    assert url == "http://127.0.0.1:8080"
    service = subprocess.Popen([ROOT / program, server.url, ledger], cwd=tmp_path,
                               stdin=subprocess.DEVNULL, env=clean_environment())
    try:
        eventually(lambda: (tmp_path / ledger).exists() and b"\n" in (tmp_path / ledger).read_bytes(),
                   PATIENCE_SECONDS)
        with server.client() as c:
            orders = place(c)
            come_to_their_end(c, orders)
        lines = [json.loads(line) for line in (tmp_path / ledger).read_text().splitlines()]
        assert {line["payload"]["orderId"] for line in lines if "payload" in line} == set(orders)
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait(timeout=PATIENCE_SECONDS)


class PaymentsByNats:
    """The page's steps, and its words for stream, filter and subject, where everything is heard and
    answered twice."""

    def __init__(self, port):
        row = re.search(r"^\| NATS \| (.*) \|$", part("## A context of one's own"), re.M)[1]
        stream, self.filter, subject = re.findall(r"`([^`]+)`", row)
        self.subject = subject.replace("payment.approved", "{}")
        self.client = nats.Client(port)
        self.client.subscribe("payments.of.ours")
        self.client.consumer("payments-of-ours", self.filter, stream,
                             deliver_subject="payments.of.ours")
        self.charged, self.refunded = {}, {}

    def work_off(self):
        """One message."""
        topic = "_INBOX"  # what the stream tells a speaker comes to all who are here
        while topic.startswith("_INBOX"):
            topic, _, data = self.client.message()
        reply_to = self.client.reply_to
        for answer in self.decide(topic.split(".", 1)[1], json.loads(data)["payload"]):
            for _ in range(2):
                self.say(*answer)
        self.client.publish(reply_to, b"+ACK")

    def say(self, topic, id, payload):
        speaker = nats.Client(self.client.socket.getpeername()[1])
        try:
            speaker.put(self.subject.format(topic),
                        json.dumps({"messageId": id, "payload": payload}).encode())
        finally:
            speaker.close()

    def decide(self, topic, p):
        order, payment = p["orderId"], f"payment-{p['orderId']}"
        if (topic == "order.placed" and p["flow"] == "pay_first") or topic == "order.confirmed":
            self.charged[order] = p["totalAmount"] if topic == "order.placed" else p["amount"]
            yield "payment.approved", f"charge-{order}", {
                "orderId": order, "paymentId": payment, "amount": self.charged[order],
                "currency": p["currency"]}
        if topic == "order.cancelled" and p["refund"]:
            assert p["refund"]["paymentId"] == payment
            self.refunded[order] = p["refund"]["amount"]
            yield "payment.refunded", f"refund-{order}", {
                "orderId": order, **p["refund"]}


def test_a_context_of_ones_own_pays_over_nats(start, tmp_path, broker):  # noqa: F811
    for_server, _ = commands("## A context of one's own")
    server = serve(start, tmp_path, [*for_server, "--relay", "nats://127.0.0.1:4222"], None, broker.port)
    eventually(lambda: has_relay(server), PATIENCE_SECONDS)
    payments = PaymentsByNats(broker.port)
    with server.client() as c:
        orders = place(c)
        while set(payments.charged) != set(orders):
            payments.work_off()
        come_to_their_end(c, orders)
        cancelled = next(id for id, flow in orders.items() if flow == "pay_first")
        shop.cancel(c, cancelled).is_(200)
        while not payments.refunded:
            payments.work_off()
        eventually(lambda: shop.order(c, cancelled)["refund"]["status"] == "done", PATIENCE_SECONDS)
        for id in orders:
            said = [e["metadata"]["messageId"] for e in shop.events_of(c, id)
                    if e["eventType"].startswith("Payment")]
            assert said == [f"charge-{id}"] + ([f"refund-{id}"] if id == cancelled else [])
            assert shop.order(c, id)["totalAmount"] == payments.charged[id]
        assert c.get("/dead-letters").is_(200).json["data"] == []
    payments.client.close()


def test_the_least_that_a_message_says_is_taken(start):  # noqa: F811
    """The page's example, of an order that is there."""
    server = start("--demo", "--set=simulators.payments.enabled=false")
    text, = re.findall(r"^```json\n(.*?)^```", part("## Relays"), re.M | re.S)
    message = json.loads(text)
    with server.client() as c:
        order = shop.checkout(c, "WIDGET-001")
        assert order["totalAmount"] == message["payload"]["amount"]
        message["payload"]["orderId"] = order["orderId"]
        c.post("/messages/payment.approved", message).is_(202)
        come_to_their_end(c, {order["orderId"]: "pay_first"})


def test_what_is_said_in_json_has_the_members_of_the_page(start):  # noqa: F811
    server = start("--demo")
    text, = re.findall(r"^```json\n(.*?)^```", part("## Three forms"), re.M | re.S)
    example = json.loads(text)
    with server.client() as c:
        shop.place(c, "WIDGET-001")
        said, = c.all("/messages?topic=order.placed")
    assert list(said) == list(example)
    assert list(said["payload"]) == list(example["payload"])
    assert list(said["payload"]["items"][0]) == list(example["payload"]["items"][0])


def test_what_the_page_points_at_is_there():
    paths = re.findall(r"`((?:src|include|bench|tests|examples|proto)/[a-z_/]+(?:\.[a-z]+)?)[` ]", PAGE)
    paths += re.findall(r"\]\(([a-z_/.]+)\)", PAGE)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / "docs" / path).exists() or (ROOT / path).exists(), path
