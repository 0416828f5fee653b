"""The fixtures of serving.py for this folder's tests, and what they import from here."""
from serving import (BINARY, FAST, ROOT, Server, clean_environment, client,  # noqa: F401
                     pytest_runtest_makereport, server, start, start_once)
