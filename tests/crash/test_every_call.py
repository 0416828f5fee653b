"""Every write and every fsync of a short story fails in turn, or is torn, or is the last thing done,
also before a power cut.

What was acknowledged is there when the server starts again, and everything goes on to its end. The
short run takes some of the calls, another part each time; ORDERLY_CRASH=full takes every one, and
tears at several borders.
"""
import concurrent.futures
import os
import random
import signal

import pytest

import powercut
import shim
from server import QUICK, DidNotStart, Server, verify
from story import Gone, Story

IS_FULL = os.environ.get("ORDERLY_CRASH") == "full"
EX_IOERR = 74
AT_ONCE = 8
STRIDE = 1 if IS_FULL else 8
NTH_MAX = 400  # far more than there are; a story that never ends is a fault


POWER = 100  # a kill after the call; and what was not synced is as chance wants it


class Outcome:
    code = None  # of an exit, None: the server went on
    fired = 0    # the kind of call
    was_serving = False


def tell_once(server, story, calls, nth, action, error, sectors):
    """A first life, with the fault. Ends with the process."""
    outcome = Outcome()
    server.shim.reset()
    server.shim.rule(0, calls, nth, shim.KILL_AFTER if action == POWER else action, error, sectors)
    try:
        server.start()
        outcome.was_serving = True
        with server.client() as client:
            story.tell(client)
        outcome.code = server.end() or None
    except DidNotStart as e:
        outcome.code = e.code
    except Gone:
        outcome.code = server.ended()
    outcome.fired = server.shim.fired()
    return outcome


def tell_again(server, story):
    """A second life, on a disk that is well."""
    server.shim.reset()
    server.has_shim = None
    server.start()
    with server.client() as client:
        story.tell(client)
        story.check(client)
    server.stop()
    verify(server.data)


def check_outcome(server, outcome, action, error):
    """What the first life had to end like."""
    if action in (shim.KILL_BEFORE, shim.KILL_AFTER, shim.TEAR_KILL, POWER):
        assert outcome.code == -signal.SIGKILL
    elif error == shim.ENOSPC and outcome.fired == shim.WRITE and outcome.was_serving:
        assert outcome.code is None, f"exit code {outcome.code}: {server.log()}"
    elif outcome.code is not None:
        # Some files are not the store's own, and it goes on without them.
        assert outcome.code == EX_IOERR, f"exit code {outcome.code}: {server.log()}"
        last = server.last_line()
        assert last.startswith("orderly: ") or "event=store_failed" in last, server.log()


FAULTS = {
    "a write fails": (shim.WRITE | shim.META, shim.FAIL, shim.EIO, (0,)),
    "a write finds the disk full": (shim.WRITE | shim.META, shim.FAIL, shim.ENOSPC, (0,)),
    "a write is torn and fails": (shim.WRITE | shim.META, shim.TEAR_FAIL, shim.EIO, (1, 5)),
    "a write is cut short": (shim.WRITE | shim.META, shim.SHORT, 0, (3,)),
    "a write is torn by a kill": (shim.WRITE | shim.META, shim.TEAR_KILL, 0, (1, 4, 9)),
    "a kill after a write": (shim.WRITE | shim.META, shim.KILL_AFTER, 0, (0,)),
    "the power goes after a write": (shim.WRITE | shim.META, POWER, 0, (0,)),
    "the power goes after an fsync": (shim.SYNC, POWER, 0, (0,)),
    "an fsync fails": (shim.SYNC, shim.FAIL, shim.EIO, (0,)),
    "an fsync finds the disk full": (shim.SYNC, shim.FAIL, shim.ENOSPC, (0,)),
    "a kill before an fsync": (shim.SYNC, shim.KILL_BEFORE, 0, (0,)),
    "a kill after an fsync": (shim.SYNC, shim.KILL_AFTER, 0, (0,)),
}


def meet_nth(folder, fault, nth, sectors):
    """One story with the fault at the nth call. False: there are not so many."""
    calls, action, error, _ = FAULTS[fault]
    seed = nth + int(os.environ.get("ORDERLY_TEST_SEED") or random.randrange(10 ** 9))
    server = Server(folder / f"{sectors}-{nth}", *QUICK,
                    shim="journal" if action == POWER else "rules")
    story = Story(f"S{nth}")
    try:
        outcome = tell_once(server, story, calls, nth, action, error, sectors)
        if not outcome.fired:
            return False
        check_outcome(server, outcome, action, error)
        if action == POWER:
            powercut.cut(server.shim, random.Random(seed))
        tell_again(server, story)
        return True
    except AssertionError as e:
        raise AssertionError(
            f"{fault}, call {nth}, {sectors} sectors left, seed {seed}: {e}") from e
    finally:
        server.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_at_every_call(tmp_path, fault):
    borders = FAULTS[fault][3]
    stride = 1 if fault.endswith("power goes after an fsync") else STRIDE
    for sectors in borders if IS_FULL else borders[:1]:
        n = 0
        begin = random.randint(1, stride)
        # Side by side, as a disk that was full is looked at again after a second only.
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(begin, NTH_MAX, AT_ONCE * stride):
                met = list(pool.map(lambda nth: meet_nth(tmp_path, fault, nth, sectors),
                                    range(first, first + AT_ONCE * stride, stride)))
                n += sum(met)
                if not any(met):
                    break
        assert n * stride >= 8, f"only {n} calls met the fault"
        assert first < NTH_MAX - AT_ONCE * stride, "the story does not end"
        print(f"{fault}: at {n} calls, from the {begin}. in steps of {stride}")
