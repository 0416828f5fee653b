"""A broker that says that it takes nothing for now, and why: no order waits for it, nobody takes it for
lost, and it gets everything afterwards."""
import os
import time

import pytest

import shop
from judge import arrives, eventually, metric, orders, settled

# Longer than the relay waits for the word of a broker that says nothing.
ALARM_SECONDS = 40 if os.environ.get("ORDERLY_BROKERS") == "full" else 0


@pytest.mark.promise("alarms")
def test_a_broker_in_an_alarm_is_left_in_peace_and_gets_everything_after_it(serve, channel):
    server = serve()
    with server.client() as c:
        sku = shop.add_product(c, stock=10000)
        ids = orders(c, 5, sku)
        arrives(c, channel)

        def lost():
            return metric(c, 'relay_connections_lost_total{relay="%s"}' % channel.broker.name)
        before = lost()
        channel.broker.alarm()
        until = time.monotonic() + ALARM_SECONDS
        while not ids[5:] or time.monotonic() < until:
            ids += orders(c, 5, sku)
        settled(c, ids)
        eventually(lambda: "low on memory" in server.log())
        line = next(line for line in server.log().splitlines() if "low on memory" in line)
        assert "event=relay_stuck" in line and f"relay={channel.broker.name}" in line
        channel.broker.calm()
        arrives(c, channel)
        eventually(lambda: "event=relay_goes_on" in server.log())
        assert lost() == before
