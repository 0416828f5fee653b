"""Everything that clients do, at a moderate rate, beside the load of plain orders: each kind in a thread
of its own, until told to stop. What goes wrong is kept and told by failures().
"""
import contextlib
import random
import shutil
import subprocess
import tempfile
import threading
import time

import load
from books import Book, Wrong
from client import Client, eventually
from load import Load
from shop import UNKNOWN_ID, place, publish, unique
from stream import Stream

SECONDS = 60              # an answer, or what follows from one, takes this long only if it never comes
BOOK_CLIENTS, BOOK_REST_S = 8, 0.02
REPLAY_EVERY_S, REPLAYS = 10, 20
MARKER_EVERY_S = 5
BACKUP_EVERY_S, BACKUP_BYTES_MAX = 60, 1 << 30


class Patient(Client):
    """Asks again where the server is busy, as it is told to."""

    def request(self, *args, **kwargs):
        deadline = time.monotonic() + SECONDS
        while (answer := super().request(*args, **kwargs)).status == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        return answer


class Mix:
    def __init__(self, host, port, binary, data, seed):
        self.host, self.port, self.binary, self.data = host, port, str(binary), str(data)
        self.book = Book(random.Random(seed))
        self.over = threading.Event()
        self.failures = []
        self.counts = dict.fromkeys(("answers", "replays", "reads", "waits", "outside", "redriven",
                                     "streamed", "markers", "backups"), 0)
        self.marker_s = 0.0  # the slowest
        self.seen = {"events": {}, "messages": {}}
        self.threads = [threading.Thread(target=self._guard, args=(work,), daemon=True) for work in (
            self._book, self._reads, self._waits, self._outside, self._letters, self._markers,
            lambda: self._stream("events", "/events/stream?eventType=CartCreated"),
            lambda: self._stream("messages", "/messages/stream?topic=cart.*"),
            self._slow_reader, self._backups)]

    # ---- life

    def begin(self):
        with self._client() as client:
            self.book.add_products(client)
        self.book.begin_life()
        for thread in self.threads:
            thread.start()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(4 * SECONDS)
            if thread.is_alive():
                self.failures.append("a client did not come to its end")

    def _guard(self, work):
        try:
            work()
        except Exception as e:  # told at the end, and the run goes on with the others
            self.failures.append(f"{type(e).__name__}: {e}")

    def _client(self):
        return Patient(self.host, self.port, timeout=SECONDS)

    # ---- orders of both flows, carts, cancels, keys

    def _book(self):
        running = Load(self.host, self.port, 2)
        again_at = time.monotonic() + REPLAY_EVERY_S
        try:
            running.add(self._rested(self.book.client()) for _ in range(BOOK_CLIENTS))
            while not self.over.is_set():
                running.run(lambda: self.over.is_set() or time.monotonic() > again_at, 4 * SECONDS)
                self._replay()
                again_at = time.monotonic() + REPLAY_EVERY_S
            running.run(lambda: False, SECONDS)
            if running.is_gone:
                raise Wrong("the server closed a connection")
        finally:
            running.close()

    def _rested(self, client):
        """Ends with an answer, so that nothing is left in the air."""
        request = next(client)
        while True:
            answer = yield request
            request = client.send(answer)
            self.counts["answers"] += 1
            if self.over.is_set():
                return
            time.sleep(BOOK_REST_S / BOOK_CLIENTS)

    def _replay(self):
        keys = sorted(self.book.keyed)
        chosen = {k: self.book.keyed[k] for k in self.book.chance.sample(keys, min(REPLAYS, len(keys)))}
        self.book._replay(self.host, self.port, chosen)
        self.counts["replays"] += len(chosen)

    def check_book(self):
        """At the end: every acknowledged order is there."""
        requests = [load.Request("GET", f"/orders/{id}") for id in self.book.orders]
        for request, answer in load.ask_all(self.host, self.port, requests):
            if answer.status != 200:
                raise Wrong(f"lost: {request.path} {answer.status}")
        return len(requests)

    # ---- reading and waiting

    def _reads(self):
        paths = ["/orders?limit=50", "/orders?status=SHIPPED&flow=pay_first", "/products",
                 "/events?limit=100", "/messages?topic=order.*&limit=100", "/dead-letters", "/readyz",
                 "/orders?unsettledFor=15m&limit=10", "/simulators/payments", "/metrics"]
        with self._client() as client:
            while not self.over.wait(0.1):
                for path in paths:
                    client.get(path).is_(200)
                self.counts["reads"] += len(paths)

    def _waits(self):
        with self._client() as client:
            while not self.over.wait(0.2):
                id = place(client, "P-0", 1)["orderId"]
                now = client.get(f"/orders/{id}?until=SHIPPED&wait=30s").is_(200)
                assert now.json["status"] == "SHIPPED", now.json
                client.get(f"/orders/{id}", headers={"If-None-Match": now.etag}).is_(304)
                client.get(f"/orders/{id}/explain").is_(200)
                self.counts["waits"] += 1

    # ---- outside contexts, dead letters

    def _outside(self):
        """A provider charges a second time, says so twice, and gives the money back."""
        with self._client() as client:
            while not self.over.wait(1):
                placed = place(client, "P-1", 1)
                id = placed["orderId"]
                client.get(f"/orders/{id}?until=SHIPPED&wait=30s").is_(200)
                payment = {"paymentId": unique("pay"), "amount": placed["totalAmount"],
                           "currency": placed["currency"]}
                message = unique("message")
                for _ in range(2):
                    publish(client, "payment.processed", id, message, **payment).is_(202)
                eventually(lambda: self._refund_is(client, id, "due"), SECONDS)
                publish(client, "payment.refunded", id, **payment).is_(202)
                eventually(lambda: self._refund_is(client, id, "done"), SECONDS)
                self.counts["outside"] += 1

    @staticmethod
    def _refund_is(client, id, status):
        return client.get(f"/orders/{id}").is_(200).json["refund"]["status"] == status

    def _letters(self):
        """A message for nobody, tried again, and then left out."""
        with self._client() as client:
            while not self.over.wait(2):
                publish(client, "payment.approved", UNKNOWN_ID, paymentId=unique("pay"),
                        approvedAmount=1, currency="USD").is_(202)
                first = eventually(lambda: self._open_letter(client), SECONDS)
                client.post(f"/dead-letters/{first}/retry", {}).is_(200)
                again = eventually(lambda: self._open_letter(client), SECONDS)
                client.post(f"/dead-letters/{again}/discard", {"reason": "for nobody"}).is_(200)
                self.counts["redriven"] += 1

    @staticmethod
    def _open_letter(client):
        letters = client.get("/dead-letters?state=open").is_(200).json["data"]
        return letters[0]["deadLetterId"] if letters else False

    # ---- streams

    def _stream(self, kind, path):
        """Hears of carts; goes on behind the last id where a stream ended."""
        last = {}
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError), Stream(self, path, last, timeout=SECONDS) as stream:
                while not self.over.is_set() and (frame := stream.frame()) is not None:
                    if frame.id:
                        last = {"Last-Event-ID": frame.id}
                        self.counts["streamed"] += 1
                        cart = frame.json.get("payload", {}).get("cartId")
                        self.seen[kind][cart] = time.monotonic()

    def _markers(self):
        """A cart that both streams have to show."""
        with self._client() as client:
            while not self.over.wait(MARKER_EVERY_S):
                cart = client.post("/carts", {"customerId": "marker"}).is_(201).json["cartId"]
                began = time.monotonic()
                for seen in self.seen.values():
                    eventually(lambda seen=seen: cart in seen, SECONDS)
                self.marker_s = max(self.marker_s, time.monotonic() - began)
                self.counts["markers"] += 1
                for seen in self.seen.values():
                    seen.clear()

    def _slow_reader(self):
        """Follows everything and reads nothing, until it is cut off or goes."""
        while not self.over.is_set():
            with Stream(self, "/events/stream?after=0", receive_buffer=4096, timeout=SECONDS):
                self.over.wait(10)

    # ---- backups

    def _backups(self):
        while not self.over.wait(BACKUP_EVERY_S):
            with self._client() as client:
                for line in client.get("/metrics").is_(200).body.decode().splitlines():
                    if line.startswith("orderly_store_bytes "):
                        size = float(line.split()[1])
            if size > BACKUP_BYTES_MAX:
                continue
            folder = tempfile.mkdtemp(prefix="soak-backup-", dir=str(self.data) + "/..")
            try:
                done = subprocess.run([self.binary, "backup", f"{folder}/copy", "--data", self.data],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      check=False)
                assert done.returncode == 0, done.stderr
                self.counts["backups"] += 1
            finally:
                shutil.rmtree(folder)
