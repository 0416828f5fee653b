"""Does the server slow down as its history grows? Throughput on ten million events and on none.

The same closed loop of orders to a server on an empty directory and to one on a copy of a directory with
a history, alternately. The history is made by bench_history, the app itself on virtual time, with the
rows and the engine of the server; it is kept in the folder of the data (--fresh makes it again).
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import kept_history  # noqa: E402
import orders  # noqa: E402

TARGET_SHARE = 0.7
CHECKED_SHARE = 0.005


def run(args, server, seed):
    return orders.flow(args, server, seed, CHECKED_SHARE, connections=args.connections,
                       pipeline=args.pipeline, duration=args.seconds)


def run_on_empty(args, seed):
    with harness.order_server(args) as server:
        return run(args, server, seed)


def run_on_history(args, data, seed):
    with harness.server_on(args, data) as server:
        if server.api.metrics().value("orderly_store_events") < args.events:
            raise harness.WrongResult("the history is not there")
        return run(args, server, seed)


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=256)
    parser.add_argument("--pipeline", type=int, default=4, help="requests outstanding on a connection")
    parser.add_argument("--seconds", type=float, default=8, help="how long a run posts orders")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32),
                        help="chooses the orders that are checked")
    kept_history.add_arguments(parser)
    args = parser.parse_args()
    if not harness.is_durable(args):
        parser.error("a store in memory has no history")

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    runs, rows = {"empty": [], "history": []}, []
    with kept_history.copy(args) as data:
        print(f"\n{args.connections} connections with {args.pipeline} outstanding, closed loop,"
              f" {args.seconds:g} s a run; seed {args.seed}\n")
        for number in range(args.rounds):
            for what in ("empty", "history") if number % 2 == 0 else ("history", "empty"):
                seed = args.seed + number
                figures = run_on_empty(args, seed) if what == "empty" else run_on_history(args, data, seed)
                runs[what].append(figures)
                rows.append([number + 1, what, f"{figures['settled_per_s']:,.0f}",
                             f"{figures['events_per_s']:,.0f}", f"{figures['events_per_commit']:,.0f}",
                             f"{figures['written_bytes_per_event']:,.0f}",
                             f"{figures['latency']['p50']:.1f}", f"{figures['latency']['p99']:.1f}",
                             f"{figures['server_us']:.1f}", f"{figures['mib']:,.0f}", figures["checked"]])
                print(f"  round {number + 1}, {what}: {rows[-1][2]} orders/s", flush=True)
    print()
    harness.print_table(["round", "directory", "orders/s", "events/s", "events/commit", "written B/event",
                         "p50 ms", "p99 ms", "server us/order", "own MiB", "checked"], rows)
    empty, full = ([figures["settled_per_s"] for figures in runs[what]] for what in ("empty", "history"))
    share = harness.median(full) / harness.median(empty)
    print(f"\norders/s on none          {harness.spread(empty)}")
    print(f"orders/s on the history   {harness.spread(full)}")
    print(f"share                     {share:10.2f}\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(share >= TARGET_SHARE, f"at least {TARGET_SHARE} of the empty directory's: {share:.2f}")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
