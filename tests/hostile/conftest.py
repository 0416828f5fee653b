"""Where the tests find what they share: the server, the clients and the shop of tests/blackbox."""
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for number, folder in enumerate((HERE, HERE.parent / "blackbox")):
    sys.path.insert(number, str(folder))

# What these say when they fail is worth reading, too.
pytest.register_assert_rewrite("attack", "beside", "serving", "shop", "client")

from beside import Bystander  # noqa: E402
from serving import (client, pytest_runtest_makereport, server, start,  # noqa: E402,F401
                     start_once)


@pytest.fixture
def beside(server):  # noqa: F811
    """A well-behaved client that works while the test attacks, and is always answered rightly."""
    with Bystander(server) as client:
        yield client
