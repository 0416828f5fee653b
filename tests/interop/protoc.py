"""protoc as others have it, and its text form as Python's values."""
import pathlib
import re
import shutil
import subprocess

import pytest

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
FILES = ("io/cloudevents/v1/cloudevents.proto", "orderly/v1/messages.proto")
ENVELOPE = "io.cloudevents.v1.CloudEvent"


def need():
    if not shutil.which("protoc"):
        pytest.skip("protoc is not installed")


def run(what, message, data):
    done = subprocess.run(["protoc", "-I", PROTO, f"--{what}={message}", *FILES], input=data,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- the text form

TOKEN = re.compile(rb'\s*(?:([A-Za-z_][A-Za-z0-9_]*)|("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.e+-]*)|([{}:]))')
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b'"': b'"', b"'": b"'", b"\\": b"\\"}


def unescaped(quoted):
    def one(m):
        return bytes([int(m[1], 8)]) if m[1] else ESCAPES[m[2]]
    return re.sub(rb"\\(?:([0-7]{1,3})|(.))", one, quoted[1:-1])


class Numeral(str):
    """A number, or a word of the language, as it is written."""


def parsed(text):
    """{name: [value, …]}; a value is such a dict, bytes, or a Numeral."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        m = TOKEN.match(text, at)
        assert m, text[at:at + 80]
        tokens.append(m)
        at = m.end()
    tokens.reverse()

    def fields():
        found = {}
        while tokens and tokens[-1][4] != b"}":
            name = tokens.pop()[1].decode()
            if tokens[-1][4] == b":":
                tokens.pop()
            token = tokens.pop()
            if token[4] == b"{":
                value = fields()
                assert tokens.pop()[4] == b"}"
            elif token[2]:
                value = unescaped(token[2])
            else:
                value = Numeral((token[1] or token[3]).decode())
            found.setdefault(name, []).append(value)
        return found
    whole = fields()
    assert not tokens, tokens
    return whole


def decoded(message, data):
    """What protoc reads in these bytes. A field that the schema does not have has a number for a name,
    which is no text form that is understood here."""
    return parsed(run("decode", message, data))


def encoded(message, text):
    return run("encode", message, text.encode())
