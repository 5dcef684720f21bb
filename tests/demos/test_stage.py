"""How the acts wait for each other; each of these has gone wrong on a busy machine."""

from pathlib import Path
from typing import Any

import eventlet
import pytest

from app.checker.history import Recorder
from app.demo.options import parse
from app.demo.pair import Pair
from app.demo.run import Run
from app.demo.stage import Stage
from app.demo.story import Story
from app.errors import InDoubt, NoBackup


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Without participants, and without a ZooKeeper: only its ways of waiting are used."""
    options = parse([], program="demo", claim="")
    with (tmp_path / "story").open("w") as out:
        story = Story(out, silent=True, color=False, step=False)
    return Stage(options, story, Recorder(), Run(None, "test"), None, "127.0.0.1:1", tmp_path)


def test_a_condition_that_was_met_once_counts_even_if_it_is_over_at_the_next_look(stage: Stage) -> None:
    looks = iter([False, True, False])
    assert stage.until(lambda: next(looks), 5.0)


def test_waiting_in_vain_ends_in_doubt_and_says_for_what(stage: Stage) -> None:
    with pytest.raises(InDoubt, match="waiting until the moon is up"):
        stage.require(lambda: False, "the moon is up", 0.1)


def test_an_act_without_a_primary_is_spoilt_and_no_assertion_fails(stage: Stage) -> None:
    with pytest.raises(NoBackup, match="no primary leads"):
        Pair(stage).leading()


def test_together_returns_the_results_in_the_order_of_the_actions(stage: Stage) -> None:
    def late() -> str:
        eventlet.sleep(0.05)
        return "late"

    assert stage.run_all(late, lambda: "early") == ["late", "early"]


def test_together_raises_only_when_all_have_ended_and_prints_nothing(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[str] = []

    def fail(name: str, after_s: float) -> Any:
        eventlet.sleep(after_s)
        ended.append(name)
        raise InDoubt(name)

    with pytest.raises(InDoubt, match="first"):
        stage.run_all(lambda: fail("first", 0.01), lambda: fail("second", 0.1))
    assert ended == ["first", "second"]
    assert capfd.readouterr() == ("", "")
