"""The worlds: the code holds, a seed is a run, and a wrong protocol is convicted by a judge."""

from pathlib import Path

import pytest

from tests.unit.simulation import worker_scenes
from tests.unit.simulation.playing import play, play_patched, scene


@pytest.mark.parametrize(
    ("world", "seed", "another", "least"),
    [
        ("pair", 3, 1, 100),
        ("eventual", 61, 16, 100),  # in 61 the store loses what it had
        ("worker", 1, 2, 20),
    ],
)
def test_the_code_holds_and_the_same_seed_is_the_same_run(
    world: str, seed: int, another: int, least: int
) -> None:
    first, again, other = play(world, seed, seed, another)
    assert (first.outcome, other.outcome) == ("held", "held"), (first.sentence, other.sentence)
    assert first.entries > least
    assert first.history == again.history
    assert first.history != other.history


@pytest.mark.parametrize(
    ("patch", "world", "seed", "judge", "begins"),
    [
        # a backup that does not wait for its disk
        ("docs/exercises/ack_first.patch", "pair", 2, "what is acknowledged is on the backup's disk", ""),
        ("proof/mutants/pair/folder_not_synced.patch", "pair", 1, "acknowledged is kept, refused is not", ""),
        # a publisher that ignores the version
        ("docs/exercises/blind_publisher.patch", "eventual", 1, "the store's log", ""),
        # a stale claimant whose result counts
        ("docs/exercises/chaos/no_version_check.patch", "worker", 3, "the store's log",
         "a task counts for its last claimant alone"),
    ],
)  # fmt: skip
def test_a_wrong_protocol_is_convicted(
    tmp_path: Path, patch: str, world: str, seed: int, judge: str, begins: str
) -> None:
    ended = play_patched(patch, tmp_path, world, seed)
    assert (ended.outcome, ended.judge) == ("violated", judge), ended.sentence
    assert ended.sentence.startswith(begins), ended.sentence


def test_an_upload_that_a_deposed_master_copied_too_late_goes_with_the_next_one() -> None:
    # found by seed 54: its job had ended, so nobody would have removed it while its result was kept
    assert scene(worker_scenes) == [[], 1]
