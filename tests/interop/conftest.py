"""What others wrote reads what we say, and writes what we read."""
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
for folder in (TESTS / "blackbox", TESTS / "brokers", pathlib.Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.register_assert_rewrite("client", "shop", "serving", "tour", "kafka")

from serving import pytest_runtest_makereport, start, start_once  # noqa: E402,F401
