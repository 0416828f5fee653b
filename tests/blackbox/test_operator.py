"""The operator's commands, beside a live server and on the directory of one that has ended."""
import csv
import io
import json
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import threading
import time

import pytest

from client import Raw, eventually
from conftest import BINARY, FAST, Server, clean_environment
from shop import (add_product, cancel, checkout, place, publish, simulate, wait_for, wait_order)

COMMANDS = ["events", "replay", "export", "report", "backup"]
# What each needs behind its name to do something.
ARGS = {"events": [], "replay": ["x"], "export": ["--jsonl"], "report": ["money"],
        "backup": ["copy"]}
SECONDS = 60

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NAMES = re.compile(r"\b(SKU|customer)-\d+-\d+\b")


def plain(text):
    """Without what is another one in each run."""
    for pattern, name in ((UUID, "<id>"), (TIME, "<time>"), (NAMES, r"<\1>"),
                          (re.compile(r"TRK-\w+"), "<tracking>")):
        text = pattern.sub(name, text)
    return text


def run(*args, code=0, env=None, **kwargs):
    """What it printed; stderr must be empty unless it is asked for."""
    done = subprocess.run([BINARY, *args], capture_output=True, timeout=SECONDS,
                          env=clean_environment(env), stdin=subprocess.DEVNULL, **kwargs)
    assert done.returncode == code, (args, done.returncode, done.stderr.decode())
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    return done


def is_true(what):
    """For eventually."""
    def check():
        assert what()
    return check


def quiet(*args, **kwargs):
    done = run(*args, **kwargs)
    assert done.err == "", done.err
    return done.out


# ---- a shop in which something happened

class Shop:
    """Its data, and what the API said about it."""


@pytest.fixture(scope="module")
def history(start_once):
    shop = Shop()
    shop.server = start_once(*FAST)
    shop.data = str(shop.server.folder / "data")
    with shop.server.client() as c:
        shop.shipped = place(c)["orderId"]
        wait_for(c, shop.shipped, "SHIPPED")
        # A provider that charges a second time, later gives it back, and charges a third time.
        for id in ("payment-77", "payment-78"):
            publish(c, "payment.processed", shop.shipped, paymentId=id, amount=39.98,
                currency="USD").is_(202)
        wait_order(c, shop.shipped, refund__amount=79.96)
        publish(c, "payment.refunded", shop.shipped, paymentId="payment-77", amount=39.98,
            currency="USD").is_(202)
        wait_order(c, shop.shipped, sequence=7)

        shop.yen = checkout(c, add_product(c, price=500, currency="JPY"), 3)["orderId"]
        wait_for(c, shop.yen, "STOCK_RESERVED")
        cancel(c, shop.yen).is_(200)
        wait_order(c, shop.yen, refund__status="done", release__status="done")

        simulate(c, "payments", mode="wait")
        shop.till = place(c)["orderId"]
        wait_for(c, shop.till, "CONFIRMED")
        c.post(f"/orders/{shop.till}/mark-paid", {"paymentId": "till-7"}).is_(200)
        wait_for(c, shop.till, "SHIPPED")
        # For an order that nobody has: refused.
        publish(c, "payment.processed", "nobody", paymentId="payment-79", amount=1,
            currency="USD").is_(202)
        shop.events = eventually(lambda: settled_events(c))
        shop.orders = {id: c.get(f"/orders/{id}").is_(200).body.decode()
                       for id in (shop.shipped, shop.yen, shop.till)}
        shop.page = c.get("/events?limit=500").is_(200).body.decode()
    return shop


def settled_events(client):
    events = client.all("/events?limit=500")
    assert events[-1]["eventType"] == "DeadLettered", events[-1]
    return events


@pytest.fixture(scope="module", params=["live", "stopped"])
def shop(request, history, tmp_path_factory):
    """The same history beside its server, and as the directory that a server left by kill -9."""
    shop = Shop()
    shop.__dict__.update(history.__dict__)
    if request.param == "stopped":
        copy = tmp_path_factory.mktemp("stopped") / "data"
        run("backup", str(copy), "--data", history.data)
        with_server = Server(tmp_path_factory.mktemp("server"), "--data", str(copy))
        with_server.stop(signal.SIGKILL)
        shop.data = str(copy)
    return shop


