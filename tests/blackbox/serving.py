"""Starts the program that was built, on a free port, and ends it by its process id.

ORDERLY_BIN names another program than build/release/orderly. Each server's log is kept beside its
output until the next runs; the end of it is shown with a test that failed. Other folders of tests
take their fixtures from here, too.
"""
import os
import pathlib
import select
import signal
import subprocess
import time

import pytest

from client import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ORDERLY_BIN", str(ROOT / "build" / "release" / "orderly"))
START_SECONDS = 60
LOG_LINES_SHOWN = 30


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("ORDERLY_")}
    env.update(extra or {})
    return env


class Server:
    def __init__(self, folder, *args, env=None, listen="127.0.0.1:0", descriptors=None):
        """Its data are below the folder, unless the arguments say otherwise. descriptors: as many
        as it may have."""
        self.folder = folder
        if not any(a.split("=")[0] in ("--data", "--store") for a in args):
            args = ("--data", str(folder / "data"), *args)
        self.log_path = folder / "server.log"
        self.log_file = open(self.log_path, "wb")
        command = [BINARY, "serve", "--listen", listen, *args]
        if descriptors:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file,
            env=clean_environment(env))
        self.greeting = self._read_greeting()
        self.url = self.greeting.splitlines()[0].split(" ")[-1]
        self.host, self.port = self.url.split("//")[1].rsplit(":", 1)
        self.port = int(self.port)

    def _read_greeting(self):
        """Up to the empty line behind the lines to paste."""
        text = b""
        deadline = time.monotonic() + START_SECONDS
        while text.count(b"\n\n") < 2:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"the server did not start; its log:\n{self.log()}")
            text += piece
        return text.decode()

    def client(self, **kwargs):
        return Client(self.host, self.port, **kwargs)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self, seconds=20):
        return self.process.wait(timeout=seconds)

    def stop(self, number=signal.SIGTERM):
        """Returns the exit code. What does not end in time is killed, and that is a failure."""
        if self.process.poll() is None:
            self.send_signal(number)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()
            self.log_file.close()
        return code


class Starter:
    """Starts servers for one test or one file, and ends them all."""

    def __init__(self, factory):
        self.factory = factory
        self.servers = []

    def __call__(self, *args, **kwargs):
        server = Server(self.factory.mktemp("server"), *args, **kwargs)
        self.servers.append(server)
        return server

    def end(self):
        codes = [s.stop() for s in self.servers if s.process.returncode is None]
        # A sanitizer, or a check that failed, shows here.
        assert all(code == 0 for code in codes), f"exit codes {codes}"


@pytest.fixture
def start(tmp_path_factory):
    starter = Starter(tmp_path_factory)
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def start_once(tmp_path_factory):
    starter = Starter(tmp_path_factory)
    yield starter
    starter.end()


FAST = [f"--set=simulators.{name}.delayMs=0" for name in ("payments", "inventory", "shipments")]


@pytest.fixture(scope="module")
def server(start_once):
    """One for the tests of a file, without delays."""
    return start_once(*FAST)


@pytest.fixture
def client(server):
    with server.client() as c:
        yield c


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    servers = [item.funcargs.get("server")]
    for starter in (item.funcargs.get("start"), item.funcargs.get("start_once")):
        servers += starter.servers if starter else []
    for server in filter(None, dict.fromkeys(servers)):
        tail = "\n".join(server.log().splitlines()[-LOG_LINES_SHOWN:])
        report.sections.append((f"log of {server.url}: {server.log_path}", tail))
