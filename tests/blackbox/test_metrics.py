"""The whole of /metrics, parsed as Prometheus parses it, and linted as promtool lints it."""
import re
import signal

import pytest

from client import eventually
from conftest import FAST
from shop import (add_product, cancel, checkout, order_body, place, publish, simulate, unique,
                  wait_dead_letter, wait_for, wait_order)

# What was agreed: name, type, labels. A name with no labels has exactly one line.
AGREED = {
    "build_info": ("gauge", {"version"}),
    "http_requests_total": ("counter", {"method", "route", "code"}),
    "http_request_duration_seconds": ("histogram", {"route"}),
    "http_connections": ("gauge", set()),
    "events_appended_total": ("counter", {"type"}),
    "commit_duration_seconds": ("histogram", set()),
    "commit_batch_events": ("histogram", set()),
    "handler_duration_seconds": ("histogram", {"subscription"}),
    "handler_failures_total": ("counter", {"subscription", "kind"}),
    "subscription_lag_events": ("gauge", {"subscription"}),
    "subscription_oldest_seconds": ("gauge", {"subscription"}),
    "lanes_deferred": ("gauge", {"subscription", "state"}),
    "dead_letters": ("gauge", {"subscription"}),
    "orders_total": ("gauge", {"flow", "status"}),
    "refunds_due": ("gauge", {"currency"}),
    "loop_lag_seconds": ("histogram", set()),
    "refused_total": ("counter", {"reason"}),
    "store_bytes": ("gauge", set()),
    "idempotency_entries": ("gauge", set()),
    "cache_bytes": ("gauge", {"kind"}),
    "cache_evictions_total": ("counter", {"kind"}),
}
PROCESS = {"cpu_seconds_total": "counter", "resident_memory_bytes": "gauge",
           "virtual_memory_bytes": "gauge", "start_time_seconds": "gauge", "open_fds": "gauge",
           "max_fds": "gauge"}
SUBSCRIPTIONS = {"orders", "payments", "inventory", "shipments", "audit"}

# Orders that are in a state now go up and down; the name is the agreed one all the same.
GAUGES_NAMED_TOTAL = {"orderly_orders_total"}
OTHER_UNITS = re.compile(r"(^|_)(ms|us|ns|milliseconds?|microseconds?|minutes?|hours?|days?|kb|mb|"
                         r"kib|mib|kilobytes?|megabytes?|bits?|percent|celsius)(_|$)")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type, self.samples = name, help_text, None, []

    def value(self, **labels):
        found = [v for name, has, v in self.samples if name == self.name and has == labels]
        assert len(found) == 1, (self.name, labels, self.samples)
        return found[0]


def labels_of(text):
    found = LABEL.findall(text)
    assert ",".join(f'{n}="{v}"' for n, v in found) == text, text
    assert len({n for n, _ in found}) == len(found), text
    return dict(found)


def parse(text):
    """{name: Family}; each family in one piece, HELP and TYPE before its samples, nothing twice."""
    assert text.endswith("\n") and "\n\n" not in text
    families, now, seen = {}, None, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, help_text = line.split(" ", 3)
            assert name not in families, f"{name} comes in two pieces"
            now = families[name] = Family(name, help_text)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == now.name and now.type is None and not now.samples, line
            assert kind in ("counter", "gauge", "histogram"), line
            now.type = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            labels = labels_of(labels or "")
            suffixes = ("_bucket", "_sum", "_count") if now.type == "histogram" else ("",)
            assert name in [now.name + s for s in suffixes], line
            key = name, tuple(sorted(labels.items()))
            assert key not in seen, f"twice: {line}"
            seen.add(key)
            now.samples.append((name, labels, float(value)))
    return families


def metrics(client):
    answer = client.get("/metrics").is_(200)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(answer.body.decode())


