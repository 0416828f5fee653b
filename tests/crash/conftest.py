import pytest
"""Where the tests find what they share; ends every server that a test has left."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))

# What these say when they fail is worth reading, too.
pytest.register_assert_rewrite("server", "story", "shop", "client")
