"""A rebuild that is cut short, at any of its writes and syncs and also by a power cut, leaves a whole
store: the old one or the new one. ORDERLY_CRASH=full takes every call."""
import os
import pathlib
import random
import shutil
import subprocess

import pytest

import powercut
import shim
from server import BINARY, QUICK, Server, verify
from shim import Shim, find_library
from shop import add_product, checkout, place, wait_for

IS_FULL = os.environ.get("ORDERLY_CRASH") == "full"
CALLS_TRIED = 1000 if IS_FULL else 24


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A directory with a history."""
    server = Server(tmp_path_factory.mktemp("store"), *QUICK)
    try:
        server.start()
        with server.client() as client:
            sku = add_product(client, stock=100)
            for _ in range(20):
                wait_for(client, place(client, sku, 1)["orderId"], "SHIPPED")
                wait_for(client, checkout(client, sku, 1)["orderId"], "STOCK_RESERVED")
        server.stop()
    finally:
        server.close()
    verify(server.data)
    return server.data


class Rebuild:
    """Of a copy, on a disk of its own."""

    def __init__(self, folder, store):
        self.data = pathlib.Path(folder) / "data"
        shutil.copytree(store, self.data)
        self.shim = Shim(find_library(BINARY), pathlib.Path(folder) / "shim", self.data)

    def run(self, journal=False, with_shim=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORDERLY_")}
        if with_shim:
            env.update(self.shim.env(journal))
        return subprocess.run([BINARY, "rebuild", "--data", str(self.data)], capture_output=True,
                              text=True, env=env, timeout=120, check=False)

    def is_whole(self):
        """Whichever it is; and another rebuild goes through."""
        verify(self.data)
        done = self.run(with_shim=False)
        assert done.returncode == 0, done.stderr
        assert "nothing was wrong" in done.stdout
        verify(self.data)

    def close(self):
        self.shim.close()


def some_calls(total, chance):
    every = list(range(1, total + 1))
    if len(every) <= CALLS_TRIED:
        return every
    # The last ones are those that count.
    return sorted(set(every[-6:] + chance.sample(every, CALLS_TRIED - 6)))


def counts(tmp_path, store):
    r = Rebuild(tmp_path / "count", store)
    try:
        done = r.run()
        assert done.returncode == 0, done.stderr
        return r.shim.counts()
    finally:
        r.close()


@pytest.mark.parametrize("kind", ["writes", "syncs"])
@pytest.mark.parametrize("how", ["killed before", "killed after", "fails", "full", "power cut"])
def test_whatever_cuts_it_short_leaves_a_whole_store(tmp_path, store, kind, how):
    first_seed = int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(1 << 32))
    print("ORDERLY_TEST_SEED =", first_seed)
    chance = random.Random(first_seed)
    writes, syncs, _ = counts(tmp_path, store)
    calls, total = (shim.WRITE, writes) if kind == "writes" else (shim.SYNC, syncs)
    assert total >= 2
    action = {"killed before": shim.KILL_BEFORE, "killed after": shim.KILL_AFTER,
              "fails": shim.FAIL, "full": shim.FAIL, "power cut": shim.KILL_AFTER}[how]
    ends = {}
    for nth in some_calls(total, chance):
        seed = chance.randrange(1 << 32)
        r = Rebuild(tmp_path / f"{nth}", store)
        try:
            error = shim.ENOSPC if how == "full" else shim.EIO
            r.shim.rule(0, calls, nth, action, error)
            done = r.run(journal=how == "power cut")
            ends[done.returncode] = ends.get(done.returncode, 0) + 1
            assert done.returncode != 65, (nth, done.stderr)
            if how == "power cut":
                powercut.cut(r.shim, random.Random(seed))
            r.is_whole()
        except AssertionError as e:
            raise AssertionError(f"call {nth} of {total}, seed {seed}: {e}") from e
        finally:
            r.close()
        shutil.rmtree(tmp_path / f"{nth}")
    assert any(code != 0 for code in ends), ends
