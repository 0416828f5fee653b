"""What comes from outside, whatever the road: it is taken once, of each order in its order, through a
server that is killed; what can't be taken for the moment waits where it was, and no more of it is in
memory than may be; what can never be taken is a dead letter with its bytes, and stops nothing.

Payments is outside in all of these, so that the server listens to it. They start together, since to
join a group of Kafka's takes seconds."""
import base64
import http.client
import json
import os
import re
import signal
import threading

import pytest

import shop
from conftest import channel_of
from judge import arrives, eventually, settled, stand_still
from serving import FAST
from tried import metric

IS_FULL = os.environ.get("ORDERLY_BROKERS") == "full"
BODY_MAX = 256 << 10  # of a message, as README says
UNACKED_MAX = 16
KEYS_MAX = 40
NEW = "payment.approved"
OWN = ("order.", "stock.", "inventory.", "shipment.")  # that nobody outside says here

# By what a server is to be used for; each once.
SERVERS = {
    "poison": (), "sharing": (), "killed": (f"--set=relay.K.unacked_max={UNACKED_MAX}",),
    "full": (f"--set=relay.K.unacked_max={UNACKED_MAX}", f"--set=idempotency_keys_max={KEYS_MAX}"),
    "ending": (f"--set=relay.K.unacked_max={UNACKED_MAX}",),
}


class Listening:
    """A server that listens for payments on a channel of its own, and its next lives."""

    def __init__(self, start, channel, args):
        self.start, self.channel, self.args = start, channel, args
        self.folder = None
        self.begin(*args)

    @property
    def name(self):
        return self.channel.broker.name

    def begin(self, *args):
        """args: of this life."""
        if "relay" not in self.channel.broker.promises:
            args = [a for a in args if "relay.K" not in a]
        data = ("--data", str(self.folder / "data")) if self.folder else ()
        self.server = self.start(*self.channel.options(), *FAST, *data,
                                 "--set=simulators.payments.enabled=false",
                                 *(a.replace("relay.K", f"relay.{self.name}") for a in args))
        self.folder = self.folder or self.server.folder
        self.channel.joined(self.server)
        return self.server

    def client(self):
        return self.server.client()

    def count(self, client, outcome):
        return metric(client, f'relay_messages_total{{relay="{self.name}",outcome="{outcome}"}}')

    def losses(self, client):
        return metric(client, f'relay_connections_lost_total{{relay="{self.name}"}}')


@pytest.fixture(scope="module")
def servers(broker, start_once):
    all = {name: Listening(start_once, channel_of(broker, name), args)
           for name, args in SERVERS.items()}
    for each in all.values():
        with each.client() as c:  # from then on what is put is kept
            eventually(lambda: broker.is_heard(c))
    return all


# What has a second half, which begins when the broker gives again what it has. It takes them seconds of
# their own clocks, and so all of them wait together.
STORIES = {"killed": set(), "full": {"keeps"}, "ending": set()}


@pytest.fixture(scope="module")
def told_half(servers, broker):
    """By name: how to go on with the story."""
    def begin(name):
        story = globals()[f"story_{name}"](servers[name])
        try:
            next(story)
        except Exception as e:
            failure = e

            def fail():
                raise failure
            return fail
        return lambda: next(story, None)
    return {name: begin(name) for name, asked in STORIES.items() if asked <= broker.promises}


@pytest.fixture
def listening(servers, broker):
    """listening(name): one of SERVERS."""
    yield servers.__getitem__
    broker.restore()


def message(order, id, payment=None, **more):
    """That the order is paid."""
    return json.dumps({"messageId": id, "payload": {
        "orderId": order["orderId"], "paymentId": payment or f"payment-of-{id}",
        "amount": order["totalAmount"], "currency": order["currency"], **more}}).encode()


def told(client, order):
    """The ids of what came from outside about the order, in the order of the log."""
    return [e["metadata"]["messageId"] for e in shop.events_of(client, order["orderId"])
            if "messageId" in e["metadata"]]


def place(client, n=1, **more):
    sku = shop.add_product(client, stock=1000)
    return [shop.place(client, sku, 1, **more) for _ in range(n)]


