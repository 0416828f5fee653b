"""What the machine lends: strace, libfaketime, limits. A test that lacks one is skipped and says so."""
import functools
import glob
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest

from client import eventually
from server import BINARY

SECONDS = 60


# ---- strace

@functools.lru_cache(maxsize=None)
def _why_no_strace():
    with tempfile.TemporaryDirectory() as folder:
        command = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", f"{folder}/trace",
                   "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "-P", folder, "--", "true"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as e:
            return f"strace can't be run: {e}"
        return "" if done.returncode == 0 else f"strace traces nothing: {done.stderr.strip()}"


class Strace:
    """Lets system calls on one file of the server's directory fail, in the kernel: no matter by which
    function of which library. Its Server's process is the server itself, not strace."""

    def __init__(self, server, calls, what, file="data.mdb", may_end=False):
        """calls: comma-separated. what: as behind 'inject=CALLS:', e.g. error=EIO:when=7; the count is
        each thread's own. may_end: so that end() works, at the price of a stop at every call."""
        why = _why_no_strace()
        if why:
            pytest.skip(why)
        self.server = server
        self.log = server.folder / "strace"
        # The file's whole path without links, as strace compares it.
        data = server.data.parent.resolve() / server.data.name / file
        # The kernel's filter would stay behind. With -o strace takes no signal unless told.
        how = ["-I", "2"] if may_end else ["--seccomp-bpf"]
        server.before = ["strace", "-D", "-f", "-qq", *how, "-o", str(self.log),
                         "-e", f"trace={calls}", "-e", f"inject={calls}:{what}",
                         "-P", str(data), "--"]

    def count(self, word):
        """Calls that were INJECTED, or DELAYED."""
        return self.log.read_text(errors="replace").count(f"({word})") if self.log.exists() else 0

    def end(self):
        """Of the tracing: the server goes on without."""
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status")
        tracer = int(re.search(r"^TracerPid:\s+(\d+)$", status.read_text(), re.MULTILINE)[1])
        assert tracer > 0
        os.kill(tracer, signal.SIGTERM)
        eventually(lambda: "TracerPid:\t0\n" in status.read_text(), SECONDS)
        self.server.before = []


# ---- a library below the program

def preload_slow_sync(server, milliseconds):
    """Every fsync, and every write that syncs, takes so much longer."""
    library = pathlib.Path(BINARY).resolve().parent / "bench_slow_fsync.so"
    if not library.exists():
        pytest.skip(f"{library} was not built")
    server.env = {"LD_PRELOAD": str(library), "ORDERLY_BENCH_SYNC_US": str(milliseconds * 1000)}


class Clock:
    """The wall clock of a server; what runs by the monotonic one is left alone."""

    def __init__(self, server):
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + \
            glob.glob("/usr/lib*/faketime/libfaketime.so.1")
        if not found:
            pytest.skip("there is no libfaketime")
        self.file = server.folder / "clock"
        server.folder.mkdir(parents=True, exist_ok=True)
        self.set(0)
        server.env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(self.file),
                      "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                      "NO_FAKE_STAT": "1"}

    def set(self, seconds):
        """From the true time; in one step, also while the server runs."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)
