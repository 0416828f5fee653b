#!/usr/bin/env python3
"""Which lines and branches of our sources the tests have run, from the counts of the coverage build.

usage: report.py [--missing] [BUILD]

Prints a table of every folder of src and of the parts that have a goal: the domain, the bus and the log;
exits with 1 where one of those is below its goal. --missing also lists, for those, the lines with a
branch that was never taken.

What stands on a line of REQUIRE, ENSURE, INVARIANT or UNREACHABLE does not count as a branch: its
other way ends the process.
Branches are gcov's, of an unoptimised build: each way of each condition, also inside && and ||, and each
label of a switch. A branch counts as taken if it was in any program and in any object that holds it.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECK = re.compile(r"\b(REQUIRE|ENSURE|INVARIANT|UNREACHABLE)\b")
GOAL = 95.0
PARTS = {
    "domain": r"src/domain/",
    "bus": r"src/app/(bus|lane|deferred_lane|handling|turn)[a-z_]*\.[ch]$",
    "log": r"src/app/event_log\.c$|src/app/event_codec\.c$|src/infra/store/(lmdb_[a-z]+|store_thread|batch)\.[ch]$",
}


def read_notes(notes):
    """gcov's word about one object: [(file, line, count, [branch counts])]."""
    done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", str(notes)],
                          cwd=notes.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    found = []
    for text in done.stdout.splitlines():
        for file in json.loads(text)["files"]:
            path = pathlib.Path(notes.parent, file["file"]).resolve()
            if ROOT / "src" in path.parents or ROOT / "include" in path.parents:
                name = str(path.relative_to(ROOT))
                found += [(name, line["line_number"], line["count"],
                           [b["count"] for b in line["branches"]]) for line in file["lines"]]
    return found


class File:
    def __init__(self, name):
        self.name = name
        self.text = (ROOT / name).read_text().split("\n")
        self.lines = collections.Counter()
        self.branches = {}  # line -> counts

    def add(self, line, count, branches):
        self.lines[line] += count
        known = self.branches.setdefault(line, branches)
        if known is not branches and len(known) == len(branches):
            self.branches[line] = [a + b for a, b in zip(known, branches)]

    def counted(self):
        """(line, counts) of what counts."""
        for line, branches in sorted(self.branches.items()):
            if branches and not CHECK.search(self.text[line - 1]):
                yield line, branches

    def figures(self):
        """lines that ran, lines, branches taken, branches"""
        counts = [n for _, branches in self.counted() for n in branches]
        return (sum(n > 0 for n in self.lines.values()), len(self.lines),
                sum(n > 0 for n in counts), len(counts))

    def missing(self):
        return [line for line, branches in self.counted() if 0 in branches]


def read(build):
    files = {}
    notes = sorted((build / "src").rglob("*.gcno"))
    if not notes:
        sys.exit(f"{build} holds no coverage build")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(read_notes, notes):
            for name, line, count, branches in found:
                files.setdefault(name, File(name)).add(line, count, branches)
    return files


def share(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, figures):
    ran, lines, taken, branches = figures
    return (f"{name:<24}{ran:>7}/{lines:<7}{share(ran, lines):5.1f} %"
            f"{taken:>9}/{branches:<7}{share(taken, branches):5.1f} %")


def add_up(files):
    return tuple(map(sum, zip(*(f.figures() for f in files)))) if files else (0, 0, 0, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=str(ROOT / "build" / "coverage"))
    parser.add_argument("--missing", action="store_true")
    args = parser.parse_args()
    files = read(pathlib.Path(args.build).resolve())
    print(f"{'':<24}{'lines':>15}{'':7}{'branches':>17}")
    folders = collections.defaultdict(list)
    for name, file in files.items():
        if name.startswith("src/"):
            folders[os.path.dirname(name)].append(file)
    for folder in sorted(folders):
        print(row(folder, add_up(folders[folder])))
    print(row("all of src", add_up([f for folder in folders.values() for f in folder])))
    below = []
    for part, pattern in PARTS.items():
        chosen = [f for name, f in sorted(files.items()) if re.match(pattern, name)]
        figures = add_up(chosen)
        print(row(f"{part}, goal {GOAL:.0f} %", figures))
        if share(figures[2], figures[3]) < GOAL:
            below.append(part)
        if args.missing:
            for file in chosen:
                f = file.figures()
                print(f"    {file.name}: {f[2]} of {f[3]}, {share(f[2], f[3]):.1f} %, lines {file.missing()}")
    if below:
        print(f"below the goal of branches: {', '.join(below)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
