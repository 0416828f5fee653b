"""The disk that fails when it is told to: how a test sets its rules and reads its counts.

The layout is that of struct control in shim.c.
"""
import errno
import mmap
import os
import pathlib
import struct

WRITE, SYNC, META = 1, 2, 4  # META: a write that syncs, as LMDB writes its meta page
ANY = WRITE | SYNC | META

FAIL, TEAR_FAIL, TEAR_KILL, SHORT, KILL_BEFORE, KILL_AFTER, DROP, FAIL_ON, PAUSE = range(1, 10)
EIO, ENOSPC = errno.EIO, errno.ENOSPC

RULES = 4
_RULE = struct.Struct("=8Q")
_HEAD = struct.Struct("=3Qq")


class Shim:
    """Makes the control file below a folder; env() is what the program needs to meet the shim."""

    def __init__(self, library, folder, data):
        self.library, self.folder = str(library), pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        data = pathlib.Path(data)
        self.data = data.parent.resolve() / data.name
        self.path = self.folder / "control"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        self.journal = self.folder / "journal"
        self.kept = self.folder / "kept"
        self.kept.mkdir(exist_ok=True)

    def env(self, journal):
        """journal: for a power cut (powercut.py)."""
        env = {"LD_PRELOAD": self.library, "CRASH_SHIM_DIR": str(self.data),
               "CRASH_SHIM_CONTROL": str(self.path)}
        if journal:
            env.update(CRASH_SHIM_JOURNAL=str(self.journal), CRASH_SHIM_KEPT=str(self.kept))
        return env

    def rule(self, index, calls, nth, action, error=EIO, sectors=1):
        """The nth of these calls from now on. The kinds of call are written last: they arm it."""
        at = _HEAD.size + index * _RULE.size
        struct.pack_into("=Q", self.map, at, 0)
        struct.pack_into("=7Q", self.map, at + 8, nth, action, error, sectors, 0, 0, 0)
        struct.pack_into("=Q", self.map, at, calls)

    def clear(self):
        for index in range(RULES):
            struct.pack_into("=Q", self.map, _HEAD.size + index * _RULE.size, 0)

    def counts(self):
        """(writes, syncs, metas) so far."""
        return _HEAD.unpack_from(self.map, 0)[:3]

    def move_clock(self, seconds):
        """From the true time; also while the program runs."""
        struct.pack_into("=q", self.map, 24, round(seconds * 1000))

    def fired(self, index=0):
        """Which kind of call met the rule, 0: none yet."""
        rule = _RULE.unpack_from(self.map, _HEAD.size + index * _RULE.size)
        return rule[6] if rule[5] else 0

    def reset(self):
        """For the next process: no rules, no counts, and what the last one left is on the disk."""
        self.map[:] = bytes(4096)
        self.journal.unlink(missing_ok=True)
        for kept in self.kept.iterdir():
            kept.unlink()

    def close(self):
        self.map.close()


def find_library(binary):
    """Beside the program."""
    return pathlib.Path(os.path.abspath(binary)).parent / "liborderly_shim.so"
