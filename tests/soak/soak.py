#!/usr/bin/env python3
"""Holds 70 % of the peak for MINUTES with a mix of everything, and fails where something grows.

A fresh server on disk. First the peak: ten seconds of orders, closed loop, while the mix is already
there. Then 70 % of it, open loop, beside the mix: orders of both flows, carts and checkouts, cancels,
idempotent replays, reads and lists, waits, event and message streams, a follower that does not read,
outside messages and refunds, dead letters and their redrive, backups, scrapes. Every minute and at the
end a line says what clients saw and what the server holds.

The first minutes do not count: until what the server keeps of settled orders and of carts has reached its
bound (the server says so itself), two minutes at least. A rate that the machine turns out not to keep up
with, as others use it too, is lowered, and said so.

Exit 1: its own memory, its descriptors or the store for each order grow beyond the bound; a stream or a
subscription is left behind; a client got what nobody expects; at the end an order is not settled, a dead
letter is open, or `orderly verify` is not content.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "bench" / "lib", HERE.parent / "crash", HERE.parent / "blackbox"):
    sys.path.insert(0, str(folder))

import growth  # noqa: E402
import harness  # noqa: E402
import orders  # noqa: E402
from mix import Mix  # noqa: E402

SHARE = 0.7
PEAK_SECONDS = 10
SAMPLE_SECONDS = 5
MINUTES_MIN = growth.MINUTES_MIN + 1
WARM_MINUTES_MIN, WARM_MINUTES_MAX, WARM_PIECE_SECONDS = 2, 10, 20
WARM_CACHE = {"cache_bytes": "8MiB"}  # so that it is full in the first minutes
CACHED = ("orders", "carts")
LATE_MS = 1000               # half of the answers come later than this: more is asked than can be done
LOWERED, SHARE_MIN = 0.8, 0.05
BYTES_PER_ORDER = 5000       # for the guess whether it fits on the disk
BYTES_PER_ORDER_MAX = 12000
DISK_SHARE = 0.4
LAG_AT_REST = 100            # events; the mix goes on between two minutes
REST_SECONDS = 300


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def lag_of(metrics):
    return max((value for _, value in metrics.samples["orderly_subscription_lag_events"]), default=0)


def sample(server, began):
    metrics = server.api.metrics()
    return growth.Sample((time.monotonic() - began) / 60, server.resident_mib(), descriptors(server),
                         int(lag_of(metrics)), int(metrics.value("orderly_orders_total")),
                         int(metrics.value("orderly_store_bytes"))), metrics


def choose_rate(args, peak, data):
    """70 % of the peak, or what the disk has room for."""
    rate = SHARE * peak
    room = harness.shutil.disk_usage(data).free * DISK_SHARE
    fits = room / BYTES_PER_ORDER / ((args.minutes + WARM_MINUTES_MIN) * 60)
    print(f"peak {peak:,.0f} orders/s beside the mix; 70 % are {rate:,.0f}")
    if fits < rate:
        print(f"the disk has room for {fits:,.0f} orders/s for so long: that is what is held")
    return min(rate, fits)


def caches_are_full(metrics):
    """Whether all of them had to let something go."""
    return all(metrics.value("orderly_cache_evictions_total", kind=kind) > 0 for kind in CACHED)


class Run:
    """Stretches of load, each behind the other, with what was measured in them."""

    def __init__(self, args, server, mix, peak, rate):
        self.args, self.server, self.mix, self.peak, self.rate = args, server, mix, peak, rate
        self.began = time.monotonic()
        self.samples, self.failures, self.rates = [], [], []

    def warm_up(self):
        """Until what is bounded is as large as it gets."""
        while True:
            self.stretch("warm-up", WARM_PIECE_SECONDS)
            minutes = (time.monotonic() - self.began) / 60
            if self.mix.failures or self.failures:
                return
            if minutes >= WARM_MINUTES_MIN and caches_are_full(self.server.api.metrics()):
                break
            if minutes >= WARM_MINUTES_MAX:
                raise harness.WrongResult(f"the caches are not full after {WARM_MINUTES_MAX} minutes")
        self.samples, self.rates = [], []
        self.began = time.monotonic()

    def hold(self):
        left = self.args.minutes * 60
        while left > 0 and not self.mix.failures:
            seconds = min(60, left)
            left -= seconds
            self.stretch(f"minute {len(self.rates) + 1:>3}", seconds)

    def stretch(self, name, seconds):
        before = self.server.api.metrics(anew=True)
        for figures in self._load(seconds):
            taken, metrics = sample(self.server, self.began)
            self.samples.append(taken)
        self._await_lag()
        self.samples.append(sample(self.server, self.began)[0])
        self.rates.append(self.rate)
        self._say(name, figures, before, metrics)
        if set(figures["status"]) - {"201", "503"} or orders.lost(figures):
            self.failures.append(f"answers {figures['status']}, lost {harness.lost_requests(figures)}")
        self._look_at_rate(figures)

    def _load(self, seconds):
        """So many seconds of plain orders; yields None now and then, and the generator's figures."""
        background = harness.LoadInBackground(self.args.build, self.server.url, rate=self.rate,
                                              duration=seconds, timeout=REST_SECONDS, drain=REST_SECONDS,
                                              connections=self.args.connections)
        try:
            while background.process.poll() is None:
                yield None
                time.sleep(SAMPLE_SECONDS)
            text, _ = background.process.communicate()
            yield harness.load_result(background.process.returncode, text)
        finally:
            if background.process.poll() is None:
                background.process.kill()
                background.process.wait()

    def _await_lag(self):
        deadline = time.monotonic() + REST_SECONDS
        while lag_of(self.server.api.metrics()) > LAG_AT_REST and time.monotonic() < deadline:
            time.sleep(0.1)

    def _say(self, name, figures, before, metrics):
        lag = harness.BucketDifference(before, metrics, "orderly_loop_lag_seconds")
        latency, last = figures["latency"], self.samples[-1]
        print(f"{name}  {figures['status'].get('201', 0):>8,} orders,"
              f" {figures['status'].get('503', 0):,} refused, p50 {latency['p50']:.1f} p99"
              f" {latency['p99']:.1f} p99.9 {latency['p99_9']:.1f} ms | loop lag p99.9"
              f" {lag.quantile(0.999) * 1000:.1f} ms | own {last.anonymous_mib:.1f} MiB,"
              f" {last.descriptors} descriptors, store {last.store_bytes / 2**20:,.0f} MiB", flush=True)

    def _look_at_rate(self, figures):
        late_ms = figures["latency"]["p50"]
        if late_ms < LATE_MS:
            return
        self.rate *= LOWERED
        if self.rate < SHARE_MIN * self.peak:
            raise harness.WrongResult(f"the machine has no time for {self.rate / LOWERED:,.0f} orders/s")
        print(f"the machine does not keep up, answers are {late_ms / 1000:.1f} s late: from here on"
              f" {self.rate:,.0f} orders/s, {self.rate / self.peak:.0%} of the peak", flush=True)


