"""A disk that fails one write or one fsync under load, or says that it is full: told by the kernel
(strace), so by whatever function the bytes are written, or by a library below the program."""
import os
import re

import pytest

import shim
from client import eventually
from tools import SECONDS, Strace
from trade import DELAYS

EX_IOERR = 74
WRITES, SYNCS = "write,pwrite64,writev,pwritev,pwritev2", "fsync,fdatasync"
# Several pages in a row: none is the one that says that a commit counts. That one is written over
# itself and finds room on any disk; where it does not, the server can't go on.
RUNS = "writev,pwritev,pwritev2"
NTH = 40  # under load already, and soon
BEFORE, AFTER = 50, 100  # orders


def fail(server, by, calls, error, keeps_on=False):
    """The NTH of these calls on the data file, or all of them from it on. Returns how that is ended."""
    if by == "strace":
        tracing = Strace(server, calls, f"error={error}:when={NTH}{'+' if keeps_on else ''}",
                         may_end=keeps_on)
        return tracing.end
    assert os.path.exists(server.shim.library), "the shim was not built"
    server.has_shim = "rules"
    server.shim.rule(0, shim.SYNC if calls == SYNCS else shim.WRITE, NTH,
                     shim.FAIL_ON if keeps_on else shim.FAIL,
                     {"EIO": shim.EIO, "ENOSPC": shim.ENOSPC}[error])
    return server.shim.clear


def a_first_life(server, trade):
    """So that there is something to lose; the fault falls into the second."""
    server.start()
    shop = trade(server).begin()
    shop.await_orders(BEFORE)
    shop.end()
    server.stop()
    return shop


@pytest.mark.parametrize("by", ["strace", "shim"])
@pytest.mark.parametrize("calls", [WRITES, SYNCS], ids=["write", "fsync"])
def test_a_disk_that_fails_ends_the_server_and_loses_nothing(make, trade, calls, by):
    server = make(*DELAYS)
    shop = a_first_life(server, trade)
    fail(server, by, calls, "EIO")
    server.start()
    shop.begin()
    assert shop.await_end() == EX_IOERR, server.log()
    assert re.search(r"level=error event=store_failed why=.*Input/output error", server.last_line())
    assert (server.data / "needs-check").exists()

    server.before, server.has_shim = [], None
    server.start()
    assert "was copied and verified" in server.log()
    shop.ask_again()
    shop.begin()
    shop.await_orders(AFTER)
    shop.end()
    shop.close_the_books()


@pytest.mark.parametrize("by", ["strace", "shim"])
def test_a_disk_that_is_full_is_said_and_waited_for(make, trade, by):
    server = make(*DELAYS)
    shop = a_first_life(server, trade)
    end = fail(server, by, RUNS, "ENOSPC", keeps_on=True)
    server.start()
    shop.begin()
    with server.client() as client:
        eventually(lambda: client.post("/carts", {"customerId": "c"}).problem(503, "disk_full"), SECONDS)
        eventually(lambda: "store_full" in client.get("/readyz").is_(503).json["reasons"], SECONDS)
        client.get("/products/P-1").is_(200)  # reads go on
    end()
    shop.await_orders(AFTER)
    shop.end()
    with server.client() as client:
        eventually(lambda: client.get("/readyz").is_(200), SECONDS)
    shop.close_the_books()
