"""Is our load generator fast enough to measure with, and what can this machine answer at most?

Runs bench_loadgen and wrk, closed loop, against the same bench_floor, alternately in one call. The floor
parses the same POST /orders and answers a fixed 201: its figure is the ceiling that order_flow is
compared with. The generator has to reach 0.9 of wrk, or it would be what is measured.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402

TARGET = 0.9


def run_wrk(args, url):
    command = ["wrk", f"-t{args.wrk_threads}", f"-c{args.connections}", f"-d{args.seconds}s",
               "-s", str(harness.BENCH / "lib" / "orders.lua"), url + "/orders"]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "ORDER_FILE": str(harness.ORDER_FILE)})
    rate = re.search(r"Requests/sec:\s*([0-9.]+)", done.stdout)
    if done.returncode != 0 or not rate:
        raise harness.WrongResult(f"wrk failed:\n{done.stdout}{done.stderr}")
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise harness.WrongResult(f"wrk got errors from the floor:\n{done.stdout}")
    return float(rate.group(1))


def run_ours(args, url):
    load = harness.run_load(args.build, url, connections=args.connections, duration=args.seconds)
    if load["status"] != {"201": load["sent"]}:
        raise harness.WrongResult(f"the floor answered {load['status']} to {load['sent']} requests")
    return load


def main():
    parser = harness.argument_parser(__doc__, store=False)
    parser.add_argument("--seconds", type=int, default=4, help="of one run")
    parser.add_argument("--wrk-threads", type=int, default=1, help="ours has one")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; './dev bench floor' installs it.")

    harness.print_machine(args)
    wrk_version = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    print(f"          {(wrk_version.stdout + wrk_version.stderr).splitlines()[0].split(' Copyright')[0]}")
    ours, wrks, rows = [], [], []
    with harness.floor_server(args.build) as floor:
        print(f"          {floor.output_head().splitlines()[1]}")
        print(f"\n{args.connections} connections, closed loop, {args.seconds} s a run;"
              f" requests a second\n")
        run_ours(args, floor.url)  # warms both up; not counted
        for number in range(args.rounds):
            # Who goes first changes, so that a machine that gets slower is fair to both.
            if number % 2 == 0:
                load = run_ours(args, floor.url)
                wrks.append(run_wrk(args, floor.url))
            else:
                wrks.append(run_wrk(args, floor.url))
                load = run_ours(args, floor.url)
            ours.append(load["answered_per_s"])
            rows.append([number + 1, f"{ours[-1]:,.0f}", f"{wrks[-1]:,.0f}",
                         f"{ours[-1] / wrks[-1]:.2f}", f"{load['latency']['p50']:.3f}",
                         f"{load['latency']['p99']:.3f}", f"{load['latency']['p99_9']:.3f}"])
    harness.print_table(["round", "bench_loadgen", "wrk", "ratio", "p50 ms", "p99 ms", "p99.9 ms"], rows)
    ratio = harness.median(ours) / harness.median(wrks)
    print(f"\nfloor by bench_loadgen  {harness.spread(ours)}")
    print(f"floor by wrk            {harness.spread(wrks)}")
    print(f"ratio of the medians    {ratio:10.2f}\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(ratio >= TARGET, f"the generator reaches {TARGET} of wrk: {ratio:.2f}")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
