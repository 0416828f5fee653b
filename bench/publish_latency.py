"""How long from an event being published until it is committed, and until a handler has it?

First finds the peak: the highest open-loop order rate held for ten seconds with p99 < 100 ms and no 5xx.
Then, at 70 % of it and at a fixed 50,000 events a second, orders are posted by schedule and the server's
own histograms are read before and after: orderly_publish_accepted_seconds (from where an event is handed
to the log until the letter of its commit is worked off on the loop) and orderly_publish_handled_seconds
(until a handler is called with it, which is always behind its commit, in a later turn). With --store
memory the same way is taken without a disk. Quantiles are interpolated within the buckets (1, 2, 5 a
decade); the largest is exact.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

PEAK_SHARE = 0.7
FIXED_EVENTS_PER_S = 50_000
TARGET_P99_9_SECONDS = {"lmdb": 0.020, "memory": 0.010}
TARGET_MAX_SECONDS = 0.100
METRICS = {"committed": "orderly_publish_accepted_seconds",
           "handed over": "orderly_publish_handled_seconds"}


def run_at(args, rate):
    with harness.order_server(args) as server:
        api = server.api
        accepted = orders.warm_up(args, server, rate)
        before = api.metrics(anew=True)
        load = harness.run_load(args.build, server.url, rate=rate, duration=args.seconds,
                                connections=args.connections)
        accepted += load["status"].get("201", 0)
        _, after = orders.wait_until_shipped(api, accepted)
        if set(load["status"]) - {"201", "503"} or orders.lost(load):
            raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
        if orders.dead_letters(after):
            raise harness.WrongResult(f"{orders.dead_letters(after)} dead letters")
    return load, {name: harness.BucketDifference(before, after, metric)
                  for name, metric in METRICS.items()}


def measure(args, rate, title, verdicts):
    print(f"\n{title}: {rate:,.0f} orders/s = {rate * orders.EVENTS_PER_ORDER:,.0f} events/s,"
          f" {args.seconds:g} s a round\n")
    rows, figures, carried = [], {name: [] for name in METRICS}, True
    for number in range(args.rounds):
        load, differences = run_at(args, rate)
        carried = carried and set(load["status"]) == {"201"} and load["unsent"] == 0
        for name, difference in differences.items():
            quantiles = [difference.quantile(q) for q in (0.5, 0.99, 0.999)]
            largest = difference.max if difference.max is not None else difference.quantile(1.0)
            figures[name].append((*quantiles, largest))
            rows.append([number + 1, name, f"{difference.count:,.0f}",
                         *(harness.ms(value) for value in (*quantiles, largest)),
                         load["status"].get("503", 0), f"{load['latency']['p99']:.3f}",
                         f"{load['send_delay']['p99']:.3f}"])
    harness.print_table(["round", "published until", "count", "p50 ms", "p99 ms", "p99.9 ms", "max ms",
                         "503", "HTTP p99 ms", "sent late p99 ms"], rows)
    print()
    verdicts.target(carried, "every order of the schedule was taken, so this is the latency at that rate")
    for name, values in figures.items():
        p50, p99, p99_9, largest = (harness.median(column) for column in zip(*values))
        print(f"  median, {name}: p50 {harness.ms(p50)} ms, p99 {harness.ms(p99)} ms,"
              f" p99.9 {harness.ms(p99_9)} ms, max {harness.ms(largest)} ms"
              f" (largest of all {harness.ms(max(row[3] for row in values))} ms)")
        limit = TARGET_P99_9_SECONDS[args.store]
        verdicts.target(p99_9 < limit, f"{name} p99.9 below {limit * 1e3:.0f} ms")
        verdicts.target(largest < TARGET_MAX_SECONDS, f"{name} max below 100 ms")


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=256)
    parser.add_argument("--seconds", type=float, default=10, help="of one round")
    orders.add_peak_arguments(parser)
    args = parser.parse_args()

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    peak = args.peak or orders.find_peak(args)
    verdicts = harness.Verdicts(args.asserted)
    measure(args, PEAK_SHARE * peak, f"{PEAK_SHARE:.0%} of the peak", verdicts)
    measure(args, FIXED_EVENTS_PER_S / orders.EVENTS_PER_ORDER, "fixed", verdicts)
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
