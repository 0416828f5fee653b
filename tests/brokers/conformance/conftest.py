"""The server with a relay, and a broker behind a door that stays while the broker comes and goes."""
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
for folder in (TESTS / "blackbox", TESTS / "brokers", pathlib.Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.register_assert_rewrite("client", "shop", "serving", "tried")

from serving import pytest_runtest_makereport, start  # noqa: E402,F401
import tried  # noqa: E402


@pytest.fixture(params=sorted(tried.BROKERS))
def broker(request, tmp_path):
    """A broker of each kind that is installed, started."""
    b = tried.BROKERS[request.param](tmp_path)
    yield b
    b.close()
