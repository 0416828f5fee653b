#!/usr/bin/env python3
"""Kills the server again and again under load, on one growing data directory, and keeps the books.

Each cycle starts it, lets it acknowledge at least --orders orders (both flows, carts, cancels, keys),
ends it in one of the ways below while requests are in the air, and starts it again. Then everything
that was acknowledged has to be there, and everything with an Idempotency-Key is asked again and has
to be answered byte for byte as the first time. Now and then, and at the end, it may come to rest: then
every order must be settled, charged at most once and refunded exactly if it went wrong, stock must
agree with the orders, the log must be dense, and nothing may be a dead letter.

  instant   kill -9 at a random instant
  fsync     gone before or after the k-th fsync
  write     gone before or after the k-th write, or in the middle of it
  power     gone at any of these, and of what no fsync had made durable chance decides what is left
  start     kill -9 at a random instant, and again at some of the starts that follow

In the last --payments-outside cycles Payments is off: an outside payment service with a ledger of
its own (examples/payment_service.py) charges, and is killed at times of its own.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import powercut  # noqa: E402
import shim  # noqa: E402
from books import Audit, Book, Wrong, await_rest  # noqa: E402
from load import Load  # noqa: E402
from server import ROOT, DidNotStart, Server, verify  # noqa: E402

SHARE = {"instant": 35, "fsync": 25, "write": 15, "power": 15, "start": 10}
CONNECTIONS, CLIENTS = 8, 64
INSTANT_SECONDS = 0.1  # the kill falls into so much of the load, once the orders are acknowledged
RULE_CALLS = 60        # a rule meets one of so many calls
RULE_SECONDS = 10
REST_SECONDS = 300
# Small delays, so that at a kill orders are everywhere on their way.
DELAYS = ["--set=simulators.payments.delayMs=5", "--set=simulators.inventory.delayMs=2",
          "--set=simulators.shipments.delayMs=5"]


def free_port():
    """One that stays the same over all lives, so it is none that the system gives to others."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Outside:
    """The payment service, and who kills it."""

    def __init__(self, url, ledger, log, chance):
        self.args = [sys.executable, str(ROOT / "examples" / "payment_service.py"), url, str(ledger)]
        self.log, self.chance = log, chance
        self.kills = 0
        self.process = None
        self.is_over = threading.Event()
        self.spawn()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def run(self):
        while not self.is_over.wait(self.chance.uniform(0.3, 1.5)):
            self.kill()
            self.kills += 1
            if not self.is_over.wait(self.chance.uniform(0, 0.2)):
                self.spawn()

    def kill(self):
        if self.process.poll() is not None and self.process.returncode != -signal.SIGKILL:
            raise Wrong(f"the payment service ended with {self.process.returncode}, see {self.log}")
        self.process.kill()
        self.process.wait()

    def end(self):
        self.is_over.set()
        if self.thread.is_alive():
            self.thread.join()
        self.kill()


