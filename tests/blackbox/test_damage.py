"""After any byte of the store was changed behind its back, no answer is a wrong one: it is what it
was before, or an error, or the server ends with a line that says why. So it is for a file that was
cut.

ORDERLY_FLIPS=2000 tries more bytes than the few dozens beside one of each kind.
"""
import http.client
import json
import os
import random
import shutil
import struct
import subprocess
import time
import uuid

import pytest

from client import eventually
from conftest import BINARY, FAST, Server, clean_environment
from mdb import PAGE, Mdb
from shop import (ADDRESS, add_product, approve, cancel, fill_cart, order_body, place, publish,
                  simulate, unique, wait_dead_letter, wait_event, wait_for)

EX_DATAERR, EX_IOERR, EX_CONFIG = 65, 74, 78
FLIPS = int(os.environ.get("ORDERLY_FLIPS", 40))
QUIET = ("--set=log.audit=false", *FAST)


class Gone(Exception):
    """The server has ended."""


class Kept:
    """A store with a bit of everything, at rest, and what a server says that is asked about it."""

    def __init__(self, folder):
        self.folder = folder
        self.repeats = []
        server = Server(folder, *QUIET, "--set=payment.timeout=1d")
        with server.client() as client:
            self._live(client)
        assert server.stop() == 0
        # What a drain left to the next start is done by it.
        server = Server(folder, *QUIET)
        with server.client() as client:
            self._rest(client)
        assert server.stop() == 0
        self.mdb = Mdb(folder / "data" / "data.mdb")
        (folder / "again").mkdir()
        shutil.copytree(folder / "data", folder / "again" / "data")
        server = Server(folder / "again", *QUIET)
        self.truth = {}
        for key, ask in self.questions():
            answer = ask(server)
            assert answer[0] in (200, 201), (key, answer)
            self.truth[key] = answer
        assert server.stop() == 0

    def _live(self, client):
        sku = add_product(client, stock=5000)
        self.skus = [sku] + [add_product(client) for _ in range(30)]
        self.orders, self.carts = [], []
        for i in range(40):
            body = order_body(sku, 1 + i % 3, customerId=f"customer-{i % 4}")
            key = {"Idempotency-Key": unique("key")}
            answer = client.post("/orders", body, headers=key).is_(201)
            self.repeats.append(("/orders", json.dumps(body).encode(), key))
            self.orders.append(answer.json["orderId"])
        for id in self.orders:
            wait_for(client, id, "SHIPPED")
        for i in range(12):
            self.carts.append(fill_cart(client, (sku, 1 + i % 3)))
        for cart in self.carts[:6]:
            body = {"cartId": cart, "shippingAddress": ADDRESS}
            key = {"Idempotency-Key": unique("key")}
            answer = client.post("/orders/checkout", body, headers=key).is_(201)
            self.repeats.append(("/orders/checkout", json.dumps(body).encode(), key))
            self.orders.append(answer.json["orderId"])
            wait_for(client, answer.json["orderId"], "STOCK_RESERVED")
        simulate(client, "payments", enabled=False)
        for i in range(6):  # open deadlines, and refunds that are due
            o = place(client, sku, 1)
            wait_for(client, o["orderId"], "CONFIRMED")
            self.orders.append(o["orderId"])
            if i % 2:
                approve(client, o)
                wait_for(client, o["orderId"], "PAID", "SHIPPED")
                approve(client, o)
                wait_event(client, o["orderId"], "OrderRefundRequested")
        for _ in range(3):
            unknown = "0199a1f2-0000-7000-8000-" + os.urandom(6).hex()
            publish(client, "payment.approved", unknown, paymentId=unique("p"),
                    approvedAmount=1.0, currency="USD").is_(202)
            wait_dead_letter(client, unknown)
        cancel(client, self.orders[-2])
        letters = client.all("/dead-letters")
        self.letters = [d["deadLetterId"] for d in letters]
        self.parked_for = [d["orderId"] for d in letters]
        events = client.all("/events?limit=500")
        self.events = [e["eventId"] for e in events]
        self.types = sorted({e["eventType"] for e in events})
        self.parts = sorted({e["aggregateId"] for e in events
                             if e["aggregateType"] not in ("Order", "Cart", "Product")})

    @staticmethod
    def _rest(client):
        """Until nothing happens any more: no event for a while, and no handler at work."""
        last = [None, 0]

        def check():
            metrics = client.get("/metrics").body.decode().splitlines()
            now = [x for x in metrics if x.startswith(("orderly_store_events", "orderly_events_",
                                                       "orderly_commits"))]
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            assert time.monotonic() - last[1] > 0.5
        eventually(check)

    def questions(self):
        def get(path):
            def ask(server):
                return self._say(server, "GET", path)
            return path, ask

        def post(path, body, headers):
            def ask(server):
                return self._say(server, "POST", path, body, headers)
            return path + headers["Idempotency-Key"], ask

        for path in ("/orders?limit=500", "/orders?limit=7", "/orders?refund=due",
                     "/orders?unsettledFor=0s", "/orders?flow=pay_first", "/products?limit=500",
                     "/events?limit=500", "/messages?topic=order.*&limit=500",
                     "/dead-letters",
                     "/dead-letters?subscription=orders", "/simulators/payments",
                     "/simulators/inventory"):
            yield get(path)
        for status in ("SHIPPED", "CONFIRMED", "PAID", "CANCELLED", "REJECTED"):
            yield get(f"/orders?status={status}&limit=500")
        for name in self.types:
            yield get(f"/events?eventType={name}&limit=500")
        for id in self.parked_for:
            yield get(f"/dead-letters?orderId={id}")
        for i in range(5):
            yield get(f"/orders?customerId=customer-{i}&limit=500")
        for id in self.orders[::3]:
            yield get(f"/orders/{id}")
        for id in self.orders:
            yield get(f"/events?orderId={id}")
        for id in self.carts[::2]:
            yield get(f"/carts/{id}")
        for id in self.letters:
            yield get(f"/dead-letters/{id}")
        for id in self.events[::40]:
            yield get(f"/events/{id}")
        for sku in self.skus[::10]:
            yield get(f"/products/{sku}")
        for id in self.parts:
            yield get(f"/events?aggregateId={id}")
        for path, body, headers in self.repeats:
            yield post(path, body, headers)

    @staticmethod
    def _say(server, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        try:
            connection.request(method, path, body=body,
                               headers={**(headers or {}), "Content-Type": "application/json"})
            answer = connection.getresponse()
            kept = ("Content-Type", "ETag", "Location", "Link", "Idempotent-Replayed")
            return answer.status, [answer.getheader(n) for n in kept], answer.read()
        except (ConnectionError, http.client.HTTPException) as e:
            raise Gone from e
        finally:
            connection.close()

    def copy(self, name):
        folder = self.folder / name
        folder.mkdir()
        shutil.copytree(self.folder / "data", folder / "data")
        return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return Kept(tmp_path_factory.mktemp("kept"))


def assert_ended(code, log, line):
    if code == EX_CONFIG:  # the number of the schema itself
        assert "newer version" in line
        return
    assert code in (EX_DATAERR, EX_IOERR), (code, log[-2000:])
    assert "restore" in line and ("damaged" in line or "can't be read" in line), (code, line)


def drive(kept, server, folder):
    """Asks everything. Returns how it went; fails on an answer that is wrong."""
    went = "unseen"
    try:
        for key, ask in kept.questions():
            answer = ask(server)
            if answer == kept.truth[key]:
                continue
            assert answer[0] == 500, (key, answer, kept.truth[key])
            assert json.loads(answer[2])["code"] == "damaged", answer
            went = "refused"
    except Gone:
        server.wait()
    code = server.stop()
    if code == 0:
        return went
    assert_ended(code, server.log(), server.log().splitlines()[-1])
    return "ended"


def try_store(kept, folder):
    """Starts a server on a copy that was damaged, and asks it everything."""
    log = folder / "first.log"
    try:
        server = Server(folder, *QUIET)
    except RuntimeError:  # it did not start: once more, for its code
        with open(log, "wb") as out:
            code = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data",
                                   str(folder / "data"), *QUIET], timeout=30, stdout=out,
                                  stderr=out, env=clean_environment()).returncode
        text = log.read_text(errors="replace")
        assert_ended(code, text, text.splitlines()[-1])
        return "not started"
    return drive(kept, server, folder)


