"""`orderly flow`: the flows hold in every interleaving, and the page shows them as they are."""
import re
import subprocess

import pytest

from conftest import BINARY, ROOT, clean_environment

# A walk takes seconds; a machine that does ten other things may take many times as long.
SECONDS = 600
FLOWS = ["pay_first", "stock_first"]
COUNTS = re.compile(r"^  contexts .* +(\d+) states, +(\d+) transitions, +(\d+) ends, depth +\d+, "
                    r"\d+\.\d\d s$", re.M)


def run(*args, code=0, **kwargs):
    done = subprocess.run([BINARY, "flow", *args], capture_output=True, timeout=SECONDS, text=True,
                          env=clean_environment(), stdin=subprocess.DEVNULL, **kwargs)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done


def test_both_flows_hold_in_every_interleaving(tmp_path):
    done = run("check", cwd=tmp_path)
    assert done.stderr == ""
    first, second = done.stdout.split("\n\n")
    for out, name in ((first, "pay_first"), (second, "stock_first")):
        assert out.startswith(f"{name}, version 1\n")
        counts = COUNTS.findall(out)
        assert len(counts) == 2, out
        for states, transitions, ends in counts:
            assert 10_000 < int(states) < int(transitions)
            assert int(ends) > 100
        assert out.count("\n  bounds: one order, ") == 1
        assert len(re.findall(r"^  ok      \w", out, re.M)) == 10, out
        assert "not ok" not in out
    assert not list(tmp_path.iterdir()), "it needs no directory, and makes none"


def test_one_flow_is_checked_alone(tmp_path):
    out = run("check", "--flow=pay_first", cwd=tmp_path).stdout
    assert out.startswith("pay_first, version 1\n")
    assert "stock_first" not in out
    again = run("check", "--flow", "pay_first", cwd=tmp_path).stdout
    assert re.sub(r"\d+\.\d\d s", "", again) == re.sub(r"\d+\.\d\d s", "", out)


@pytest.mark.parametrize("format", ["mermaid", "dot"])
def test_each_flow_is_drawn_as_the_golden_one(format, tmp_path):
    golden = [(ROOT / "tests" / "golden" / f"flow_{name}.{format}").read_text() for name in FLOWS]
    for name, drawing in zip(FLOWS, golden):
        assert run("draw", "--flow", name, "--format", format, cwd=tmp_path).stdout == drawing
    assert run("draw", "--format", format, cwd=tmp_path).stdout == "\n".join(golden)


def test_the_page_shows_what_the_command_draws():
    page = (ROOT / "docs" / "flows.md").read_text()
    drawings = re.findall(r"^```mermaid\n(.*?)^```$", page, re.M | re.S)
    assert "\n".join(drawings) == run("draw").stdout
    assert "docs/flows.md" in (ROOT / "README.md").read_text()


def test_it_explains_itself(tmp_path):
    out = run("--help", cwd=tmp_path).stdout
    assert out.startswith("usage: orderly flow check|draw ")
    for part in ("\nFlags\n", "\nExamples\n", "\nExit codes\n", "--flow NAME", "--format FORMAT"):
        assert part in out
    assert "--data" not in out
    listed = subprocess.run([BINARY, "help"], capture_output=True, text=True, timeout=SECONDS,
                            env=clean_environment(), check=True).stdout
    assert re.search(r"^  flow +\w", listed, re.M)


@pytest.mark.parametrize("args, says", [
    ([], "flow needs check|draw; 'orderly flow --help' explains it"),
    (["walk"], "there is no 'flow walk'; 'flow check' and 'flow draw' are those there are"),
    (["check", "draw"], "flow takes one argument only; 'orderly flow --help' explains it"),
    (["check", "--flow", "pay_later"], "there is no flow 'pay_later'; --flow is pay_first or stock_first"),
    (["draw", "--format", "svg"], "there is no format 'svg'; --format is mermaid or dot"),
    (["check", "--format", "dot"], "--format goes with 'flow draw' only"),
    (["draw", "--data", "x"], "flow has no flag '--data'; 'orderly flow --help' explains it"),
    (["draw", "--flow"], "--flow needs a value: --flow NAME; 'orderly flow --help' explains it"),
])
def test_a_wrong_command_line_is_64_and_says_why(args, says, tmp_path):
    done = run(*args, code=64, cwd=tmp_path)
    assert done.stdout == ""
    assert done.stderr == f"orderly: {says}\n"
