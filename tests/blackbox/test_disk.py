"""What the disk can do to a server: a directory that can't be had, no room, and room again.

Some need root, to mount a small file system; without it they say so and are skipped.
ORDERLY_DISK_FULL_SECONDS=60 leaves the disk full for that long.
"""
import collections
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
import time

import pytest

from client import eventually
from conftest import BINARY, FAST, clean_environment
from shop import add_product, order, order_body, place, stock_of, unique, wait_for

EX_UNAVAILABLE, EX_IOERR, EX_CONFIG = 69, 74, 78
FULL_SECONDS = float(os.environ.get("ORDERLY_DISK_FULL_SECONDS", 4))
MIB = 1 << 20


def refused(*args):
    """Of a server that can't start: exit code and last line."""
    run = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", *args], timeout=30,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         env=clean_environment())
    assert run.stdout == "", run.stdout
    return run.returncode, run.stderr.splitlines()[-1]


@pytest.fixture
def mount():
    """mount(folder, options) puts a tmpfs there."""
    mounted = []

    def mount(folder, options, source=None):
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        folder.mkdir(exist_ok=True)
        command = (["mount", "-t", "tmpfs", "-o", options, "orderly-test", str(folder)]
                   if source is None else
                   ["mount", "-o", "loop", str(source), str(folder)])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# ---- a directory that can't be had

def test_a_second_server_is_told_whose_the_directory_is(start, tmp_path):
    where = ("--data", str(tmp_path / "data"))
    first = start(*where)
    code, line = refused(*where)
    assert code == EX_UNAVAILABLE
    assert str(tmp_path / "data") in line and "in use by another server" in line
    assert f"process {first.process.pid}" in line
    with first.client() as client:
        client.get("/readyz").is_(200)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    start(*where)  # the lock goes with its process


@pytest.mark.parametrize("what,why", [
    ("file", "Not a directory"), ("below a file", "Not a directory"),
    ("parent missing", "No such file or directory"), ("dangling link", "No such file")])
def test_what_is_no_directory_is_refused(tmp_path, what, why):
    where = tmp_path / "data"
    if what == "file":
        where.write_text("a file")
    elif what == "below a file":
        where.write_text("a file")
        where = where / "data"
    elif what == "parent missing":
        where = where / "data"
    else:
        where.symlink_to(tmp_path / "nowhere")
    code, line = refused("--data", str(where))
    assert code == EX_IOERR
    assert str(where) in line and why in line


def test_a_read_only_directory_is_refused(start, mount, tmp_path):
    folder = tmp_path / "disk"
    if os.geteuid() == 0:
        mount(folder, "size=16m,mode=0700")
    folder.mkdir(exist_ok=True, mode=0o700)
    fresh, used = folder / "fresh", folder / "used"
    server = start("--data", str(used))
    with server.client() as client:
        sku = add_product(client)
    assert server.stop() == 0
    if os.geteuid() == 0:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    else:
        os.chmod(used, 0o500)
        os.chmod(used / "server.lock", 0o400)
        os.chmod(folder, 0o500)
    for where in (fresh, used):
        code, line = refused("--data", str(where))
        assert code == EX_IOERR
        assert str(where) in line and ("Read-only" in line or "Permission denied" in line)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    else:
        os.chmod(folder, 0o700)
        os.chmod(used, 0o700)
        os.chmod(used / "server.lock", 0o600)
    server = start("--data", str(used))
    with server.client() as client:
        client.get(f"/products/{sku}").is_(200)
    assert server.stop() == 0  # before the file system goes


def test_a_directory_of_a_newer_version_is_left_alone(start, tmp_path):
    where = ("--data", str(tmp_path / "data"))
    assert start(*where).stop() == 0
    data = tmp_path / "data" / "data.mdb"
    key, one, two = b"store:schema", b"\0\0\0\1", b"\0\0\0\2"
    content = data.read_bytes()
    assert key + one in content
    data.write_bytes(content.replace(key + one, key + two))
    before = hashlib.sha256(data.read_bytes()).digest()
    code, line = refused(*where)
    assert code == EX_CONFIG
    assert "newer version" in line and "schema 2, here 1" in line
    assert hashlib.sha256(data.read_bytes()).digest() == before


