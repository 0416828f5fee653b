"""What happens at three times the peak rate, and how soon is it over?

One server: five seconds at half the peak for comparison, twenty (--long: sixty) at three times the peak,
then half the peak again. Open loop throughout, so nobody waits for the server before asking again. The surplus has to
get 503 at the door; what was accepted has to be SHIPPED in the end, without a dead letter; the goodput
has to stay near the peak, and the latency has to be normal again within ten seconds.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

OVERLOAD = 3.0
NORMAL = 0.5
BEFORE_SECONDS = 5
OVERLOAD_SECONDS = 20
LONG_OVERLOAD_SECONDS = 60
AFTER_SECONDS = 15
NORMAL_RUN = 3
TARGET_GOODPUT = 0.8
TARGET_RECOVERY_SECONDS = 10


def overload_seconds(args):
    return LONG_OVERLOAD_SECONDS if args.long else OVERLOAD_SECONDS


def run_phase(args, server, rate, seconds, **options):
    load = harness.run_load(args.build, server.url, rate=rate, duration=seconds, timeout=30,
                            connections=args.connections, seconds=True, **options)
    if set(load["status"]) - {"201", "503"} or orders.lost(load):
        raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
    return load


def seconds_to_normal(load, limit_ms):
    """The second that begins the first NORMAL_RUN seconds in which nothing was refused and the p99 stayed
    below the limit; None when there are none."""
    normal = [s["answered"] == s["succeeded"] > 0 and s["p99"] <= limit_ms for s in load["seconds"]]
    for second in range(len(normal) - NORMAL_RUN + 1):
        if all(normal[second:second + NORMAL_RUN]):
            return second
    return None


def run_round(args, peak):
    with harness.order_server(args) as server:
        reserved_before = server.api.get(f"/products/{orders.SKU}")["reserved"]
        warm = orders.warm_up(args, server, NORMAL * peak)
        before = run_phase(args, server, NORMAL * peak, BEFORE_SECONDS)
        overload = run_phase(args, server, OVERLOAD * peak, overload_seconds(args), drop_unsent=True)
        after = run_phase(args, server, NORMAL * peak, AFTER_SECONDS)
        accepted = warm + sum(load["status"].get("201", 0) for load in (before, overload, after))
        _, metrics = orders.wait_until_shipped(server.api, accepted)
        orders.check_whole(server.api, metrics, accepted, reserved_before)
    # Twice the p99 of before, and never less than 5 ms more: a few are always slower than others.
    limit_ms = max(2 * before["latency"]["p99"], before["latency"]["p99"] + 5)
    return before, overload, after, seconds_to_normal(after, limit_ms), limit_ms


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=640)
    parser.add_argument("--long", action="store_true", help="a minute of overload, not twenty seconds")
    orders.add_peak_arguments(parser)
    args = parser.parse_args()

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    peak = args.peak or orders.find_peak(args)
    print(f"\n{OVERLOAD:g} times the peak of {peak:,.0f} orders/s for {overload_seconds(args)} s,"
          f" {args.connections} connections\n")
    rows, goodputs, recoveries = [], [], []
    for number in range(args.rounds):
        before, overload, after, recovery, limit_ms = run_round(args, peak)
        goodputs.append(overload["status"].get("201", 0) / overload["busy_s"])
        recoveries.append(AFTER_SECONDS if recovery is None else recovery)
        rows.append([number + 1, f"{overload['sent'] / overload['busy_s']:,.0f}", f"{goodputs[-1]:,.0f}",
                     f"{overload['status'].get('503', 0):,}", f"{overload['unsent']:,}",
                     f"{overload['latency_ok']['p99']:.1f}", f"{before['latency']['p99']:.2f}",
                     f"{after['latency_ok']['p99']:.2f}", f"{limit_ms:.2f}",
                     "never" if recovery is None else f"{recovery}"])
        print(f"  round {number + 1}: goodput {goodputs[-1]:,.0f}/s, {rows[-1][3]} times 503,"
              f" normal after {rows[-1][-1]} s", flush=True)
    print()
    harness.print_table(["round", "sent/s", "goodput/s", "503", "never sent", "p99 of 201s ms",
                         "before p99 ms", "after p99 ms", "normal is below ms", "normal after s"], rows)
    goodput, recovery = harness.median(goodputs), harness.median(recoveries)
    print(f"\ngoodput, orders/s         {harness.spread(goodputs)}")
    print(f"share of the peak         {goodput / peak:10.2f}")
    print("dead letters                       0\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(goodput >= TARGET_GOODPUT * peak, f"goodput at least 0.8 of the peak: {goodput / peak:.2f}")
    verdicts.target(recovery <= TARGET_RECOVERY_SECONDS, f"normal latency within 10 s after: {recovery:g} s")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