def await_rest(api):
    deadline = time.monotonic() + REST_SECONDS
    while True:
        unsettled = api.get("/orders?unsettledFor=0s&limit=1")["data"]
        if not unsettled and lag_of(api.metrics()) == 0:
            return
        if time.monotonic() > deadline:
            raise harness.WrongResult(f"it does not come to rest: {unsettled}")
        time.sleep(0.1)


def soak(args, data):
    with harness.server_on(args, data, WARM_CACHE) as server:
        harness.add_stock(server.api)

        host, port = server.url.split("//")[1].rsplit(":", 1)
        mix = Mix(host, int(port), harness.program_path(args.build, "orderly"), data, args.seed)
        mix.begin()
        try:
            peak = orders_per_second(args, server)
            run = Run(args, server, mix, peak, choose_rate(args, peak, data.parent))
            run.warm_up()
            run.hold()
        except harness.WrongResult:
            print(f"clients: {mix.failures}; exit code {server.process.poll()}; the last words:\n{server.output_tail()}")
            raise
        finally:
            mix.end()
        await_rest(server.api)
        failures = run.failures + mix.failures
        metrics = server.api.metrics()
        if orders.dead_letters(metrics):
            failures.append(f"{orders.dead_letters(metrics)} dead letters are open")
        if mix.marker_s > growth.MARKER_SECONDS_MAX:
            failures.append(f"a stream showed a cart {mix.marker_s:.1f} s late")
        found = mix.check_book()
        print(f"mix: {found:,} acknowledged orders with books, all there; "
              + ", ".join(f"{n:,} {name}" for name, n in mix.counts.items()))
        idle = [name for name in mix.counts if mix.counts[name] == 0 and name != "backups"]
        if idle:
            failures.append(f"nothing was done of: {', '.join(idle)}")
    verified = subprocess.run([str(harness.program_path(args.build, "orderly")), "verify", "--data",
                               str(data)], capture_output=True, text=True, check=False)
    print(f"verify: {verified.stdout.strip().splitlines()[-1] if verified.stdout else verified.stderr}")
    if verified.returncode != 0:
        failures.append(f"verify: {verified.returncode}")
    return failures + judge(args, run, mix)


