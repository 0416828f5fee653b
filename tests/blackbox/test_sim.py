"""`orderly sim`: what the command says, and how it ends. What it judges is judged in tests/unit/sim."""
import pathlib
import re
import subprocess

import pytest

from client import eventually
from conftest import BINARY, clean_environment

SECONDS = 300


def sim(*args):
    return subprocess.run([BINARY, "sim", *args], capture_output=True, text=True, check=False,
                          timeout=SECONDS, env=clean_environment())


def numbers(report):
    """Name -> first number of each line."""
    found = {}
    for line in report.splitlines():
        words = line.split()
        if len(words) >= 2 and re.fullmatch(r"\d+,?", words[1]):
            found[words[0]] = int(words[1].rstrip(","))
    return found


def faults_of_help():
    text = sim("--help").stdout.split("Kinds of faults\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in text.splitlines()]


def test_help_names_every_option_fault_and_invariant():
    answer = sim("--help")
    assert answer.returncode == 0
    assert answer.stderr == ""
    for word in ("--seed", "--seeds", "--orders", "--hours", "--faults", "--jobs", "--trace",
                 "crash", "torn", "before_24h", "ACKNOWLEDGED", "SETTLED", "Exit codes"):
        assert word in answer.stdout
    of_help = subprocess.run([BINARY, "help", "sim"], capture_output=True, text=True, check=True,
                             timeout=SECONDS, env=clean_environment())
    assert of_help.stdout == answer.stdout


@pytest.mark.parametrize("args, complaint", [
    (["--seed"], "'--seed' needs a value"),
    (["--seed", "x"], "--seed must be a number"),
    (["--seed=-1"], "--seed must be a number"),
    (["--seeds", "0"], "--seeds must be a number from 1"),
    (["--seeds", "1000000001"], "--seeds must be a number"),
    (["--orders", "0"], "--orders must be a number from 1"),
    (["--orders", "100001"], "--orders must be a number from 1 to 100000"),
    (["--hours", "0"], "--hours must be a number from 1"),
    (["--hours", "1001"], "--hours must be a number from 1 to 1000"),
    (["--jobs", "0"], "--jobs must be a number from 1"),
    (["--jobs", "257"], "--jobs must be a number from 1 to 256"),
    (["--faults", "crash,lightning"], "there is no fault 'lightning'"),
    (["--faults", ""], "there is no fault ''"),
    (["--speed", "9"], "there is no option '--speed'"),
    (["seven"], "'seven' is no option"),
])
def test_a_wrong_command_line_is_64_and_says_what_is_wrong(args, complaint):
    answer = sim(*args)
    assert answer.returncode == 64
    assert answer.stdout == ""
    assert complaint in answer.stderr


def test_a_report_says_what_was_done():
    answer = sim("--seed", "5", "--seeds", "3", "--orders", "10", "--jobs", "2")
    assert answer.returncode == 0, answer.stdout
    said = numbers(answer.stdout)
    assert said["seeds"] == 3
    assert said["orders"] == 3 * (10 + 2)  # two more, when the faults are over
    assert 0 < said["events"] and 0 < said["deliveries"] and 0 < said["judged"]
    assert answer.stdout.endswith("every invariant held\n")


def test_a_seed_has_the_same_trace_in_every_process():
    lines = [sorted(line for line in sim("--seed", "20", "--seeds", "6", "--orders", "30",
                                         "--trace", "--jobs", jobs).stdout.splitlines()
                    if line.startswith("seed "))
             for jobs in ("1", "3")]
    assert len(lines[0]) == 6
    assert len({line.split()[-1] for line in lines[0]}) == 6
    assert lines[0] == lines[1]


def test_every_kind_of_fault_happens_in_200_seeds():
    answer = sim("--seed", "1000", "--seeds", "200", "--orders", "20", "--jobs", "2")
    assert answer.returncode == 0, answer.stdout
    said = numbers(answer.stdout)
    kinds = faults_of_help()
    assert len(kinds) > 20
    assert [kind for kind in kinds if said[kind] == 0] == []
    assert said["crashes"] > 0


def running():
    """Process id -> its parent's, of all that are no zombies."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            state, parent = (entry / "stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()[:2]
        except (OSError, IndexError, ValueError):
            continue
        if state != "Z":
            found[entry.name] = parent
    return found


def test_jobs_end_with_the_one_who_started_them():
    def both():
        pids = [pid for pid, parent in running().items() if parent == str(starter.pid)]
        return pids if len(pids) == 2 else False

    with subprocess.Popen([BINARY, "sim", "--seeds", "1000000", "--jobs", "2"],
                          stdout=subprocess.DEVNULL, env=clean_environment()) as starter:
        try:
            jobs = eventually(both)
        finally:
            starter.kill()
    eventually(lambda: not set(jobs) & set(running()))


def test_one_seed_tells_its_story():
    answer = sim("--seed", "3", "--orders", "3", "--faults", "none", "--trace")
    assert answer.returncode == 0, answer.stdout
    for words in ("sends", "POST /orders", "OrderPlaced", "is durable", "handed over", "reads 201"):
        assert words in answer.stdout
    assert numbers(answer.stdout)["crash"] == 0
