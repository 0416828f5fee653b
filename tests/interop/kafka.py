"""A topic of Kafka as kcat has it."""
import json
import shutil
import subprocess

import pytest

SECONDS = 120


def need():
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed")


def kcat(address, *words, body=None):
    return subprocess.run(["kcat", "-b", address, *words], input=body, check=True,
                          capture_output=True, timeout=SECONDS).stdout


def read(address, topic="orders"):
    """All messages up to the end: dicts of partition, offset, key, payload, headers."""
    lines = kcat(address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J").splitlines()
    messages = [json.loads(line) for line in lines]
    for m in messages:
        names = m["headers"][::2]
        assert len(set(names)) == len(names), names
        m["headers"] = dict(zip(names, m["headers"][1::2]))
    return messages


def write(address, key, headers, body, topic="orders"):
    words = [w for name, value in headers.items() for w in ("-H", f"{name}={value}")]
    kcat(address, "-P", "-t", topic, "-k", key, "-c", "1", "-D", "\\0", *words, body=body)
