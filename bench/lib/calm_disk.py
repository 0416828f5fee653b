"""Waits until the measured disk is done with what the last run has left it: files that were deleted,
pages that a broker did not sync. Else each run pays for the one before."""

import os
import random
import tempfile
import time

BLOCK = 65536
BLOCKS = 64
SYNCS = 200
IN_A_ROW = 5
FACTOR = 1.5  # of the shortest that was seen, and the disk is calm
SECONDS_MAX = 60

_shortest = float("inf")


def _sync_seconds(file, block):
    begin = time.monotonic()
    for _ in range(SYNCS):
        os.pwrite(file, block, random.randrange(BLOCKS) * BLOCK)
        os.fdatasync(file)
    return (time.monotonic() - begin) / SYNCS


def wait(folder):
    """Until small writes are synced about as fast as they ever were, a minute at most, which it says."""
    global _shortest
    os.sync()
    block = os.urandom(BLOCK)
    deadline = time.monotonic() + SECONDS_MAX
    with tempfile.TemporaryFile(dir=folder) as f:
        f.write(block * BLOCKS)
        f.flush()
        os.fsync(f.fileno())
        calm = 0
        while calm < IN_A_ROW:
            seconds = _sync_seconds(f.fileno(), block)
            _shortest = min(_shortest, seconds)
            calm = calm + 1 if seconds <= FACTOR * _shortest else 0
            if time.monotonic() > deadline:
                print(f"  (the disk is not calm: {seconds * 1000:.2f} ms for a sync,"
                      f" {_shortest * 1000:.2f} ms at best)", flush=True)
                return
