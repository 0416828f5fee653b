"""How much of the throughput is left where every sync takes 5 ms longer?

Posts orders with 4,096 of them outstanding, closed loop, to a fresh server on the disk as it is and to
one whose syncs are made slower (preload/slow_fsync.c), alternately. A commit has two: the pages, then
the page that says that they count; each takes --delay longer. While one is on its way the next batch
grows, so the slower a sync, the larger the commits.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

TARGET_SHARE = 0.6


def environment(args):
    return {"LD_PRELOAD": str(harness.program_path(args.build, "bench_slow_fsync.so")),
            "ORDERLY_BENCH_SYNC_US": str(round(args.delay * 1000))}


def run(args, is_slow):
    with harness.order_server(args, environment=environment(args) if is_slow else None) as server:
        return orders.flow(args, server, connections=args.connections, pipeline=args.pipeline,
                           duration=args.seconds)


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=256)
    parser.add_argument("--pipeline", type=int, default=16, help="requests outstanding on a connection")
    parser.add_argument("--seconds", type=float, default=5, help="how long a run posts orders")
    parser.add_argument("--delay", type=float, default=5.0, help="of a sync, in milliseconds")
    args = parser.parse_args()
    if not harness.is_durable(args):
        parser.error("a store in memory has no syncs")

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    print(f"\n{args.connections * args.pipeline:,} orders outstanding, {args.seconds:g} s a run\n")
    runs, rows = {False: [], True: []}, []
    for number in range(args.rounds):
        for is_slow in (False, True) if number % 2 == 0 else (True, False):
            figures = run(args, is_slow)
            runs[is_slow].append(figures)
            rows.append([number + 1, f"+{args.delay:g} ms" if is_slow else "as it is",
                         f"{figures['settled_per_s']:,.0f}", f"{figures['events_per_s']:,.0f}",
                         f"{figures['events_per_commit']:,.0f}", f"{figures['fsyncs']:,}",
                         f"{figures['latency']['p50']:.1f}", f"{figures['latency']['p99']:.1f}",
                         f"{figures['refused']:,}"])
            print(f"  round {number + 1}, {rows[-1][1]}: {rows[-1][2]} orders/s", flush=True)
    print()
    harness.print_table(["round", "sync", "orders/s", "events/s", "events/commit", "fsyncs", "p50 ms",
                         "p99 ms", "503"], rows)
    fast, slow = ([figures["settled_per_s"] for figures in runs[key]] for key in (False, True))
    share = harness.median(slow) / harness.median(fast)
    print(f"\norders/s as it is         {harness.spread(fast)}")
    print(f"orders/s, slower syncs    {harness.spread(slow)}")
    print(f"share                     {share:10.2f}\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(share >= TARGET_SHARE, f"at least {TARGET_SHARE} of the throughput: {share:.2f}")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
