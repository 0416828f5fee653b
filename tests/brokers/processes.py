#!/usr/bin/env python3
"""Four processes of one context each, with a broker between them, killed again and again.

Orders of both flows are placed, some of them are cancelled at once. All the while one process after
the other is killed with -9 and started again. In the end every order has to be settled, no order
charged twice, what was cancelled refunded, the stock that is reserved that of the orders that have
some, no dead letter anywhere, and every data directory as `verify` wants it.

  tests/brokers/processes.py --broker nats|rabbitmq [--orders 10000] [--kill-every 10] [--seed 1]
"""
import argparse
import collections
import http.client
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
for folder in (TESTS / "blackbox", TESTS / "brokers"):
    sys.path.insert(0, str(folder))

import brokers  # noqa: E402
import nats  # noqa: E402
from serving import BINARY, Server, clean_environment  # noqa: E402

CONTEXTS = ("orders", "payments", "inventory", "shipments")
DELAYS = ["--set=simulators.payments.delayMs=5", "--set=simulators.inventory.delayMs=2",
          "--set=simulators.shipments.delayMs=5"]
SKUS = ("WIDGET-001", "GADGET-002", "MUG-CERAMIC-001")
ADDRESS = {"street": "1 Main St", "city": "Springfield", "postalCode": "62701", "country": "US"}
CLIENTS = 4
CANCELLED_SHARE = 0.05
SETTLE_SECONDS = 300
TRY_SECONDS = 120
STOCK = 1000000


class Wrong(Exception):
    pass


class Process:
    """One context: it keeps its data directory, and gets a new port with each life."""

    def __init__(self, folder, context, url):
        self.folder, self.context, self.url = folder, context, url
        folder.mkdir()
        self.lock = threading.Lock()
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        life = self.folder / f"life-{self.lives}"
        life.mkdir()
        self.server = Server(life, "--data", str(self.folder / "data"), "--contexts", self.context,
                             "--demo", "--relay", self.url, "--set=log.audit=false", *DELAYS)

    def kill(self):
        with self.lock:
            self.server.stop(signal.SIGKILL)
            self.start()

    def ask(self, method, path, body=None, headers=None):
        """Again and again while it is away or has no room; the headers have an Idempotency-Key."""
        deadline = time.monotonic() + TRY_SECONDS
        while True:
            try:
                with self.server.client() as c:
                    answer = c.request(method, path, body=body, headers=headers)
                if answer.status not in (409, 503) or "Retry-After" not in answer.headers:
                    return answer
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > deadline:
                raise Wrong(f"{self.context} does not answer {method} {path}")
            time.sleep(0.1)

    def all(self, path):
        with self.server.client(timeout=60) as c:
            return list(c.all(path))

    def end(self):
        self.server.stop()

    def verify(self):
        return subprocess.run([BINARY, "verify", "--data", self.folder / "data"],
                              env=clean_environment(), capture_output=True, text=True, timeout=300)


class Shop:
    """Places the orders; each client its share, at a pace that all of them keep together."""

    def __init__(self, orders, n, per_second, seed):
        self.orders, self.n, self.per_second, self.seed = orders, n, per_second, seed
        self.placed = {}  # id: (sku, quantity)
        self.failure = None
        self.began = time.monotonic()

    def run(self):
        threads = [threading.Thread(target=self._client, args=(i,)) for i in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if self.failure:
            raise self.failure

    def _client(self, first):
        try:
            for i in range(first, self.n, CLIENTS):
                wait = self.began + i / self.per_second - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                self._place(i)
        except Exception as e:  # for whoever waits
            self.failure = e

    def _post(self, path, body, key):
        answer = self.orders.ask("POST", path, body, {"Idempotency-Key": f"{self.seed}-{key}"})
        if answer.status not in (200, 201):
            raise Wrong(f"POST {path}: {answer.status} {answer.body}")
        return answer.json

    def _place(self, i):
        rng = random.Random(self.seed * 1000003 + i)
        sku, quantity = rng.choice(SKUS), rng.randint(1, 3)
        line = {"sku": sku, "quantity": quantity}
        if i % 2:
            body = {"customerId": f"c-{i}", "items": [line], "shippingAddress": ADDRESS}
            order = self._post("/orders", body, f"order-{i}")
        else:
            cart = self._post("/carts", {"customerId": f"c-{i}"}, f"cart-{i}")["cartId"]
            self._post(f"/carts/{cart}/items", {"productId": sku, "quantity": quantity},
                       f"item-{i}")
            order = self._post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS},
                               f"checkout-{i}")
        self.placed[order["orderId"]] = (sku, quantity)
        if rng.random() < CANCELLED_SHARE:
            answer = self.orders.ask("POST", f"/orders/{order['orderId']}/cancel",
                                     {"reason": "changed my mind"},
                                     {"Idempotency-Key": f"{self.seed}-cancel-{i}"})
            if answer.status not in (200, 409):
                raise Wrong(f"cancel: {answer.status} {answer.body}")


class Killer(threading.Thread):
    def __init__(self, processes, seconds, seed):
        super().__init__(daemon=True)
        self.processes, self.seconds = processes, seconds
        self.random = random.Random(seed)
        self.is_over = threading.Event()
        self.kills = collections.Counter()
        self.failure = None

    def run(self):
        order = []
        try:
            while not self.is_over.wait(self.seconds):
                if not order:
                    order = self.random.sample(self.processes, len(self.processes))
                victim = order.pop()
                victim.kill()
                self.kills[victim.context] += 1
        except Exception as e:
            self.failure = e