def test_nobody_else_may_look_into_the_directory(start, tmp_path):
    before = os.umask(0)
    try:
        server = start("--data", str(tmp_path / "data"))
    finally:
        os.umask(before)
    with server.client() as client:
        place(client)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for file in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_directory_that_others_may_enter_is_said(start, tmp_path):
    where = tmp_path / "data"
    where.mkdir(mode=0o755)
    os.chmod(where, 0o755)
    assert "store_warning" in start("--data", str(where)).log()


# ---- no room

class Load:
    """Places orders and fills carts until it is ended, and remembers what was acknowledged."""

    def __init__(self, server, sku, threads=6):
        self.server, self.sku = server, sku
        self.orders, self.carts = [], []
        self.refusals = collections.Counter()
        self.is_over = False
        self.failure = None
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        try:
            with self.server.client() as client:
                while not self.is_over:
                    time.sleep(0.005)  # a disk of a few MiB would be full in no time
                    if number % 3 == 0:
                        self._note(self.carts, "cartId",
                                   client.post("/carts", {"customerId": unique("c")}))
                    else:
                        self._note(self.orders, "orderId",
                                   client.post("/orders", order_body(self.sku, 1)))
        except Exception as e:  # told by end()
            self.failure = e

    def _note(self, acknowledged, name, answer):
        if answer.status == 201:
            acknowledged.append(answer.json[name])
            return
        assert answer.status == 503, answer.body
        assert int(answer.headers["Retry-After"]) >= 1
        self.refusals[answer.json["code"]] += 1
        time.sleep(0.02)

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        if self.failure:
            raise self.failure


def assert_nothing_lost(client, load, sku, stock):
    """Every acknowledged order comes to its end, and the stock says the same."""
    for number, id in enumerate(load.orders):
        # One by one only where it matters; the lists tell the rest.
        if number % 50 == 0 or number >= len(load.orders) - 20:
            wait_for(client, id, "SHIPPED")
    eventually(lambda: set(load.orders) <= {o["orderId"] for o in
                                            client.all("/orders?status=SHIPPED&limit=500")}, 30)
    for id in load.carts[::20] + load.carts[-20:]:
        client.get(f"/carts/{id}").is_(200)
    assert client.all("/dead-letters") == []
    on_hand, reserved, _ = stock_of(client, sku)
    assert (on_hand, reserved) == (stock, len(client.all("/orders?limit=500")))
    positions = [e["position"] for e in client.all("/events?limit=500")]
    assert positions == list(range(1, len(positions) + 1))


def reasons(client):
    answer = client.get("/readyz")
    return answer.status, answer.json["reasons"]


def test_a_full_map_refuses_orders_first_and_goes_on_with_a_larger_one(start, tmp_path):
    where = ("--data", str(tmp_path / "data"))
    server = start(*FAST, *where, "--set=store_bytes_max=3MiB", "--set=log.audit=false")
    with server.client() as client:
        sku = add_product(client, stock=1000000)
        assert reasons(client) == (200, [])
        load = Load(server, sku)
        seen = []

        def is_full():
            now = reasons(client)
            if now not in seen:
                seen.append(now)
            # Carts may use the rest, so it comes to its very end.
            return load.refusals["disk_full"] > 50 and (503, ["store_full"]) in seen
        eventually(is_full, 60)
        load.end()
        assert seen[0] == (200, []) and (200, ["store_nearly_full"]) in seen, seen
        refusal = client.post("/orders", order_body(sku, 1)).problem(503, "disk_full")
        assert refusal["detail"]
        assert set(load.refusals) == {"disk_full"}
        # Reads go on, and nothing is a dead letter.
        order(client, load.orders[-1])
        client.get("/orders?limit=500").is_(200)
        client.get("/events?limit=500").is_(200)
        assert client.all("/dead-letters") == []
    assert server.stop() == 0
    assert (tmp_path / "data" / "data.mdb").stat().st_size <= 3 * MIB

    server = start(*FAST, *where, "--set=store_bytes_max=64MiB")
    with server.client() as client:
        assert reasons(client) == (200, [])
        load.orders.append(place(client, sku)["orderId"])
        load.orders.sort()
        assert_stock_later(client, load, sku)


def assert_stock_later(client, load, sku):
    for id in load.orders[-20:]:
        wait_for(client, id, "SHIPPED")
    eventually(lambda: {o["orderId"] for o in client.all("/orders?status=SHIPPED&limit=500")}
               == set(load.orders), 30)
    assert client.all("/dead-letters") == []
    assert stock_of(client, sku)[:2] == (1000000, len(load.orders) + 1)  # the last took two
    for id in load.carts[::20] + load.carts[-20:]:
        client.get(f"/carts/{id}").is_(200)


