#!/usr/bin/python3
"""Which lines of our sources the inputs of a fuzz target reach.

usage: coverage.py TARGET...

Runs the target of the coverage build (preset coverage) over its corpus, its regressions and what
./dev fuzz has found interesting (build/fuzz/grown), and asks gcov about the sources that the target
is about. A line counts as reached if it ran at all.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build/coverage")

# What each target is about. Files that only other ways lead to are named with '-'.
ABOUT = {
    "connection": ["src/infra/http/*.c", "-src/infra/http/limits.c"],
    "body": ["src/infra/api/json_in.c", "src/infra/api/commands.c"],
}


def run_target(target):
    """Runs all inputs; returns the folder with the counts."""
    counts = os.path.join(ROOT, "build/fuzz/coverage", target)
    shutil.rmtree(counts, ignore_errors=True)
    os.makedirs(counts)
    inputs = [os.path.join(ROOT, folder, target)
              for folder in ("tests/fuzz/corpus", "tests/fuzz/regressions", "build/fuzz/grown")]
    program = os.path.join(BUILD, "fuzz", f"fuzz_{target}")
    env = dict(os.environ, GCOV_PREFIX=counts, GCOV_PREFIX_STRIP="0")
    done = subprocess.run([program] + [i for i in inputs if os.path.isdir(i)], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{target}: failed:\n" + done.stdout.decode(errors="replace")[-2000:])
    return counts


def sources_of(target):
    found = []
    for pattern in ABOUT[target]:
        if not pattern.startswith("-"):
            found += glob.glob(os.path.join(ROOT, pattern))
    drop = {os.path.join(ROOT, p[1:]) for p in ABOUT[target] if p.startswith("-")}
    return sorted(set(found) - drop)


def count_lines(counts, source):
    """(lines that ran, lines that can run, those that did not)"""
    name = os.path.basename(source)
    notes = glob.glob(os.path.join(BUILD, "src/**", name + ".gcno"), recursive=True)
    notes = [n for n in notes if os.path.relpath(os.path.dirname(source), ROOT) in n]
    if len(notes) != 1:
        sys.exit(f"{source}: {len(notes)} objects in {BUILD}")
    beside = counts + notes[0]
    os.makedirs(os.path.dirname(beside), exist_ok=True)
    shutil.copy(notes[0], beside)
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
    table = []
    for target in targets:
        counts = run_target(target)
        ran = all_lines = 0
        print(f"{target}:")
        for source in sources_of(target):
            a, b, missed = count_lines(counts, source)
            ran += a
            all_lines += b
            shown = " ".join(str(at) for at in missed[:12]) + (" …" if len(missed) > 12 else "")
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
