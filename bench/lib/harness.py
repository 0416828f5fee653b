"""What the bench drivers share: the machine, the programs that they start, and the figures' form.

Every program is started by this module on a free port of the loop-back and ended by its process id.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from http.client import HTTPConnection
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
ORDER_FILE = BENCH / "lib" / "order.json"

# The settings that a measured server is started with; the only place that knows their names.
# Without delays the figures are the server's own. The event limit, which only the memory store has, is
# raised so that it is not what is measured.
SERVER_SETTINGS = {
    "simulators.payments.delayMs": 0,
    "simulators.inventory.delayMs": 0,
    "simulators.shipments.delayMs": 0,
    "memory_events_max": 40_000_000,
    "log.audit": "false",  # a line for each message: 7 an order
}
START_SECONDS = 30
STOP_SECONDS = 30


class WrongResult(Exception):
    """The server did something that is wrong, not merely slow."""


# ---- the machine


def first_line_of(command):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=ROOT)
        lines = (done.stdout + done.stderr).splitlines()
        return lines[0].strip() if lines else ""
    return ""


def _field_of(path, name):
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return "unknown"


def _file_system_of(path):
    return first_line_of(["stat", "--file-system", "--format=%T", str(path)]) or "unknown"


def print_machine(args, *programs):
    build = args.build
    memory_kib = int(_field_of("/proc/meminfo", "MemTotal").split()[0])
    cores = len(os.sched_getaffinity(0))
    print(f"machine   {_field_of('/proc/cpuinfo', 'model name')}, {cores} cores,"
          f" {memory_kib / 2**20:.1f} GiB, {platform.system()} {platform.release()}")
    print(f"load      {os.getloadavg()[0]:.2f} (one-minute average before the first run)")
    commit = first_line_of(["git", "describe", "--always", "--dirty"])
    versions = [f"commit {commit}"] if commit and " " not in commit else []
    for program in programs:
        versions.append(first_line_of([str(program), "--version"]) or Path(program).name)
    print(f"versions  {'; '.join(versions)}; build {build}")
    if is_durable(args):
        folder = data_folder(args)
        print(f"store     lmdb in {args.data}, {_file_system_of(folder)},"
              f" {shutil.disk_usage(folder).free / 2**30:.0f} GiB free")
    elif hasattr(args, "store"):
        print("store     memory")


# ---- where the data is


def is_durable(args):
    return getattr(args, "store", None) == "lmdb"


def data_folder(args):
    """Holds the directories of the measured stores. What does not reach a disk measures none."""
    folder = ROOT / args.data
    folder.mkdir(parents=True, exist_ok=True)
    if _file_system_of(folder) in ("tmpfs", "ramfs"):
        sys.exit(f"{folder} is in memory; name a folder on a disk with --data.")
    return folder


@contextlib.contextmanager
def data_directory(args):
    """A place for one store, which makes the directory itself; removed in the end."""
    parent = Path(tempfile.mkdtemp(prefix="run-", dir=data_folder(args)))
    try:
        yield parent / "store"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


# ---- programs


def program_path(build, name):
    path = ROOT / build / name
    if not path.exists():
        sys.exit(f"{path} is not there; './dev bench' builds it.")
    return path


class Program:
    """A server under measurement: started, its address read from its output, ended by process id."""

    def __init__(self, command, environment=None):
        self.command = [str(part) for part in command]
        self.environment = {**os.environ, **(environment or {})}
        self.spawned_at = self.listening_at = None
        self.folder = Path(tempfile.mkdtemp(prefix="orderly-bench-"))
        self.log_path = self.folder / "output"
        self.process = None
        self.url = None

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.spawned_at = time.monotonic()
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=self.environment)
        try:
            self._wait_for_address()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def _wait_for_address(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for line in self.output_head().splitlines():
                if "listening on http://" in line:
                    self.listening_at = time.monotonic()
                    self.url = "http://" + line.split("listening on http://")[1].split()[0].strip('"\',')
                    return
            if self.process.poll() is not None:
                raise WrongResult(f"{self.command[0]} ended by itself:\n{self.output_tail()}")
            time.sleep(0.002)
        raise WrongResult(f"{self.command[0]} does not say where it listens:\n{self.output_tail()}")

    def output_head(self, size=65536):
        with open(self.log_path, "rb") as log:
            return log.read(size).decode(errors="replace")

    def output_tail(self, size=4000):
        with open(self.log_path, "rb") as log:
            log.seek(max(0, os.path.getsize(self.log_path) - size))
            return log.read().decode(errors="replace")

    def end(self):
        """Returns the exit status; a program that does not end on SIGTERM is killed."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.process.returncode if self.process else None

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        """Of its own: without the pages of files, which the kernel may take back at any time."""
        return int(_field_of(f"/proc/{self.process.pid}/status", "RssAnon").split()[0]) / 1024

    def stored_bytes(self):
        """What its threads but the first handed to write calls, which is what the store wrote. The
        kernel's count of what went to the disk is no better: a page of the store in a larger one of the
        page cache counts as all of it."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return sum(int(_field_of(task / "io", "wchar")) for task in tasks.iterdir()
                   if task.name != str(self.process.pid))


API_IDLE_SECONDS = 20


class Api:
    """The HTTP API over one keep-alive connection, for the few requests of a driver itself."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.connection = HTTPConnection(parts.hostname, parts.port, timeout=60)
        self.asked_at = time.monotonic()
        self.largest = {}

    def request(self, method, path, body=None):
        """Returns (status, text)."""
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        # The server ends connections that were idle for a minute, and a long run asks nothing meanwhile.
        if time.monotonic() - self.asked_at > API_IDLE_SECONDS:
            self.connection.close()
        self.asked_at = time.monotonic()
        try:
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read().decode()
        except (ConnectionError, TimeoutError) as e:
            raise WrongResult(f"{method} {path}: {e!r}") from e
        # An exchange that failed half-way leaves the connection unusable; nobody goes on after it.

    def get(self, path):
        status, text = self.request("GET", path)
        if status != 200:
            raise WrongResult(f"GET {path} answered {status}: {text[:500]}")
        return json.loads(text)

    def metrics(self, anew=False):
        """One scrape. The server's _max gauges begin again with every scrape; here they are the largest
        since the last scrape that was asked to begin anew."""
        status, text = self.request("GET", "/metrics")
        if status != 200:
            raise WrongResult(f"GET /metrics answered {status}")
        metrics = Metrics(text)
        if anew:
            self.largest = {}
        else:
            metrics.raise_largest(self.largest)
        return metrics

    def close(self):
        self.connection.close()


