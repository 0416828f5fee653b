"""The history that the benches measure on is one that a server could have left."""

import os
import subprocess
from pathlib import Path

BUILD = Path(os.environ.get("ORDERLY_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))
HISTORY = BUILD / "bench_history"
ORDERLY = os.environ.get("ORDERLY_BIN", BUILD / "orderly")


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)


def test_a_made_history_is_what_its_events_say(tmp_path):
    made = run(HISTORY, tmp_path / "store", "--events", "7000")
    assert made.returncode == 0, made.stderr
    checked = run(ORDERLY, "verify", "--data", tmp_path / "store")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "7001 events" in checked.stdout  # and the product
    assert "1000 orders" in checked.stdout


def test_a_history_is_not_made_over_another(tmp_path):
    again = run(HISTORY, tmp_path, "--events", "7")
    assert again.returncode == 2
    assert "is there already" in again.stderr
