"""Who is not to be disturbed: a client that behaves well; and what is seen of the server."""
import os
import threading

from client import eventually
from shop import ADDRESS, add_product, order_body, stock_of, unique

# Everything here is judged by its answers, and never by how long they took.
PATIENCE_SECONDS = 120
STOCK = 10_000_000


class Bystander:
    """Places orders on a connection of its own, over and over, and checks every answer.

    Whatever goes wrong is raised when it is asked to stop, which the with statement does; then it
    makes one more round, so at least one lies after the attack."""

    def __init__(self, server, token=None):
        self.server = server
        self.client = server.client(timeout=PATIENCE_SECONDS, token=token)
        self.rounds = 0
        self.error = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.sku = add_product(self.client, stock=STOCK)
        self._round()
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        try:
            self.stop()
        except BaseException:
            if error is None:
                raise

    def stop(self):
        if self.is_over.is_set():
            return
        self.is_over.set()
        self.thread.join(PATIENCE_SECONDS)
        try:
            assert not self.thread.is_alive(), "the well-behaved client hangs"
            if self.error:
                raise self.error
            self._round()
        finally:
            self.client.close()

    def await_rounds(self, n=1):
        """Until it has made so many more."""
        goal = self.rounds + n

        def check():
            assert not self.error, self.error
            return self.rounds >= goal
        eventually(check, seconds=PATIENCE_SECONDS)

    def _run(self):
        try:
            while not self.is_over.is_set():
                self._round()
                # A shop is not at its limit: the attacker has most of the machine.
                self.is_over.wait(0.01)
        except BaseException as e:  # noqa: B902 told by stop()
            self.error = e

    def _round(self):
        c, customer = self.client, unique("good")
        key = {"Idempotency-Key": customer}
        body = order_body(self.sku, 1, customerId=customer)
        placed = c.post("/orders", body, headers=key).is_(201).json
        again = c.post("/orders", body, headers=key).is_(201)
        assert again.json == placed and again.headers["Idempotent-Replayed"] == "true"
        got = c.get(f"/orders/{placed['orderId']}").is_(200).json
        assert got["customerId"] == customer and got["shippingAddress"] == ADDRESS, got
        mine = c.get(f"/orders?customerId={customer}").is_(200).json["data"]
        assert [o["orderId"] for o in mine] == [placed["orderId"]], mine
        stock_of(c, self.sku)
        self.rounds += 1


class Vitals:
    """What the system and the server itself say of the server."""

    def __init__(self, server):
        self.server = server
        self.proc = f"/proc/{server.process.pid}"

    def resident(self):
        """Bytes of its own memory; what it sees of the store's file is not counted."""
        with open(f"{self.proc}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")

    def descriptors(self):
        return len(os.listdir(f"{self.proc}/fd"))

    def await_descriptors(self, before):
        """No more than before; one who asks for the metrics may be about to leave."""
        eventually(lambda: self.descriptors() <= before + 2, seconds=PATIENCE_SECONDS)

    def metrics(self):
        """{name with its labels: value}"""
        with self.server.client(timeout=PATIENCE_SECONDS) as client:
            text = client.get("/metrics").is_(200).body.decode()
        lines = [line for line in text.splitlines() if line and line[0] != "#"]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def metric(self, name):
        return self.metrics()[name]

    def is_at_rest(self, others=0):
        """Nobody is connected but whoever asks, and so many others; nothing is held for them."""
        m = self.metrics()
        assert m["orderly_http_connections"] == 1 + others, m["orderly_http_connections"]
        assert m["orderly_http_requests_in_flight"] <= 1 + others
        assert m["orderly_waiters"] == 0
        assert m['orderly_stream_clients{kind="events"}'] == 0
        assert m['orderly_stream_clients{kind="messages"}'] == 0

    def await_rest(self, others=0):
        eventually(lambda: self.is_at_rest(others), seconds=PATIENCE_SECONDS)


def wait_until(check, seconds=PATIENCE_SECONDS):
    """As eventually, for what may take long on a machine with more to do."""
    return eventually(check, seconds=seconds)