# ---- what all have in common

def test_the_list_of_commands_names_them_all(tmp_path):
    out = quiet("help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\w", out, re.M), out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name, tmp_path):
    out = quiet(name, "--help", cwd=tmp_path)
    assert out.startswith(f"usage: orderly {name}")
    for part in ("[--data DIR]", "\nFlags\n", "\nExamples\n", "\nExit codes\n", f"  orderly {name} "):
        assert part in out
    assert max(map(len, out.splitlines())) <= 100
    assert quiet("help", name) == out
    assert quiet(name, *ARGS[name], "-h", cwd=tmp_path) == out


@pytest.mark.parametrize("args, why", [
    (["events", "--nope"], "events has no flag '--nope'"),
    (["events", "x"], "events takes no arguments but flags"),
    (["events", "--type", "OrderGone"], "'OrderGone' is no type of event, such as OrderPlaced"),
    (["events", "--type"], "--type needs a value"),
    (["events", "--order", "a b"], "--order must be 1 to 64 characters"),
    (["events", "--order", "x" * 65], "--order must be 1 to 64 characters"),
    (["events", "--correlation", ""], "--correlation must be 1 to 64 characters"),
    (["events", "--aggregate", "ü"], "--aggregate must be 1 to 64 characters"),
    (["events", "--after", "-1"], "--after must be a position"),
    (["events", "--after", "18446744073709551616"], "--after must be a position"),
    (["events", "--limit", "0"], "--limit must be a number of events, from 1"),
    (["events", "--json=1"], "--json takes no value"),
    (["replay"], "replay needs ORDER"),
    (["replay", "a", "b"], "replay takes one argument only"),
    (["replay", "a", "--at", "0"], "--at must be the sequence of an event"),
    (["replay", "a", "--at", "x"], "--at must be the sequence of an event"),
    (["export"], "export needs a format: --jsonl is the one there is"),
    (["export", "--jsonl", "--after", "last"], "--after must be a position"),
    (["backup"], "backup needs DEST"),
    (["backup", ""], "the directory of the copy must have a name"),
    (["report"], "report needs money"),
    (["report", "stock"], "there is no report 'stock'; 'money' is the one there is"),
    (["report", "money", "--day", "2026-02-30"], "--day must be a day of the calendar"),
    (["report", "money", "--day", "2026-2-3"], "--day must be a day of the calendar"),
    (["report", "money", "--day", "today"], "--day must be a day of the calendar"),
    (["events", "--data", ""], "the data directory must have a name"),
])
def test_a_wrong_command_line_is_64_and_says_why(args, why, tmp_path):
    done = run(*args, code=64, cwd=tmp_path)
    assert done.out == ""
    assert done.err.startswith(f"orderly: {why}"), done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_no_directory_and_no_store_are_66(name, tmp_path):
    done = run(name, *ARGS[name], code=66, cwd=tmp_path)
    assert done.err == "orderly: ./orderly-data can't be opened: No such file or directory\n"
    (tmp_path / "empty").mkdir()
    done = run(name, *ARGS[name], "--data", "empty", code=66, cwd=tmp_path)
    assert done.err == "orderly: empty holds no store\n"
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"], "nothing was made"


def test_the_directory_comes_by_flag_or_variable_or_is_the_usual_one(shop, tmp_path):
    os.symlink(shop.data, tmp_path / "orderly-data")
    expected = quiet("events", "--data", shop.data)
    assert quiet("events", cwd=tmp_path) == expected
    assert quiet("events", env={"ORDERLY_DATA": shop.data}) == expected
    assert quiet("events", "--data=" + shop.data, env={"ORDERLY_DATA": "/nowhere"}) == expected


@pytest.mark.parametrize("command", ["events", "events --json", "export --jsonl",
                                     "replay $SHIPPED", "report money"])
def test_a_reader_that_has_enough_ends_it_quietly(shop, command):
    done = subprocess.run(["bash", "-c", f"set -o pipefail; $BIN {command} | head -c 1"],
                          capture_output=True, timeout=SECONDS,
                          env=clean_environment({"BIN": BINARY, "ORDERLY_DATA": shop.data,
                                                 "SHIPPED": shop.shipped}))
    assert (done.returncode, len(done.stdout)) == (0, 1)
    assert command.startswith(("export", "report")) or done.stderr == b""
    assert b"orderly:" not in done.stderr


