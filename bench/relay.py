"""How fast does a relay catch up, and what do the orders notice of it?

For NATS JetStream and RabbitMQ, each started here with its files on the measured disk:

The bare client, a C program on the broker's own client library, publishes messages of the server's own
log in a loop, with as many in the air as a relay; once before and once after. Between the two a server
on a directory with many waiting messages, otherwise idle, catches up. The relay's rate counts from when
the server listens until its lag is none, and is compared with the mean of the two. Then everything that
arrived is read back: of each order all its messages, in order, once.

Then orders at half the peak, with the relay on and off by turns, on fresh servers, each when the disk
is done with the run before.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import brokers_at_work  # noqa: E402
import calm_disk  # noqa: E402
import harness  # noqa: E402
import kept_history  # noqa: E402
import orders  # noqa: E402

TARGET_SHARE = 0.5
TARGET_P99 = 1.5
LOAD = 0.5
SAMPLE = 70_000  # messages that the bare client goes round with
STALL_SECONDS = 120  # without one acknowledgement
PAGE = 200
POLL_SECONDS = 0.05


def relay_settings(broker):
    return {f"relay.{broker.name}.{name}": value for name, value in broker.settings().items()}


# ---- the bare client


def save_sample(args, data, path):
    """Messages of this directory as the bare client reads them, in the bytes that a relay sends."""
    with harness.server_on(args, data) as server, open(path, "w") as out:
        after, n = "0", 0
        while n < min(SAMPLE, args.events):
            status, text = server.api.request("GET", f"/messages?after={after}&limit={PAGE}")
            if status != 200:
                raise harness.WrongResult(f"GET /messages answered {status}: {text[:200]}")
            page = json.loads(text)
            for m in page["data"]:
                if m["topic"].startswith("product."):
                    continue  # a relay does not send them
                body = json.dumps(m, separators=(",", ":"), ensure_ascii=False)
                out.write(f"{m['topic']}\t{m['messageId']}\t{m['correlationId']}\t{body}\n")
                n += 1
            if not page["data"] or "nextCursor" not in page:
                break
            after = page["nextCursor"]
    if n == 0:
        raise harness.WrongResult("the history has no messages")


def run_bare(args, broker, sample):
    """Acknowledged messages a second."""
    broker.make_bare()
    command = [str(harness.program_path(args.build, f"bench_bare_{broker.name}")), str(broker.port),
               str(sample), str(args.bare)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired as e:
        raise harness.WrongResult(f"the bare client takes longer than {args.limit} s") from e
    if done.returncode != 0:
        raise harness.WrongResult(f"{command[0]} ended with status {done.returncode}")
    figures = json.loads(done.stdout)
    arrived = broker.end_bare()
    if arrived != args.bare:
        raise harness.WrongResult(f"{arrived} messages of the bare client's {args.bare} are there")
    return figures["acked_per_s"]


# ---- catching up


def acked(metrics, broker):
    return int(metrics.value("orderly_relay_messages_total", relay=broker.name, outcome="acked"))


def wait_until_caught_up(args, server, broker, wanted):
    """Seconds since the server listened."""
    deadline = server.listening_at + args.limit
    last, moved_at = -1, time.monotonic()
    while True:
        metrics = server.api.metrics()
        now = time.monotonic()
        n = acked(metrics, broker)
        lag = metrics.value("orderly_subscription_lag_events", subscription=broker.name)
        if n >= wanted and lag == 0:
            return now - server.listening_at
        if n != last:
            last, moved_at = n, now
        if now > deadline or now - moved_at > STALL_SECONDS:
            raise harness.WrongResult(f"{n} of {wanted} messages are acknowledged, lag {lag:.0f}, after"
                                      f" {now - server.listening_at:.0f} s:\n{server.output_tail()}")
        time.sleep(POLL_SECONDS)


def check_arrived(broker, wanted):
    """Every order's messages: all, in order, once."""
    positions = defaultdict(list)
    n = 0
    for body in broker.relayed(wanted):
        m = json.loads(body)
        positions[m["correlationId"]].append(m["position"])
        n += 1
    if n != wanted:
        raise harness.WrongResult(f"{n} messages arrived of {wanted}")
    for order_id, of_order in positions.items():
        if len(of_order) != orders.EVENTS_PER_ORDER or sorted(set(of_order)) != of_order:
            raise harness.WrongResult(f"of order {order_id} came the positions {of_order}")


def catch_up(args, broker, wanted):
    with kept_history.copy(args) as data:
        broker.make_queue()
        with harness.server_on(args, data, relay_settings(broker)) as server:
            cpu = server.cpu_seconds()
            seconds = wait_until_caught_up(args, server, broker, wanted)
            cpu = server.cpu_seconds() - cpu
            mib = server.resident_mib()
        there = broker.count()
        if there != wanted:
            raise harness.WrongResult(f"{there} messages are in the broker, {wanted} were to come")
        check_arrived(broker, wanted)
        broker.drop_relayed()
    return wanted / seconds, cpu * 1e6 / wanted, mib