def lint(f):
    assert f.type, f"{f.name} has no TYPE"
    assert f.help.endswith(".") and len(f.help) > 10, (f.name, f.help)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", f.name) and "__" not in f.name, f.name
    is_counter = f.type == "counter" or f.name in GAUGES_NAMED_TOTAL
    assert f.name.endswith("_total") == is_counter, f"{f.name} is a {f.type}"
    assert not re.search(r"_(count|sum|bucket|info_total)$", f.name), f.name
    assert not re.search(r"(^|_)(counter|gauge|histogram|summary)(_|$)", f.name), f.name
    assert not OTHER_UNITS.search(f.name), f"{f.name} is not in a base unit"
    for name, labels, value in f.samples:
        for label in labels:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", label) and not label.startswith("__"), label
            assert label != "le" or f.type == "histogram"
        assert value == value  # not NaN
        if f.type == "counter":
            assert value >= 0, (name, labels)
    label_sets = {frozenset(labels) - {"le"} for _, labels, _ in f.samples}
    assert len(label_sets) <= 1, f"{f.name}: {label_sets}"


def lint_histogram(f):
    def of(suffix, key):
        return [(labels, v) for name, labels, v in f.samples if name == f.name + suffix
                and {k: v for k, v in labels.items() if k != "le"} == key]
    keys = [labels for name, labels, _ in f.samples if name == f.name + "_count"]
    for key in keys:
        buckets = [(float(labels["le"]), v) for labels, v in of("_bucket", key)]
        assert buckets == sorted(buckets) and len(buckets) > 3, f.name
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), f.name
        assert buckets[-1][0] == float("inf")
        (_, count), = of("_count", key)
        (_, total), = of("_sum", key)
        assert buckets[-1][1] == count, f.name
        assert (total > 0) <= (count > 0), f.name


def busy(client):
    """Makes a bit of everything."""
    wait_for(client, place(client)["orderId"], "SHIPPED")
    wait_for(client, checkout(client)["orderId"], "STOCK_RESERVED")
    publish(client, "stock.rejected", unique("nobody"), reason="r").is_(202)
    client.post("/orders", order_body(add_product(client), 1),
                headers={"Idempotency-Key": unique("key")}).is_(201)
    client.get("/nothing").is_(404)
    client.post("/carts", {}).is_(400)


def test_every_line_can_be_parsed_and_nothing_is_to_lint(client):
    busy(client)
    families = metrics(client)
    for f in families.values():
        lint(f)
        if f.type == "histogram":
            lint_histogram(f)
        assert f.name.startswith(("orderly_", "process_")), f.name


def test_what_was_agreed_is_there_with_its_type_and_labels(client):
    busy(client)
    o = checkout(client)  # money that is due back, so that there is a line of it
    wait_for(client, o["orderId"], "STOCK_RESERVED")
    publish(client, "payment.approved", o["orderId"], paymentId=unique("p"), approvedAmount=1.00,
            currency="EUR").is_(202)
    wait_order(client, o["orderId"], refund__status="due")
    families = metrics(client)
    for name, (kind, labels) in AGREED.items():
        f = families[f"orderly_{name}"]
        assert f.type == kind, name
        assert f.samples, f"{name} has no line"
        for _, has, _ in f.samples:
            assert set(has) - {"le"} == labels, (name, has)
    for name, kind in PROCESS.items():
        f = families[f"process_{name}"]
        assert f.type == kind and len(f.samples) == 1, name
        assert f.value() > 0, name


def test_every_subscription_and_every_state_of_a_flow_has_its_line(client):
    families = metrics(client)
    for name in ("handler_duration_seconds", "handler_failures_total", "subscription_lag_events",
                 "subscription_oldest_seconds", "lanes_deferred", "dead_letters"):
        f = families[f"orderly_{name}"]
        assert {labels["subscription"] for _, labels, _ in f.samples} == SUBSCRIPTIONS, name
    states = {labels["state"] for _, labels, _ in families["orderly_lanes_deferred"].samples}
    assert states == {"retrying", "parked"}
    kinds = {labels["kind"] for _, labels, _ in families["orderly_handler_failures_total"].samples}
    assert kinds == {"retry", "permanent", "parked"}
    orders = {(labels["flow"], labels["status"])
              for _, labels, _ in families["orderly_orders_total"].samples}
    assert orders == {("pay_first", s) for s in (
        "AWAITING_PAYMENT PAID STOCK_RESERVED READY COMPLETED CANCELLED PAYMENT_FAILED").split()} \
        | {("stock_first", s) for s in ("PENDING CONFIRMED PAID SHIPPED DELIVERED CANCELLED "
                                        "REJECTED PAYMENT_FAILED").split()}


