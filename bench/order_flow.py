"""How many orders a second travel from POST /orders through stock, payment and shipping to SHIPPED?

Posts stock_first orders of one piece to a fresh server, closed loop, with no simulated delays, and waits
until /metrics shows all of them SHIPPED: settled orders a second counts from the first POST to that
moment. Then a random 1 % are read back and checked event by event, and all of them together against
product stock. The floor (bench_floor) runs before each round in the same call; the ratio says how much
of what this machine can answer at all is left once the work of seven events an order is done.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

TARGET_RATIO = 1 / 8
TARGET_LAG_SECONDS = 0.005
CHECKED_SHARE = 0.01


def run_floor(args):
    with harness.floor_server(args.build) as floor:
        load = harness.run_load(args.build, floor.url, connections=args.connections, duration=3)
    if load["status"] != {"201": load["sent"]}:
        raise harness.WrongResult(f"the floor answered {load['status']}")
    return load["answered_per_s"]


def refusals(load):
    others = {status: n for status, n in load["status"].items() if status not in ("201", "503")}
    if others or harness.lost_requests(load):
        raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
    return load["status"].get("503", 0)


def run_orders(args, seed):
    with harness.order_server(args.build) as server, orders.saved_ids_file() as ids:
        api = server.api
        reserved_before = api.get(f"/products/{orders.SKU}")["reserved"]
        before = api.metrics(anew=True)
        load = harness.run_load(args.build, server.url, connections=args.connections,
                                pipeline=args.pipeline, duration=None if args.count else args.seconds,
                                count=args.count, retry_503=True, save_ids=ids.name)
        refused = refusals(load)
        accepted = load["status"].get("201", 0)
        settled_at, after = orders.wait_until_shipped(api, accepted)
        locations = orders.saved_locations(ids.name)
        if len(set(locations)) != accepted:
            raise harness.WrongResult(f"{len(set(locations))} different Locations for {accepted} orders")
        orders.check_whole(api, after, accepted, reserved_before)
        lag = harness.BucketDifference(before, after, "orderly_loop_lag_seconds")
        result = {
            "orders": accepted,
            "refused": refused,
            "settled_per_s": accepted / (settled_at - load["start_s"]),
            "accepted_per_s": load["succeeded_per_s"],
            "p50": load["latency_ok"]["p50"],
            "p99": load["latency_ok"]["p99"],
            "p99_9": load["latency_ok"]["p99_9"],
            "lag_p99_9": lag.quantile(0.999),
            "lag_max": lag.max,
            "generator_cpu": (load["user_s"] + load["system_s"]) / (load["end_s"] - load["start_s"]),
            "server_us": server.cpu_seconds() * 1e6 / max(1, accepted),
            "mib": server.resident_mib(),
        }
        started = time.monotonic()
        result["checked"] = orders.check_orders(api, locations, CHECKED_SHARE, seed)
        result["check_s"] = time.monotonic() - started
    return result


def main():
    parser = harness.argument_parser(__doc__, connections=256)
    parser.add_argument("--seconds", type=float, default=5, help="how long a round posts orders")
    parser.add_argument("--count", type=int, help="orders of a round, instead of --seconds")
    parser.add_argument("--pipeline", type=int, default=1, help="requests outstanding on a connection")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32),
                        help="chooses the orders that are checked")
    args = parser.parse_args()

    harness.print_machine(args.build, harness.program_path(args.build, "orderly"))
    amount = f"{args.count} orders" if args.count else f"{args.seconds:g} s"
    print(f"\n{args.connections} connections with {args.pipeline} outstanding, closed loop, {amount} a round,"
          f" memory store, no simulated delays; seed {args.seed}\n")
    floors, runs, rows = [], [], []
    for number in range(args.rounds):
        floors.append(run_floor(args))
        run = run_orders(args, args.seed + number)
        runs.append(run)
        rows.append([number + 1, f"{floors[-1]:,.0f}", f"{run['settled_per_s']:,.0f}",
                     f"{run['settled_per_s'] / floors[-1]:.3f}", f"{run['orders']:,}", run["refused"],
                     f"{run['p50']:.2f}", f"{run['p99']:.2f}", f"{run['p99_9']:.2f}",
                     harness.ms(run["lag_p99_9"]), f"{run['server_us']:.1f}",
                     f"{run['generator_cpu']:.2f}", f"{run['mib']:,.0f}", run["checked"]])
        print(f"  round {number + 1}: floor {floors[-1]:,.0f}/s, settled {run['settled_per_s']:,.0f}/s,"
              f" {run['checked']} orders checked in {run['check_s']:.1f} s", flush=True)
    print()
    harness.print_table(["round", "floor/s", "settled/s", "ratio", "orders", "503", "p50 ms", "p99 ms",
                         "p99.9 ms", "lag p99.9 ms", "server us/order", "generator cpu", "MiB", "checked"],
                        rows)
    settled = [run["settled_per_s"] for run in runs]
    lag = harness.median([run["lag_p99_9"] for run in runs])
    ratio = harness.median(settled) / harness.median(floors)
    print(f"\nfloor, requests/s         {harness.spread(floors)}")
    print(f"settled orders/s          {harness.spread(settled)}")
    print(f"events/s                  {harness.median(settled) * orders.EVENTS_PER_ORDER:>10,.0f}")
    print(f"ratio of the medians      {ratio:10.3f}   (1/{1 / ratio:.1f})")
    print(f"loop lag p99.9, median    {harness.ms(lag):>10} ms\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(ratio >= TARGET_RATIO, f"at least 1/8 of the floor (aim: 1/5): {ratio:.3f}")
    verdicts.target(lag < TARGET_LAG_SECONDS, f"loop lag p99.9 below 5 ms: {harness.ms(lag)} ms")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
