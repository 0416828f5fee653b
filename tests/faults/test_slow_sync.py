"""A disk that takes 20 ms for every fsync."""
import time

import pytest

from server import verify
from tools import Strace, preload_slow_sync
from trade import DELAYS

SLOW_MS = 20
ORDERS = 300


@pytest.mark.parametrize("by", ["strace", "preload"])
def test_a_slow_disk_loses_nothing_and_is_waited_for(make, trade, by):
    server = make(*DELAYS)
    strace = None
    if by == "strace":
        strace = Strace(server, "fsync,fdatasync", f"delay_enter={SLOW_MS * 1000}")
    else:
        preload_slow_sync(server, SLOW_MS)
    server.start()
    shop = trade(server).begin()
    shop.await_orders(ORDERS)
    shop.end()
    assert_answers_come_after_the_sync(server)
    verify(server.data)  # while it serves
    shop.close_the_books()
    if strace:
        assert strace.count("DELAYED") >= 10


def assert_answers_come_after_the_sync(server):
    """However fast or slow the machine: what is acknowledged has waited for a whole sync."""
    with server.client() as client:
        for n in range(5):
            began = time.monotonic()
            client.post("/carts", {"customerId": "c"}, headers={"Idempotency-Key": f"slow-{n}"}).is_(201)
            took_ms = (time.monotonic() - began) * 1000
            assert took_ms >= SLOW_MS, f"answered after {took_ms} ms"
