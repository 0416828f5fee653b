"""What the bus promises to the contexts inside of the server, as brokers' tests ask it of a relay: every
message is handed to each subscription, of one order in the order of the log, through kills; what it causes
happens once; one that fails for good holds up its order and nobody else; what waits for a context that is
switched off is not in memory; and after an end that was asked for nothing is handed over again.

Two things are looked at. The audit is a subscription like the others and writes a line of what it is
handed: these are the deliveries. The others write what they make of a message into the log, with its id as
the cause: these are the effects. Of a bus within the process some promises have no meaning, and are asked
of brokers only: it can't be away while the server is there, nor lose what it says; its listeners outside
of the process can, and are a broker of their own to the other tests (tried_inprocess.py)."""
import collections
import http.client
import re
import threading

import pytest

import shop
from judge import eventually, settled
from serving import FAST
from tried import metric

MIB = 1 << 20
LINE = re.compile(r" event=message topic=(\S+) correlationId=(\S+) messageId=(\S+) position=(\d+)")
# Longer than between two times that the bus stores how far it is, so that a kill finds much in work.
SLOW = [f"--set=simulators.{name}.delayMs=250" for name in ("payments", "inventory", "shipments")]
QUICK = ["--set=bus.retry_base=2ms", "--set=bus.retry_max=5ms"]


@pytest.fixture
def lives(start):
    """lives(*args) begins the next life on the same directory; lives.all has them."""
    def begin(*args):
        data = ("--data", str(begin.all[0].folder / "data")) if begin.all else ()
        begin.all.append(start(*(() if set(SLOW) & set(args) else FAST), *data, *args))
        return begin.all[-1]
    begin.all = []
    return begin


def deliveries(server):
    """What the audit was handed: (position, key), in its order."""
    lines = server.log().split("\n")[:-1]  # the last one may not be whole
    return [(int(m[4]), m[2]) for m in map(LINE.search, lines) if m]


def said(client):
    """All that the bus has to hand over, as above."""
    return [(m["position"], m["correlationId"]) for m in client.all("/messages?limit=500")]


def by_key(pairs):
    keys = collections.defaultdict(list)
    for position, key in pairs:
        keys[key].append(position)
    return keys


class Shop(threading.Thread):
    """Places orders of both flows until the server is gone; acked has those that are owed."""

    def __init__(self, server, sku, most=2000):
        super().__init__(daemon=True)
        self.server, self.sku, self.most = server, sku, most
        self.acked, self.failure = [], None
        self.start()

    def run(self):
        try:
            with self.server.client() as c:
                for n in range(self.most):
                    o = c.post("/orders", shop.order_body(
                        self.sku, 1, flow="pay_first" if n % 3 == 0 else "stock_first"))
                    if o.status == 503:
                        return
                    self.acked.append(o.is_(201).json["orderId"])
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        except Exception as e:  # for whoever waits
            self.failure = e

    def end(self):
        self.join()
        assert not self.failure, self.failure
        return self.acked


def check_deliveries(client, lives):
    """Everything was handed to the audit, in each life and over all in the order of each key."""
    def has_all():
        got = [deliveries(server) for server in lives.all]
        return set(said(client)) <= {d for life in got for d in life} and got
    got = eventually(has_all)
    wanted = said(client)
    assert {d for life in got for d in life} == set(wanted)
    for life in got:
        for key, positions in by_key(life).items():
            assert positions == sorted(set(positions)), f"{key} in one life"
    firsts = by_key(dict.fromkeys(d for life in got for d in life))
    for key, positions in by_key(wanted).items():
        assert firsts[key] == positions, f"order of {key}"
    return got


def check_effects(client, ids):
    """Each order came to its end by each step once."""
    for id in ids:
        events = [e for e in shop.events_of(client, id) if e["aggregateType"] != "Subscription"]
        types = [e["eventType"] for e in events]
        assert types in (shop.PAY_FIRST_EVENTS, shop.STOCK_FIRST_EVENTS), types
        causes = [e["metadata"]["causationId"] for e in events]
        assert causes[0] is None and len(set(causes)) == len(causes)


