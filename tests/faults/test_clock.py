"""The wall clock is set an hour back and forward, under load and while something waits for a time.

libfaketime moves what the server takes for the time of day and leaves the monotonic clock alone, as a
hand at the clock does. What is a time of day to clients (deadlines, the 24 hours of a key) goes by the
wall clock; what is a length of time (delays, retries, waiting) must not notice.
"""
import random
import time

import pytest

from books import Audit, Book, await_rest
from client import eventually
from server import QUICK, verify
from shop import (STOCK_FIRST_EVENTS, add_product, order, order_body, place, types_of, wait_event,
                  wait_status)
from tools import SECONDS, Clock
from trade import DELAYS

HOUR = 3600
PATIENT = "--set=payment.timeout=4h"  # where the deadline is not what is asked for
BETWEEN = 100  # orders from one move to the next


def agrees(server):
    """It comes to rest, and the books of an observer who was told nothing agree; then it ends."""
    await_rest(server)
    audit = Audit()
    with server.client() as client:
        audit.read(client)
    audit.compare(server, Book(random.Random(1)))
    server.stop()
    verify(server.data)


def test_a_clock_that_is_moved_under_load(make, trade):
    server = make(*DELAYS)
    clock = Clock(server)
    server.start()
    shop = trade(server).begin()
    for seconds in (HOUR, 0, -HOUR, HOUR, 0):
        shop.await_orders(BETWEEN)
        clock.set(seconds)
    shop.await_orders(BETWEEN)
    shop.end()
    # No key has run out, whichever hour it was stored in.
    shop.ask_again()
    shop.settle()
    assert_ids_are_monotone(server)

    # And a life that begins with the clock an hour back goes on behind the ids that there are.
    server.stop()
    clock.set(-HOUR)
    server.start()
    shop.begin()
    shop.await_orders(BETWEEN)
    shop.end()
    shop.settle()
    assert_ids_are_monotone(server)
    shop.close_the_books()


def assert_ids_are_monotone(server):
    with server.client() as client:
        events = client.all("/events?limit=500")
    ids = [e["eventId"] for e in events]
    assert len(set(ids)) == len(ids)
    later = [(a, b) for a, b in zip(events, events[1:]) if a["eventId"] >= b["eventId"]]
    assert not later, later[0]


def test_a_clock_set_back_runs_no_deadline_early(make):
    server = make(*QUICK, "--set=simulators.payments.mode=wait", "--set=payment.timeout=30m")
    clock = Clock(server)
    server.start()
    with server.client() as client:
        sku = add_product(client, stock=100)

        def place_waiting():
            return wait_status(client, place(client, sku)["orderId"], "CONFIRMED")["orderId"]

        first = [place_waiting() for _ in range(5)]
        clock.set(-HOUR)
        early = place_waiting()  # due in half an hour by the new clock, the others in one and a half
        clock.set(-HOUR + 31 * 60)
        # It was looked for what is due, and nothing else was.
        wait_cancelled(client, early)
        assert [order(client, id)["status"] for id in first] == ["CONFIRMED"] * 5
        clock.set(HOUR)
        for id in first:
            wait_cancelled(client, id)
            assert types_of(client, id).count("OrderCancelled") == 1
        # Set back once more it is as cancelled as before, and new ones are made.
        clock.set(0)
        place_waiting()
        assert [order(client, id)["status"] for id in first] == ["CANCELLED"] * 5
        product = eventually(lambda: has_reserved(client, sku, 2), SECONDS)
        assert product["onHand"] == 100
        client.post(f"/orders/{client.all('/orders?status=CONFIRMED')[0]['orderId']}/pay").is_(202)
    agrees(server)


def wait_cancelled(client, id):
    def is_cancelled():
        now = order(client, id)
        assert (now["status"], now["cancellationReason"]) == ("CANCELLED", "payment_timeout"), now
    eventually(is_cancelled, SECONDS)


def has_reserved(client, sku, n):
    product = client.get(f"/products/{sku}").is_(200).json
    assert product["reserved"] == n, product
    return product


def test_keys_are_kept_for_24_hours_of_the_wall_clock(make):
    server = make(*QUICK)
    clock = Clock(server)
    server.start()
    with server.client() as client:
        body = order_body(add_product(client))

        def ask(key):
            return client.post("/orders", body, headers={"Idempotency-Key": key}).is_(201)

        first = {"now": ask("now")}
        clock.set(-HOUR)
        first["back"] = ask("back")
        clock.set(HOUR)
        first["forward"] = ask("forward")
        for hours, kept in ((-1, {"now", "back", "forward"}), (22, {"now", "back", "forward"}),
                            (23.5, {"now", "forward"}), (24.5, {"forward"})):
            clock.set(round(hours * HOUR))
            for key in first:
                if key in kept:
                    again = ask(key)
                    assert again.headers["Idempotent-Replayed"] == "true", (hours, key)
                    assert again.body == first[key].body
        clock.set(26 * HOUR)
        for key in first:
            assert ask(key).json["orderId"] != first[key].json["orderId"], key
    agrees(server)


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_what_is_a_length_of_time_does_not_notice(make, seconds):
    delay_s = 1
    server = make(*QUICK, f"--set=simulators.payments.delayMs={delay_s * 1000}",
                  "--set=simulators.inventory.failFirst=2", "--set=bus.retry_base=200ms", PATIENT)
    clock = Clock(server)
    server.start()
    with server.client() as client:
        began = time.monotonic()
        id = place(client)["orderId"]
        clock.set(seconds)
        wait_until(client, id, "SHIPPED")
        took_s = time.monotonic() - began
        assert took_s >= delay_s, f"after {took_s} s"
        wait_event(client, id, "OrderShipped")
        assert types_of(client, id) == STOCK_FIRST_EVENTS
        assert client.all("/dead-letters") == []
    agrees(server)


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_restart_with_another_clock_goes_on_with_what_was_pending(make, seconds):
    server = make(*QUICK, "--set=bus.retry_base=500ms", "--set=bus.retry_max=1s",
                  "--set=simulators.inventory.failFirst=2", "--set=simulators.shipments.delayMs=700",
                  PATIENT)
    clock = Clock(server)
    server.start()
    with server.client() as client:
        sku = add_product(client)
        retried = place(client, sku)["orderId"]
    server.kill()
    clock.set(seconds)
    server.start()
    with server.client() as client:
        wait_until(client, retried, "PAID", "SHIPPED")
    server.kill()
    clock.set(0)
    server.start()
    with server.client() as client:
        wait_until(client, retried, "SHIPPED")
    agrees(server)


def wait_until(client, id, *states):
    def is_there():
        now = order(client, id)
        assert now["status"] in states, now
    eventually(is_there, SECONDS)
