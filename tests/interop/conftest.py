"""What others wrote reads what we say, and writes what we read."""
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
for folder in (TESTS / "blackbox", TESTS / "brokers", pathlib.Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.register_assert_rewrite("client", "shop", "serving", "tour", "kafka")

from serving import BINARY, pytest_runtest_makereport, start, start_once  # noqa: E402,F401


@pytest.fixture(scope="session")
def need_adapter():
    """need_adapter(name): where the server has none for this broker the test is skipped, aloud."""
    def need(name):
        path = pathlib.Path(BINARY).resolve().parent / f"orderly-{name}.so"
        if not path.exists():
            pytest.skip(f"{path.name} was not built: its library is not here")
    return need
