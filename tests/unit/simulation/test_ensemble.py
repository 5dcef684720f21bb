"""The simulated ensemble keeps what ZooKeeper promises, and takes the liberties that ZooKeeper takes."""

from typing import Any

import pytest

from tests.unit.simulation import scenes
from tests.unit.simulation.playing import scene

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


@pytest.mark.parametrize("name", EXPECTED)
def test_scene(name: str) -> None:
    assert scene(scenes, name) == EXPECTED[name]


@pytest.mark.parametrize(("hurt", "heal"), [("pause", "resume"), ("cut_off", "heal"), ("kill", "restart")])
def test_what_waited_for_the_leader_is_answered_when_it_is_back(hurt: str, heal: str) -> None:
    assert scene(scenes, "a_leader_is_away_for_less_than_an_election", hurt, heal) == 9
