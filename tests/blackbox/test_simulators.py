"""The built-in contexts' behaviour, changed while the server runs."""
import pytest

from conftest import FAST
from shop import place, simulate, wait_for, wait_status

DEFAULTS = {
    "payments": {"enabled": True, "mode": "approve",
                 "delayMs": {"pay_first": 10, "stock_first": 100}, "failureRate": 0.0, "seed": 1,
                 "failFirst": 0, "declineAbove": None, "reason": "Card declined"},
    "inventory": {"enabled": True, "mode": "auto", "delayMs": {"pay_first": 10, "stock_first": 50},
                  "failFirst": 0},
    "shipments": {"enabled": True, "mode": "auto", "failFirst": 0},
}


@pytest.fixture
def fresh(start):
    with start().client() as c:
        yield c


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_what_is_read_can_be_written(fresh, name):
    now = fresh.get(f"/simulators/{name}").is_(200).json
    assert {k: now[k] for k in DEFAULTS[name]} == DEFAULTS[name]
    assert fresh.put(f"/simulators/{name}", now).is_(200).json == now
    assert fresh.get(f"/simulators/{name}").is_(200).json == now


@pytest.mark.parametrize("name, change", [
    ("payments", {"mode": "decline"}), ("payments", {"mode": "wait"}),
    ("payments", {"delayMs": {"pay_first": 0, "stock_first": 60000}}),
    ("payments", {"failureRate": 0.25, "seed": 7}), ("payments", {"failFirst": 2}),
    ("payments", {"declineAbove": 99.99}), ("payments", {"reason": "No money"}),
    ("payments", {"poisonRate": 0.5}), ("payments", {"enabled": False}),
    ("inventory", {"mode": "reject"}), ("inventory", {"failFirst": 1}),
    ("shipments", {"mode": "wait"}), ("shipments", {"enabled": False}),
])
def test_a_change_is_read_back(fresh, name, change):
    simulate(fresh, name, **change)
    now = fresh.get(f"/simulators/{name}").json
    assert {k: now[k] for k in change} == change


@pytest.mark.parametrize("name, change, pointer", [
    ("payments", {"mode": "sometimes"}, "/mode"), ("payments", {"failureRate": 1.1}, "/failureRate"),
    ("payments", {"failureRate": -0.1}, "/failureRate"), ("payments", {"enabled": 1}, "/enabled"),
    ("payments", {"delayMs": {"pay_first": 60001, "stock_first": 0}}, "/delayMs/pay_first"),
    ("payments", {"failFirst": -1}, "/failFirst"), ("payments", {"colour": "red"}, "/colour"),
    ("payments", {"poisonRate": 2}, "/poisonRate"), ("inventory", {"mode": "wait"}, "/mode"),
    ("shipments", {"mode": "reject"}, "/mode"), ("shipments", {"failureRate": 1}, "/failureRate"),
])
def test_what_is_wrong_with_a_setting_is_pointed_at(client, name, change, pointer):
    now = client.get(f"/simulators/{name}").json
    assert client.put(f"/simulators/{name}", {**now, **change}).pointers() == [pointer]
    assert client.get(f"/simulators/{name}").json == now


def test_there_are_three_contexts_to_set(client):
    client.get("/simulators/weather").problem(404, "not_found")
    client.put("/simulators/weather", {}).problem(404, "not_found")


def test_the_command_line_sets_the_same_values(start):
    server = start(*FAST, "--set=simulators.payments.mode=wait",
                   "--set=simulators.payments.delayMs.pay_first=7",
                   "--set=simulators.inventory.mode=reject",
                   env={"ORDERLY_SIMULATORS_SHIPMENTS_MODE": "wait"})
    with server.client() as client:
        payments = client.get("/simulators/payments").json
        assert payments["mode"] == "wait"
        assert payments["delayMs"] == {"pay_first": 7, "stock_first": 0}
        assert client.get("/simulators/inventory").json["mode"] == "reject"
        assert client.get("/simulators/shipments").json["mode"] == "wait"


def test_a_change_holds_for_the_next_order(fresh):
    for name in ("payments", "inventory", "shipments"):
        simulate(fresh, name, delayMs={"pay_first": 0, "stock_first": 0})
    simulate(fresh, "payments", mode="wait")
    wait_status(fresh, place(fresh)["orderId"], "CONFIRMED")
    simulate(fresh, "payments", mode="decline")
    wait_for(fresh, place(fresh)["orderId"], "PAYMENT_FAILED")
    simulate(fresh, "payments", mode="approve")
    wait_for(fresh, place(fresh)["orderId"], "SHIPPED")
