"""Talks to broker_driver, which runs one broker's adapter; see the page at the head of its source.

ORDERLY_BROKER_BUILD names another build folder than build/asan: the driver and the adapters are
there. Nothing here waits for a length of time: every wait is for something, with a deadline.
"""
import json
import os
import pathlib
import select
import subprocess
import time
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ORDERLY_BROKER_BUILD", ROOT / "build" / "asan")).resolve()
PATIENCE_SECONDS = 120
LSAN_OPTIONS = f"suppressions={pathlib.Path(__file__).resolve().parent / 'leaks.txt'}:print_suppressions=0"


def adapter(name):
    """The adapter's path. Where its library was not here at the build the test is skipped, aloud."""
    path = BUILD / f"orderly-{name}.so"
    if not (BUILD / "broker_driver").exists():
        pytest.fail(f"{BUILD}/broker_driver was not built")
    if not path.exists():
        pytest.skip(f"{path.name} was not built: its library is not here")
    return path


def without_random_addresses():
    """The sanitizers of older compilers cannot start where the kernel spreads addresses widely."""
    try:
        works = subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0
    except OSError:
        works = False
    return ["setarch", "-R"] if works else []


def word(value):
    if isinstance(value, str):
        value = value.encode()
    elif isinstance(value, int):
        value = str(int(value)).encode()
    return urllib.parse.quote_from_bytes(value, safe="/:*")


def text(value):
    """What the driver says has a character for each byte; a body stays bytes."""
    return value.encode("latin-1").decode(errors="surrogateescape")


def told(line):
    answer = json.loads(line)
    for name, value in answer.items():
        if name == "body":
            answer[name] = value.encode("latin-1")
        elif isinstance(value, str):
            answer[name] = text(value)
        elif isinstance(value, dict):
            answer[name] = {text(k): text(v) for k, v in value.items()}
    return answer


class Driver:
    """One adapter with its configuration. events: what the host was told, in order."""

    def __init__(self, broker, folder, /, listens=(), **config):
        self.log_path = folder / f"{broker}-{time.monotonic_ns()}.log"
        self.log_file = open(self.log_path, "wb")
        self.events = []
        self.rest = b""
        self.code = None
        self.process = subprocess.Popen(
            [*without_random_addresses(), BUILD / "broker_driver", adapter(broker)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log_file,
            env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "LSAN_OPTIONS": LSAN_OPTIONS})
        for key, value in config.items():
            self.do("set", key, value)
        for pattern in listens:
            self.do("listen", pattern)

    def _line(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                what = "is gone" if ready else f"says nothing for {PATIENCE_SECONDS} s"
                raise AssertionError(f"the driver {what}; its log:\n{self.log()}")
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        return told(line)

    def say(self, *words):
        """Begins a command; its result comes by result()."""
        self.process.stdin.write(b" ".join(word(w).encode() for w in words) + b"\n")
        self.process.stdin.flush()

    def result(self):
        while True:
            answer = self._line()
            if "result" in answer:
                return answer
            assert answer["event"] != "broken", f"the contract is broken: {answer['what']}"
            self.events.append(answer)

    def do(self, *words):
        self.say(*words)
        return self.result()

    def create(self):
        return self.do("create")

    def connect(self, ms=30000):
        return self.do("connect", ms)

    def publish(self, tag, topic="order.placed", key="o-1", id=None, correlation="o-1", body=b"{}",
                attributes=None, type=None):
        for name, value in (attributes or {}).items():
            self.do("attribute", name, value)
        if type:
            self.do("type", type)
        return self.do("publish", tag, topic, key, id or f"m-{tag}", correlation, body)

    def of(self, *names):
        """The events of these names, in order."""
        return [e for e in self.events if e["event"] in names]

    def serve_until(self, done, seconds=PATIENCE_SECONDS, wait_ms=200):
        """Serves until done() is true; the last result. A lost connection ends it, too."""
        deadline = time.monotonic() + seconds
        answer = {"code": "ok"}
        while not done() and answer["code"] == "ok":
            assert time.monotonic() < deadline, f"not in {seconds} s; told: {self.events[-5:]}"
            answer = self.do("serve", wait_ms)
        return answer

    def serve_until_lost(self, seconds=PATIENCE_SECONDS):
        """The reason."""
        answer = self.serve_until(lambda: False, seconds)
        assert answer["code"] == "lost"
        return answer["why"]

    def serve_until_ended(self, *tags, seconds=PATIENCE_SECONDS):
        """Until each of these messages was acked, refused or is to be sent again; their events."""
        def ends():
            return {e["tag"]: e for e in self.of("acked", "refused", "again")}
        answer = self.serve_until(lambda: set(tags) <= set(ends()), seconds)
        assert answer["code"] == "ok", answer
        return {tag: ends()[tag] for tag in tags}

    def receive(self, count, seconds=PATIENCE_SECONDS):
        """Serves until as many have been received in all; the list of them."""
        answer = self.serve_until(lambda: len(self.of("received")) >= count, seconds)
        assert answer["code"] == "ok", answer
        return self.of("received")

    def ack(self, delivery):
        return self.do("ack", delivery["handle"])

    def log(self):
        return self.log_path.read_text(errors="replace")

    def close(self):
        """Ends it and wants that it ended well: no contract broken, nothing of a sanitizer's."""
        if self.code is None and self.process.poll() is None:
            try:
                self.say("quit")
                assert self.result()["code"] == "ok"
            except (BrokenPipeError, AssertionError):
                self.kill()
                raise
        self._end()
        assert self.code == 0, f"exit code {self.code}; its log:\n{self.log()}"

    def kill(self):
        self.process.kill()
        self._end()

    def _end(self):
        self.process.stdin.close()
        self.code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process.stdout.close()
        self.log_file.close()
