"""Where the rows and pages of a store lie in its file, for tests that damage them: LMDB's file format
number 1, read without LMDB."""
import struct
from collections import namedtuple

Row = namedtuple("Row", "key key_at value value_at")  # *_at: offset in the file
Page = namedtuple("Page", "at kind database")         # kind: meta, branch, leaf, overflow
PAGE = 4096
NO_PAGE = 2**64 - 1
BRANCH, LEAF, BIG = 1, 2, 1


class Mdb:
    def __init__(self, path):
        self.data = path.read_bytes()
        self.pages = [Page(0, "meta", None), Page(PAGE, "meta", None)]
        self.rows = {}
        newest = max((0, 1), key=lambda n: struct.unpack_from("<Q", self.data,
                                                               n * PAGE + 16 + 128)[0])
        self.newest_meta = newest * PAGE
        self.free_root, = struct.unpack_from("<Q", self.data, self.newest_meta + 16 + 24 + 40)
        self.names_root, = struct.unpack_from("<Q", self.data, self.newest_meta + 16 + 24 + 48 + 40)
        self.roots = {self.free_root, self.names_root}
        for row in self._walk(self.names_root, "names"):
            root, = struct.unpack_from("<Q", row.value, 40)
            self.roots.add(root)
            self.rows[row.key.decode()] = list(self._walk(root, row.key.decode()))

    def free_pages(self, root):
        """What the list of free pages says that begins at this page."""
        kept = self.pages
        self.pages = []  # they are not those of the store
        try:
            return {page for row in self._walk(root, "free pages")
                    for page in struct.unpack_from(f"<{struct.unpack_from('<Q', row.value)[0]}Q",
                                                   row.value, 8)}
        finally:
            self.pages = kept

    def _walk(self, number, database):
        if number == NO_PAGE:
            return
        at = number * PAGE
        flags, lower = struct.unpack_from("<HH", self.data, at + 10)
        self.pages.append(Page(at, "branch" if flags & BRANCH else "leaf", database))
        for i in range((lower - 16) // 2):
            node = at + struct.unpack_from("<H", self.data, at + 16 + 2 * i)[0]
            low, high, node_flags, key_len = struct.unpack_from("<HHHH", self.data, node)
            if flags & BRANCH:
                yield from self._walk(low | high << 16 | node_flags << 32, database)
                continue
            value_at, n = node + 8 + key_len, low | high << 16
            if node_flags & BIG:
                big, = struct.unpack_from("<Q", self.data, value_at)
                self.pages.append(Page(big * PAGE, "overflow", database))
                value_at = big * PAGE + 16
            yield Row(self.data[node + 8:node + 8 + key_len], node + 8,
                      self.data[value_at:value_at + n], value_at)
