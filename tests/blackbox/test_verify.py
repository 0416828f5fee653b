"""orderly verify: nothing to say of what the server writes, and no damage that it misses; and orderly
rebuild, which makes good what the events can make."""
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import pytest

from client import eventually
from conftest import BINARY, FAST, clean_environment
from mdb import Mdb
from shop import (add_product, cancel, checkout, order_body, place, publish, simulate, wait_for,
                  wait_order)

SECONDS = 60


def run(*args, code=0):
    done = subprocess.run([BINARY, *args], capture_output=True, timeout=SECONDS, text=True,
                          env=clean_environment(), stdin=subprocess.DEVNULL)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done


def counts(out):
    """What was checked, and how much of it."""
    return {m[2]: int(m[1]) for m in re.finditer(r"^ *(\d+) (\S+(?: \S+)*?)  +\S", out, re.M)}


def has_one_letter(client):
    assert len(client.get("/dead-letters").is_(200).json["data"]) == 1


def some_history(client):
    sku = add_product(client, stock=50)
    for _ in range(3):
        wait_for(client, place(client, sku)["orderId"], "SHIPPED")
    wait_for(client, checkout(client, sku)["orderId"], "STOCK_RESERVED")
    gone = checkout(client, sku)["orderId"]
    wait_for(client, gone, "STOCK_RESERVED")
    cancel(client, gone).is_(200)
    wait_order(client, gone, refund__status="done", release__status="done")
    keyed = client.post("/orders", order_body(sku, 1), headers={"Idempotency-Key": "once"}).is_(201)
    wait_for(client, keyed.json["orderId"], "SHIPPED")
    publish(client, "payment.approved", "0199a1f2-0000-7000-8000-000000000000", paymentId="p-9",
            amount=1, currency="USD").is_(202)
    eventually(lambda: has_one_letter(client))
    return sku


@pytest.fixture(scope="module")
def stopped(start_once, tmp_path_factory):
    """A copy of the directory of a server that has ended."""
    server = start_once(*FAST)
    with server.client() as client:
        some_history(client)
    server.stop()
    where = tmp_path_factory.mktemp("stopped") / "data"
    shutil.copytree(server.folder / "data", where)
    return where


@pytest.fixture
def copy(stopped, tmp_path):
    where = tmp_path / "data"
    shutil.copytree(stopped, where)
    return where


def full_pipe():
    """One that nobody reads, without room for another byte; (read, write)."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    for size in (1 << 16, 1):
        try:
            while True:
                os.write(ends[1], b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(ends[1], True)
    return ends


def places_of(data, pid):
    """The transactions that LMDB's table of readers says a process looks at."""
    table = (data / "lock.mdb").read_bytes()
    slots = (struct.unpack_from("=Qi", table, at) for at in range(0, len(table) - 64, 64))
    return [txn for txn, who in slots if who == pid and txn != (1 << 64) - 1]


# ---- nothing to find

def test_it_says_what_it_checked_and_how_much(stopped):
    out = run("verify", "--data", str(stopped)).stdout
    said = counts(out)
    assert said["orders"] == 6 and said["products"] == 1, out
    assert said["payments"] == 7 and said["dead letters"] == 1, out
    assert said["events"] > 40 and said["rows of lists"] > 2 * said["events"], out
    assert re.search(r"^to position \d+, \d+ bytes, in \d+\.\d s\nall is well\n$", out, re.M), out


