"""The server with a road to others, and brokers that are started once and stay while they come and go."""
import itertools
import pathlib
import re
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
for folder in (TESTS / "blackbox", TESTS / "brokers", pathlib.Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.register_assert_rewrite("client", "shop", "serving", "tried", "judge")

from serving import FAST, pytest_runtest_makereport, start, start_once  # noqa: E402,F401
from tried import PROMISES, Channel, gather  # noqa: E402

BROKERS = gather()
_numbers = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "promise(name, …): made with the brokers that promise these")


def pytest_generate_tests(metafunc):
    # All of them each time, so that pytest finds one broker's tests by the same number and keeps what
    # they share until it comes to the next one.
    if "broker" in metafunc.fixturenames:
        metafunc.parametrize("broker", sorted(BROKERS), indirect=True, scope="module")


def pytest_collection_modifyitems(config, items):
    """Leaves out what a broker does not promise."""
    def is_promised(item):
        asked = {name for m in item.iter_markers("promise") for name in m.args}
        assert asked <= set(PROMISES), asked
        return not asked or asked <= BROKERS[item.callspec.params["broker"]].promises
    kept = [item for item in items if is_promised(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """started(name): the broker, which skips where it is not installed. Each is started once."""
    brokers = {}

    def get(name):
        if name not in brokers:
            brokers[name] = BROKERS[name](tmp_path_factory.mktemp(name))
        return brokers[name]
    yield get
    for broker in brokers.values():
        broker.close()


@pytest.fixture(scope="module")
def broker(request, started):
    return started(request.param)


def channel_of(broker, name):
    """A new one: c1-every-message-arrives."""
    words = re.sub(r"[^a-z0-9]+", "-", name.replace("test_", "").lower())
    return Channel(broker, f"c{next(_numbers)}-{words[:40].strip('-')}")


@pytest.fixture
def channel(broker, request):
    """The test's own."""
    yield channel_of(broker, request.node.originalname)
    broker.restore()


@pytest.fixture
def serve(start, channel):
    """serve(*args) starts the server on the channel; the same directory for all."""
    servers = []

    def begin(*args, **kwargs):
        data = ("--data", str(servers[0].folder / "data")) if servers else ()
        servers.append(start(*channel.options(), *FAST, *data, *args, **kwargs))
        channel.joined(servers[-1])
        return servers[-1]
    return begin
