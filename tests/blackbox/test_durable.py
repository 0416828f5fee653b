"""What was told to a server is there when it starts again."""
import re
import signal

import pytest

from client import eventually
from conftest import FAST
from shop import add_product, order_body, wait_for


def test_settings_of_the_first_start_hold_at_later_ones(start, tmp_path):
    where = ("--data", str(tmp_path / "data"))
    first = start(*where, "--set=simulators.payments.delayMs=7")
    first.stop(signal.SIGKILL)
    second = start(*where, "--set=simulators.payments.delayMs=9")
    eventually(lambda: "event=simulator_option_ignored simulator=payments" in second.log())
    with second.client() as client:
        delays = client.get("/simulators/payments").json["delayMs"]
        assert delays == {"pay_first": 7, "stock_first": 7}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_order_is_there_and_goes_on_after_a_restart(start, tmp_path, end):
    where = ("--data", str(tmp_path / "data"))
    # Payments has the order in its hands when the server ends.
    first = start(*FAST, *where, "--drain=0s", "--set=simulators.payments.delayMs=1500")
    with first.client() as client:
        sku = add_product(client, stock=10)
        body = order_body(sku, 2)
        placed = client.post("/orders", body, headers={"Idempotency-Key": "k"})
        order = placed.is_(201).json
        wait_for(client, order["orderId"], "CONFIRMED")
        assert client.get(f"/orders/{order['orderId']}").json["status"] == "CONFIRMED"
    first.stop(end)

    second = start(*where)
    eventually(lambda: says_where_it_goes_on(second))
    with second.client() as client:
        again = client.post("/orders", body, headers={"Idempotency-Key": "k"})
        assert again.status == 201 and again.headers["Idempotent-Replayed"] == "true"
        assert again.body == placed.body
        wait_for(client, order["orderId"], "SHIPPED")
        stock = client.get(f"/products/{sku}").json
        assert (stock["onHand"], stock["reserved"]) == (10, 2)


def says_where_it_goes_on(server):
    assert re.search(r" event=loaded position=\d+ behind=[1-9]\d* lanes_parked=0 dead_letters=0 "
                     r"keys=1$", server.log(), re.M), server.log()


def test_two_servers_do_not_share_a_directory(start, tmp_path):
    where = ("--data", str(tmp_path / "data"))
    start(*where)
    with pytest.raises(RuntimeError, match="another server"):
        start(*where)
