"""What a power cut leaves: undoes what the shim's journal says no sync has made durable.

Of the 512-byte sectors that were written since the last sync of their file any may have reached the
disk and any may not; the same goes for a file's length. Names change in order, so of the changes
to the directory since its last sync the first some hold. All of it is drawn from one generator.
"""
import os
import struct

SECTOR = 512
WRITE, SYNC, DURABLE, TRUNCATE, CREATE, UNLINK, RENAME, DIR_SYNC = range(1, 9)
_RECORD = struct.Struct("=IIQQQQ")


def _records(path):
    data = path.read_bytes() if path.exists() else b""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, name_len, inode, offset, length, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        name = data[at:at + name_len].decode()
        at += name_len
        before = data[at:at + length] if kind == WRITE else b""
        at += len(before)
        yield kind, name, inode, offset, length, size, before


class _Pending:
    """Of one file: what stood in each sector at its last sync, and how long it was."""

    def __init__(self, size):
        self.sectors, self.size = {}, size


def _read(journal):
    pending, names = {}, []
    for kind, name, inode, offset, length, size, before in _records(journal):
        if kind in (WRITE, TRUNCATE):
            of = pending.setdefault(inode, _Pending(size))
            for at in range(0, len(before), SECTOR):
                of.sectors.setdefault(offset + at, before[at:at + SECTOR])
        elif kind == SYNC:
            pending.pop(inode, None)
        elif kind == DURABLE and inode in pending:
            of = pending[inode]
            for at in range(offset // SECTOR * SECTOR, offset + length, SECTOR):
                of.sectors.pop(at, None)
            of.size = max(of.size, offset + length)
        elif kind == DIR_SYNC:
            names.clear()
        elif kind in (CREATE, UNLINK, RENAME):
            names.append((kind, name, inode))
    return pending, names


def _undo_names(folder, kept, names, chance):
    """Returns how many were undone."""
    hold = chance.randint(0, len(names))
    for kind, name, inode in reversed(names[hold:]):
        if kind == CREATE:
            (folder / name).unlink(missing_ok=True)
        elif kind == UNLINK:
            os.link(kept / str(inode), folder / name)
        else:
            old, new = name.split("\0")
            os.rename(folder / new, folder / old)
            if inode:
                os.link(kept / str(inode), folder / new)
    return len(names) - hold


def _undo_sectors(path, of, chance):
    """Returns how many sectors went back."""
    # Now and then all of them or none, which chance alone would never bring.
    survives = chance.choice((0.0, 0.02, 0.5, 0.98, 1.0))
    undone = 0
    with open(path, "r+b", buffering=0) as f:
        for at, before in sorted(of.sectors.items()):
            if chance.random() >= survives:
                os.pwrite(f.fileno(), before, at)
                undone += 1
        size = os.fstat(f.fileno()).st_size
        if size != of.size and chance.random() < 0.5:
            os.ftruncate(f.fileno(), of.size)
        elif size < of.size:
            os.ftruncate(f.fileno(), of.size)
    return undone


def cut(shim, chance):
    """To be called when the process is gone. Returns (sectors undone, names undone)."""
    pending, names = _read(shim.journal)
    folder = shim.data
    if not folder.exists():
        return 0, 0
    # Contents first: a file whose name goes is found by it.
    places = {os.stat(p).st_ino: p for p in list(shim.kept.iterdir()) + list(folder.iterdir())}
    sectors = sum(_undo_sectors(places[inode], of, chance)
                  for inode, of in sorted(pending.items()) if inode in places)
    undone = _undo_names(folder, shim.kept, names, chance)
    shim.reset()
    return sectors, undone