def test_a_server_under_load_gives_no_false_alarm(start, tmp_path):
    data = str(tmp_path / "data")
    server = start(*FAST, "--data", data)
    ends = threading.Event()
    failed = []

    def shop(number):
        try:
            chance = random.Random(number)
            with server.client() as client:
                sku = add_product(client, stock=100000)
                while not ends.is_set():
                    id = (place if chance.random() < 0.6 else checkout)(client, sku)["orderId"]
                    what = chance.randrange(5)
                    if what == 0:
                        client.post(f"/orders/{id}/cancel", {"reason": "no"})
                    elif what == 1:
                        publish(client, "payment.processed", id, paymentId=f"p-{number}-{id}",
                                amount=39.98, currency="USD")
                    elif what == 2:
                        client.patch(f"/products/{sku}", {"stockDelta": 1})
        except Exception as e:  # noqa: BLE001
            failed.append(e)

    with server.client() as client:
        simulate(client, "payments", failFirst=1)  # some lanes wait, too
    threads = [threading.Thread(target=shop, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    try:
        events = runs = 0
        began = time.monotonic()
        while runs < 12 or events < 500:
            assert time.monotonic() - began < SECONDS
            done = run("verify", "--data", data)
            now = counts(done.stdout)["events"]
            assert now >= events
            events, runs = now, runs + 1
    finally:
        ends.set()
        for t in threads:
            t.join()
    assert not failed
    server.stop(signal.SIGKILL)
    run("verify", "--data", data)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_killed_server_leaves_is_sound(start, tmp_path, seed):
    data = str(tmp_path / "data")
    chance = random.Random(seed)
    for _ in range(3):
        server = start(*FAST, "--data", data)
        with server.client() as client:
            sku = add_product(client)
            for _ in range(chance.randrange(1, 12)):
                (place if chance.random() < 0.5 else checkout)(client, sku, 1)
        server.stop(signal.SIGKILL)
        run("verify", "--data", data)


def test_an_empty_store_is_sound(start, tmp_path):
    start("--data", str(tmp_path / "data")).stop()
    assert "all is well" in run("verify", "--data", str(tmp_path / "data")).stdout


def test_a_restored_backup_and_its_new_epoch_are_sound(start, copy, tmp_path):
    restored = str(tmp_path / "restored")
    run("backup", restored, "--data", str(copy))
    run("verify", "--data", restored)
    server = start(*FAST, "--data", restored)
    with server.client() as client:
        wait_for(client, place(client)["orderId"], "SHIPPED")
    server.stop()
    run("verify", "--data", restored)
    assert "nothing was wrong" in run("rebuild", "--data", restored).stdout
    run("verify", "--data", restored)
    with start("--data", restored).client() as client:
        place(client)


# ---- damage

def flip(file, offset):
    with open(file, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x10]))


def damage(where, pattern):
    """Flips a byte of what has this pattern, where it is of use: it may also lie in free pages."""
    file = where / "data.mdb"
    for found in re.finditer(pattern, file.read_bytes(), re.S):
        flip(file, found.start())
        done = subprocess.run([BINARY, "verify", "--data", str(where)], capture_output=True,
                              timeout=SECONDS, text=True, env=clean_environment())
        if done.returncode == 65:
            return done
        assert done.returncode == 0
        flip(file, found.start())
    raise AssertionError(f"{pattern} is not in use")


def test_a_flipped_byte_of_a_stored_answer_is_named(copy):
    done = damage(copy, b'"unitPrice":19.99,"discount"')
    assert re.match(r"IDEMPOTENCY [0-9a-f-]{36}: its sum is wrong\n", done.stdout), done.stdout
    assert re.search(r"is damaged, 1 fault: restore it from a backup", done.stderr), done.stderr


def test_a_flipped_byte_of_an_event_is_named(copy):
    done = damage(copy, b"Springfield")
    assert re.search(r"^EVENTS \d+: the sum of position \d+ is wrong$", done.stdout, re.M), done.stdout
    assert "not compared" in done.stdout and "restore it from a backup" in done.stderr


def test_a_root_that_leads_nowhere_is_damage(copy):
    """The last byte of the page where the empty LANES would begin: none at all is all ones."""
    done = damage(copy, rb"(?<=\x02\x00\x05\x00LANES.{40}\xff{7})\xff")
    assert "is damaged" in done.stderr, done.stderr