def put(listening, order, *args, **kwargs):
    return listening.channel.put(NEW, message(order, *args, **kwargs), key=order["orderId"])


# ---- what can't be taken

def poisons(order):
    """(body, topic, headers, code of its letter)."""
    fine = message(order, "fine-but-for-one-thing")
    nested = b'{"a":' * 40 + b"1" + b"}" * 40

    def spoiled(**payload):
        return message(order, "m-spoiled", **payload), NEW, None, "validation"
    return [
        (b"\xff\xfe\x00\x01 no text", NEW, None, "malformed_json"),
        (b"", NEW, None, "validation"),
        (b"{", NEW, None, "malformed_json"),
        (b'{"messageId":"m-\xc3\x28"}', NEW, None, "malformed_json"),
        (nested, NEW, None, None),
        (b"[1]", NEW, None, "validation"),
        (b'{"messageId":"m-nothing"}', NEW, None, "validation"),
        (fine, "payment.made_up", None, "unknown_topic"),
        (b"<x/>", NEW, {"content-type": "text/xml"}, "unsupported_media_type"),
        (b"\x0a\xff\xff\xff\xff", NEW, {"content-type": "application/cloudevents+protobuf"},
         "malformed_json"),
        spoiled(currency="US"), spoiled(currency=840), spoiled(amount=1.999), spoiled(amount="1.99"),
        spoiled(amount=-1), spoiled(paymentId="a b"), spoiled(orderId=7),
        (fine.ljust(BODY_MAX + 1), NEW, None, "too_large"),
    ]


def said_in(letter):
    """The bytes of a message that could not be read. None: there were none."""
    p = letter["message"]["payload"]
    assert not ("body" in p and "bodyBase64" in p)
    return p["body"].encode() if "body" in p else base64.b64decode(p.get("bodyBase64", ""))


@pytest.mark.promise("keeps")
def test_poison_becomes_a_dead_letter_with_its_bytes_and_stops_nothing(listening):
    l = listening("poison")
    with l.client() as c:
        first, last, most = place(c, 3)
        bad = poisons(first)
        put(l, first, "m-first")
        for body, topic, headers, _ in bad:
            l.channel.put(topic, body, headers, key=first["orderId"])
        l.channel.put(NEW, message(first, "m-first", "another"), key=first["orderId"])
        bad.append((message(first, "m-first", "another"), NEW, None, "idempotency_mismatch"))
        # As long as one may be.
        l.channel.put(NEW, message(most, "m-most").ljust(BODY_MAX), key=most["orderId"])
        put(l, last, "m-last")
        settled(c, [o["orderId"] for o in (first, last, most)])
        assert [told(c, o) for o in (first, last, most)] == [["m-first"], ["m-last"], ["m-most"]]

        def letters():
            found = c.all("/dead-letters?limit=500")
            return len(found) >= len(bad) and found
        found = {said_in(x): x for x in eventually(letters)}
        assert len(c.all("/dead-letters?limit=500")) == len(found) == len(bad)
        for body, topic, headers, code in bad:
            letter = found[body[:BODY_MAX]]  # of a longer one the beginning
            assert letter["subscription"] == l.name and letter["state"] == "open"
            assert letter["topic"] == letter["message"]["payload"]["topic"] == topic
            assert code in (None, letter["error"]["code"]), letter["error"]
            assert letter["message"]["payload"].get("contentType") == (headers or {}).get(
                "content-type", letter["message"]["payload"].get("contentType"))
        assert metric(c, f'dead_letters{{subscription="{l.name}"}}') == len(bad)
        eventually(lambda: l.count(c, "settled") >= len(bad) + 3)
        eventually(lambda: metric(c, f'subscription_lag_events{{subscription="{l.name}"}}') == 0)
    assert l.server.stop() == 0
    eventually(lambda: l.channel.left() == 0)  # none comes again


