#!/usr/bin/python3
"""Which lines of our sources the inputs of a fuzz target reach.

usage: coverage.py TARGET...

Runs the target of the coverage build (preset coverage) over its corpus, its regressions and what
./dev fuzz has found interesting (build/fuzz/grown), and asks gcov about the sources that the target
is about. A line counts as reached if it ran at all.
"""
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build/coverage")

# What each target is about: the sources that read its input and decide about it.
NOTES = {}
HTTP = "src/infra/http/"
API = "src/infra/api/"
ABOUT = {
    "connection": [HTTP + name for name in (
        "answer.c", "body.c", "chunks.c", "conn.c", "head.c", "host.c", "input.c", "output.c", "parse.c",
        "request.c", "stream.c", "wheel.c")],
    "body": [API + name for name in (
        "carts.c", "commands.c", "dead_letters.c", "json_in.c", "orders.c", "products.c", "shipments.c",
        "simulator_json.c", "simulators.c")],
    "query": [API + "filters.c", API + "letter_filter.c", API + "lists.c", API + "order_reads.c",
              HTTP + "target.c"],
    "key": [API + "fields.c"],
    "last_event_id": [API + "streams.c", API + "filters.c"],
    "messages": [API + "cloud_in.c", API + "cloud_messages.c", API + "messages.c", API + "payload_in.c", "src/app/receive_message.c"],
    "rows": ["src/app/deferred_lane.c", "src/app/event_codec.c", "src/app/row_keys.c",
             "src/app/settings_codec.c", "src/app/snapshot_codec.c"],
    "config": [API + "access.c", "src/infra/options/nearest.c", "src/infra/options/read.c",
               "src/infra/options/value.c"],
}


def find_notes():
    """Where gcov finds what the compiler noted about each source."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            output = re.search(r" -o (\S+)\.o ", entry["command"]).group(1)
            NOTES[entry["file"]] = os.path.join(entry["directory"], output + ".gcno")


def run_target(target):
    """Runs all inputs; returns the folder with the counts."""
    counts = os.path.join(ROOT, "build/fuzz/coverage", target)
    shutil.rmtree(counts, ignore_errors=True)
    os.makedirs(counts)
    inputs = [os.path.join(ROOT, path) for path in (
        f"tests/fuzz/corpus/{target}.txt", f"tests/fuzz/regressions/{target}", f"build/fuzz/grown/{target}")]
    program = os.path.join(BUILD, "fuzz", f"fuzz_{target}")
    env = dict(os.environ, GCOV_PREFIX=counts, GCOV_PREFIX_STRIP="0")
    done = subprocess.run([program] + [i for i in inputs if os.path.exists(i)], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{target}: failed:\n" + done.stdout.decode(errors="replace")[-300:])
    return counts


def count_lines(counts, source):
    """(lines that ran, lines that can run, those that did not)"""
    name = os.path.basename(source)
    notes = NOTES.get(source)
    if not notes or not os.path.exists(notes):
        sys.exit(f"{source}: no object in {BUILD}")
    beside = counts + notes
    os.makedirs(os.path.dirname(beside), exist_ok=True)
    shutil.copy(notes, beside)
    text = subprocess.run(["gcov", "--json-format", "--stdout", beside], check=True,
                          cwd=os.path.dirname(beside), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    lines = {}
    for line in text.splitlines():
        for file in json.loads(line)["files"]:
            if os.path.basename(file["file"]) != name:
                continue
            for entry in file["lines"]:
                at = entry["line_number"]
                lines[at] = lines.get(at, 0) + entry["count"]
    missed = [at for at in sorted(lines) if lines[at] == 0]
    return len(lines) - len(missed), len(lines), missed


def main(targets):
    find_notes()
    table = []
    for target in targets:
        counts = run_target(target)
        ran = all_lines = 0
        print(f"{target}:")
        for source in [os.path.join(ROOT, path) for path in ABOUT[target]]:
            a, b, missed = count_lines(counts, source)
            ran += a
            all_lines += b
            shown = " ".join(str(at) for at in missed[:40]) + (" …" if len(missed) > 40 else "")
            print(f"  {100 * a / max(b, 1):5.1f} %  {a:4} of {b:4}  "
                  f"{os.path.relpath(source, ROOT)}  {shown}")
        table.append((target, ran, all_lines))
    print()
    for target, ran, all_lines in table:
        print(f"{target:14} {100 * ran / max(all_lines, 1):5.1f} % of {all_lines} lines")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
