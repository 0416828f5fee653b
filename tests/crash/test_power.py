"""Power cuts under load: what was synced survives, and of the rest what chance decides.

And a disk that says that it has synced and has not: then something may be lost, but nothing wrong is
served. ORDERLY_CRASH=full takes more rounds.
"""
import collections
import http.client
import os
import random
import subprocess
import sys
import time

import powercut
import shim
from books import Audit, Book, Wrong, await_rest
from load import Load
from server import QUICK, ROOT, DidNotStart, Server, verify

IS_FULL = os.environ.get("ORDERLY_CRASH") == "full"
REST_SECONDS = 10


def cycles(folder, *args):
    done = subprocess.run([sys.executable, "-B", str(ROOT / "tests/crash/cycles.py"),
                           "--folder", str(folder), *args], capture_output=True, text=True,
                          check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    print(done.stdout)


def load_until(server, book, until, seconds=30):
    load = Load(server.host, server.port, 4)
    load.add(book.client() for _ in range(16))
    load.run(until, seconds)
    return load


def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path):
    rounds = 100 if IS_FULL else 8
    cycles(tmp_path / "c", "--only", "power", "--cycles", str(rounds), "--payments-outside", "0",
           "--orders", "100", "--settle", "4")


def test_a_disk_that_is_full_for_a_while_is_waited_out(tmp_path):
    server, book = Server(tmp_path, *QUICK, shim="rules"), Book(random.Random(1))
    try:
        server.start()
        with server.client() as client:
            book.add_products(client)
        book.begin_life()
        load_until(server, book, lambda: len(book.in_this_life) >= 200).close()
        server.shim.rule(0, shim.WRITE, 1, shim.FAIL_ON, shim.ENOSPC)
        full = time.monotonic() + (60 if IS_FULL else 2)
        load = load_until(server, book, lambda: time.monotonic() > full, 90)
        with server.client() as client:
            before = len(book.orders)
            client.post("/carts", {"customerId": "c"}).problem(503, "disk_full")
            client.get(f"/orders/{book.in_this_life[0]}").is_(200)
            server.shim.clear()
            load.run(lambda: len(book.orders) >= before + 200, 30)
        load.close()
        await_rest(server)
        audit = Audit()
        with server.client() as client:
            audit.read(client)
        audit.compare(server, book)
        server.stop()
        verify(server.data)
    finally:
        server.close()


# ---- a disk that lies

def lose_a_sync(server, book, chance):
    """An fsync that did nothing, the end soon after it, then a power cut. Returns sectors undone."""
    server.shim.reset()
    server.has_shim = "journal"
    server.start()
    server.shim.rule(0, shim.SYNC, chance.randint(1, 40), shim.DROP)
    load = load_until(server, book, lambda: server.shim.fired() != 0)
    # Before the next fsync makes up for it.
    server.shim.rule(1, shim.ANY, chance.randint(1, 3), shim.KILL_BEFORE)
    load.run(lambda: False, 30)
    server.ended()
    load.close()
    server.has_shim = None
    return powercut.cut(server.shim, chance)[0]


def look(server, book):
    """What a start makes of it. Raises Wrong if it serves what does not hold together."""
    try:
        server.start()
        await_rest(server, REST_SECONDS)
        audit = Audit()
        with server.client() as client:
            audit.read(client)
        audit.compare(server, Book(book.chance))
        server.stop()
        verify(server.data)
        return "agrees with its events"
    except DidNotStart as e:
        code = e.code
    except (OSError, http.client.HTTPException):
        code = server.ended()
    except AssertionError:
        # A read that meets damage is not answered, and is the last thing that the server does.
        if server.is_alive() or "event=store_failed" not in server.log():
            raise
        code = server.ended()
    assert code in (65, 74), f"{code}: {server.log()}"
    last = server.last_line()
    assert last.startswith("orderly: ") or "event=store_failed" in last, server.log()
    return "does not start" if code == 65 else "ends"


def test_a_sync_that_was_dropped_never_shows_a_wrong_row(tmp_path):
    outcomes = collections.Counter()
    for n in range(300 if IS_FULL else 8):
        seed = n + int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(10 ** 9))
        chance = random.Random(seed)
        server, book = Server(tmp_path / str(n), *QUICK), Book(chance)
        try:
            server.start()
            with server.client() as client:
                book.add_products(client)
            book.begin_life()
            before = chance.choice((30, 100, 300))
            load_until(server, book, lambda: len(book.in_this_life) >= before).close()
            server.kill()
            lose_a_sync(server, book, chance)
            outcomes[look(server, book)] += 1
        except (Wrong, AssertionError) as e:
            raise AssertionError(f"seed {seed}: {e}") from e
        finally:
            server.close()
    print(dict(outcomes))