@pytest.mark.promise("tells")
def test_who_sends_what_can_not_be_taken_is_told_and_nothing_is_left_of_it(listening):
    l = listening("poison")
    with l.client() as c:
        first = place(c)[0]
        put(l, first, "m-first").is_(202)
        settled(c, [first["orderId"]])
        events = len(c.all("/events?limit=500"))
        for body, topic, headers, _ in poisons(first):
            answer = l.channel.put(topic, body, headers)
            assert 400 <= answer.status < 500, (body[:100], answer.status)
        put(l, first, "m-first", "another").problem(422, "idempotency_mismatch")
        assert len(c.all("/events?limit=500")) == events
        assert c.all("/dead-letters") == []


def test_what_can_never_succeed_is_a_dead_letter_of_its_context_and_stops_nothing(listening):
    l = listening("sharing")
    with l.client() as c:
        paid, other, free = place(c, 3)
        put(l, paid, "n-paid", "payment-taken")
        settled(c, [paid["orderId"]])
        put(l, {**paid, "orderId": "nobody-knows-it"}, "n-unknown", colour="red")
        put(l, other, "n-taken", "payment-taken", note="two orders, one payment")
        put(l, other, "n-other")
        put(l, free, "n-free")
        settled(c, [other["orderId"], free["orderId"]])
        for order, id, code, more in (("nobody-knows-it", "n-unknown", "unknown_order", "colour"),
                                      (other["orderId"], "n-taken", "payment_taken", "note")):
            letter = eventually(lambda: c.all(f"/dead-letters?orderId={order}"))
            assert len(letter) == 1, letter
            letter = letter[0]
            assert (letter["messageId"], letter["error"]["code"]) == (id, code)
            assert (letter["subscription"], letter["state"]) == ("orders", "open")
            payload = json.loads(message({**paid, "orderId": order}, id))["payload"]
            assert letter["message"]["payload"]["orderId"] == order
            assert letter["message"]["payload"]["amount"] == payload["amount"]
            assert more in letter["message"]["payload"]  # also what nobody here knows
        assert [told(c, o) for o in (other, free)] == [["n-taken", "n-other"], ["n-free"]]
        assert shop.order(c, other["orderId"])["paymentId"] == "payment-of-n-other"


# ---- what comes more than once

def charges(client, order):
    return [e["payload"]["paymentId"] for e in shop.events_of(client, order["orderId"])
            if e["eventType"] in ("PaymentApproved", "PaymentProcessed")]


def test_what_is_delivered_twice_is_taken_once(listening):
    l = listening("sharing")
    with l.client() as c:
        all = place(c, 10) + place(c, 10, flow="pay_first")
        for turn in (1, 2):
            for o in all:
                put(l, o, f"twice-{o['orderId']}")
        for o in all:  # another message of the same payment changes nothing either
            put(l, o, f"third-{o['orderId']}", f"payment-of-twice-{o['orderId']}")
        settled(c, [o["orderId"] for o in all])
        eventually(lambda: all_told(c, all, 2))
        for o in all:
            assert told(c, o) == [f"twice-{o['orderId']}", f"third-{o['orderId']}"]
            assert set(charges(c, o)) == {f"payment-of-twice-{o['orderId']}"}
            now = shop.order(c, o["orderId"])
            assert now["paymentId"] == f"payment-of-twice-{o['orderId']}"
            assert now["refunds"] == [] and now["status"] in ("SHIPPED", "STOCK_RESERVED")
            types = shop.types_of(c, o["orderId"])
            assert types.count("OrderPaid") == 1 and "OrderRefundRequested" not in types


def all_told(client, orders, n):
    return all(len(told(client, o)) >= n for o in orders)


def test_an_outside_payment_service_brings_orders_to_their_end(listening):
    """It hears on the same road, says everything twice, and forgets whom it has answered."""
    l = listening("sharing")
    with l.client() as c:
        placed = place(c, 15) + place(c, 15, flow="pay_first")
        ids = {o["orderId"]: o for o in placed}
        answered = set()

        def serve_payments():
            for _, key, topic, body in l.channel.recorded():
                due = {"stock_first": "order.confirmed", "pay_first": "order.placed"}
                if key in ids and key not in answered and topic == due[ids[key]["flow"]]:
                    said = json.loads(body)["payload"]
                    for _ in range(2):
                        put(l, {"orderId": said["orderId"], "currency": said["currency"],
                                "totalAmount": said.get("totalAmount", said.get("amount"))},
                            f"service-{key}")
                    answered.add(key)
            return answered == set(ids)
        eventually(serve_payments)
        settled(c, ids)
        for key, o in ids.items():
            assert told(c, o) == [f"service-{key}"]
            assert shop.order(c, key)["status"] == ("SHIPPED" if o["flow"] == "stock_first"
                                                    else "STOCK_RESERVED")
            assert [e["payload"]["amount"] for e in shop.events_of(c, key)
                    if e["eventType"] == "OrderPaid"] == [o["totalAmount"]]


