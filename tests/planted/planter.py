"""Plants a fault: compiles a changed copy of one source file as the build compiles the file itself, and
links the program with that object before the archives, so that the archive's own member is not taken.

Nothing is written outside the temporary folder, and the build folder is only read.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ORDERLY_SIM_BUILD", ROOT / "build" / "sim"))
TIMEOUT_S = 600
VERDICT = re.compile(r"^seed (\d+): ([A-Z_]+): ", re.MULTILINE)


def changed(text, plant):
    """The text with the plant's changes; each must find what it replaces exactly once."""
    for before, after in plant.changes:
        n = text.count(before)
        assert n == 1, f"{plant.name}: {plant.file} has {n} places like this one:\n{before}"
        text = text.replace(before, after)
    return text


def run(command, cwd):
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"


def compile_command(source):
    """As the build does it, with the output left out."""
    entries = json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
    for entry in entries:
        if pathlib.Path(entry["file"]) == source:
            words = shlex.split(entry["command"])
            at = words.index("-o")
            return [w for i, w in enumerate(words[:at] + words[at + 2 :])], entry["directory"]
    raise AssertionError(f"{source} is not in {BUILD}/compile_commands.json")


def link_command():
    """The last of what ninja would do for the program."""
    said = subprocess.run(
        ["ninja", "-C", str(BUILD), "-t", "commands", "orderly"],
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    ).stdout.strip()
    command = said.splitlines()[-1]
    words = [w for w in shlex.split(command) if w not in (":", "&&")]
    assert "-o" in words and any(w.endswith(".a") for w in words), command
    return words


def build(plant, folder):
    """The program with the fault in it."""
    source = ROOT / plant.file
    copy = folder / source.name
    program = folder / "orderly"
    copy.write_text(changed(source.read_text(encoding="utf-8"), plant), encoding="utf-8")
    words, directory = compile_command(source)
    words = [str(copy) if w == str(source) else w for w in words]
    assert str(copy) in words, words
    # Headers beside the file are still found; what a fault leaves unused is no error.
    words += ["-iquote", str(source.parent), "-w", "-o", str(folder / "planted.o")]
    run(words, directory)
    words = link_command()
    words[words.index("-o") + 1] = str(program)
    first = next(i for i, w in enumerate(words) if w.endswith(".a"))
    run(words[:first] + [str(folder / "planted.o")] + words[first:], BUILD)
    return program


def tell(program, seed):
    """Exit code, and all that is said of one seed."""
    done = subprocess.run(
        [str(program), "sim", "--seed", str(seed)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
    )
    return done.returncode, done.stdout


def simulate(program, seeds, jobs=1):
    """Exit code, and (seed, invariant) if one was found, and all that was said."""
    done = subprocess.run(
        [str(program), "sim", "--seed", "1", "--seeds", str(seeds), "--jobs", str(jobs), "--brief"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
    )
    found = VERDICT.search(done.stdout)
    return (
        done.returncode,
        (int(found.group(1)), found.group(2)) if found else None,
        done.stdout + done.stderr,
    )