def test_the_bus_hands_over_each_message_in_the_order_of_its_order_through_kills(lives):
    ids, sku = [], None
    for life in range(3):
        server = lives(*SLOW)
        with server.client() as c:
            sku = sku or shop.add_product(c, stock=100000)
        shops = [Shop(server, sku) for _ in range(2)]
        enough = len(ids) + 200
        eventually(lambda: len(ids) + sum(len(s.acked) for s in shops) >= enough)
        server.process.kill()
        server.wait()
        for each in shops:
            ids += each.end()
    with lives().client() as c:
        # Who had no answer may have an order, too.
        all = [o["orderId"] for o in c.all("/orders?limit=500")]
        assert set(ids) <= set(all) and len(ids) == len(set(ids))
        settled(c, all)
        check_effects(c, all)
        check_deliveries(c, lives)
        assert shop.stock_of(c, sku) == (100000, len(all), 100000 - len(all))


def test_after_an_end_that_was_asked_for_nothing_is_handed_over_again(lives):
    ids, sku = [], None
    for life in range(3):
        server = lives()
        with server.client() as c:
            sku = sku or shop.add_product(c, stock=100000)
        shops = [Shop(server, sku) for _ in range(2)]
        enough = len(ids) + 60
        eventually(lambda: len(ids) + sum(len(s.acked) for s in shops) >= enough)
        assert server.stop() == 0
        for each in shops:
            ids += each.end()
        assert "drain_over" not in server.log()
    with lives().client() as c:
        settled(c, ids)
        check_effects(c, ids)
        got = check_deliveries(c, lives)
        assert sum(map(len, got)) == len(set().union(*got))


def test_what_fails_for_good_holds_up_its_order_only_and_is_kept_through_a_kill(lives):
    server = lives(*QUICK)
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        shop.simulate(c, "payments", poisonRate=1.0)
        bad = [shop.place(c, sku, 1)["orderId"] for _ in range(5)]
        letters = {id: shop.wait_dead_letter(c, id) for id in bad}
        shop.simulate(c, "payments", poisonRate=0.0)
        good = [shop.place(c, sku, 1)["orderId"] for _ in range(5)]
        settled(c, good)
        shop.cancel(c, bad[0]).is_(200)  # waits behind
    server.process.kill()
    server.wait()
    with lives(*QUICK).client() as c:
        for id, before in letters.items():
            letter = shop.dead_letters_of(c, id)
            assert [x["deadLetterId"] for x in letter] == [before["deadLetterId"]]
            assert letter[0]["state"] == "parked"
            assert letter[0]["message"]["payload"] == before["message"]["payload"]
            c.post(f"/dead-letters/{before['deadLetterId']}/retry").is_(200)
        settled(c, bad)
        check_effects(c, good + bad[1:])
        shop.wait_order(c, bad[0], status="CANCELLED", refund__status="done")
        types = shop.types_of(c, bad[0])
        assert types.index("PaymentProcessed") < types.index("PaymentRefunded")
        assert types.count("PaymentProcessed") == 1
        assert all(x["state"] == "retried" for x in c.all("/dead-letters"))


def test_what_waits_for_a_context_that_is_off_is_not_in_memory(lives):
    """Neither messages nor orders; it is done when somebody outside does it, also after a kill."""
    args = ("--set=simulators.payments.enabled=false", f"--set=cache_bytes={MIB}")
    server, n = lives(*args), 450
    with server.client() as c:
        sku = shop.add_product(c, stock=10 * n)
        placed = [shop.place(c, sku, 1) for _ in range(n)]
        for o in placed:
            shop.wait_status(c, o["orderId"], "CONFIRMED")

        def is_quiet():
            return all(metric(c, f'subscription_lag_events{{subscription="{name}"}}') == 0
                       for name in ("orders", "payments", "inventory", "shipments", "audit"))
        eventually(is_quiet)
        assert metric(c, 'cache_bytes{kind="orders"}') <= MIB * 3 // 4
        assert metric(c, 'cache_evictions_total{kind="orders"}') > 0
        lanes = [line for line in c.get("/metrics").body.decode().splitlines()
                 if line.startswith("orderly_lanes_deferred{")]
        assert lanes and all(line.endswith(" 0") for line in lanes), lanes
    server.process.kill()
    server.wait()
    with lives(*args).client() as c:
        for o in placed:
            shop.approve(c, o, topic="payment.processed")
        settled(c, [o["orderId"] for o in placed])
        assert metric(c, 'cache_bytes{kind="orders"}') <= MIB * 3 // 4
        for o in placed[:50]:
            assert shop.types_of(c, o["orderId"]) == shop.STOCK_FIRST_EVENTS
        assert shop.stock_of(c, sku) == (10 * n, n, 9 * n)
        check_deliveries(c, lives)
