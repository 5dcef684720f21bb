"""The world ``worker``: the full code holds, a seed is a run, a result that doesn't count is convicted."""

import json
import subprocess
import sys
from pathlib import Path

from proof.mutants import TOP
from proof.mutants.patching import apply, copy_of_the_tree
from tests.unit.simulation import worker_scenes
from tests.unit.simulation.playing import play


def test_the_full_code_holds_and_the_same_seed_is_the_same_run() -> None:
    first, again, other = play("worker", 1, 1, 2)
    assert (first.outcome, other.outcome) == ("held", "held"), (first.sentence, other.sentence)
    assert first.entries > 20
    assert first.history == again.history
    assert first.history != other.history


def test_a_stale_claimant_whose_result_counts_is_convicted(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path, ("app", "proof"))
    apply(TOP / "docs/exercises/chaos/no_version_check.patch", tree)
    (ended,) = play("worker", 3, tree=tree)
    assert (ended.outcome, ended.judge) == ("violated", "the store's log")
    assert ended.sentence.startswith("a task counts for its last claimant alone"), ended.sentence


def test_an_upload_that_a_deposed_master_copied_too_late_goes_with_the_next_one() -> None:
    # found by seed 54: its job had ended, so nobody would have removed it while its result was kept
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", worker_scenes.__name__],
        cwd=TOP, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], 1]
