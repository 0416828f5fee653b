"""Fixtures of the tests of brokers' adapters."""
import pathlib
import socket
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE.parent / "blackbox", HERE):
    sys.path.insert(0, str(folder))

pytest.register_assert_rewrite("driver", "proxy", "client", "shop", "serving")

from driver import Driver  # noqa: E402
from proxy import Proxy  # noqa: E402


@pytest.fixture
def drive(tmp_path):
    """drive(name, listens=…, **config) gives a Driver; all end with the test, and must end well."""
    drivers = []

    def make(*args, **kwargs):
        drivers.append(Driver(args[0], tmp_path, *args[1:], **kwargs))
        return drivers[-1]
    yield make
    # Each, though one of them says that something is wrong.
    wrong = []
    for driver in drivers:
        if driver.code is None:
            try:
                driver.close()
            except AssertionError as e:
                wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def refusing():
    """A port that is taken, where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


@pytest.fixture
def proxy():
    """proxy(port) gives a Proxy before the port of 127.0.0.1."""
    proxies = []

    def make(port):
        proxies.append(Proxy(port))
        return proxies[-1]
    yield make
    for p in proxies:
        p.close()