def test_a_short_file_is_damage(copy):
    size = (copy / "data.mdb").stat().st_size
    with open(copy / "data.mdb", "r+b") as f:
        f.truncate(size // 2 // 4096 * 4096)
    done = run("verify", "--data", str(copy), code=65)
    assert "damaged" in done.stderr


def test_no_flipped_byte_makes_it_crash_or_hang(copy, stopped):
    size = (copy / "data.mdb").stat().st_size
    chance = random.Random(7)
    ends = {0: 0, 65: 0, 78: 0}
    for _ in range(60):
        at = chance.randrange(size)
        flip(copy / "data.mdb", at)
        done = subprocess.run([BINARY, "verify", "--data", str(copy)], capture_output=True,
                              timeout=SECONDS, env=clean_environment())
        assert done.returncode in ends, (at, done)
        ends[done.returncode] += 1
        assert len(done.stdout.splitlines()) < 130
        flip(copy / "data.mdb", at)
    assert ends[0] > 0 and ends[65] > 0, ends
    assert (copy / "data.mdb").read_bytes() == (stopped / "data.mdb").read_bytes()


def test_it_changes_nothing(copy, stopped):
    run("verify", "--data", str(copy))
    assert (copy / "data.mdb").read_bytes() == (stopped / "data.mdb").read_bytes()


def test_a_directory_without_a_store_is_said(tmp_path):
    assert "holds no store" in run("verify", "--data", str(tmp_path), code=66).stderr


# ---- rebuild

def test_a_sound_store_comes_out_as_it_was(copy):
    before = run("export", "--jsonl", "--data", str(copy)).stdout
    done = run("rebuild", "--data", str(copy))
    assert re.match(r"nothing was wrong\nmade anew from \d+ events and verified: \d+ rows, in", done.stdout)
    assert re.search(r"^play the orders: \d+ of \d+$", done.stderr, re.M), done.stderr
    run("verify", "--data", str(copy))
    assert run("export", "--jsonl", "--data", str(copy)).stdout == before
    assert sorted(os.listdir(copy)) == ["data.mdb", "lock.mdb", "server.lock"]


def test_a_damaged_list_is_made_good_and_the_server_goes_on(start, copy):
    done = damage(copy, rb"customer-\d+-\d+\0\x01")  # key of ORDERS_BY_CUSTOMER
    assert "'orderly rebuild' makes anew from the events" in done.stderr, done.stderr
    done = run("rebuild", "--data", str(copy))
    assert re.match(r"ORDERS_BY_CUSTOMER +1 missing 1 too many\n|ORDERS_BY_CUSTOMER +1 wrong\n", done.stdout)
    run("verify", "--data", str(copy))
    with start("--data", str(copy)).client() as client:
        assert len(client.get("/orders").is_(200).json["data"]) == 6
        wait_for(client, place(client)["orderId"], "SHIPPED")


def test_a_damaged_event_is_refused_and_nothing_is_changed(copy):
    damage(copy, b"Springfield")
    before = (copy / "data.mdb").read_bytes()
    done = run("rebuild", "--data", str(copy), code=65)
    assert re.match(r"EVENTS \d+: the sum of position \d+ is wrong\n", done.stdout), done.stdout
    assert "was left as it is" in done.stderr and "restore it from a backup" in done.stderr
    assert (copy / "data.mdb").read_bytes() == before
    assert "copy.mdb" not in os.listdir(copy)


def test_a_server_that_runs_is_not_disturbed(start, tmp_path):
    data = str(tmp_path / "data")
    server = start("--data", data)
    done = run("rebuild", "--data", data, code=69)
    assert f"is in use by another server (process {server.process.pid})" in done.stderr
    with server.client() as client:
        place(client)


def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    run("rebuild", "--data", str(tmp_path / "none"), code=66)
    assert not (tmp_path / "none").exists()


def test_a_terminal_gets_a_bar(copy):
    ours, theirs = pty.openpty()
    done = subprocess.run([BINARY, "rebuild", "--data", str(copy)], stdout=subprocess.PIPE,
                          stderr=theirs, stdin=subprocess.DEVNULL, timeout=SECONDS,
                          env=clean_environment())
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # the end, where nobody has the other side any more
        pass
    os.close(ours)
    assert done.returncode == 0
    assert b"[" in shown and shown.endswith(b"\r\x1b[K"), shown


def test_a_signal_leaves_the_old_store_and_no_rest(copy):
    chance = random.Random(11)
    ends = set()
    for _ in range(8):
        process = subprocess.Popen([BINARY, "rebuild", "--data", str(copy)], env=clean_environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGTERM)
        ends.add(process.wait(SECONDS))
        assert "copy.mdb" not in os.listdir(copy)
        run("verify", "--data", str(copy))
    assert ends <= {0, 143, -15}, ends


def test_a_reader_of_its_lines_that_stalls_does_not_hold_pages(copy):
    with open(copy / "data.mdb", "r+b") as f:
        for row in Mdb(copy / "data.mdb").rows["ORDERS"]:
            f.seek(row.value_at + 3)
            byte = f.read(1)[0]
            f.seek(row.value_at + 3)
            f.write(bytes([byte ^ 1]))
    ends = full_pipe()
    verify = subprocess.Popen([BINARY, "verify", "--data", str(copy)], stdin=subprocess.DEVNULL,
                              stdout=ends[1], stderr=subprocess.PIPE, env=clean_environment())
    os.close(ends[1])
    try:
        children = f"/proc/{verify.pid}/task/{verify.pid}/children"

        last = [time.monotonic()]

        def has_looked():
            with open(children, encoding="ascii") as f:
                child = f.read().split()
            if not child or places_of(copy, int(child[0])):
                last[0] = time.monotonic()
            assert time.monotonic() - last[0] > 1
        eventually(has_looked)
        assert verify.poll() is None
        text = b""
        while piece := os.read(ends[0], 1 << 16):
            text += piece
        assert verify.wait(SECONDS) == 65
        assert text.count(b"its sum is wrong") > 1 and b"played again" in text
    finally:
        os.close(ends[0])
        verify.kill()
        verify.wait()
        verify.stderr.close()
