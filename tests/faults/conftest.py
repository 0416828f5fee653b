"""Where the tests find what they share: the load, the books and the server of tests/crash."""
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for number, folder in enumerate((HERE, HERE.parent / "crash", HERE.parent / "blackbox")):
    sys.path.insert(number, str(folder))

# What these say when they fail is worth reading, too.
pytest.register_assert_rewrite("server", "shop", "client", "trade")

from trade import SEED, Trade  # noqa: E402
from server import Server  # noqa: E402

LOG_LINES_SHOWN = 30


def pytest_report_header():
    return f"seed {SEED} (ORDERLY_TEST_SEED)"


@pytest.fixture
def make(tmp_path):
    """make(*args) gives a Server below the test's folder, not started; all are ended."""
    servers = []

    def make_server(*args, name="s", **kwargs):
        server = Server(tmp_path / name, *args, **kwargs)
        servers.append(server)
        return server
    make_server.servers = servers
    yield make_server
    for server in servers:
        server.close()


@pytest.fixture
def trade():
    """trade(server) opens a shop on it and begins to ask; ended with the test."""
    trades = []

    def begin(server, **kwargs):
        trades.append(Trade(server, **kwargs))
        return trades[-1]
    yield begin
    for t in trades:
        t.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and "make" in item.funcargs:
        for server in item.funcargs["make"].servers:
            tail = "\n".join(server.log().splitlines()[-LOG_LINES_SHOWN:])
            report.sections.append((f"log: {server.log_path}", tail))
