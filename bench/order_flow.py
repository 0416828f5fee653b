"""How many orders a second travel from POST /orders through stock, payment and shipping to SHIPPED?

Posts stock_first orders of one piece to a fresh server, closed loop, with no simulated delays, and waits
until /metrics shows all of them SHIPPED: settled orders a second counts from the first POST to that
moment. Then a random 1 % are read back and checked event by event, and all of them together against
product stock. Every event was fsynced before it counted; with --store memory nothing is.

Two floors run in the same call. Before each round bench_floor, a server without state, asked once at a
time on each connection: the ratio says how much of what this machine can answer at all is left once the
work of seven durable events an order is done. A durable answer takes a commit, so the orders come with
more outstanding on a connection (--pipeline); how many changes the size of the commits. After it bench_store_floor, the store alone: the same rows by the same calls, made beforehand, on
one thread, on the same disk, with as many events in a commit as the server had.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

TARGET_RATIO = {"lmdb": 1 / 10, "memory": 1 / 8}
AIM = {"lmdb": "1/6", "memory": "1/5"}
TARGET_STORE_RATIO = 0.6
TARGET_LAG_SECONDS = 0.005
CHECKED_SHARE = 0.01
STORE_FLOOR_BATCH_MAX = 2048


def run_floor(args):
    with harness.floor_server(args.build) as floor:
        load = harness.run_load(args.build, floor.url, connections=args.connections, duration=3)
    if load["status"] != {"201": load["sent"]}:
        raise harness.WrongResult(f"the floor answered {load['status']}")
    return load["answered_per_s"]


def run_orders(args, seed):
    with harness.order_server(args) as server:
        return orders.flow(args, server, seed, CHECKED_SHARE, connections=args.connections,
                           pipeline=args.pipeline, duration=None if args.count else args.seconds,
                           count=args.count)


def run_store_floor(args, run):
    batch = min(STORE_FLOOR_BATCH_MAX, max(1, round(run["events_per_commit"])))
    return harness.run_store_floor(args, max(1000, min(args.store_floor_orders, run["orders"])), batch)


def print_rounds(args, floors, runs, stores):
    rows = [[i + 1, f"{floors[i]:,.0f}", f"{run['settled_per_s']:,.0f}",
             f"{run['settled_per_s'] / floors[i]:.3f}", f"{run['orders']:,}", run["refused"],
             f"{run['latency']['p50']:.2f}", f"{run['latency']['p99']:.2f}",
             f"{run['latency']['p99_9']:.2f}", harness.ms(run["lag_p99_9"]), f"{run['server_us']:.1f}",
             f"{run['generator_cpu']:.2f}", f"{run['mib']:,.0f}", run["checked"]]
            for i, run in enumerate(runs)]
    harness.print_table(["round", "floor/s", "settled/s", "ratio", "orders", "503", "p50 ms", "p99 ms",
                         "p99.9 ms", "lag p99.9 ms", "server us/order", "generator cpu", "own MiB",
                         "checked"], rows)
    if not stores:
        return
    print()
    rows = [[i + 1, f"{run['events_per_s']:,.0f}", f"{store['events_per_s']:,.0f}",
             f"{run['events_per_s'] / store['events_per_s']:.2f}", f"{run['events_per_commit']:,.0f}",
             f"{store['events_per_commit']:,.0f}", f"{run['fsyncs']:,}",
             f"{run['written_bytes_per_event']:,.0f}", f"{store['written_bytes_per_event']:,.0f}",
             f"{run['commit_p50'] * 1e3:.2f}", f"{store['commit_ms']['p50']:.2f}",
             f"{run['commit_p99'] * 1e3:.2f}", f"{store['commit_ms']['p99']:.2f}"]
            for i, (run, store) in enumerate(zip(runs, stores))]
    harness.print_table(["round", "events/s", "store floor/s", "ratio", "events/commit", "of the floor",
                         "fsyncs", "written B/event", "of the floor", "commit p50 ms", "of the floor",
                         "commit p99 ms", "of the floor"], rows)


def main():
    parser = harness.argument_parser(__doc__, connections=256)
    parser.add_argument("--seconds", type=float, default=5, help="how long a round posts orders")
    parser.add_argument("--count", type=int, help="orders of a round, instead of --seconds")
    parser.add_argument("--pipeline", type=int, default=4, help="requests outstanding on a connection")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32),
                        help="chooses the orders that are checked")
    parser.add_argument("--store-floor-orders", type=int, default=60_000, help="of one run, at most")
    args = parser.parse_args()

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    amount = f"{args.count} orders" if args.count else f"{args.seconds:g} s"
    print(f"\n{args.connections} connections with {args.pipeline} outstanding, closed loop, {amount} a round,"
          f" no simulated delays; seed {args.seed}\n")
    floors, runs, stores = [], [], []
    for number in range(args.rounds):
        floors.append(run_floor(args))
        runs.append(run_orders(args, args.seed + number))
        if harness.is_durable(args):
            stores.append(run_store_floor(args, runs[-1]))
        print(f"  round {number + 1}: floor {floors[-1]:,.0f}/s, settled {runs[-1]['settled_per_s']:,.0f}/s"
              f" = {runs[-1]['events_per_s']:,.0f} events/s"
              + (f", store floor {stores[-1]['events_per_s']:,.0f} events/s" if stores else ""), flush=True)
    print()
    print_rounds(args, floors, runs, stores)

    settled = [run["settled_per_s"] for run in runs]
    events = [run["events_per_s"] for run in runs]
    lag = harness.median([run["lag_p99_9"] for run in runs])
    ratio = harness.median(settled) / harness.median(floors)
    print(f"\nfloor, requests/s         {harness.spread(floors)}")
    print(f"settled orders/s          {harness.spread(settled)}")
    print(f"events/s                  {harness.spread(events)}")
    print(f"ratio to the floor        {ratio:10.3f}   (1/{1 / ratio:.1f})")
    if stores:
        store_floor = [store["events_per_s"] for store in stores]
        store_ratio = harness.median(events) / harness.median(store_floor)
        print(f"store floor, events/s     {harness.spread(store_floor)}")
        print(f"ratio to the store floor  {store_ratio:10.2f}")
        print(f"events per commit         {harness.median([run['events_per_commit'] for run in runs]):10,.0f}")
        print("bytes written per event   "
              f"{harness.median([run['written_bytes_per_event'] for run in runs]):10,.0f}")
        print(f"fsyncs of a round         {harness.median([run['fsyncs'] for run in runs]):10,.0f}")
    print(f"loop lag p99.9, median    {harness.ms(lag):>10} ms\n")
    verdicts = harness.Verdicts(args.asserted)
    target = TARGET_RATIO[args.store]
    verdicts.target(ratio >= target, f"at least 1/{1 / target:.0f} of the floor (aim: {AIM[args.store]}):"
                                     f" {ratio:.3f}")
    if stores:
        verdicts.target(store_ratio >= TARGET_STORE_RATIO,
                        f"at least {TARGET_STORE_RATIO} of the store's floor: {store_ratio:.2f}")
    verdicts.target(lag < TARGET_LAG_SECONDS, f"loop lag p99.9 below 5 ms: {harness.ms(lag)} ms")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
