"""A limit of memory that clients exhaust: the server says so and ends, and nothing is lost."""
import re
import shutil
import signal
import subprocess

import pytest

from client import Raw
from server import BINARY
from tools import SECONDS
from trade import DELAYS

MIB = 1 << 20
LIMIT = 128 * MIB  # of private, writable memory, stacks of threads included
CLIENTS = 400      # of a body of a MiB each: three times that
EX_IOERR = 74


def limited(limit):
    """A command that starts another one with so much private memory."""
    if not shutil.which("prlimit"):
        pytest.skip("there is no prlimit")
    return ["prlimit", f"--data={limit}", "--"]


def test_a_server_without_memory_says_so_and_loses_nothing(make, trade):
    server = make(*DELAYS)
    server.before = limited(LIMIT)
    server.start()
    shop = trade(server).begin()
    shop.await_orders(100)
    exhaust(server)
    code = shop.await_end()
    assert code in (-signal.SIGABRT, EX_IOERR), f"{code}: {server.log()}"
    assert re.search("out of memory|Cannot allocate memory", server.last_line()), server.log()

    server.before = []
    server.start()
    shop.ask_again()
    shop.begin()
    shop.await_orders(100)
    shop.end()
    shop.close_the_books()


def exhaust(server):
    """Whole bodies but for the last byte, which the server has to keep."""
    head = (f"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {MIB}\r\n\r\n").encode()
    clients = []
    try:
        for _ in range(CLIENTS):
            clients.append(Raw(server, SECONDS))
            clients[-1].send(head + b" " * (MIB - 1))
    except OSError:
        pass  # it is gone
    finally:
        for client in clients:
            client.socket.close()


def test_a_server_that_has_no_memory_to_start_with_says_so(tmp_path):
    done = subprocess.run([*limited(MIB // 2), BINARY, "serve", "--listen", "127.0.0.1:0",
                           "--data", str(tmp_path / "data")], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.strip(), done.returncode