def measure_catch_up(args, broker, sample, verdicts):
    wanted = -(-args.events // orders.EVENTS_PER_ORDER) * orders.EVENTS_PER_ORDER
    rows, shares = [], []
    for number in range(args.catch_ups):
        before = run_bare(args, broker, sample)
        rate, cpu, mib = catch_up(args, broker, wanted)
        after = run_bare(args, broker, sample)
        shares.append(rate / ((before + after) / 2))
        rows.append([broker.name, number + 1, f"{before:,.0f}", f"{rate:,.0f}", f"{after:,.0f}",
                     f"{shares[-1]:.2f}", f"{wanted:,}", f"{cpu:.1f}", f"{mib:.0f}"])
        print(f"  {broker.name}: relay {rate:,.0f}/s, bare {before:,.0f}/s and {after:,.0f}/s", flush=True)
    print()
    harness.print_table(["broker", "round", "bare/s", "relay/s", "bare/s again", "share", "messages",
                         "server us/message", "own MiB"], rows)
    print()
    share = harness.median(shares)
    verdicts.target(share >= TARGET_SHARE,
                    f"{broker.name}: catches up at {TARGET_SHARE} of the bare client or more: {share:.2f}")
    print()


# ---- orders


def run_orders(args, rate, broker):
    """One fresh server at this rate; broker None: without a relay."""
    calm_disk.wait(harness.data_folder(args))
    if broker:
        broker.make_queue()
    with harness.order_server(args, relay_settings(broker) if broker else None) as server:
        warm = orders.warm_up(args, server, rate)
        load = harness.run_load(args.build, server.url, rate=rate, duration=args.seconds, timeout=30,
                                connections=args.connections)
        if set(load["status"]) - {"201", "503"} or orders.lost(load):
            raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
        accepted = warm + load["status"].get("201", 0)
        orders.wait_until_shipped(server.api, accepted)
        if broker:
            wait_until_caught_up(args, server, broker, accepted * orders.EVENTS_PER_ORDER)
    if broker:
        broker.drop_relayed()
    return load


def measure_orders(args, broker, peak, verdicts):
    rate = LOAD * peak
    p99s, refused, rows = {False: [], True: []}, {False: 0, True: 0}, []
    for number in range(args.rounds):
        for on in (False, True) if number % 2 == 0 else (True, False):
            load = run_orders(args, rate, broker if on else None)
            p99s[on].append(load["latency"]["p99"])
            refused[on] += load["status"].get("503", 0) + load["unsent"]
            rows.append([number + 1, broker.name if on else "off", f"{rate:,.0f}",
                         f"{load['latency']['p50']:.2f}", f"{load['latency']['p99']:.2f}",
                         f"{load['latency']['max']:.1f}", load["status"].get("503", 0), load["unsent"]])
            print(f"  relay {rows[-1][1]}: p99 {rows[-1][4]} ms, {rows[-1][6]} refused", flush=True)
    print()
    harness.print_table(["round", "relay", "orders/s", "p50 ms", "p99 ms", "max ms", "503", "never sent"],
                        rows)
    print()
    ratio = harness.median(p99s[True]) / harness.median(p99s[False])
    verdicts.target(ratio <= TARGET_P99,
                    f"{broker.name}: orders' p99 at most {TARGET_P99} times that of off: {ratio:.2f}")
    verdicts.target(refused[True] == 0, f"{broker.name}: no order refused: {refused[True]}"
                                        f" (off: {refused[False]})")
    print()


# ---- all of it


def parse_arguments():
    parser = harness.argument_parser(__doc__, rounds=3, connections=256)
    parser.add_argument("--broker", choices=("nats", "rabbitmq", "all"), default="all")
    parser.add_argument("--messages", dest="events", type=int, default=1_000_000,
                        help="that wait for the relay")
    parser.add_argument("--bare", type=int, default=200_000, help="messages of a run of the bare client")
    parser.add_argument("--catch-ups", type=int, default=1, help="rounds of catching up")
    parser.add_argument("--limit", type=int, default=1800, help="seconds for a run of one of the two")
    parser.add_argument("--seconds", type=float, default=10, help="of orders in a run")
    parser.add_argument("--only", choices=("catch-up", "orders"), help="one of the two questions")
    parser.add_argument("--fresh", action="store_true", help="make the history again")
    orders.add_peak_arguments(parser)
    args = parser.parse_args()
    if not harness.is_durable(args):
        parser.error("a store in memory has no history")
    if min(args.events, args.bare, args.catch_ups, args.rounds, args.limit) < 1:
        parser.error("less than one")
    return args


def sample_file(args, stack):
    """Its path; removed in the end."""
    path = stack.enter_context(harness.data_directory(args)).with_name("sample")
    data = stack.enter_context(kept_history.copy(args))
    save_sample(args, data, path)
    return path


def main():
    args = parse_arguments()
    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    names = [args.broker] if args.broker != "all" else ["nats", "rabbitmq"]
    missing = {name: why for name in names if (why := brokers_at_work.why_not(args, name))}
    for name, why in missing.items():
        print(f"skipped   {name}: {why}")
    names = [name for name in names if name not in missing]
    if not names:
        sys.exit("no broker is here")
    verdicts = harness.Verdicts(args.asserted)
    with contextlib.ExitStack() as stack:
        sample = sample_file(args, stack) if args.only != "orders" else None
        peak = None
        if args.only != "catch-up":
            peak = args.peak or orders.find_peak(args)
        for name in names:
            with harness.data_directory(args) as folder, brokers_at_work.started(name, folder) as broker:
                print(f"\n{name}, {broker.version()}\n")
                if args.only != "orders":
                    measure_catch_up(args, broker, sample, verdicts)
                if args.only != "catch-up":
                    measure_orders(args, broker, peak, verdicts)
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