def verify(folder):
    """Exit code of the operator's look at a stopped directory."""
    run = subprocess.run([BINARY, "verify", "--data", str(folder / "data")], timeout=60,
                         stdin=subprocess.DEVNULL, capture_output=True, env=clean_environment())
    assert run.returncode in (0, EX_DATAERR, EX_IOERR, EX_CONFIG), run
    assert run.returncode == 0 or run.stderr, run
    return run.returncode


def flip(folder, at, mask):
    with open(folder / "data" / "data.mdb", "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ mask]))


def try_flip(kept, at, mask, is_used=False):
    """is_used: the byte counts, so verify must find it too."""
    folder = kept.copy(f"flip-{at}-{mask}")
    flip(folder, at, mask)
    try:
        assert not is_used or verify(folder) != 0, "verify does not find it"
        return try_store(kept, folder)
    except BaseException:
        print(f"byte {at} ^ {mask:#04x}, in {folder}")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_store_at_rest_answers_the_same_after_each_start(kept):
    assert try_store(kept, kept.copy("whole")) == "unseen"


DATABASES = ["EVENTS", "BY_LANE", "BY_TYPE", "ORDERS", "PARTS", "OWNERS", "CARTS", "PRODUCTS",
             "STOCK", "ORDERS_BY_STATUS", "ORDERS_BY_CUSTOMER", "UNSETTLED", "REFUNDS_DUE",
             "DEADLINES", "IDEMPOTENCY", "IDEMPOTENCY_EXPIRY", "DEAD_LETTERS",
             "DEAD_LETTERS_BY_LANE", "CURSORS", "SETTINGS", "META"]
LISTS = ["BY_LANE", "BY_TYPE", "ORDERS_BY_STATUS", "ORDERS_BY_CUSTOMER", "UNSETTLED",
         "REFUNDS_DUE", "DEAD_LETTERS_BY_LANE"]


@pytest.mark.parametrize("database", DATABASES)
def test_a_flipped_byte_of_a_row_is_never_served(kept, database):
    rows = kept.mdb.rows[database]
    assert rows, f"the store has no row in {database}"
    row = rows[len(rows) // 2]
    if database == "BY_LANE":  # of something that is asked for
        row = next(r for r in rows if uuid.UUID(bytes=r.key[:16]) == uuid.UUID(kept.orders[9]))
    if database == "ORDERS_BY_CUSTOMER":
        row = next(r for r in rows if r.key.startswith(b"customer-1\0"))
    places = {"key": row.key_at + len(row.key) - 1, "value": row.value_at,
              "sum": row.value_at + len(row.value) - 1}
    went = {name: try_flip(kept, at, 0x01, True) for name, at in places.items()}
    print(database, went)
    if database in LISTS:
        assert "unseen" not in went.values(), went


@pytest.mark.parametrize("database", ["free pages", "names"])
def test_a_root_that_leads_to_an_older_page_is_found(kept, database):
    record = kept.mdb.newest_meta + 16 + 24 + (48 if database == "names" else 0)
    for mask in range(1, 40):  # LMDB takes turns between a few pages that lie side by side
        if try_flip(kept, record + 40, mask) != "unseen":
            continue
        # An older list of free pages is as good while none of its pages is in use.
        assert database == "free pages", mask
        assert not kept.mdb.free_pages(kept.mdb.free_root ^ mask) & kept.mdb.roots, mask


def test_a_way_to_the_names_that_leads_through_a_free_page_is_found(kept):
    """As where a branch was whose last leaf is now the page of the names: every name is found."""
    free_page = max(kept.mdb.free_pages(kept.mdb.free_root))
    nodes = [struct.pack("<Q", kept.mdb.names_root)[:6] + struct.pack("<H", len(key)) + key
             for key in (b"", b"\0\0")]
    ends = [PAGE - len(nodes[0]), PAGE - len(nodes[0]) - len(nodes[1])]
    page = struct.pack("<QHHHH2H", free_page, 0, 1, 16 + 4, ends[1], *ends)
    page = page.ljust(ends[1], b"\0") + nodes[1] + nodes[0]
    folder = kept.copy("way")
    with open(folder / "data" / "data.mdb", "r+b") as f:
        f.seek(free_page * PAGE)
        f.write(page)
        f.seek(kept.mdb.newest_meta + 16 + 24 + 48 + 40)
        f.write(struct.pack("<Q", free_page))
    assert verify(folder) == EX_DATAERR
    assert try_store(kept, folder) == "not started"


@pytest.mark.parametrize("kind", ["meta", "branch", "leaf"])
def test_a_flipped_byte_in_the_head_of_a_page_is_never_served(kept, kind):
    chance = random.Random(kind)
    pages = [p for p in kept.mdb.pages if p.kind == kind]
    assert pages
    for _ in range(10):
        page = chance.choice(pages)
        at = page.at + chance.randrange(168 if kind == "meta" else 32)
        print(page, at - page.at, try_flip(kept, at, 1 << chance.randrange(8)))


def test_a_flipped_byte_anywhere_is_never_served(kept):
    seed = int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(1 << 32))
    chance = random.Random(seed)
    went = {}
    print("ORDERLY_TEST_SEED =", seed)
    for i in range(FLIPS):
        # Half of them in pages that hold something; the others may be free ones.
        at = chance.randrange(len(kept.mdb.data))
        if i % 2:
            at = chance.choice(kept.mdb.pages).at + chance.randrange(PAGE)
        result = try_flip(kept, at, chance.randrange(1, 256))
        went[result] = went.get(result, 0) + 1
    print(went)


# ---- short files

def cuts(size):
    return [0, 1, PAGE - 1, PAGE, 2 * PAGE, size // 2 + 17, size // 2, size - PAGE, size - 1]


def test_a_file_that_was_cut_does_not_start(kept):
    size = (kept.folder / "data" / "data.mdb").stat().st_size
    for to in cuts(size):
        folder = kept.copy(f"cut-{to}")
        os.truncate(folder / "data" / "data.mdb", to)
        found = verify(folder)
        went = try_store(kept, folder)
        assert found != 0 or went == "unseen", (to, went)
        # The last pages may be free ones; and an empty file is where a store begins.
        assert went == "not started" or to >= size - PAGE, (to, went)


def test_a_file_that_is_cut_under_a_server_ends_it(kept):
    size = (kept.folder / "data" / "data.mdb").stat().st_size
    for to in (0, PAGE, 2 * PAGE, size // 4, size // 2):
        folder = kept.copy(f"live-{to}")
        server = Server(folder, *QUIET, "--set=cache_bytes=1MiB")
        os.truncate(folder / "data" / "data.mdb", to)
        assert drive(kept, server, folder) == "ended", to


# ---- while it runs

def test_what_is_damaged_under_a_server_is_refused_and_the_rest_served(kept):
    folder = kept.copy("row")
    id = kept.orders[3]
    row = next(r for r in kept.mdb.rows["ORDERS"] if r.key.hex() == id.replace("-", ""))
    server = Server(folder, *QUIET)
    flip(folder, row.value_at + 5, 0x10)
    with server.client() as client:
        assert client.get(f"/orders/{id}").problem(500, "damaged")["detail"]
        client.post(f"/orders/{id}/cancel", {"reason": "no"}).problem(500, "damaged")
        client.get("/orders?limit=500").problem(500, "damaged")
        for other in kept.orders[:3] + kept.orders[4:8]:
            client.get(f"/orders/{other}").is_(200)
        wait_for(client, place(client, kept.skus[0], 1)["orderId"], "CONFIRMED")

        def said():
            line, = [x for x in server.log().splitlines() if "store_rows_damaged" in x][:1] or [""]
            assert "lastDatabase=ORDERS" in line and row.key.hex() in line
        eventually(said)
        assert "store_damaged_rows_total" in client.get("/metrics").body.decode()
    assert server.stop() == 0


def test_a_list_that_is_damaged_under_a_server_ends_it(kept):
    folder = kept.copy("list")
    row = kept.mdb.rows["ORDERS_BY_CUSTOMER"][5]
    server = Server(folder, *QUIET)
    flip(folder, row.key_at + len(row.key) - 2, 0x04)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        with server.client() as client:
            for i in range(4):
                client.get(f"/orders?customerId=customer-{i}&limit=500")
    assert server.wait() == EX_IOERR
    line = server.log().splitlines()[-1]
    assert str(folder / "data") in line and "is damaged" in line and "ORDERS_BY_CUSTOMER" in line
    assert server.stop() == EX_IOERR


# ---- after a write that failed

def marked(kept, name):
    folder = kept.copy(name)
    (folder / "data" / "needs-check").write_text("fsync: Input/output error\n")
    return folder


def test_a_store_whose_write_failed_is_copied_and_verified_at_the_next_start(kept):
    folder = marked(kept, "marked")
    before = (folder / "data" / "data.mdb").stat().st_ino
    server = Server(folder, *QUIET)
    assert "was copied and verified" in server.log()
    assert not (folder / "data" / "needs-check").exists()
    assert not (folder / "data" / "copy.mdb").exists()
    assert (folder / "data" / "data.mdb").stat().st_ino != before
    assert drive(kept, server, folder) == "unseen"


def test_a_copy_that_does_not_verify_is_not_served(kept):
    folder = marked(kept, "marked-damaged")
    row = kept.mdb.rows["ORDERS"][0]
    flip(folder, row.value_at, 0x01)
    assert try_store(kept, folder) == "not started"
    assert (folder / "data" / "needs-check").exists()  # nor at the start after that
    assert not (folder / "data" / "copy.mdb").exists()
    assert try_store(kept, folder) == "not started"


def test_damage_ends_a_server_whose_log_nobody_reads(kept):
    folder = kept.copy("stalled")
    row = kept.mdb.rows["ORDERS_BY_CUSTOMER"][5]
    ends = os.pipe()
    server = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", "--data",
                               str(folder / "data"), *QUIET], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=ends[1], env=clean_environment())
    try:
        port = int(server.stdout.readline().rsplit(b":", 1)[1])
        os.set_blocking(ends[1], False)
        try:
            while True:
                os.write(ends[1], b".")
        except BlockingIOError:
            os.set_blocking(ends[1], True)
        flip(folder, row.key_at + len(row.key) - 2, 0x04)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            for i in range(4):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", f"/orders?customerId=customer-{i}&limit=500")
                connection.getresponse().read()
        assert server.wait(20) == EX_IOERR
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        for end in ends:
            os.close(end)