@pytest.mark.parametrize("name", ["events", "export", "report", "replay"])
def test_output_that_fails_is_74(shop, name):
    args = [shop.shipped] if name == "replay" else ARGS[name]
    for stdout, why in (("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")):
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" >{stdout}', BINARY, name, *args],
                              capture_output=True, timeout=SECONDS,
                              env=clean_environment({"ORDERLY_DATA": shop.data}))
        assert done.returncode == 74
        assert done.stderr.decode() == f"orderly: can't write to stdout: {why}\n"


def limit_files(size):
    def in_child():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return in_child


def test_output_beyond_a_limit_is_74(shop, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run([BINARY, "export", "--jsonl", "--data", shop.data], stdout=out,
                              stderr=subprocess.PIPE, timeout=SECONDS, env=clean_environment(),
                              preexec_fn=limit_files(4096))
    assert (done.returncode, done.stderr) == (
        74, b"orderly: can't write to stdout: File too large\n")
    done = run("backup", "copy", "--data", shop.data, code=74, cwd=tmp_path,
               preexec_fn=limit_files(32768))
    assert done.err == "orderly: copy: can't be copied to: File too large\n"
    assert not (tmp_path / "copy").exists()


def test_a_process_that_somebody_ended_is_not_damage(history):
    with Follower("--data", history.data) as follower:
        follower.next()
        pid = follower.process.pid
        child = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGKILL)
        assert follower.process.wait(SECONDS) == 74
        assert follower.process.stderr.read().decode() == (
            f"orderly: {history.data}: the process that looked was ended by signal 9\n")


def test_a_server_without_stderr_does_not_write_its_log_into_its_data(tmp_path):
    out = open(tmp_path / "out", "w+b")
    server = subprocess.Popen(
        ["sh", "-c", 'exec "$0" serve --listen 127.0.0.1:0 --demo --data data <&- 2>&-', BINARY],
        stdout=out, cwd=tmp_path, env=clean_environment())
    eventually(is_true(lambda: "listening" in (tmp_path / "out").read_text()))
    server.terminate()
    assert server.wait(SECONDS) == 0
    out.close()
    for file in ("data.mdb", "lock.mdb"):
        assert b"level=info" not in (tmp_path / "data" / file).read_bytes()
    assert run("export", "--jsonl", "--data", "data", cwd=tmp_path).out.count("\n") == 6


# ---- damage

def damage(data, to, text):
    """A copy in which each place that holds the text has another one."""
    to.mkdir()
    stored = (pathlib.Path(data) / "data.mdb").read_bytes()
    assert text in stored
    (to / "data.mdb").write_bytes(stored.replace(text, text[:-1] + b"\x01"))
    return str(to)