class Cycles:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.chance = random.Random(args.seed)
        self.book, self.audit = Book(self.chance), Audit()
        self.server = Server(folder, *DELAYS, listen=f"127.0.0.1:{free_port()}")
        self.outside = None
        self.ledger = folder / "ledger.jsonl"
        self.kinds = collections.Counter()
        self.with_air = self.in_the_air = self.late_kills = 0
        self.sectors = self.names = 0
        self.charged = self.refunded = 0

    # ---- one life, and its end

    def begin(self, kind):
        self.server.has_shim = {"fsync": "rules", "write": "rules", "power": "journal"}.get(kind)
        self.server.shim.reset()
        self.server.start()

    def set_rule(self, kind):
        if kind == "power":
            kind = self.chance.choice(("fsync", "write", "instant"))
        nth = self.chance.randint(1, RULE_CALLS)
        if kind == "fsync":
            self.server.shim.rule(0, shim.SYNC, nth,
                                  self.chance.choice((shim.KILL_BEFORE, shim.KILL_AFTER)))
        elif kind == "write":
            self.server.shim.rule(
                0, shim.WRITE | shim.META, nth,
                self.chance.choice((shim.KILL_BEFORE, shim.KILL_AFTER, shim.TEAR_KILL)),
                sectors=self.chance.randint(0, 16))
        else:
            return False
        return True

    def end_under_load(self, kind):
        """Returns the requests that were in the air."""
        self.book.begin_life()
        load = Load(self.server.host, self.server.port, CONNECTIONS)
        try:
            load.add(self.book.client() for _ in range(CLIENTS))
            load.run(lambda: len(self.book.in_this_life) >= self.args.orders, RULE_SECONDS * 6)
            if load.is_gone:
                raise Wrong(f"the server went by itself: {self.server.log()[-2000:]}")
            # By another thread, so that it may fall anywhere in what this one does.
            has_rule = self.set_rule(kind)
            wait = RULE_SECONDS if has_rule else self.chance.uniform(0, INSTANT_SECONDS)
            timer = threading.Timer(wait, os.kill, (self.server.process.pid, signal.SIGKILL))
            timer.start()
            load.run(lambda: False, RULE_SECONDS * 3)
            code = self.server.ended()
            timer.cancel()
            if code != -signal.SIGKILL:
                raise Wrong(f"exit code {code}: {self.server.log()[-2000:]}")
            if has_rule and not self.server.shim.fired():
                self.late_kills += 1
            load.drain()
            return load.in_the_air()
        finally:
            load.close()

    def kill_starts(self):
        """Some starts that do not get far."""
        for _ in range(self.chance.randint(1, 3)):
            self.server.shim.reset()
            self.server.has_shim = "rules"
            if self.chance.random() < 0.5:
                self.server.shim.rule(0, shim.ANY, self.chance.randint(1, 8), shim.KILL_AFTER)
            self.server.spawn()
            try:
                self.server.process.wait(timeout=self.chance.uniform(0, 0.06))
            except subprocess.TimeoutExpired:
                pass
            self.server.kill()
            self.kinds["a start"] += 1

    def cycle(self, kind):
        self.begin(kind)
        if self.outside and not self.outside.thread.is_alive():
            self.outside.thread.start()
        air = self.end_under_load(kind)
        self.kinds[kind] += 1
        self.in_the_air += len(air)
        self.with_air += bool(air)
        if kind == "power":
            sectors, names = powercut.cut(self.server.shim, self.chance)
            self.sectors += sectors
            self.names += names
        if kind == "start":
            self.kill_starts()
        self.begin("after")
        self.book.ask_again(self.server.host, self.server.port, air)

    # ---- the whole

    def settle(self):
        """Everything comes to rest, and is compared."""
        await_rest(self.server, REST_SECONDS)
        with self.server.client() as client:
            self.audit.read(client)
        self.audit.compare(self.server, self.book)
        if self.outside:
            lines = [json.loads(line) for line in self.ledger.read_bytes().splitlines()]
            self.charged, self.refunded = self.audit.compare_ledger(lines)

    def go_outside(self):
        self.settle()
        with self.server.client() as client:
            now = client.get("/simulators/payments").is_(200).json
            client.put("/simulators/payments", {**now, "enabled": False}).is_(200)
        self.outside = Outside(self.server.url, self.ledger, self.folder / "payments.log",
                               random.Random(self.args.seed + 1))
        deadline = time.monotonic() + 20
        while not (self.ledger.exists() and self.ledger.stat().st_size):
            if time.monotonic() > deadline:
                raise Wrong("the payment service does not begin")
            time.sleep(0.01)

    def run(self):
        self.begin("first")
        with self.server.client() as client:
            self.book.add_products(client)
        for n in range(1, self.args.cycles + 1):
            if n == self.args.cycles - self.args.payments_outside + 1:
                self.go_outside()
            kind = self.args.only or self.chance.choices(list(SHARE), list(SHARE.values()))[0]
            # The last life was there to be asked; it ends as they all do.
            self.server.kill()
            self.cycle(kind)
            if n % self.args.settle == 0:
                self.settle()
            self.say(f"{n} of {self.args.cycles}: {kind}, {len(self.book.in_this_life)} orders")
        self.settle()
        self.book.replay_kept(self.server.host, self.server.port)
        if self.outside:
            self.outside.end()
        self.server.stop()
        self.verified = verify(self.server.data)

    def say(self, text):
        if sys.stderr.isatty():
            print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)

    def report(self, seconds):
        starts = sorted(self.server.starts)
        per_life = collections.Counter(o.life for o in self.book.orders.values())
        size = (self.server.data / "data.mdb").stat().st_size
        cycles = self.args.cycles
        rows = [
            ("cycles", f"{cycles}, of which {self.args.payments_outside} with Payments outside"),
            ("kills", ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items())) +
             (f", {self.outside.kills} of the payment service" if self.outside else "")),
            ("rules that met no call", f"{self.late_kills} (killed all the same)"),
            ("acknowledged orders", f"{len(self.book.orders)}, least in a cycle "
             f"{min(per_life[n] for n in range(1, cycles + 1))}"),
            ("in the air at the kill", f"{self.in_the_air} requests, in {self.with_air} of "
             f"{cycles} cycles; {self.book.doubtful} asked again"),
            ("power cuts", f"{self.sectors} sectors and {self.names} names undone"),
            ("starts", f"{len(starts)}, until it listens: p50 {statistics.median(starts) * 1e3:.0f} "
             f"ms, max {starts[-1] * 1e3:.0f} ms"),
            ("stored answers asked again", f"{self.book.replayed}, all the same byte for byte"),
            ("cancelled", f"{self.book.cancelled} acknowledged"),
            ("events", f"{self.audit.position}, dense; {size / 1e6:.0f} MB on disk"),
            ("outside ledger", f"{self.charged} charged, {self.refunded} refunded"),
            ("orderly verify", self.verified.strip().splitlines()[-1]),
            ("lost / charged twice / units missing / unsettled", "0 / 0 / 0 / 0"),
            ("seconds", f"{seconds:.0f}"),
        ]
        for name, value in rows:
            print(f"{name:<50} {value}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--payments-outside", type=int, default=None, metavar="N",
                        help="a quarter of them unless told")
    parser.add_argument("--orders", type=int, default=1000, help="acknowledged in a cycle, at least")
    parser.add_argument("--settle", type=int, default=10, metavar="N",
                        help="comes to rest and is compared every N cycles")
    parser.add_argument("--only", choices=list(SHARE), help="end every life in this way")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("--folder", help="a new folder that is kept; a passing one unless told")
    args = parser.parse_args()
    if args.payments_outside is None:
        args.payments_outside = args.cycles // 4
    folder = pathlib.Path(args.folder or tempfile.mkdtemp(prefix="orderly-crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print(f"seed {args.seed}, in {folder}", flush=True)
    cycles = Cycles(args, folder)
    try:
        cycles.run()
    except (Wrong, DidNotStart, AssertionError, TimeoutError) as e:
        print(f"\nWRONG in life {cycles.book.life}: {type(e).__name__}: {e}\n"
              f"the data are kept in {folder}")
        return 1
    finally:
        if cycles.outside:
            cycles.outside.end()
        cycles.server.close()
    cycles.say("")
    cycles.report(time.monotonic() - began)
    if not args.folder:
        shutil.rmtree(folder)
    if cycles.with_air * 4 < args.cycles * 3:
        print("too few cycles had requests in the air: this shows little")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