def judge(args, run, mix):
    floors = [mib for _, mib in growth.floors(run.samples)]
    each = growth.bytes_per_order(run.samples)
    if run.rates:
        print(f"held {min(run.rates):,.0f} to {max(run.rates):,.0f} orders/s, {min(run.rates) / run.peak:.0%}"
              f" to {max(run.rates) / run.peak:.0%} of the peak")
    if floors:
        print(f"the least of each minute, in MiB: {' '.join(f'{mib:.1f}' for mib in floors)}")
        print(f"own memory {floors[0]:.1f} MiB in the first minute, {floors[-1]:.1f} in the last:"
              f" {growth.memory_slope(run.samples):+.2f} MiB a minute, bound {args.slope_max:g}; store"
              f" {each or 0:,.0f} bytes an order; slowest marker {mix.marker_s:.2f} s")
    return growth.faults(run.samples, args.slope_max, BYTES_PER_ORDER_MAX)


def orders_per_second(args, server):
    """Settled, closed loop."""
    before = orders.shipped(server.api.metrics())
    began = time.monotonic()
    harness.run_load(args.build, server.url, duration=PEAK_SECONDS, retry_503=True, pipeline=4,
                     connections=args.connections)
    deadline = began + REST_SECONDS
    while (metrics := server.api.metrics()) and lag_of(metrics) > 1000 and time.monotonic() < deadline:
        time.sleep(0.02)
    return (orders.shipped(metrics) - before) / (time.monotonic() - began)


def main():
    parser = harness.argument_parser(__doc__)
    parser.add_argument("minutes", type=float, metavar="MINUTES")
    parser.add_argument("--slope-max", type=float, default=0.5, metavar="MIB",
                        help="of its own memory, a minute")
    parser.add_argument("--seed", type=int, default=20261121)
    args = parser.parse_args()
    if args.minutes < MINUTES_MIN:
        parser.error(f"{MINUTES_MIN} minutes at least; of fewer, the slope says nothing")
    if not harness.is_durable(args):
        parser.error("a store in memory grows, as it should")
    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    with harness.data_directory(args) as data:
        failures = soak(args, data)
    for failure in failures:
        print(f"GROWN OR WRONG: {failure}")
    print("flat" if not failures else f"{len(failures)} faults")
    return 1 if failures else 0


if __name__ == "__main__":
    harness.run_driver(main)
