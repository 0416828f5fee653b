"""The fixtures of serving.py for this folder's tests, and what they import from here."""
import signal

from serving import (BINARY, FAST, ROOT, Server, clean_environment, client,  # noqa: F401
                     pytest_runtest_makereport, server, start, start_once)

# Where the tests run in the background of a shell SIGINT is ignored, and so it would be in what they
# start; a handler of ours is not handed on.
signal.signal(signal.SIGINT, signal.default_int_handler)
