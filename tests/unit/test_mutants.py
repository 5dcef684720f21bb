"""The catalogue of mutants: every patch applies to the tree as it is, and leaves code that could run."""

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from proof.mutants import EXERCISES, TOP, WORLDS, Mutant, catalogue
from proof.mutants.patching import apply, copy_of_the_tree

LEAST = {"quorum": 10, "pair": 12, "eventual": 6, "worker": 12}
REFUSED_AT_ONCE = TOP / "docs" / "exercises" / "small_quorums.patch"  # tests/exercises has it
MOST_LINES = 12  # taken out and put in: one guard, not a new protocol


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_tree(tmp_path_factory.mktemp("tree"), ["app"])


def signed(patch: Path) -> list[str]:
    lines = patch.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line[:1] in ("-", "+") and line[:4] not in ("--- ", "+++ ")]


def test_each_world_has_its_mutants_and_the_exercises_are_among_them() -> None:
    mutants = catalogue()
    found = Counter(one.world for one in mutants)
    assert set(found) == set(WORLDS)
    assert all(found[world] >= least for world, least in LEAST.items())
    exercises = set((TOP / "docs" / "exercises").rglob("*.patch")) - {REFUSED_AT_ONCE}
    assert {one.patch for one in mutants if "exercises" in one.patch.parts} == exercises
    assert len(EXERCISES) == len(exercises)


def test_each_has_a_name_of_its_own_within_its_world() -> None:
    names = Counter((one.world, one.name) for one in catalogue())
    assert max(names.values()) == 1


@pytest.mark.parametrize("mutant", catalogue(), ids=lambda one: f"{one.world}/{one.name}")
def test_a_mutant_changes_a_few_lines_and_its_module_can_be_imported(
    mutant: Mutant, as_it_is: Path, tmp_path: Path
) -> None:
    changed = patched(mutant, as_it_is, tmp_path)

    assert changed
    assert len(signed(mutant.patch)) <= MOST_LINES
    for name in changed:
        assert (tmp_path / name).read_bytes() != (as_it_is / name).read_bytes()
        imported(tmp_path / name)


@pytest.mark.parametrize("mutant", catalogue(), ids=lambda one: f"{one.world}/{one.name}")
def test_a_mutant_says_in_one_sentence_what_it_makes_untrue(mutant: Mutant) -> None:
    assert mutant.sentence.endswith(".")
    assert mutant.sentence.count(". ") == 0
    assert mutant.sentence[0].isupper()


def test_no_mutant_names_what_is_not_there(as_it_is: Path, tmp_path: Path) -> None:
    """A NameError would be a crash, which convicts nothing."""
    for mutant in catalogue():
        patched(mutant, as_it_is, tmp_path / mutant.world / mutant.name)
    rules = "F821,F822,F823"
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", rules, str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout


def patched(mutant: Mutant, tree: Path, to: Path) -> list[str]:
    """Apply it to copies of the files that it names alone: returns their names."""
    lines = mutant.patch.read_text(encoding="utf-8").splitlines()
    for name in [line.removeprefix("--- a/") for line in lines if line.startswith("--- a/")]:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes((tree / name).read_bytes())
    return apply(mutant.patch, to)


def imported(path: Path) -> None:
    """Executed as a module of another name, beside the real one."""
    spec = importlib.util.spec_from_file_location("mutated", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutated"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["mutated"]
