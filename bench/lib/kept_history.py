"""A store with a history, made once by bench_history, checked by verify, and kept for the next time."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

EVENTS = 10_000_000
BYTES_PER_EVENT = 700  # on disk, more than it takes


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=EVENTS, help="of the history")
    parser.add_argument("--fresh", action="store_true", help="make the history again")


def directory(args):
    """The history of so many events; it stays as it was made, so servers get copies of it."""
    path = harness.data_folder(args) / f"history-{args.events}"
    if args.fresh:
        shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        _make(args, path)
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"history   {path}, {args.events:,} events, {size / 2**30:.1f} GiB")
    return path


def _make(args, path):
    need = args.events * BYTES_PER_EVENT * 2  # itself and a copy
    if shutil.disk_usage(path.parent).free < need:
        sys.exit(f"{path.parent} needs {need / 2**30:.0f} GiB free.")
    print(f"making a history of {args.events:,} events; it is kept")
    began = time.monotonic()
    half_made = Path(tempfile.mkdtemp(prefix="making-", dir=path.parent))
    try:
        done = subprocess.run([str(harness.program_path(args.build, "bench_history")),
                               str(half_made / "store"), "--events", str(args.events)])
        if done.returncode != 0:
            raise harness.WrongResult(f"bench_history ended with status {done.returncode}")
        print("checking it")
        done = subprocess.run([str(harness.program_path(args.build, "orderly")), "verify",
                               "--data", str(half_made / "store")], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise harness.WrongResult(f"the history is not what its events say:\n{done.stdout}")
        (half_made / "store").rename(path)
    finally:
        shutil.rmtree(half_made, ignore_errors=True)
    print(f"made in {time.monotonic() - began:.0f} s")


@contextlib.contextmanager
def copy(args):
    """A copy that servers may go on with; removed in the end."""
    source = directory(args)
    with harness.data_directory(args) as path:
        subprocess.run(["cp", "-r", "--reflink=auto", "--sparse=always", str(source), str(path)],
                       check=True)
        yield path
