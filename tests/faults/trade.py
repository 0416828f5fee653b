"""A shop that is asked for everything while something is done to its server.

The clients and the books are those of the crash tests: orders of both flows, carts, cancels and keys,
what was acknowledged and what the events say. Here they are asked from a thread of their own, so that
the test can stop the server, move its clock or copy its directory meanwhile.
"""
import os
import random
import threading

from books import Audit, Book, await_rest
from client import eventually
from load import Load
from server import verify

SEED = int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(1 << 32))
CONNECTIONS, CLIENTS = 4, 32
SECONDS = 300  # until anything that has to come about has come about; only a fault takes so long
# Small delays, so that orders are everywhere on their way.
DELAYS = ["--set=simulators.payments.delayMs=5", "--set=simulators.inventory.delayMs=2",
          "--set=simulators.shipments.delayMs=5"]


class Trade:
    """begin(); await_orders(n), as often as one likes; then end() or await_end(), go_on(), and last
    close_the_books(). Over any number of lives of the server."""

    def __init__(self, server, seed=SEED):
        self.server = server
        self.book, self.audit = Book(random.Random(seed)), Audit()
        self.load = self.thread = self.failure = None
        self.is_over = False
        self.in_the_air = []
        self.has_products = False

    # ---- asking

    def begin(self):
        """Starts to ask the server, which listens."""
        if not self.has_products:
            with self.server.client() as client:
                self.book.add_products(client)
            self.has_products = True
        self.book.begin_life()
        self.is_over = False
        self.load = Load(self.server.host, self.server.port, CONNECTIONS)
        self.load.add(self._until_over(self.book.client()) for _ in range(CLIENTS))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _until_over(self, client):
        """A client that notes its last answer and then asks no more."""
        request = next(client)
        while True:
            answer = yield request
            request = client.send(answer)
            if self.is_over:
                return

    def _run(self):
        try:
            self.load.run(lambda: False, SECONDS)
        except Exception as e:  # told by whoever waits
            self.failure = e

    def orders(self):
        """Acknowledged so far."""
        return len(self.book.orders)

    def await_orders(self, n):
        """Until n more are acknowledged."""
        goal = self.orders() + n

        def are_there():
            self._raise_failure()
            assert not self.load.is_gone, "the server is gone"
            return self.orders() >= goal
        eventually(are_there, SECONDS)

    def _raise_failure(self):
        if self.failure:
            raise self.failure

    def _join(self):
        self.thread.join(SECONDS + 30)
        assert not self.thread.is_alive()
        self._raise_failure()

    def end(self):
        """Everybody gets the answer to what was asked, and asks no more."""
        self.is_over = True
        self._join()
        assert not self.load.is_gone, "the server closed a connection"
        self.load.close()

    def await_end(self):
        """Until the server has ended by itself. Returns its exit code."""
        self._join()
        code = self.server.ended(SECONDS)
        self.load.drain()
        self.in_the_air = self.load.in_the_air()
        self.load.close()
        return code

    # ---- comparing

    def ask_again(self):
        """Of the next life: what was acknowledged is there, what has a key is answered again."""
        self.book.ask_again(self.server.host, self.server.port, self.in_the_air)
        self.in_the_air = []

    def settle(self):
        """It comes to rest, and everything agrees with the books."""
        await_rest(self.server, SECONDS)
        with self.server.client() as client:
            self.audit.read(client)
        self.audit.compare(self.server, self.book)

    def close_the_books(self):
        self.settle()
        self.book.replay_kept(self.server.host, self.server.port)
        self.server.stop()
        assert verify(self.server.data).strip().endswith("all is well")

    def close(self):
        """Whatever has happened. The server is gone before, or goes now."""
        if self.thread and self.thread.is_alive():
            self.is_over = True
            self.server.close()
            self.thread.join(30)
        if self.load:
            self.load.close()
