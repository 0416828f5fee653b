"""What the drivers that measure the order server share: settling, checking, and the peak rate."""

import random
import tempfile
import time
from pathlib import Path

import harness

SETTLE_SECONDS = 120
SKU = "WIDGET-001"

# The happy path of stock_first: event, the aggregate whose stream it is in, its place in that stream,
# and the event that causes it.
HAPPY_PATH = (
    ("OrderPlaced", "Order", 1, None),
    ("InventoryReserved", "Reservation", 1, "OrderPlaced"),
    ("OrderConfirmed", "Order", 2, "InventoryReserved"),
    ("PaymentProcessed", "Payment", 1, "OrderConfirmed"),
    ("OrderPaid", "Order", 3, "PaymentProcessed"),
    ("ShipmentCreated", "Shipment", 1, "OrderPaid"),
    ("OrderShipped", "Order", 4, "ShipmentCreated"),
)
EVENTS_PER_ORDER = len(HAPPY_PATH)


def shipped(metrics):
    return int(metrics.value("orderly_orders_total", flow="stock_first", status="SHIPPED"))


def dead_letters(metrics):
    return int(metrics.value("orderly_dead_letters"))


def wait_until_shipped(api, wanted, seconds=SETTLE_SECONDS):
    """Polls /metrics until so many orders are SHIPPED; returns when that was seen, and the scrape."""
    deadline = time.monotonic() + seconds
    while True:
        metrics = api.metrics()
        now = time.monotonic()
        if shipped(metrics) >= wanted:
            return now, metrics
        if now > deadline:
            raise harness.WrongResult(f"{shipped(metrics)} of {wanted} accepted orders are SHIPPED"
                                      f" {seconds} s after the last; dead letters: {dead_letters(metrics)}")
        time.sleep(0.02)


def under_way(metrics):
    """Orders that were taken and are not SHIPPED."""
    return int(metrics.value("orderly_orders_total", flow="stock_first")) - shipped(metrics)


def wait_until_quiet(api, seconds=SETTLE_SECONDS):
    """Until no order is under way, also those whose 201 nobody received; returns the scrape."""
    deadline = time.monotonic() + seconds
    while True:
        metrics = api.metrics()
        if under_way(metrics) == 0:
            return metrics
        if time.monotonic() > deadline:
            raise harness.WrongResult(f"{under_way(metrics)} orders are still under way after {seconds} s;"
                                      f" dead letters: {dead_letters(metrics)}")
        time.sleep(0.02)


# ---- checking


def faults_of_order(api, location):
    """What is wrong with one settled order, as a list of texts."""
    order_id = location.rsplit("/", 1)[1]
    order = api.get(f"/orders/{order_id}")
    events = api.get(f"/events?orderId={order_id}")["data"]
    faults = []
    if order["status"] != "SHIPPED":
        faults.append(f"status is {order['status']}")
    types = [event["eventType"] for event in events]
    if types != [event_type for event_type, *_ in HAPPY_PATH]:
        return faults + [f"events are {types}"]
    ids = {event["eventType"]: event["eventId"] for event in events}
    if len(set(ids.values())) != len(events):
        faults.append("two events have one id")
    position = 0
    for event, (event_type, aggregate, sequence, cause) in zip(events, HAPPY_PATH):
        metadata = event["metadata"]
        if event["position"] <= position:
            faults.append(f"{event_type} is not behind its predecessor in the log")
        position = event["position"]
        if (event["aggregateType"], event["sequence"]) != (aggregate, sequence):
            faults.append(f"{event_type} is {event['aggregateType']} {event['sequence']},"
                          f" not {aggregate} {sequence}")
        if aggregate == "Order" and event["aggregateId"] != order_id:
            faults.append(f"{event_type} is in the stream of {event['aggregateId']}")
        if metadata.get("causationId") != (ids[cause] if cause else None):
            faults.append(f"{event_type} names the wrong cause")
        if metadata.get("correlationId") != order_id or event["payload"].get("orderId") != order_id:
            faults.append(f"{event_type} names another order")
    return faults


