"""What a relay promises, whatever the broker: every message that this server decided arrives, for each
order in the order of the log; a broker that is away, killed, stopped or forgets to say what it has
never stops an order, and nothing is skipped. Duplicates have the same id.

ORDERLY_BROKERS=full stops the broker for as long as people sleep, too."""
import json
import os
import signal
import time

import pytest

import shop
from judge import arrives, eventually, orders, settled, stand_still

needs_full = pytest.mark.skipif(os.environ.get("ORDERLY_BROKERS") != "full",
                                reason="ORDERLY_BROKERS=full has these")


def test_every_message_arrives_in_the_order_of_its_order(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 40, sku) + orders(c, 20, sku, "pay_first")
        settled(c, ids)
        recorded = arrives(c, channel)
        topics = {m[2] for m in recorded}
        assert {"order.placed", "order.paid"} <= topics
        one = {m["messageId"]: m for m in c.all("/messages?limit=500")}
        for id, key, topic, body in recorded:
            m = json.loads(body)
            assert (m["messageId"], m["correlationId"], m["topic"]) == (id, key, topic)
            assert m["payload"] == one[id]["payload"]


def test_no_order_waits_for_a_broker_that_is_killed_and_comes_back(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        first = orders(c, 20, sku)
        channel.broker.away()
        second = orders(c, 20, sku)
        settled(c, first + second)
        eventually(lambda: not channel.broker.is_heard(c))
        channel.broker.back()
        third = orders(c, 20, sku)
        settled(c, third)
        arrives(c, channel)


def test_a_server_starts_and_serves_without_its_broker(serve, channel):
    channel.broker.away()
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        settled(c, orders(c, 10, sku))
        assert not channel.broker.is_heard(c)
        channel.broker.back()
        arrives(c, channel)


def test_acknowledgements_that_are_lost_cost_nothing_but_repeats(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 5, sku)
        arrives(c, channel)
        channel.broker.deafen()
        before = len(channel.recorded())
        ids += orders(c, 20, sku)
        eventually(lambda: len(channel.recorded()) > before)
        channel.broker.hear()
        settled(c, ids)
        arrives(c, channel)
        assert channel.repeats(c) > 0


def test_what_was_not_passed_on_at_the_end_is_passed_on_after_the_next_start(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)
        ids = orders(c, 5, sku)
        channel.broker.stopped()
        ids += orders(c, 20, sku)
        settled(c, ids)
    # With the broker stopped and messages in the air.
    assert server.stop() == 0
    channel.broker.goes_on()
    with serve().client() as c:
        arrives(c, channel)


def orders_for(client, seconds, sku):
    until, ids = time.monotonic() + seconds, []
    while time.monotonic() < until or not ids:
        ids += orders(client, 3, sku) + orders(client, 1, sku, "pay_first")
    return ids


def test_a_server_that_is_killed_or_stopped_amid_orders_skips_nothing(serve, channel):
    """Killed while it runs, after it has stood still, and while it does, with messages in the air."""
    ids, sku = [], None
    for life in range(3):
        server = serve()
        with server.client() as c:
            sku = sku or shop.add_product(c, stock=10000)
            if life == 2:
                eventually(lambda: channel.broker.is_heard(c))
                channel.broker.stopped()
            # Longer than it takes it to store how far it is.
            ids += orders_for(c, 0.3, sku)
            if life > 0:
                stand_still(server)
            if life == 1:
                server.send_signal(signal.SIGCONT)
                ids += orders_for(c, 0.1, sku)
        server.process.kill()
        server.wait()
    channel.broker.goes_on()
    with serve().client() as c:
        settled(c, ids)
        arrives(c, channel)
        for id in ids:
            assert shop.types_of(c, id) in (shop.PAY_FIRST_EVENTS, shop.STOCK_FIRST_EVENTS)


@needs_full
def test_a_broker_that_is_stopped_for_half_a_minute_is_left_and_found_again(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=10000)
        first = orders(c, 20, sku)
        channel.broker.stopped()
        until = time.monotonic() + 30
        second = []
        while time.monotonic() < until:
            second += orders(c, 5, sku)
            time.sleep(0.1)  # half a minute of orders, not as many as fit: Kafka's mock keeps 20 MiB
        settled(c, first + second)
        channel.broker.goes_on()
        arrives(c, channel)


@needs_full
def test_memory_does_not_grow_with_what_waits_for_a_broker_that_is_away(serve, channel):
    """With it kept in memory it would, by a KiB for each of 7 messages of an order."""
    def own():
        with open(f"/proc/{server.process.pid}/smaps_rollup") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))
    channel.broker.away()
    window = [f"--set=relay.{channel.broker.name}.window=64"]
    # What a sanitizer keeps of freed memory, to find who uses it, is not the server's; nor do orders
    # that are settled count here.
    server = serve(*(window if "relay" in channel.broker.promises else ()), "--set=cache_bytes=1048576",
                   env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    with server.client() as c:
        sku = shop.add_product(c, stock=1000000)
        settled(c, orders(c, 1000, sku))
        before = own()
        settled(c, orders(c, 2500, sku))
        assert own() - before < 12 * 1024, "KiB"
        channel.broker.back()
        arrives(c, channel)