def server_command(args, data, settings=None):
    command = [program_path(args.build, "orderly"), "serve", "--store", args.store, "--demo",
               "--listen", "127.0.0.1:0"]
    if is_durable(args):
        command += ["--data", data]
    for name, value in {**SERVER_SETTINGS, **(settings or {})}.items():
        command += ["--set", f"{name}={value}"]
    return command


def add_stock(api):
    """For a hundred million orders of one piece."""
    status, text = api.request("PATCH", "/products/WIDGET-001", {"stockDelta": 100_000_000})
    if status != 200:
        raise WrongResult(f"PATCH /products/WIDGET-001 answered {status}: {text[:500]}")


@contextlib.contextmanager
def server_on(args, data, settings=None, environment=None):
    """A server on this directory, as it is."""
    with Program(server_command(args, data, settings), environment) as server:
        server.api = Api(server.url)
        yield server
        server.api.close()
        code = server.end()
        if code != 0:
            raise WrongResult(f"the server ended with status {code} on SIGTERM")


@contextlib.contextmanager
def order_server(args, settings=None, environment=None):
    """A fresh server with the demo's products and stock for a hundred million orders."""
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(data_directory(args)) if is_durable(args) else None
        server = stack.enter_context(server_on(args, data, settings, environment))
        add_stock(server.api)
        yield server


def floor_server(build):
    return Program([program_path(build, "bench_floor")])


def run_load(build, url, **options):
    """Runs bench_loadgen with POST /orders; count=5 becomes --count 5, drop_unsent=True a flag."""
    command = load_command(build, url, options)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return load_result(done.returncode, done.stdout)


def load_command(build, url, options):
    command = [str(program_path(build, "bench_loadgen")), "--header", "Content-Type: application/json",
               "--body-file", str(ORDER_FILE)]
    for name, value in options.items():
        if value is None or value is False:
            continue
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    return command + [url + "/orders"]


def load_result(returncode, text):
    if returncode != 0:
        raise WrongResult(f"bench_loadgen ended with status {returncode}")
    return json.loads(text)


class LoadInBackground:
    """bench_loadgen beside what the driver does."""

    def __init__(self, build, url, **options):
        self.process = subprocess.Popen(load_command(build, url, options), stdout=subprocess.PIPE, text=True)

    def result(self):
        """Ends it, if it has not ended, with what it has so far."""
        self.process.send_signal(signal.SIGINT)
        text, _ = self.process.communicate()
        return load_result(self.process.returncode, text)


def lost_requests(load):
    """What got no answer though it was sent, by kind."""
    kinds = ("unanswered", "lost_closed", "lost_timeout")
    return {kind: load[kind] for kind in kinds if load[kind]}


# ---- metrics


