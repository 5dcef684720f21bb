"""What `make power` makes of a simulation that has ended, and what it says of all of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import BadSettingError
from proof.mutants import TOP, Mutant, catalogue
from proof.mutants.patching import apply
from proof.power import table, trials
from proof.power.trial import CONTROL, Ending, Trial, judged

MUTANT = Mutant("adopts_anything", "quorum", "Nothing goes back.", TOP / "proof" / "mutants" / "x.patch")
AS_IT_IS = replace(MUTANT, name=CONTROL)
CONVICTED = Trial(MUTANT, "convicted", 2.5, 3, 600, "linearizable", "ada read ...", "make simulate ...")
HELD = Trial(AS_IT_IS, "survived", 60.0, 40, 8000)
TOLD = {
    "worlds": {"quorum": {"seeds": 3, "operations": 600}},
    "judge": "linearizable",
    "sentence": "ada read ...",
    "again": "make simulate ...",
}


def test_a_simulation_that_names_a_judge_convicts() -> None:
    assert judged(MUTANT, 1, json.dumps(TOLD) + "\n", "progress", 2.5) == CONVICTED


@pytest.mark.parametrize(("status", "ending"), [(0, "survived"), (4, "undecided")])
def test_one_that_no_judge_convicts_is_not_convicted(status: int, ending: str) -> None:
    told = {**TOLD, "judge": None, "again": None}
    trial = judged(MUTANT, status, json.dumps(told), "", 60.0)
    assert trial.ending == ending
    assert not trial.as_it_should_be


@pytest.mark.parametrize(("status", "out"), [(1, ""), (1, "no JSON"), (2, json.dumps(TOLD)), (-9, "")])
def test_a_crash_convicts_nothing(status: int, out: str) -> None:
    trial = judged(MUTANT, status, out, "Traceback\nNameError: x", 1.0)
    assert trial.ending == "crashed"
    assert not trial.as_it_should_be


def test_the_verdict_is_held_when_judges_convict_the_mutants_and_nothing_else() -> None:
    assert table.verdict([HELD, CONVICTED]).outcome == "held"


@pytest.mark.parametrize("ending", ["survived", "undecided", "timeout", "crashed"])
def test_a_mutant_that_no_judge_convicts_spoils_it(ending: Ending) -> None:
    spoilt = replace(CONVICTED, ending=ending)
    found = table.verdict([HELD, spoilt])
    assert found.outcome == "violated"
    assert f"quorum/adopts_anything {ending}" in found.sentence


def test_code_that_is_convicted_as_it_is_spoils_it() -> None:
    assert table.verdict([replace(HELD, ending="convicted"), CONVICTED]).outcome == "violated"


def test_the_page_gets_the_tables_in_their_places_and_nothing_else_changes() -> None:
    other = "<!-- table: pair -->\nkept\n<!-- end of table -->\n"
    page = f"before\n<!-- table: quorum -->\nold\n<!-- end of table -->\n{other}after\n"
    once = table.into(page, [HELD, CONVICTED], 60)
    assert once.startswith("before\n<!-- table: quorum -->\n")
    assert once.endswith(f"<!-- end of table -->\n{other}after\n")
    link = "[adopts_anything](../proof/mutants/x.patch)"
    assert f"| Nothing goes back. | {link} | 3 | 600 | 2.5 | linearizable |" in once
    assert "held (40 seeds, 8000 operations, 60 s)" in once
    assert "old" not in once
    assert table.into(once, [HELD, CONVICTED], 60) == once


def test_mutants_are_chosen_by_name_or_by_world_each_world_with_its_control() -> None:
    names = [(one.world, one.name) for one in trials.chosen(["clients_id", "eventual"])]
    assert names[:2] == [("quorum", CONTROL), ("quorum", "clients_id")]
    assert names[2] == ("eventual", CONTROL)
    assert {world for world, _ in names} == {"quorum", "eventual"}
    assert len(trials.chosen(None)) == len(catalogue()) + 4


def test_a_mutant_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadSettingError, match="there is no mutant 'no_such'"):
        trials.chosen(["no_such", "clients_id"])


def test_the_control_changes_nothing(tmp_path: Path) -> None:
    assert apply(trials.chosen(["quorum"])[0].patch, tmp_path) == []