# ---- a server that dies, and one that ends

class Sender(threading.Thread):
    """Puts messages for the orders, all of one and then of the next, so that many of one order are on
    their way together. Where who sends is told, it sends again until it is taken."""

    def __init__(self, listening, orders, per_order):
        super().__init__(daemon=True)
        self.listening, self.orders, self.per_order = listening, orders, per_order
        self.is_to_stop = threading.Event()
        self.put = {o["orderId"]: [] for o in orders}
        self.failure = None

    def run(self):
        try:
            for o in self.orders:
                for n in range(self.per_order):
                    if self.is_to_stop.is_set():
                        return
                    id = f"s{n}-{o['orderId']}"
                    if not self._put(o, id):
                        return
                    self.put[o["orderId"]].append(id)
        except Exception as e:  # for whoever waits
            self.failure = e

    def _put(self, o, id):
        if "tells" not in self.listening.channel.broker.promises:
            put(self.listening, o, id)
            return True
        while not self.is_to_stop.is_set():
            try:
                answer = put(self.listening, o, id)
            except (OSError, http.client.HTTPException):  # gone; whether it was taken nobody knows
                answer = None
            if answer and answer.status == 202:
                return True
            assert not answer or answer.status in (409, 503), answer.body
            self.is_to_stop.wait(0.05)
        return False

    def n(self):
        return sum(map(len, self.put.values()))

    def begin(self, client, n):
        """Until n are taken. A server that is given what was kept for it while it stood still has as much
        in hand as it may have."""
        server, keeps = self.listening.server, "keeps" in self.listening.channel.broker.promises
        if keeps:
            stand_still(server)
        self.start()
        if keeps:
            eventually(lambda: self.failure or self.n() >= len(self.orders) * self.per_order)
            server.send_signal(signal.SIGCONT)
        eventually(lambda: metric(client, 'idempotency_entries') >= n)

    def end(self):
        self.is_to_stop.set()
        self.join()
        assert not self.failure, self.failure


def taken(client, orders):
    return sum(len(told(client, o)) for o in orders)


def story_killed(l):
    # Brokers give what was not acknowledged again after seconds of their own.
    kills = 2 if IS_FULL else 1
    with l.client() as c:
        all = place(c, 10)
        sender = Sender(l, all, 40)
        sender.begin(c, 10)
    for n in range(kills):
        l.server.process.kill()
        l.server.wait()
        l.begin(*l.args)
        if n + 1 < kills:
            with l.client() as c:
                eventually(lambda: taken(c, all) >= 200)
    yield
    with l.client() as c:
        eventually(lambda: sender.failure or taken(c, all) >= len(all) * 40)
        sender.join()
        assert not sender.failure, sender.failure
        for o in all:
            # Each once, though those without an answer were sent again, and in the order they were sent.
            assert told(c, o) == sender.put[o["orderId"]]
        assert c.all("/dead-letters") == []


