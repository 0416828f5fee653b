"""A data directory that somebody copies while the server writes into it, with cp or more slowly.

Such a copy may be of no moment at all. `orderly verify` has to tell: either it is whole, and a server
on it serves what was acknowledged before the copy began; or it is refused as damaged. What
`orderly backup` makes meanwhile is always whole.
"""
import shutil
import subprocess

import pytest

from server import BINARY, Server
from tools import SECONDS
from trade import DELAYS

COPIES = 3     # of each kind
BETWEEN = 100  # orders from one copy to the next
PIECE = 1 << 16
EX_DATAERR = 65


def run(*args):
    return subprocess.run([BINARY, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=SECONDS * 2, check=False)


def assert_serves(folder, data, orders):
    """A server on it has these orders, and does new ones."""
    copy = Server(folder, *DELAYS)
    copy.data = data
    try:
        copy.start()
        with copy.client() as client:
            found = {o["orderId"] for o in client.all("/orders?limit=500")}
            assert orders <= found, f"{len(orders - found)} of {len(orders)} are not there"
            for id in sorted(orders)[:: max(1, len(orders) // 50)]:
                client.get(f"/orders/{id}").is_(200)
        copy.stop()
    finally:
        copy.close()
    done = run("verify", "--data", data)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_at_once(shop, data, copy):
    subprocess.run(["cp", "-r", str(data), str(copy)], check=True)


def copy_slowly(shop, data, copy):
    """As over a network: orders are committed between one piece and the next."""
    copy.mkdir(mode=0o700)
    for file in data.iterdir():
        with open(file, "rb") as from_, open(copy / file.name, "wb") as to:
            size = file.stat().st_size  # it may grow faster than it is read
            for at in range(0, size, PIECE):
                to.write(from_.read(min(PIECE, size - at)))
                if at < 16 * PIECE:
                    shop.await_orders(1)


@pytest.mark.parametrize("make_copy", [copy_at_once, copy_slowly])
def test_a_live_copy_is_whole_or_refused_and_a_backup_is_always_whole(make, trade, tmp_path,
                                                                             make_copy):
    server = make(*DELAYS)
    server.start()
    shop = trade(server).begin()
    whole = 0
    for n in range(COPIES):
        shop.await_orders(BETWEEN)
        acknowledged = set(shop.book.orders)
        copy, backup = tmp_path / f"copy-{n}", tmp_path / f"backup-{n}"
        make_copy(shop, server.data, copy)
        done = run("backup", backup, "--data", server.data)
        assert done.returncode == 0, done.stderr
        done = run("verify", "--data", copy)
        if done.returncode == 0:
            whole += 1
            assert_serves(tmp_path / f"on-copy-{n}", copy, acknowledged)
        else:
            assert done.returncode == EX_DATAERR, done.stdout + done.stderr
            assert (done.stdout + done.stderr).strip()
        assert run("verify", "--data", backup).returncode == 0
        assert_serves(tmp_path / f"on-backup-{n}", backup, acknowledged)
        shutil.rmtree(copy)
        shutil.rmtree(backup)
    print(f"{whole} of {COPIES} copies were whole")
    shop.end()
    shop.ask_again()
    shop.close_the_books()