def check_orders(api, locations, share, seed):
    """Checks a random share of the orders event by event; returns how many."""
    chance = random.Random(seed)
    chosen = chance.sample(locations, min(len(locations), max(1, round(len(locations) * share))))
    bad = [(location, faults) for location in chosen if (faults := faults_of_order(api, location))]
    if bad:
        lines = "\n".join(f"  {location}: {'; '.join(faults)}" for location, faults in bad[:10])
        raise harness.WrongResult(f"{len(bad)} of {len(chosen)} checked orders (seed {seed}):\n{lines}")
    return len(chosen)


def check_whole(api, metrics, accepted, reserved_before, shipped_before=0):
    """What has to be true of all accepted orders together, once they are settled."""
    now = shipped(metrics) - shipped_before
    if now != accepted:
        raise harness.WrongResult(f"{now} orders are SHIPPED, {accepted} were accepted")
    if dead_letters(metrics):
        raise harness.WrongResult(f"{dead_letters(metrics)} dead letters")
    product = api.get(f"/products/{SKU}")
    if product["reserved"] - reserved_before != accepted:
        raise harness.WrongResult(f"{product['reserved'] - reserved_before} pieces are reserved for"
                                  f" {accepted} orders of one piece")
    if product["onHand"] != product["reserved"] + product["available"]:
        raise harness.WrongResult(f"on hand is not reserved and available: {product}")


# ---- one run of orders, closed loop


class CommitDifference:
    """What the store did between two scrapes."""

    def __init__(self, before, after):
        name = "orderly_commit_batch_events"
        self.commits = after.value(name + "_count") - before.value(name + "_count")
        self.events = after.value(name + "_sum") - before.value(name + "_sum")
        self.duration = harness.BucketDifference(before, after, "orderly_commit_duration_seconds")

    @property
    def events_per_commit(self):
        return self.events / max(1, self.commits)

    @property
    def fsyncs(self):
        """Two for each commit: the pages, then the page that says that they count."""
        return 2 * int(self.commits)


def flow(args, server, seed=None, checked_share=0.0, **load_options):
    """Posts orders, waits until all are SHIPPED and checks them; returns the figures."""
    api = server.api
    reserved_before = api.get(f"/products/{SKU}")["reserved"]
    before = api.metrics(anew=True)
    stored_before, cpu_before = server.stored_bytes(), server.cpu_seconds()
    with saved_ids_file() as ids:
        load = harness.run_load(args.build, server.url, retry_503=True, save_ids=ids.name, **load_options)
        locations = saved_locations(ids.name)
    if set(load["status"]) - {"201", "503"} or lost(load):
        raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
    accepted = load["status"].get("201", 0)
    settled_at, after = wait_until_shipped(api, shipped(before) + accepted)
    stored_bytes, cpu = server.stored_bytes() - stored_before, server.cpu_seconds() - cpu_before
    if len(set(locations)) != accepted:
        raise harness.WrongResult(f"{len(set(locations))} different Locations for {accepted} orders")
    check_whole(api, after, accepted, reserved_before, shipped(before))
    lag = harness.BucketDifference(before, after, "orderly_loop_lag_seconds")
    commits = CommitDifference(before, after)
    events = accepted * EVENTS_PER_ORDER
    return {
        "orders": accepted,
        "refused": load["status"].get("503", 0),
        "settled_per_s": accepted / (settled_at - load["start_s"]),
        "events_per_s": events / (settled_at - load["start_s"]),
        "accepted_per_s": load["succeeded_per_s"],
        "latency": load["latency_ok"],
        "lag_p99_9": lag.quantile(0.999),
        "lag_max": lag.max,
        "generator_cpu": (load["user_s"] + load["system_s"]) / (load["end_s"] - load["start_s"]),
        "server_us": cpu * 1e6 / max(1, accepted),
        "mib": server.resident_mib(),
        "events_per_commit": commits.events_per_commit,
        "commit_p50": commits.duration.quantile(0.5),
        "commit_p99": commits.duration.quantile(0.99),
        "fsyncs": commits.fsyncs,
        "written_bytes_per_event": stored_bytes / max(1, events),
        "checked": check_orders(api, locations, checked_share, seed) if checked_share else 0,
    }