def test_commits_are_counted_with_their_events(client):
    before = metrics(client)
    wait_for(client, place(client)["orderId"], "SHIPPED")

    def check():
        after = metrics(client)

        def grown(name, suffix):
            def of(families):
                return [v for n, _, v in families[f"orderly_{name}"].samples
                        if n == f"orderly_{name}{suffix}"][0]
            return of(after) - of(before)
        assert grown("commit_batch_events", "_sum") == 8  # a product, and the order's seven
        assert 2 <= grown("commit_batch_events", "_count") <= 60
        assert grown("commit_duration_seconds", "_count") >= 2
        assert grown("commit_duration_seconds", "_sum") > 0
    eventually(check)


def is_caught_up(families):
    return all(v == 0 for _, _, v in families["orderly_subscription_lag_events"].samples)


GAUGES_OF_THE_LOG = ["orders_total", "dead_letters", "lanes_deferred", "refunds_due",
                     "idempotency_entries"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_the_log_knows_is_counted_the_same_after_a_restart(start, tmp_path, number):
    args = [*FAST, f"--data={tmp_path}/data", "--set=bus.retries=1", "--set=bus.retry_base=1ms"]
    server = start(*args)
    with server.client() as client:
        busy(client)
        o = place(client)
        wait_for(client, o["orderId"], "SHIPPED")
        for amount in (1.25, 2.50):
            publish(client, "payment.approved", o["orderId"], paymentId=unique("p"),
                    approvedAmount=amount, currency="EUR").is_(202)
        eventually(lambda: is_caught_up(metrics(client))
                   and metrics(client)["orderly_refunds_due"].value(currency="EUR") == 3.75)
        simulate(client, "payments", failFirst=9)
        wait_dead_letter(client, place(client)["orderId"])  # and parks it
        simulate(client, "payments", failFirst=0, enabled=False)
        o = place(client)
        wait_for(client, o["orderId"], "CONFIRMED")
        client.post(f"/orders/{o['orderId']}/mark-paid", {"paymentId": unique("p")}).is_(200)
        wait_for(client, o["orderId"], "SHIPPED")
        o = place(client)
        wait_for(client, o["orderId"], "CONFIRMED")
        cancel(client, o["orderId"]).is_(200)
        wait_order(client, o["orderId"], release__status="done")

        def check():
            families = metrics(client)
            assert families["orderly_refunds_due"].value(currency="EUR") == 3.75
            assert families["orderly_lanes_deferred"].value(subscription="payments",
                                                            state="parked") == 1
            assert families["orderly_dead_letters"].value(subscription="payments") == 1
            assert families["orderly_dead_letters"].value(subscription="orders") == 1
            assert families["orderly_idempotency_entries"].value() >= 4
            assert families["orderly_orders_total"].value(flow="stock_first",
                                                          status="CANCELLED") == 1
            assert is_caught_up(families)
            return families
        before = eventually(check)
    if number == signal.SIGTERM:
        assert server.stop() == 0
    else:
        server.stop(number)
    with start(*args).client() as client:
        after = metrics(client)
        for name in GAUGES_OF_THE_LOG:
            name = f"orderly_{name}"
            assert sorted(after[name].samples, key=str) == sorted(before[name].samples, key=str)
        assert after["orderly_store_bytes"].value() > 0
        # And they go on from there.
        publish(client, "payment.approved", o["orderId"], paymentId=unique("p"),
                approvedAmount=1.00, currency="EUR").is_(202)
        eventually(lambda: metrics(client)["orderly_refunds_due"].value(currency="EUR") == 4.75)
