"""The simulator can fail: each planted fault is found by an invariant, and without one all hold.

Run by `./dev test` on the build folder `sim`; ORDERLY_SIM_BUILD names another one.
"""

import concurrent.futures
import os
import re
import subprocess

import pytest
from plants import PLANTS, Plant
from planter import BUILD, build, changed, simulate, tell

SEEDS = 200


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory):
    """What became of each plant; they are built and run side by side, and each is asked for by name."""
    if not (BUILD / "orderly").exists():
        pytest.fail(f"there is no {BUILD}/orderly: cmake --preset sim && cmake --build --preset sim")

    # Here, as pytest makes what is around them on first use, and not for two threads at once.
    folders = {p.name: tmp_path_factory.mktemp(p.name) for p in PLANTS}

    def plant(p):
        return simulate(build(p, folders[p.name]), SEEDS)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        yield {p.name: pool.submit(plant, p) for p in PLANTS}


def test_without_a_fault_every_invariant_holds(verdicts):
    code, found, said = simulate(BUILD / "orderly", SEEDS, jobs=os.cpu_count() or 2)

    assert code == 0 and found is None, said
    # And each number says that something was tried: of faults, of what clients do, and of judgements.
    report = said[: said.index("\ntrace ")]
    numbers = {
        line: [int(n) for n in re.findall(r"(?<![\w.])\d+(?![\w.])", line)]
        for line in report.splitlines()
    }
    assert len(numbers) > 30, said
    assert not [line for line, ns in numbers.items() if 0 in ns], said


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: p.name)
def test_an_invariant_finds_it(plant, verdicts):
    code, found, said = verdicts[plant.name].result()

    assert found is not None, f"no invariant found it in {SEEDS} seeds:\n{said}"
    assert code == 1, said
    assert found[1] in plant.finds, said
    print(f"{plant.name}: {found[1]}, seed {found[0]}")


def smaller(said):
    """The number of orders of the smallest run."""
    said_so = r"^after (\d+) smaller runs, with.*  --orders (\d+) --hours 1 --faults "
    found = re.search(said_so, said, re.M)
    assert found, said
    assert int(found.group(1)) > 0, said
    return int(found.group(2))


def test_a_violation_is_made_smaller_and_told_as_the_story_of_its_order(tmp_path):
    plant = next(p for p in PLANTS if p.name == "charged_twice")
    program = build(plant, tmp_path)
    seed = simulate(program, SEEDS)[1][0]
    code, said = tell(program, seed)

    assert code == 1, said
    assert smaller(said) < 100, said
    order = re.search(r"^the story of order ([0-9a-f-]{36})$", said, re.M).group(1)
    story = said[said.index("the story of order") :].splitlines()[1:]
    assert all(line.startswith("  [") or line.startswith("  …") for line in story), said
    assert any("PaymentApproved" in line or "PaymentProcessed" in line for line in story), said
    others = set(re.findall(r"\(Order ([0-9a-f-]{36}) ", "\n".join(story))) - {order}
    assert not others, said


def test_a_server_that_ends_itself_is_made_smaller_and_told(tmp_path):
    plant = Plant(
        # What is promised to others is given out again: a check of the catalogue ends the server.
        "promised_twice",
        "src/app/catalogue.c",
        (
            (
                "    return stock_available(&e->durable) - e->lowering;",
                "    return stock_available(&e->durable);",
            ),
        ),
        (),
    )
    program = build(plant, tmp_path)
    code, found, said = simulate(program, SEEDS)

    assert code == 1 and found is None, said
    seed = re.search(r"^seed (\d+): the server ended itself", said, re.M).group(1)
    code, said = tell(program, seed)
    assert code == 1, said
    assert smaller(said) < 100, said
    assert "the last of what happened" in said, said


def test_a_text_that_is_not_there_is_told():
    plant = Plant("none", "no.c", (("a", "b"),), ())

    assert changed("xay", plant) == "xby"
    for text in ("xy", "xaay"):
        with pytest.raises(AssertionError, match="none: no.c has"):
            changed(text, plant)


def test_each_invariant_has_a_fault_to_find():
    said = subprocess.run(
        [str(BUILD / "orderly"), "sim", "--help"], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"^  ([A-Z_]+) ", said, re.MULTILINE)

    assert set(names) == {name for plant in PLANTS for name in plant.finds}
