"""The simulator can fail: each planted fault is found by an invariant, and without one all hold.

Run by `./dev test` on the build folder `sim`; ORDERLY_SIM_BUILD names another one.
"""

import concurrent.futures
import os
import re
import subprocess

import pytest
from plants import PLANTS, Plant
from planter import BUILD, build, changed, simulate

SEEDS = 200


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory):
    """What became of each plant; they are built and run side by side, and each is asked for by name."""
    if not (BUILD / "orderly").exists():
        pytest.fail(f"there is no {BUILD}/orderly: cmake --preset sim && cmake --build --preset sim")

    def plant(p):
        return simulate(build(p, tmp_path_factory.mktemp(p.name)), SEEDS)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        yield {p.name: pool.submit(plant, p) for p in PLANTS}


def test_without_a_fault_every_invariant_holds(verdicts):
    code, found, said = simulate(BUILD / "orderly", SEEDS, jobs=os.cpu_count() or 2)

    assert code == 0 and found is None, said


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: p.name)
def test_an_invariant_finds_it(plant, verdicts):
    code, found, said = verdicts[plant.name].result()

    assert found is not None, f"no invariant found it in {SEEDS} seeds:\n{said}"
    assert code == 1, said
    assert found[1] in plant.finds, said
    print(f"{plant.name}: {found[1]}, seed {found[0]}")


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
