#!/usr/bin/python3
"""The corpus of a target as one text, an input in each line, and back.

usage: pack.py unpack TEXT FOLDER      writes a file for each line
       pack.py pack FOLDER... TEXT     writes a line for each file

Bytes that are no visible ASCII, and the backslash, are written \\n, \\r, \\\\ or \\xNN, so that the
inputs can be read, changed by hand and compared. run_files.c reads the same text.
"""
import hashlib
import os
import re
import sys

SHORT = {b"\n": "\\n", b"\r": "\\r", b"\\": "\\\\"}
LONG = {short[1]: byte for byte, short in SHORT.items()}


def escape(content):
    return "".join(
        SHORT.get(bytes([b])) or (chr(b) if 0x20 <= b < 0x7f else f"\\x{b:02x}") for b in content)


def unescape(line):
    def one(found):
        what = found.group(1)
        return LONG[what].decode() if what in LONG else chr(int(what[1:], 16))

    return re.sub(r"\\(x[0-9a-f]{2}|.)", one, line).encode("latin-1")


def unpack(text, folder):
    os.makedirs(folder, exist_ok=True)
    with open(text, encoding="ascii") as file:
        for line in file:
            content = unescape(line.rstrip("\n"))
            name = hashlib.sha1(content).hexdigest()
            with open(os.path.join(folder, name), "wb") as out:
                out.write(content)


def pack(folders, text):
    contents = set()
    for folder in folders:
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                contents.add(file.read())
    with open(text, "w", encoding="ascii") as out:
        for content in sorted(contents, key=lambda c: (len(c), c)):
            out.write(escape(content) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "unpack":
        unpack(sys.argv[2], sys.argv[3])
    elif len(sys.argv) >= 4 and sys.argv[1] == "pack":
        pack(sys.argv[2:-1], sys.argv[-1])
    else:
        sys.exit(__doc__)
