"""The world ``eventual``: the full protocol holds, a seed is a run, a blind publisher is convicted."""

from pathlib import Path

from proof.mutants import TOP
from proof.mutants.patching import apply, copy_of_the_tree
from tests.unit.simulation.playing import play


def test_the_full_protocol_holds_and_the_same_seed_is_the_same_run() -> None:
    # in 61 the store loses what it had
    first, again, other = play("eventual", 61, 61, 16)
    assert (first.outcome, other.outcome) == ("held", "held"), (first.sentence, other.sentence)
    assert first.entries > 100
    assert first.history == again.history
    assert first.history != other.history


def test_a_publisher_that_ignores_the_version_is_convicted(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path, ("app", "proof"))
    apply(TOP / "docs/exercises/blind_publisher.patch", tree)
    (ended,) = play("eventual", 1, tree=tree)
    assert (ended.outcome, ended.judge) == ("violated", "the store's log"), ended.sentence
