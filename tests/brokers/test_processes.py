"""Both flows over four processes that are killed meanwhile; `processes.py` does it by the thousand."""
import shutil

import pytest

import processes
from driver import adapter

ORDERS, PER_SECOND, KILL_EVERY, SEED = 200, 40, 1.5, 7


@pytest.mark.parametrize("name", ("nats", "rabbitmq"))
def test_orders_of_both_flows_are_settled_over_four_processes_that_are_killed(name, tmp_path):
    if name == "nats" and not shutil.which("nats-server"):
        pytest.skip("nats-server is not installed")
    adapter(name)
    url, end = processes.start_broker(name, tmp_path / "broker")
    try:
        result = processes.try_out(tmp_path, url, ORDERS, PER_SECOND, KILL_EVERY, SEED)
    finally:
        end()
    assert sum(result["kills"].values()) >= 2
    assert set(result["by_status"]) == {"SHIPPED", "STOCK_RESERVED", "CANCELLED"}
