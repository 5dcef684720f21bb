"""What a user may ask of a demo: one protocol, one JSON object, a history, a pause after each act."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from app.checker.parsing import read_history
from tests.demos.playing import DEMOS, Playing, acts_in, play

SMALL_LOAD = ("--operations", "12", "--clients", "3")
KEYS = {
    "demo",
    "protocol",
    "verdict",
    "guarantee",
    "operations",
    "faults",
    "witness",
    "seed",
    "simulated",
    "participants",
    "notes_verdict",
}

Zookeeper = dict[str, str]


@pytest.mark.whole
@pytest.mark.parametrize("demo", DEMOS)
def test_the_notes_alone_are_violated_and_end_with_status_1(demo: str, zookeeper: Zookeeper) -> None:
    played = play(demo, "--protocol", "notes", *SMALL_LOAD, zookeeper=zookeeper)
    assert played.verdict.startswith("VERDICT violated: "), str(played)
    assert played.status == 1
    assert played.notes == []  # the verdict is theirs already
    assert not any("full protocol" in title for title in played.titles)
    assert (played.stderr, played.left) == ("", [])


@pytest.mark.whole
@pytest.mark.parametrize("demo", DEMOS)
def test_the_full_protocol_alone_holds_and_says_nothing_of_the_notes(
    demo: str, zookeeper: Zookeeper, tmp_path: Path
) -> None:
    file = tmp_path / "history.jsonl"
    options = (
        "--protocol",
        "full",
        "--operations",
        "20",
        "--clients",
        "5",
        "--faults",
        "none",
        "--seed",
        "11",
    )
    played = play(demo, *options, "--history", str(file), zookeeper=zookeeper)
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0
    assert played.notes == []
    assert not any(title.startswith("the notes") for title in played.titles)
    assert "seed 11" in played.stdout
    assert "meanwhile: no fault" in played.stdout
    assert (played.stderr, played.left) == ("", [])
    with file.open(encoding="utf-8") as lines:
        history = read_history(lines)
    assert {operation.key.split("/")[0] for operation in history.operations} == {"full"}
    if demo == "hard":  # whose clients run in processes of their own
        load = [operation for operation in history.operations if "/under_load" in operation.key]
        assert len(load) == 20
        assert {operation.process for operation in load} == {f"client-{number}" for number in range(1, 6)}
        assert f"({len(history.operations)} operations" in played.verdict


@pytest.mark.whole
def test_json_is_one_object_with_the_promised_keys_and_nothing_else(zookeeper: Zookeeper) -> None:
    options = ("--json", *SMALL_LOAD, "--faults", "none", "--seed", "5")
    played = play("easy", *options, zookeeper=zookeeper)
    told = only_object(played.stdout)
    assert set(told) == KEYS
    assert played.status == 0, str(played)
    assert (told["demo"], told["protocol"], told["seed"]) == ("easy", "both", 5)
    assert (told["verdict"], told["notes_verdict"]) == ("held", "violated")
    assert told["operations"] > 12
    assert isinstance(told["faults"], int)
    assert told["participants"] == [f"replica-{number}" for number in range(1, 6)]
    assert told["guarantee"]
    assert played.stderr == ""


@pytest.mark.whole
@pytest.mark.parametrize("demo", DEMOS)
def test_a_violated_json_verdict_names_the_guilty_operations(demo: str, zookeeper: Zookeeper) -> None:
    played = play(demo, "--json", "--protocol", "notes", *SMALL_LOAD, zookeeper=zookeeper)
    told = only_object(played.stdout)
    assert played.status == 1, str(played)
    assert set(told) == KEYS
    assert (told["demo"], told["protocol"]) == (demo, "notes")
    assert (told["verdict"], told["notes_verdict"]) == ("violated", None)
    assert len(told["participants"]) == (2 if demo == "medium" else 5)
    assert told["witness"]
    for operation in told["witness"]:
        assert operation["op"] in ("read", "write")
        assert operation["key"].startswith("notes/")
        assert operation["process"]


@pytest.mark.whole
def test_history_on_standard_output_moves_the_story_to_standard_error(zookeeper: Zookeeper) -> None:
    played = play("easy", "--protocol", "notes", "--history", "-", zookeeper=zookeeper)
    assert played.status == 1, str(played)
    history = read_history(played.stdout.splitlines())
    assert history.operations
    assert acts_in(played.stderr)
    assert played.stderr.splitlines()[-1].startswith("VERDICT violated: ")


def test_weak_quorums_are_convicted(zookeeper: Zookeeper) -> None:
    options = ("--weak", "--r", "2", "--w", "2", "--protocol", "full", *SMALL_LOAD)
    played = play("hard", *options, zookeeper=zookeeper)
    assert played.verdict.startswith("VERDICT violated: "), str(played)
    assert played.status == 1
    assert "R+W = 4 <= 5" in played.stdout
    assert "--weak: R+W = 4 <= N = 5" in played.titles


@pytest.mark.whole
@pytest.mark.parametrize(
    "quorum", [("--n", "3", "--w", "2", "--r", "2"), ("--weak",), ("--weak", "--w", "4")], ids=" ".join
)
def test_other_quorums_that_meet_hold(quorum: tuple[str, ...], zookeeper: Zookeeper) -> None:
    played = play("hard", *quorum, *SMALL_LOAD, "--faults", "none", zookeeper=zookeeper)
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0
    assert not any(title.startswith("--weak") for title in played.titles)


def test_step_waits_for_enter_after_each_act_and_says_how_to_look(zookeeper: Zookeeper) -> None:
    options = ("--step", *SMALL_LOAD, "--protocol", "notes")
    with Playing("easy", *options, zookeeper=zookeeper, talkative=True) as playing:
        playing.wait_for("[Enter]")
        (opening,) = acts_in(playing.stdout)
        assert any("look: zkCli.sh " in line and "/demos/easy-" in line for line in opening)
        time.sleep(1.5)  # nobody presses Enter, so nothing happens
        assert "Act 2" not in playing.stdout
        playing.enter()
        playing.wait_for("Act 2")
        within_the_act = len(playing.stdout)
        playing.enter()
        played = playing.finish()
    assert played.stdout.count("[Enter]") == len(played.acts) == 2
    assert within_the_act < len(played.stdout)
    assert played.verdict.startswith("VERDICT violated: "), str(played)
    assert played.status == 1


@pytest.mark.whole
def test_step_goes_on_when_nobody_can_press_enter(zookeeper: Zookeeper) -> None:
    played = play("easy", "--step", "--protocol", "notes", *SMALL_LOAD, zookeeper=zookeeper)
    assert played.status == 1, str(played)


def only_object(text: str) -> dict[str, Any]:
    assert text.count("\n") == 1, text
    told = json.loads(text)
    assert isinstance(told, dict)
    return told