def fill(folder, leave=0):
    """Takes all room but so many bytes."""
    with open(folder / "filler", "ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1 << 9, 1):
            try:
                while True:
                    room = os.statvfs(folder)
                    if room.f_bavail * room.f_frsize <= leave + size:
                        break
                    filler.write(b"x" * size)
            except OSError:
                pass


def live_through_a_full_disk(start, folder):
    server = start(*FAST, "--data", str(folder / "data"), "--set=log.audit=false")
    with server.client() as client:
        sku = add_product(client, stock=1000000)
        assert reasons(client) == (200, [])
        room = os.statvfs(folder)
        fill(folder, room.f_blocks * room.f_frsize // 20)
        eventually(lambda: reasons(client) == (200, ["store_nearly_full"]))
        place(client, sku, 1)
        fill(folder, room.f_blocks * room.f_frsize // 60)
        eventually(lambda: reasons(client) == (503, ["store_full"]))
        client.post("/orders", order_body(sku, 1)).problem(503, "disk_full")
        (folder / "filler").unlink()
        eventually(lambda: reasons(client) == (200, []))

        load = Load(server, sku)
        eventually(lambda: len(load.orders) > 30)
        began = time.monotonic()
        while time.monotonic() - began < FULL_SECONDS:
            fill(folder)
            time.sleep(0.05)
        assert reasons(client) == (503, ["store_full"])
        assert load.refusals["disk_full"] > 0 and set(load.refusals) == {"disk_full"}
        order(client, load.orders[-1])
        client.get("/orders?limit=500").is_(200)
        client.post("/orders", order_body(sku, 1)).problem(503, "disk_full")
        assert client.all("/dead-letters") == []

        before = len(load.orders)
        (folder / "filler").unlink()
        freed = time.monotonic()
        eventually(lambda: len(load.orders) > before)
        went_on = time.monotonic() - freed
        assert went_on < (5 if FULL_SECONDS >= 60 else 20), f"it took {went_on} s to go on"
        eventually(lambda: reasons(client) == (200, []))
        load.end()
        assert_nothing_lost(client, load, sku, 1000000)
        events = client.all("/events?limit=500")
        # The lines are for people, and come within a second.
        eventually(lambda: "event=store_has_room" in server.log().split("event=store_full")[-1])
    assert server.stop() == 0
    assert "event=store_full" in server.log()

    server = start(*FAST, "--data", str(folder / "data"))
    with server.client() as client:
        assert client.all("/events?limit=500")[:len(events)] == events
        wait_for(client, place(client, sku)["orderId"], "SHIPPED")
    assert server.stop() == 0


def test_a_full_disk_refuses_and_goes_on_by_itself(start, mount, tmp_path):
    folder = mount(tmp_path / "disk", "size=48m")
    live_through_a_full_disk(start, folder)


def test_a_full_ext4_refuses_and_goes_on_by_itself(start, mount, tmp_path):
    image = tmp_path / "image"
    if not shutil.which("mkfs.ext4"):
        pytest.skip("there is no mkfs.ext4")
    with open(image, "wb") as f:
        f.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    live_through_a_full_disk(start, mount(tmp_path / "disk", None, source=image))


def test_a_server_does_not_start_where_there_is_no_room(mount, tmp_path):
    folder = mount(tmp_path / "disk", "size=1m")
    fill(folder)
    code, line = refused("--data", str(folder / "data"))
    assert code == EX_IOERR
    assert "No space left" in line


def test_a_rebuild_needs_room_for_both(start, mount, tmp_path):
    folder = mount(tmp_path / "disk", "size=64m")
    server = start(*FAST, "--data", str(folder / "data"))
    with server.client() as client:
        wait_for(client, place(client)["orderId"], "SHIPPED")
    server.stop()

    def rebuild(room):
        (folder / "filler").unlink(missing_ok=True)
        fill(folder, room)
        return subprocess.run([BINARY, "rebuild", "--data", str(folder / "data")], timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=clean_environment())

    done = rebuild(MIB)
    assert done.returncode == EX_IOERR
    needed = int(re.search(r"no room to make it anew beside itself: (\d+) MiB are needed", done.stderr)[1])
    before = (folder / "data" / "data.mdb").read_bytes()
    assert rebuild((needed - 1) * MIB - 65536).returncode == EX_IOERR
    assert (folder / "data" / "data.mdb").read_bytes() == before
    assert rebuild(needed * MIB).returncode == 0
