"""Alive, ready, and in numbers."""
import re

from client import eventually
from conftest import FAST
from shop import add_product, checkout, order_body, place, publish, unique, wait_for

NAMES = """
build_info http_requests_total http_request_duration_seconds http_connections
events_appended_total commit_duration_seconds commit_batch_events handler_duration_seconds
handler_failures_total subscription_lag_events subscription_oldest_seconds lanes_deferred
dead_letters orders_total refunds_due loop_lag_seconds refused_total store_bytes
idempotency_entries
""".split()
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (-?[0-9.e+-]+|\+Inf|NaN)')


def metrics(client):
    """{(name, labels): value}, checked line by line."""
    answer = client.get("/metrics").is_(200)
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("#") or not line:
            continue
        match = LINE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert (name, labels or "") not in found, f"twice: {line}"
        found[name, labels or ""] = float(value)
    return found


def value(client, name, labels=""):
    return metrics(client).get((f"orderly_{name}", labels), 0)


def test_it_is_alive_and_ready(client):
    client.get("/livez").is_(200)
    client.get("/readyz").is_(200)


def test_every_agreed_number_is_there(client):
    wait_for(client, place(client)["orderId"], "SHIPPED")
    text = client.get("/metrics").is_(200).body.decode()
    for name in NAMES:
        assert f"# TYPE orderly_{name} " in text, name
    # The client libraries' names, which have no prefix.
    for name in ("cpu_seconds_total", "resident_memory_bytes", "start_time_seconds", "open_fds"):
        assert f"# TYPE process_{name} " in text, name


def test_events_and_orders_are_counted(client):
    before = metrics(client)
    wait_for(client, place(client)["orderId"], "SHIPPED")
    wait_for(client, checkout(client)["orderId"], "STOCK_RESERVED")
    after = metrics(client)

    def grown(name, labels):
        return after.get((f"orderly_{name}", labels), 0) - before.get((f"orderly_{name}", labels), 0)
    assert grown("events_appended_total", 'type="OrderPlaced"') == 2
    assert grown("events_appended_total", 'type="ShipmentCreated"') == 1
    assert grown("orders_total", 'flow="stock_first",status="SHIPPED"') == 1
    assert grown("orders_total", 'flow="pay_first",status="STOCK_RESERVED"') == 1
    assert grown("http_requests_total", 'method="POST",route="/orders",code="201"') == 1


def test_routes_are_counted_by_their_pattern_and_not_by_their_ids(client):
    for n in range(3):
        client.get(f"/orders/some-id-{n}").is_(404)
    counted = {labels for name, labels in metrics(client) if name == "orderly_http_requests_total"}
    assert any('route="/orders/{id}",code="404"' in labels for labels in counted)
    assert not any("some-id" in labels for labels in counted)


def test_dead_letters_are_counted(client):
    labels = 'subscription="orders"'
    before = value(client, "dead_letters", labels)
    publish(client, "stock.rejected", unique("nobody"), reason="r").is_(202)
    eventually(lambda: value(client, "dead_letters", labels) == before + 1)


def test_histograms_add_up(client):
    wait_for(client, place(client)["orderId"], "SHIPPED")
    found = metrics(client)
    buckets = [(labels, v) for (name, labels), v in found.items()
               if name == "orderly_commit_duration_seconds_bucket"]
    counts = [v for _, v in buckets]
    assert counts == sorted(counts) and len(counts) > 3
    assert 'le="+Inf"' in buckets[-1][0]
    assert counts[-1] == found["orderly_commit_duration_seconds_count", ""] > 0


def test_a_full_memory_store_refuses_new_orders_and_says_why(start):
    with start(*FAST, "--store=memory", "--set=memory_events_max=1000").client() as client:
        sku = add_product(client, stock=100000)

        def refused():
            answer = client.post("/orders", order_body(sku, 1))
            return answer if answer.status != 201 else False
        answer = eventually(refused, seconds=60)
        answer.problem(503, answer.json["code"])
        assert answer.json["code"] in ("overloaded", "disk_full")
        assert int(answer.headers["Retry-After"]) >= 1
        ready = client.get("/readyz").is_(503)
        assert ready.json["reasons"]
        client.get(f"/products/{sku}").is_(200)  # reading goes on
        assert any(name == "orderly_refused_total" and v > 0
                   for (name, _), v in metrics(client).items())
        # What was accepted is carried to its end: the rest of the room is for that.
        placed = client.all("/orders?limit=500")
        for o in placed:
            wait_for(client, o["orderId"], "SHIPPED")