@pytest.mark.parametrize("name", ["events", "replay", "export", "report", "backup"])
def test_a_damaged_event_is_65_and_never_shown(shop, name, tmp_path):
    data = damage(shop.data, tmp_path / "data", b"changed my mind")
    args = [shop.yen] if name == "replay" else ARGS[name]
    done = run(name, *args, "--data", data, code=65, cwd=tmp_path)
    assert "changed my min\x01" not in done.out
    assert "damaged" in done.err.splitlines()[-1], done.err
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["events", "export", "report", "backup"])
def test_a_file_that_is_cut_off_is_65(shop, name, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    stored = (pathlib.Path(shop.data) / "data.mdb").read_bytes()
    for pages in (0, 2, 4, len(stored) // 4096 // 2):
        (data / "data.mdb").write_bytes(stored[:pages * 4096 + 100])
        done = run(name, *ARGS[name], "--data", str(data), code=65, cwd=tmp_path)
        assert "damaged" in done.err or "can't be" in done.err, done.err
        assert not (tmp_path / "copy").exists()


def test_what_is_no_store_is_65(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no store\n" * 2000)
    done = run("events", "--data", str(tmp_path), code=65)
    assert re.fullmatch(r"orderly: \S+/data.mdb is damaged: .+; restore from backup\n",
                        done.err), done.err


def test_a_store_whose_last_write_failed_is_shown_with_a_warning(history, tmp_path):
    run("backup", str(tmp_path / "data"), "--data", history.data)
    (tmp_path / "data" / "needs-check").touch()
    done = run("events", "--data", "data", cwd=tmp_path)
    assert done.out == quiet("events", "--data", history.data)
    assert done.err == ("orderly: data: a write failed, so what it shows may not be on the disk; "
                        "the next start of a server checks it\n")


# ---- events

def test_events_are_lines_for_people(shop):
    lines = plain(quiet("events", "--order", shop.shipped, "--data", shop.data)).splitlines()
    first = next(e["position"] for e in shop.events if e["aggregateId"] == shop.shipped)

    def line(position, type, words):
        return f"<time> {position:>10}  {type:<26}  <id>  {words}"
    assert lines == [
        line(first, "OrderPlaced", "<customer>, 1 line, 39.98 USD"),
        line(first + 1, "InventoryReserved", "reservation-<id>, 2 x <SKU>"),
        line(first + 2, "OrderConfirmed", "reservation-<id>, 39.98 USD"),
        line(first + 3, "PaymentProcessed", "payment-<id>, 39.98 USD"),
        line(first + 4, "OrderPaid", "payment-<id>, 39.98 USD, 2 x <SKU>"),
        line(first + 5, "ShipmentCreated", "shipment-<id>, <tracking>"),
        line(first + 6, "OrderShipped", "shipment-<id>, <tracking>"),
        *[line(e["position"], e["eventType"], {
            "PaymentProcessed": "{paymentId}, 39.98 USD",
            "OrderRefundRequested": "{paymentId}, 39.98 USD, second",
            "PaymentRefunded": "{paymentId}, 39.98 USD",
            "OrderRefunded": "{paymentId}, 39.98 USD",
        }[e["eventType"]].format(**e["payload"]))
          for e in shop.events[first + 6:] if e["metadata"]["correlationId"] == shop.shipped]]
    assert len(lines) == 13


def test_events_as_json_are_what_the_api_gives(shop):
    lines = quiet("events", "--json", "--data", shop.data).splitlines()
    assert '{"data":[' + ",".join(lines) + '],"nextCursor":null}' == shop.page


@pytest.mark.parametrize("flags, fits", [
    (lambda s: ["--type", "OrderPlaced"], lambda s, e: e["eventType"] == "OrderPlaced"),
    (lambda s: ["--order", s.shipped],
     lambda s, e: e["metadata"]["correlationId"] == s.shipped),
    (lambda s: ["--correlation", s.yen], lambda s, e: e["metadata"]["correlationId"] == s.yen),
    (lambda s: ["--correlation", s.yen, "--order", s.yen],
     lambda s, e: e["metadata"]["correlationId"] == s.yen),
    (lambda s: ["--correlation", s.yen, "--order", s.shipped], lambda s, e: False),
    (lambda s: ["--aggregate", s.shipped], lambda s, e: e["aggregateId"] == s.shipped),
    (lambda s: ["--aggregate", "payment-77"], lambda s, e: e["aggregateId"] == "payment-77"),
    (lambda s: ["--aggregate", "nobody", "--type", "OrderPlaced"], lambda s, e: False),
    (lambda s: ["--type", "OrderPlaced", "--after", "10"],
     lambda s, e: e["eventType"] == "OrderPlaced" and e["position"] > 10),
    (lambda s: ["--after", "5", "--limit", "3"], lambda s, e: 5 < e["position"] <= 8),
    (lambda s: ["--limit", "100000"], lambda s, e: True),
    (lambda s: ["--after", str(len(s.events))], lambda s, e: False),
    (lambda s: ["--after", "last"], lambda s, e: False),
])
def test_events_are_filtered_as_by_the_api(shop, flags, fits):
    args = flags(shop)
    shown = [json.loads(line) for line in
             quiet("events", "--json", *args, "--data", shop.data).splitlines()]
    assert shown == [e for e in shop.events if fits(shop, e)]
    lines = quiet("events", *args, "--data", shop.data).splitlines()
    assert [int(line.split()[1]) for line in lines] == [e["position"] for e in shown]


def test_events_behind_the_end_of_the_log_are_not_waited_for(shop):
    n = len(shop.events)
    for more in ([], ["--follow"]):
        done = run("events", "--after", str(n + 1), *more, "--data", shop.data, code=1)
        assert done.err == (f"orderly: {shop.data}: the log ends at position {n}, "
                            f"before --after {n + 1}\n")


class Follower:
    """orderly events --follow, read as it comes."""

    def __init__(self, *args, **kwargs):
        self.process = subprocess.Popen(
            [BINARY, "events", "--follow", "--json", *args], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=clean_environment(), **kwargs)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def next(self):
        deadline = time.monotonic() + 20
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, "nothing comes"
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def end(self, number):
        """Its exit code, and what it said on stderr."""
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        return code, self.process.stderr.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow_goes_on_with_what_comes_until_a_signal(start, number, tmp_path):
    data = str(tmp_path / "data")
    with Follower("--data", data, "--type", "OrderPlaced") as all, \
            Follower("--data", data, "--limit", "2") as two:
        assert select.select([all.process.stderr], [], [], 20)[0]  # before there is a server
        server = start(*FAST, "--data", data)
        with server.client() as client:
            first = place(client)["orderId"]
            assert all.next()["aggregateId"] == first
            with Follower("--data", data, "--after", "last", "--order", first) as none:
                ids = [place(client)["orderId"] for _ in range(3)]
                assert [all.next()["aggregateId"] for _ in ids] == ids
                assert none.end(number) == (0, "")
                assert none.process.stdout.read() == b""
        server.stop()
        assert all.end(number) == (0, f"orderly: waiting for a store in {data}\n")
        assert [two.next()["position"] for _ in range(2)] == [1, 2]
        assert two.process.wait(SECONDS) == 0


def test_follow_ends_where_another_log_takes_the_place(start, tmp_path):
    data = tmp_path / "data"
    start(*FAST, "--demo", "--data", str(data)).stop()
    with Follower("--data", str(data)) as follower:
        assert [follower.next()["position"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        run("backup", str(tmp_path / "copy"), "--data", str(data))
        os.replace(tmp_path / "copy" / "data.mdb", data / "data.mdb")
        assert follower.process.wait(SECONDS) == 69
        assert "another log has taken the place of this one; it ended behind position 6" in \
            follower.process.stderr.read().decode()


def test_follow_ends_when_its_reader_has_gone_though_nothing_comes(history):
    done = subprocess.run(["bash", "-c", 'set -o pipefail; "$0" events --follow | head -1', BINARY],
                          capture_output=True, timeout=SECONDS,
                          env=clean_environment({"ORDERLY_DATA": history.data}))
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_is_left_of_a_command_that_was_killed(history):
    with Follower("--data", history.data) as follower:
        follower.next()
        follower.process.kill()
        # The end of the file comes only when nobody holds the other end any more.
        while select.select([follower.process.stdout], [], [], 20)[0]:
            if not os.read(follower.process.stdout.fileno(), 65536):
                return
        raise AssertionError("a process lives on")


# ---- replay

def test_replay_shows_each_event_and_what_it_changed(shop):
    out = plain(quiet("replay", shop.yen, "--data", shop.data))
    blocks = out.split("\n\n")
    assert blocks.pop() == ""
    position = {e["sequence"]: e["position"] for e in shop.events if e["aggregateId"] == shop.yen}

    def head(sequence, type):
        return f"{sequence}  position {position[sequence]}  <time>  {type}"
    assert [b.splitlines()[:-1] for b in blocks] == [
        [head(1, "OrderPlaced")],
        [head(2, "OrderPaid"), '   status: "AWAITING_PAYMENT" -> "PAID"',
         '   paymentId: null -> "payment-<id>"'],
        [head(3, "OrderStockReserved"), '   status: "PAID" -> "STOCK_RESERVED"',
         '   reservationId: null -> "reservation-<id>"'],
        [head(4, "OrderCancelled"), '   status: "STOCK_RESERVED" -> "CANCELLED"',
         '   cancellationReason: null -> "changed my mind"',
         '   refund: {"status":"none","amount":0} -> {"status":"due","amount":1500}',
         '   refunds: [] -> [{"paymentId":"payment-<id>","amount":1500,"currency":"JPY",'
         '"status":"due"}]',
         '   release: {"status":"none"} -> {"status":"due"}'],
        *[[head(i, type), *changes] for i, (type, changes) in enumerate(
            sorted_ends(shop, position), 5)]]
    for block, sequence in zip(blocks, range(1, 7)):
        assert json.loads(block.splitlines()[-1])["sequence"] == sequence


def sorted_ends(shop, position):
    """Money and stock go back in either order."""
    changes = {
        "OrderRefunded": ['   refund: {"status":"due","amount":1500} -> '
                          '{"status":"done","amount":1500}',
                          '   refunds: [{"paymentId":"payment-<id>","amount":1500,'
                          '"currency":"JPY","status":"due"}] -> [{"paymentId":"payment-<id>",'
                          '"amount":1500,"currency":"JPY","status":"done"}]'],
        "OrderStockReleased": ['   release: {"status":"due"} -> {"status":"done"}']}
    types = [e["eventType"] for e in shop.events if e["aggregateId"] == shop.yen]
    assert len(types) == len(position) == 6
    return [(type, changes[type]) for type in types[4:]]


def test_replay_ends_with_what_the_api_says(shop):
    for id, body in shop.orders.items():
        n = json.loads(body)["sequence"]
        assert quiet("replay", id, "--at", str(n), "--data", shop.data) == body + "\n"
        steps = [json.loads(line) for line in
                 quiet("replay", id, "--json", "--data", shop.data).splitlines()]
        assert [s["sequence"] for s in steps] == list(range(1, n + 1))
        before = None
        for step in steps:
            at = quiet("replay", id, "--at", str(step["sequence"]), "--data", shop.data)
            assert json.loads(at) == step["order"]
            if before:
                assert step["changed"] == {
                    k: {"from": before[k], "to": v} for k, v in step["order"].items()
                    if v != before[k] and k not in ("updatedAt", "sequence")}
            before = step["order"]
        events = [e for e in shop.events if e["aggregateId"] == id]
        assert [(s["position"], s["eventType"], s["occurredAt"]) for s in steps] == \
            [(e["position"], e["eventType"], e["occurredAt"]) for e in events]


def test_replay_of_what_is_not_there_is_1(shop):
    product = shop.events[0]["aggregateId"]
    for id in ("0199a1f2-0000-7000-8000-000000000000", "nobody", "no order", "", product):
        done = run("replay", id, "--data", shop.data, code=1)
        assert (done.out, done.err) == ("", f"orderly: {shop.data} has no order '{id}'\n")
    done = run("replay", shop.yen, "--at", "7", "--data", shop.data, code=1)
    assert (done.out, done.err) == (
        "", f"orderly: order {shop.yen} has no event 7, the last one is 6\n")


# ---- export

SUMMARY = re.compile(r"exported (\d+) events?, positions (\d+) to (\d+); "
                     r"the chain ends at position (\d+) with ([0-9a-f]{32})\n")


def test_export_writes_every_event_and_how_it_ends(shop):
    n = len(shop.events)
    done = run("export", "--jsonl", "--data", shop.data)
    assert '{"data":[' + ",".join(done.out.splitlines()) + '],"nextCursor":null}' == shop.page
    summary = SUMMARY.fullmatch(done.err)
    assert [int(i) for i in summary.groups()[:4]] == [n, 1, n, n]

    rest = run("export", "--jsonl", "--after", str(n - 1), "--data", shop.data)
    assert rest.out == done.out.splitlines(keepends=True)[-1]
    assert SUMMARY.fullmatch(rest.err).groups() == ("1", str(n), str(n), str(n), summary[5])

    none = run("export", "--jsonl", "--after", str(n), "--data", shop.data)
    assert (none.out, none.err) == (
        "", f"exported no events; the chain ends at position {n} with {summary[5]}\n")
    ahead = run("export", "--jsonl", "--after", str(n + 1), "--data", shop.data, code=1)
    assert (ahead.out, ahead.err) == (
        "", f"orderly: {shop.data}: the log ends at position {n}, before --after {n + 1}\n")


def test_export_that_is_interrupted_says_so_by_its_exit_code(history):
    """Its reader takes nothing, so it waits."""
    for number in (signal.SIGINT, signal.SIGTERM):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        while True:  # until nothing goes in any more
            try:
                os.write(writer, b"x" * 65536)
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
        export = subprocess.Popen([BINARY, "export", "--jsonl", "--data", history.data],
                                  stdout=writer, stderr=subprocess.PIPE, env=clean_environment())
        os.close(writer)
        children = pathlib.Path(f"/proc/{export.pid}/task/{export.pid}/children")
        eventually(is_true(children.read_text))  # it handles signals by then
        export.send_signal(number)
        assert export.wait(SECONDS) == 128 + number
        assert export.stderr.read() == b""
        export.stderr.close()
        os.close(reader)


# ---- money

def money(data, *args):
    out = run("report", "money", "--data", data, *args)
    assert out.out.startswith("line,currency,paymentId,orderId,charged,refunded,kept,due\r\n")
    assert out.out.count("\r\n") == out.out.count("\n")
    return list(csv.DictReader(io.StringIO(out.out, newline=""))), out.err


def test_the_report_of_money_names_every_payment(shop):
    rows, said = money(shop.data)
    payments = {r["paymentId"]: r for r in rows if r["line"] == "payment"}
    first = json.loads(shop.orders[shop.shipped])["paymentId"]
    yen = json.loads(shop.orders[shop.yen])["paymentId"]
    assert [(r["currency"], r["paymentId"], r["orderId"], r["charged"], r["refunded"], r["kept"],
             r["due"]) for r in rows if r["line"] == "payment"] == [
        ("USD", first, shop.shipped, "39.98", "0.00", "39.98", "0.00"),
        ("USD", "payment-77", shop.shipped, "39.98", "39.98", "0.00", "0.00"),
        ("USD", "payment-78", shop.shipped, "39.98", "0.00", "39.98", "39.98"),
        ("JPY", yen, shop.yen, "1500", "1500", "0", "0"),
        ("USD", "till-7", shop.till, "39.98", "0.00", "39.98", "0.00")]
    assert [list(r.values()) for r in rows[len(payments):]] == [
        ["total", "JPY", "", "", "1500", "1500", "0", "0"],
        ["total", "USD", "", "", "159.92", "39.98", "119.94", "39.98"]]
    assert said == "1 message about payments was refused (dead letter) and is not in the report\n"


def test_the_report_of_a_day_has_what_happened_on_it(shop):
    days = {e["occurredAt"][:10] for e in shop.events}
    assert sum(len(money(shop.data, "--day", d)[0]) for d in days) >= 7
    if len(days) == 1:  # not around midnight
        assert money(shop.data, "--day", *days) == money(shop.data)
    assert money(shop.data, "--day", "2020-02-29") == ([], "")


# ---- backup

def test_backup_is_the_log_as_it_was(shop, tmp_path):
    n = len(shop.events)
    out = quiet("backup", "copy", "--data", shop.data, cwd=tmp_path)
    done = re.fullmatch(rf"backed up to copy: position {n}, the chain ends with ([0-9a-f]{{32}})\n"
                        r"verified: (\d+) rows, (\d+) bytes\n", out)
    assert done, out
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert int(done[3]) == (tmp_path / "copy" / "data.mdb").stat().st_size
    export = run("export", "--jsonl", "--data", "copy", cwd=tmp_path)
    assert export.out == run("export", "--jsonl", "--data", shop.data).out
    assert done[1] in export.err

    again = run("backup", "copy", "--data", shop.data, code=69, cwd=tmp_path)
    assert (again.out, again.err) == ("", "orderly: copy holds a store already\n")
    assert run("export", "--jsonl", "--data", "copy", cwd=tmp_path).out == export.out
    itself = run("backup", shop.data, "--data", shop.data, code=69)
    assert "holds a store already" in itself.err or "in use by another server" in itself.err
    done = run("backup", "no/where", "--data", shop.data, code=74, cwd=tmp_path)
    assert done.err == "orderly: no/where can't be made: No such file or directory\n"


def test_backup_says_when_others_may_read_it(history, tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    done = run("backup", "open", "--data", history.data, cwd=tmp_path)
    assert done.err == ("orderly: others than its owner may enter open "
                        "(mode 755, should be 700)\n")


def epoch_of(server):
    """Of the log that it serves, by the first line of a stream."""
    with Raw(server) as stream:
        stream.send(f"GET /events/stream HTTP/1.1\r\nHost: {server.host}\r\n\r\n")
        while not (found := re.search(rb": from ([0-9a-f]{32})\.", stream.buffer)):
            assert stream._more()
    return found[1].decode()


def test_a_server_goes_on_from_a_backup_that_was_made_under_load(start, tmp_path):
    server = start(*FAST)
    orders, ends = [], threading.Event()

    def customer():
        with server.client() as client:
            sku = add_product(client, stock=1000000)
            while not ends.is_set():
                orders.append(place(client, sku)["orderId"])
    threads = [threading.Thread(target=customer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        eventually(is_true(lambda: len(orders) > 200))
        known = list(orders)
        out = quiet("backup", "copy", "--data", str(server.folder / "data"), cwd=tmp_path)
        behind = len(orders)
        eventually(is_true(lambda: len(orders) > behind + 50))
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    position = int(re.search(r"position (\d+)", out)[1])
    epoch = epoch_of(server)

    copy = start(*FAST, "--data", str(tmp_path / "copy"))
    assert f"a new epoch begins behind position {position}" in copy.log()
    assert epoch_of(copy) != epoch
    with copy.client() as client:
        client.get(f"/events/stream?after={epoch}.{position}").problem(410, "log_restored")
        for id in known:
            wait_for(client, id, "SHIPPED")
        client.get(f"/orders/{orders[-1]}").problem(404, "not_found")
        new = place(client)["orderId"]
        wait_for(client, new, "SHIPPED")
    copy.stop()
    again = start(*FAST, "--data", str(tmp_path / "copy"))
    assert "new epoch" not in again.log()
    again.stop()
    events = [json.loads(line) for line in
              run("export", "--jsonl", "--data", str(tmp_path / "copy")).out.splitlines()]
    assert [e["position"] for e in events] == list(range(1, len(events) + 1))
    assert len([e for e in events if e["eventType"] == "OrderShipped"]) >= len(known) + 1


def big_store(start, tmp_path):
    """Large enough for a copy to take a while."""
    data = tmp_path / "big"
    server = start("--data", str(data))
    with server.client() as client:
        for _ in range(1500):
            add_product(client, description="d" * 1000)
    server.stop()
    return str(data)


def test_a_backup_that_is_cut_short_is_never_taken_for_one(start, tmp_path):
    data = big_store(start, tmp_path)
    began = time.monotonic()
    run("backup", str(tmp_path / "whole"), "--data", data)
    takes = time.monotonic() - began
    whole = run("export", "--jsonl", "--data", data).out
    seed = int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}")
    chance = random.Random(seed)
    ends = {"whole": 0, "none": 0, "unfinished": 0}
    for i in range(24):
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[i % 3]
        dest = tmp_path / f"copy-{i}"
        process = subprocess.Popen([BINARY, "backup", str(dest), "--data", data],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=clean_environment())
        try:
            process.wait(chance.uniform(0, takes))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        is_whole = (dest / "data.mdb").exists()
        if process.returncode == 0:
            assert is_whole and out.startswith(b"backed up to")
        else:
            assert process.returncode in (-number, 128 + number), (process.returncode, err)
            assert err == b""
        if is_whole:
            ends["whole"] += 1
            assert run("export", "--jsonl", "--data", str(dest)).out == whole
        elif dest.exists():
            ends["unfinished"] += 1
            assert number == signal.SIGKILL or os.listdir(dest) == []
            run("events", "--data", str(dest), code=66)
            if (dest / "unfinished-backup.mdb").exists():
                with pytest.raises(RuntimeError, match="backup that was not finished"):
                    start("--data", str(dest))
            run("backup", str(dest), "--data", data)  # and can be made again
        else:
            ends["none"] += 1
        shutil.rmtree(dest, ignore_errors=True)
    print(ends)
