"""The built server on one data directory, through many lives: it is started, killed, started again."""
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from client import Client  # noqa: E402
from shim import Shim, find_library  # noqa: E402

BINARY = os.environ.get("ORDERLY_BIN", str(ROOT / "build" / "release" / "orderly"))
START_SECONDS = 60
QUICK = [f"--set=simulators.{name}.delayMs=0" for name in ("payments", "inventory", "shipments")]


class DidNotStart(Exception):
    def __init__(self, code, log):
        super().__init__(f"exit code {code}; its log ends: {log[-2000:]}")
        self.code, self.log = code, log


class Server:
    """listen: where; with port 0 each life has its own. shim: what lies below the program, None,
    "rules" or "journal" (with rules, too); a life may have another."""

    def __init__(self, folder, *args, listen="127.0.0.1:0", shim=None):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.args, self.listen = list(args), listen
        self.has_shim = shim
        self.shim = Shim(find_library(BINARY), self.folder / "shim", self.data)
        self.before, self.env = [], {}  # a command that starts the program, and more variables
        self.process = None
        self.starts = []  # seconds until it listened, of each life

    # ---- a life

    def spawn(self, *more):
        """Starts the process and does not wait for it."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORDERLY_")}
        if self.has_shim:
            env.update(self.shim.env(self.has_shim == "journal"))
        env.update(self.env)
        self.began = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.before, BINARY, "serve", "--data", str(self.data), "--listen", self.listen,
                 "--set=log.audit=false", *self.args, *more],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=env)
        return self

    def await_ready(self):
        text = b""
        while text.count(b"\n\n") < 2:
            left = self.began + START_SECONDS - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                if not ready:
                    self.process.kill()
                raise DidNotStart(self.ended(), self.log())
            text += piece
        self.starts.append(time.monotonic() - self.began)
        self.url = text.decode().splitlines()[0].split(" ")[-1]
        host, port = self.url.split("//")[1].rsplit(":", 1)
        self.host, self.port = host, int(port)
        return self

    def start(self, *more):
        """Until it listens, or DidNotStart."""
        return self.spawn(*more).await_ready()

    def ended(self, seconds=30):
        """Waits for the end; the exit code, negative for a signal."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        return self.ended()

    def end(self):
        """As an operator ends it; the exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
        return self.ended()

    def stop(self):
        code = self.end()
        assert code == 0, f"exit code {code}; its log ends: {self.log()[-2000:]}"

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def restart(self, *more, shim=None):
        """As after kill -9, by default on a disk that is well."""
        self.kill()
        self.shim.reset()
        self.has_shim = shim
        return self.start(*more)

    def close(self):
        if self.is_alive():
            self.kill()
        self.shim.close()

    # ---- looking

    def client(self, **kwargs):
        return Client(self.host, self.port, **kwargs)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def last_line(self):
        lines = self.log().strip().splitlines()
        return lines[-1] if lines else ""


def verify(data):
    """`orderly verify` on a directory; what it said. Asserts that all is well."""
    done = subprocess.run([BINARY, "verify", "--data", str(data)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"verify: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