def is_settled(o):
    if o["status"] not in ("STOCK_RESERVED", "SHIPPED", "CANCELLED"):
        return False
    return o["refund"]["status"] != "due" and o["release"]["status"] != "due"


def await_settled(orders, n):
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = orders.all("/orders?limit=500")
        open_ = [o for o in found if not is_settled(o)]
        if len(found) == n and not open_:
            return {o["orderId"]: o for o in found}
        if time.monotonic() > deadline:
            raise Wrong(f"{len(found)} of {n} orders, {len(open_)} not settled, such as {open_[:2]}")
        time.sleep(1)


def payload_orders(process, *types):
    """How often each order has an event of these types that the process decided itself."""
    count = collections.Counter()
    for t in types:
        for e in process.all(f"/events?eventType={t}&limit=500"):
            if not e["metadata"].get("messageId"):
                count[e["payload"]["orderId"]] += 1
    return count


def check_money(found, payments):
    charged = payload_orders(payments, "PaymentApproved", "PaymentProcessed")
    refunded = payload_orders(payments, "PaymentRefunded")
    twice = [o for o, n in charged.items() if n > 1] + [o for o, n in refunded.items() if n > 1]
    if twice:
        raise Wrong(f"charged or refunded twice: {twice[:5]}")
    for id_, o in found.items():
        owes = charged[id_] - refunded[id_]
        if owes != (o["status"] != "CANCELLED"):
            raise Wrong(f"order {id_} is {o['status']}, and is charged {charged[id_]} times and "
                        f"refunded {refunded[id_]} times")
    return charged, refunded


def check_stock(found, placed, inventory):
    wanted = collections.Counter()
    for id_, o in found.items():
        if o["status"] != "CANCELLED":
            sku, quantity = placed[id_]
            wanted[sku] += quantity
    for sku in SKUS:
        p = inventory.ask("GET", f"/products/{sku}").json
        if p["reserved"] != wanted[sku] or p["onHand"] != STOCK or \
                p["available"] != STOCK - wanted[sku]:
            raise Wrong(f"{sku}: {p}, and {wanted[sku]} are in orders")


def check_letters(processes):
    for p in processes:
        letters = p.all("/dead-letters")
        if letters:
            raise Wrong(f"{p.context} has dead letters: {letters[:2]}")


def await_balance(processes, n, placed):
    """An order that was cancelled may look settled before it hears what was reserved or paid for it
    meanwhile, and gives that back, too. What is wrong for good stays wrong."""
    orders, payments, inventory, _ = processes
    deadline = time.monotonic() + SETTLE_SECONDS / 5
    while True:
        found = await_settled(orders, n)
        try:
            charged, refunded = check_money(found, payments)
            check_stock(found, placed, inventory)
            return found, charged, refunded
        except Wrong:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def try_out(folder, url, n, per_second, kill_every, seed):
    processes = [Process(folder / c, c, url) for c in CONTEXTS]
    orders, payments, inventory, _ = processes
    try:
        shop = Shop(orders, n, per_second, seed)
        killer = Killer(processes, kill_every, seed)
        killer.start()
        shop.run()
        killer.is_over.set()
        killer.join()
        if killer.failure:
            raise killer.failure
        placed_s = time.monotonic() - shop.began
        if len(shop.placed) != n:
            raise Wrong(f"{len(shop.placed)} orders were acknowledged, and not {n}")
        found = await_settled(orders, n)
        settled_s = time.monotonic() - shop.began
        if set(found) != set(shop.placed):
            raise Wrong("an acknowledged order is lost, or one is there that nobody asked for")
        found, charged, refunded = await_balance(processes, n, shop.placed)
        check_letters(processes)
    finally:
        for p in processes:
            p.end()
    for p in processes:
        result = p.verify()
        if result.returncode:
            raise Wrong(f"verify of {p.context}: {result.stdout}{result.stderr}")
    by_status = collections.Counter(o["status"] for o in found.values())
    return {"orders": n, "kills": dict(killer.kills), "by_status": dict(by_status),
            "charged": sum(charged.values()), "refunded": sum(refunded.values()),
            "placed_seconds": round(placed_s, 1), "settled_seconds": round(settled_s, 1)}


def start_broker(name, folder):
    """Returns its URL and how to end it."""
    folder.mkdir()
    if name == "nats":
        server = nats.Server(folder / "nats")
        return f"nats://127.0.0.1:{server.port}", server.end
    server = brokers.RabbitServer(folder)
    return f"amqp://127.0.0.1:{server.port}", server.stop


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--broker", choices=("nats", "rabbitmq"), default="nats")
    parser.add_argument("--orders", type=int, default=10000)
    parser.add_argument("--per-second", type=float, default=100)
    parser.add_argument("--kill-every", type=float, default=10, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orderly-processes-") as name:
        folder = pathlib.Path(name)
        url, end = start_broker(args.broker, folder / "broker")
        try:
            print(try_out(folder, url, args.orders, args.per_second, args.kill_every, args.seed))
        except Wrong as e:
            for log in sorted(folder.glob("*/life-*/server.log")):
                print(f"== {log}\n" + "".join(log.open().readlines()[-5:]), file=sys.stderr)
            print(f"wrong: {e}", file=sys.stderr)
            return 1
        finally:
            end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
