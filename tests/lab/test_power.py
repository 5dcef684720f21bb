"""`make power`, of two mutants: each is convicted by a judge, and the code as it is by none."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

POWER = [sys.executable, "-m", "proof", "power"]


@pytest.mark.whole
@pytest.mark.timeout(400)
def test_two_mutants_are_convicted_and_the_code_as_it_is_holds() -> None:
    mutants = ("adopts_anything", "change_replaces_all")
    done = subprocess.run(
        [*POWER, "--only", *mutants, "--seconds", "30"],
        cwd=ROOT, capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"quorum/adopts_anything +convicted .* linearizable", done.stdout)
    assert re.search(r"eventual/change_replaces_all +convicted .* the store's log", done.stdout)
    assert "VERDICT held: each was convicted by a judge (2 mutants" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--only", "no_such"], "there is no mutant 'no_such'"),
        (["--only", "clients_id", "--into", "docs/power.md"], "name worlds alone"),
        (["--seconds", "soon"], "'soon' is no number of seconds"),
    ],
)
def test_bad_usage_is_said_before_anything_is_copied(arguments: list[str], cause: str) -> None:
    done = subprocess.run(
        [*POWER, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert cause in done.stderr
    assert done.stderr.count("\n") == 1