def story_full(l):
    per_order, pad = 15, "p" * 3000
    with l.client() as c:
        all = place(c, 10)
        ids = {o["orderId"]: [] for o in all}
        for n in range(per_order):
            for o in all:
                ids[o["orderId"]].append(f"f{n}-{o['orderId']}")
                put(l, o, ids[o["orderId"]][-1], pad=pad)

        def holds():
            received, settled = l.count(c, "received"), l.count(c, "settled")
            # Those of a connection that was lost come again.
            assert received <= KEYS_MAX + UNACKED_MAX * (1 + l.losses(c))
            return settled == KEYS_MAX and received > KEYS_MAX
        eventually(holds)
        assert metric(c, "idempotency_entries") == KEYS_MAX
        # Who sends by another road is told so; an order needs no id of a message.
        answer = c.request("POST", f"/messages/{NEW}", raw=message(all[0], "by-http"))
        answer.problem(503, "overloaded")
        shop.wait_status(c, place(c)[0]["orderId"], "CONFIRMED")
        assert holds()
        assert taken(c, all) == KEYS_MAX
        assert c.all("/dead-letters") == []
    assert l.server.stop() == 0
    eventually(lambda: l.channel.left() == per_order * len(all) - KEYS_MAX)
    l.begin(f"--set=relay.K.unacked_max={UNACKED_MAX}")
    yield
    with l.client() as c:
        eventually(lambda: taken(c, all) >= per_order * len(all))
        assert {o["orderId"]: told(c, o) for o in all} == ids
        assert c.all("/dead-letters") == []


def loaded(server):
    """The position that it began at."""
    return int(eventually(lambda: re.search(r" event=loaded position=(\d+) ", server.log()))[1])


def is_consistent(client, listening, began):
    """What the metrics say of each other, when nothing is on its way."""
    events = client.all("/events?limit=500")
    text = client.get("/metrics").is_(200).body.decode()
    appended = sum(float(l.rsplit(" ", 1)[1]) for l in text.splitlines()
                   if l.startswith("orderly_events_appended_total{"))
    lags = [l for l in text.splitlines() if l.startswith("orderly_subscription_lag_events{")]
    letters = [l for l in text.splitlines() if l.startswith("orderly_dead_letters{")]
    if not all(l.endswith(" 0") for l in lags) or events[-1]["position"] != began + appended:
        return False
    assert lags and letters and all(l.endswith(" 0") for l in letters)
    if "relay" not in listening.channel.broker.promises:
        return True
    n = {name: listening.count(client, name) for name in
         ("published", "acked", "again", "refused", "received", "settled")}
    # What a lost connection had in hand is counted once more by the next.
    return listening.losses(client) > 0 or (n["published"] == n["acked"] + n["again"] and
                                            n["received"] == n["settled"] and n["refused"] == 0)


def story_ending(l):
    keeps = "keeps" in l.channel.broker.promises
    with l.client() as c:
        all = place(c, 8)
        sender = Sender(l, all, 80)
        place(c, 20)
        sender.begin(c, 10)
    assert l.server.stop() == 0
    if keeps:
        sender.end()
        left = l.channel.left()
    server = l.begin(*l.args)
    began = loaded(server)
    yield
    sender.join()  # whom nobody could say that it is kept sends until it is
    assert not sender.failure, sender.failure
    n = sender.n()
    with l.client() as c:
        eventually(lambda: taken(c, all) >= n)
        for o in all:
            assert told(c, o) == sender.put[o["orderId"]]
        eventually(lambda: is_consistent(c, l, began))
        before = sum(e["position"] <= began and "messageId" in e["metadata"]
                     for o in all for e in shop.events_of(c, o["orderId"]))
        arrives(c, l.channel, OWN)
        if keeps:
            # All that was acknowledged is there. The last may lack the broker hearing of it, and come
            # again; and where it was asked before it had read all that it was sent, it counts twice.
            assert 0 <= before - (n - left) <= 2 * UNACKED_MAX
            # A broker that has no answer for seconds may give again what is on its way.
            assert l.count(c, "received") <= left + UNACKED_MAX * (1 + l.losses(c))


def test_messages_of_an_order_are_taken_in_their_order_through_a_server_that_is_killed(told_half):
    told_half["killed"]()


@pytest.mark.promise("keeps")
def test_what_can_not_be_taken_for_the_moment_waits_at_the_broker(told_half):
    """The table of ids is full. No more than unacked_max are in the server, which serves all else."""
    told_half["full"]()


def test_a_server_that_ends_under_load_leaves_nothing_in_the_air(told_half):
    """At least once is the promise; and what was acknowledged before the end does not come again."""
    told_half["ending"]()
