"""The simulated ensemble keeps what ZooKeeper promises, and takes the liberties that ZooKeeper takes."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit.simulation import scenes

EXPECTED: dict[str, Any] = {
    "a_follower_that_is_cut_off_answers_with_what_it_has": [["new"], "old", "new"],
    "a_session_that_is_silent_ends_after_its_timeout_with_its_ephemerals": [True, True, True],
    "a_request_whose_connection_is_lost_may_happen_later": True,
    "a_transaction_is_one_or_nothing": [
        ["RolledBackError", "BadVersionError", "RuntimeInconsistency"], True, "1",
    ],
    "a_watch_is_told_before_the_reply_that_shows_the_change": ["CHANGED"],
    "a_store_that_lost_its_history_sends_away_who_has_seen_more": [False, True],
    "no_majority_no_answer": [True, "/y"],
}  # fmt: skip


@pytest.mark.parametrize("scene", EXPECTED)
def test_scene(scene: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", scenes.__name__, scene],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED[scene]
