"""The world ``pair``: the full protocol holds, a seed is a run, and an ACK before the copy is convicted."""

from pathlib import Path

import pytest

from proof.mutants import TOP
from proof.mutants.patching import apply, copy_of_the_tree
from tests.unit.simulation.playing import play


def test_the_full_protocol_holds_and_the_same_seed_is_the_same_run() -> None:
    first, again, other = play("pair", 3, 3, 1)
    assert (first.outcome, other.outcome) == ("held", "held"), (first.sentence, other.sentence)
    assert first.entries > 100
    assert first.history == again.history
    assert first.history != other.history


@pytest.mark.parametrize(
    ("patch", "seed", "judge"),
    [
        ("docs/exercises/ack_first.patch", 2, "what is acknowledged is on the backup's disk"),
        ("proof/mutants/pair/folder_not_synced.patch", 1, "acknowledged is kept, refused is not"),
    ],
)
def test_a_backup_that_does_not_wait_for_its_disk_is_convicted(
    tmp_path: Path, patch: str, seed: int, judge: str
) -> None:
    tree = copy_of_the_tree(tmp_path, ("app", "proof"))
    apply(TOP / patch, tree)
    (ended,) = play("pair", seed, tree=tree)
    assert (ended.outcome, ended.judge) == ("violated", judge), ended.sentence
