"""What a relay promises, whatever the broker: every message that this server decided arrives, for each
order in the order of the log; a broker that is away, killed, stopped or forgets to say what it has
never stops an order, and nothing is skipped. Duplicates have the same id.

ORDERLY_BROKERS=full stops the broker for as long as people sleep, too."""
import json
import os
import time

import pytest

import shop
from serving import FAST

PATIENCE_SECONDS = 120
PASSED_ON = ("order.", "payment.", "stock.", "inventory.", "shipment.")

needs_full = pytest.mark.skipif(os.environ.get("ORDERLY_BROKERS") != "full",
                                reason="ORDERLY_BROKERS=full has these")


@pytest.fixture
def serve(start, broker):
    """serve(*args) starts the server with a relay to the broker; the same directory for all."""
    servers = []

    def begin(*args, **kwargs):
        data = ("--data", str(servers[0].folder / "data")) if servers else ()
        servers.append(start("--relay", broker.url, *broker.options, *FAST, *data, *args, **kwargs))
        return servers[-1]
    return begin


def orders(client, n, sku, flow=None):
    more = {"flow": flow} if flow else {}
    return [shop.place(client, sku, 1, **more)["orderId"] for _ in range(n)]


def metric(client, name):
    for line in client.get("/metrics").is_(200).body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no {name}")


def eventually(what, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.1)


def is_connected(client, broker):
    return metric(client, f'orderly_relay_connected{{relay="{broker.name}"}}') == 1


def settled(client, ids):
    """All these orders have come to their end or to rest, so nothing more is said of them."""
    for order in ids:
        client.get(f"/orders/{order}?until=SHIPPED,STOCK_RESERVED,{shop.FINAL}&wait=60s").is_(200)


def said(client):
    """What the server passes on: (id, key, topic) in the order of the log."""
    return [(m["messageId"], m["correlationId"], m["topic"]) for m in client.all("/messages?limit=500")
            if m["topic"].startswith(PASSED_ON)]


def by_key(messages):
    keys = {}
    for m in messages:
        keys.setdefault(m[1], []).append(m[0])
    return keys


def without_repeats(ids):
    return list(dict.fromkeys(ids))


def arrives(client, broker):
    """Everything said is in the broker, and nothing else; what it recorded."""
    def has_all():
        # In this order: what is recorded was said before.
        recorded = broker.recorded()
        wanted = said(client)
        return {m[0] for m in recorded} == {m[0] for m in wanted} and (recorded, wanted)
    recorded, wanted = eventually(has_all)
    got = by_key(recorded)
    for key, ids in by_key(wanted).items():
        assert without_repeats(got[key]) == ids, f"order of {key}"
    return recorded


def test_every_message_arrives_in_the_order_of_its_order(serve, broker):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 40, sku) + orders(c, 20, sku, "pay_first")
        settled(c, ids)
        recorded = arrives(c, broker)
        topics = {m[2] for m in recorded}
        assert {"order.placed", "order.paid"} <= topics
        one = {m["messageId"]: m for m in c.all("/messages?limit=500")}
        for id, key, topic, body in recorded:
            m = json.loads(body)
            assert (m["messageId"], m["correlationId"], m["topic"]) == (id, key, topic)
            assert m["payload"] == one[id]["payload"]


def test_no_order_waits_for_a_broker_that_is_killed_and_comes_back(serve, broker):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        first = orders(c, 20, sku)
        broker.away()
        second = orders(c, 20, sku)
        settled(c, first + second)
        eventually(lambda: not is_connected(c, broker))
        broker.back()
        third = orders(c, 20, sku)
        settled(c, third)
        arrives(c, broker)


def test_a_server_starts_and_serves_without_its_broker(serve, broker):
    broker.away()
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        settled(c, orders(c, 10, sku))
        assert not is_connected(c, broker)
        broker.back()
        arrives(c, broker)


def test_acknowledgements_that_are_lost_cost_nothing_but_repeats(serve, broker):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 5, sku)
        arrives(c, broker)
        broker.deafen()
        before = len(broker.recorded())
        ids += orders(c, 20, sku)
        eventually(lambda: len(broker.recorded()) > before)
        broker.hear()
        settled(c, ids)
        arrives(c, broker)


def test_what_was_not_passed_on_at_the_end_is_passed_on_after_the_next_start(serve, broker):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 5, sku)
        broker.stopped()
        ids += orders(c, 20, sku)
        settled(c, ids)
    # With the broker stopped and messages in the air.
    assert server.stop() == 0
    broker.goes_on()
    with serve().client() as c:
        arrives(c, broker)


@needs_full
def test_a_broker_that_is_stopped_for_half_a_minute_is_left_and_found_again(serve, broker):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=10000)
        first = orders(c, 20, sku)
        broker.stopped()
        until = time.monotonic() + 30
        second = []
        while time.monotonic() < until:
            second += orders(c, 5, sku)
        settled(c, first + second)
        broker.goes_on()
        arrives(c, broker)


@needs_full
def test_memory_does_not_grow_with_what_waits_for_a_broker_that_is_away(serve, broker):
    def rss(server):
        with open(f"/proc/{server.process.pid}/smaps_rollup") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))
    broker.away()
    # What a sanitizer keeps of freed memory, to find who uses it, is not the server's.
    server = serve(f"--set=relay.{broker.name}.window=64", env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    with server.client() as c:
        sku = shop.add_product(c, stock=1000000)
        settled(c, orders(c, 1000, sku))
        before = rss(server)
        settled(c, orders(c, 5000, sku))
        # Orders take memory, too: settled ones are kept, up to 64 MiB of them.
        assert rss(server) - before < 100 * 1024
        broker.back()
        arrives(c, broker)