class Metrics:
    """One scrape of Prometheus text."""

    def __init__(self, text):
        self.samples = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            self.samples.setdefault(name, []).append((_parse_labels(labels), float(value)))

    def value(self, metric, **labels):
        """The sum of the series with these labels; 0 without any."""
        return sum(value for have, value in self.samples.get(metric, ())
                   if all(have.get(name) == want for name, want in labels.items()))

    def raise_largest(self, largest):
        """Brings the _max gauges and the largest seen so far to the larger of the two."""
        for name, series in self.samples.items():
            if not name.endswith("_max"):
                continue
            for i, (labels, value) in enumerate(series):
                key = (name, tuple(sorted(labels.items())))
                largest[key] = max(value, largest.get(key, value))
                series[i] = (labels, largest[key])

    def has(self, metric):
        return metric in self.samples

    def buckets(self, metric, **labels):
        """[(upper bound, cumulative count)], the last bound infinite."""
        if not self.has(metric + "_bucket"):
            raise WrongResult(f"/metrics has no histogram {metric}")
        sums = {}
        for have, value in self.samples[metric + "_bucket"]:
            if all(have.get(name) == want for name, want in labels.items()):
                bound = float(have["le"])  # '+Inf' is one of Python's spellings too
                sums[bound] = sums.get(bound, 0) + value
        return sorted(sums.items())


def _parse_labels(text):
    labels = {}
    text = text.rstrip("}")
    while text:
        name, _, rest = text.partition('="')
        value, at = [], 0
        while rest[at] != '"':
            if rest[at] == "\\":
                at += 1
                value.append("\n" if rest[at] == "n" else rest[at])
            else:
                value.append(rest[at])
            at += 1
        labels[name.strip(", ")] = "".join(value)
        text = rest[at + 1:].lstrip(", ")
    return labels


class BucketDifference:
    """What a histogram counted between two scrapes."""

    def __init__(self, before, after, metric, **labels):
        was = dict(before.buckets(metric, **labels)) if before.has(metric + "_bucket") else {}
        self.buckets = [(bound, count - was.get(bound, 0))
                        for bound, count in after.buckets(metric, **labels)]
        self.count = self.buckets[-1][1] if self.buckets else 0
        # The largest since `before` if that scrape began anew.
        self.max = after.value(metric + "_max", **labels) if after.has(metric + "_max") else None

    def quantile(self, q):
        """Seconds, linear within the bucket; beyond the last bound the largest value, if known."""
        rank = q * self.count
        lower, seen = 0.0, 0.0
        for bound, count in self.buckets:
            if count >= rank and count > seen:
                if bound == float("inf"):
                    return self.max if self.max is not None else lower
                value = lower + (bound - lower) * (rank - seen) / (count - seen)
                return value if self.max is None else min(value, self.max)
            lower, seen = bound, count
        return 0.0


# ---- figures


def median(values):
    return statistics.median(values)


def spread(values):
    """The median with the range, for a rate."""
    return f"{median(values):>10,.0f}   ({min(values):,.0f} to {max(values):,.0f})"


def ms(seconds):
    return f"{seconds * 1000:.3f}"


def print_table(head, rows):
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


class Verdicts:
    """Targets: printed always, part of the exit status only if the driver was asked to assert."""

    def __init__(self, asserted):
        self.asserted = asserted
        self.missed = 0

    def target(self, met, text):
        self.missed += not met
        print(f"  {'met   ' if met else 'MISSED'}  {text}")

    def exit_status(self):
        return 1 if self.asserted and self.missed else 0


def run_store_floor(args, orders, batch):
    """bench_store_floor on the same disk: as many orders, as many events in a commit."""
    with data_directory(args) as data:
        done = subprocess.run([str(program_path(args.build, "bench_store_floor")), "--data", str(data),
                               "--orders", str(orders), "--batch", str(batch)],
                              stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise WrongResult(f"bench_store_floor ended with status {done.returncode}")
    return json.loads(done.stdout)


def argument_parser(doc, rounds=5, connections=64, store=True):
    """store: the driver runs the order server, by default with the store on disk."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build/release", help="folder with the programs")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--connections", type=int, default=connections)
    parser.add_argument("--assert", dest="asserted", action="store_true",
                        help="exit 1 when a target is missed, not only when a result is wrong")
    if store:
        parser.add_argument("--store", choices=("lmdb", "memory"), default="lmdb")
        parser.add_argument("--data", default="build/bench-data",
                            help="folder on the disk to measure, in which stores are made and removed")
    return parser


def run_driver(main):
    """Runs main() so that SIGTERM ends what it started; exit 1 for a wrong result."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    try:
        sys.exit(main())
    except WrongResult as e:
        print(f"WRONG: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