def saved_locations(path):
    return Path(path).read_text().split()


def saved_ids_file():
    return tempfile.NamedTemporaryFile(prefix="orderly-bench-ids-")


# ---- the peak rate

HOLD_SECONDS = 10
HOLD_P99_MS = 100.0
PEAK_PRECISION = 1.06
PEAK_HOLDS_MAX = 14


def warm_up(args, server, rate, seconds=2):
    """Brings memory and caches to where a running server has them; its orders settle first."""
    load = harness.run_load(args.build, server.url, rate=rate, duration=seconds,
                            connections=args.connections)
    wait_until_shipped(server.api, load["status"].get("201", 0))
    return load["status"].get("201", 0)


def hold(args, rate):
    """One fresh server at this rate for ten seconds; returns (held, load, seconds to settle)."""
    with harness.order_server(args) as server:
        before = warm_up(args, server, rate / 2)
        load = harness.run_load(args.build, server.url, rate=rate, duration=HOLD_SECONDS,
                                connections=args.connections)
        end = time.monotonic()
        accepted = load["status"].get("201", 0)
        settled_at, _ = wait_until_shipped(server.api, before + accepted)
    held = (load["latency"]["p99"] < HOLD_P99_MS and set(load["status"]) == {"201"}
            and load["unsent"] == 0 and not lost(load))
    return held, load, settled_at - end


def lost(load):
    return sum(harness.lost_requests(load).values())


def find_peak(args):
    """The highest open-loop rate of orders that is held: ten seconds, p99 below 100 ms, no 5xx.

    A rate counts as held when one of two tries holds it, because one stall of the machine is enough to
    lose a try. Searched up or down from a guess in steps of a quarter, then halved to 6 %.
    """
    with harness.order_server(args) as server:
        load = harness.run_load(args.build, server.url, duration=3, connections=args.connections,
                                retry_503=True)
        wait_until_shipped(server.api, load["status"].get("201", 0))
        guess = 0.8 * load["succeeded_per_s"]
    print(f"\npeak rate: held {HOLD_SECONDS} s with p99 < {HOLD_P99_MS:.0f} ms and no 5xx\n")
    highest, lowest_missed, rate, rows = 0.0, None, guess, []
    for _ in range(PEAK_HOLDS_MAX):
        held, load, settle_s = hold(args, rate)
        tries = 1
        if not held:
            held, load, settle_s = hold(args, rate)
            tries = 2
        others = {status: n for status, n in load["status"].items() if status != "201"}
        row = [f"{rate:,.0f}", "held" if held else "not held", tries, f"{load['latency']['p50']:.2f}",
               f"{load['latency']['p99']:.2f}", f"{load['latency']['max']:.1f}", others or "-",
               lost(load) + load["unsent"], f"{settle_s:.2f}"]
        rows.append(row)
        print(f"  {row[0]}/s {row[1]}, p99 {row[4]} ms", flush=True)
        if held:
            highest = max(highest, rate)
        else:
            lowest_missed = min(lowest_missed or rate, rate)
        if lowest_missed is None:
            rate *= 1.25
        elif highest == 0.0:
            rate /= 1.25
        elif lowest_missed / highest > PEAK_PRECISION:
            rate = (highest * lowest_missed) ** 0.5
        else:
            break
    print()
    harness.print_table(["orders/s", "", "tries", "p50 ms", "p99 ms", "max ms", "not 201", "lost or late",
                         "settled after s"], rows)
    if highest == 0.0:
        raise harness.WrongResult("no rate was held")
    print(f"\npeak {highest:,.0f} orders/s = {highest * EVENTS_PER_ORDER:,.0f} events/s")
    return highest


def add_peak_arguments(parser):
    parser.add_argument("--peak", type=float, help="orders a second, instead of searching for it")
