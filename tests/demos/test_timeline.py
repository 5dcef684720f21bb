"""`--timeline FILE`: the run as one page, whatever the verdict; a bad file is refused at the start."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.demos.conftest import Pods
from tests.demos.playing import assert_one_line, play
from tests.demos.test_options import SMALL_LOAD, Zookeeper, only_object

USAGE = 2
NOBODY = {"ZK_HOSTS": "127.0.0.1:1"}


def chapters_of(file: Path) -> Any:
    found = re.search(r'id="history">(.*?)</script>', file.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1])["chapters"]


def test_the_page_shows_both_protocols_the_notes_first(zookeeper: Zookeeper, tmp_path: Path) -> None:
    file = tmp_path / "timeline.html"
    played = play("hard", "--timeline", str(file), *SMALL_LOAD, "--seed", "3", zookeeper=zookeeper)
    assert played.status == 0, str(played)
    assert f"timeline: {file.resolve()} (open it in a browser)" in played.lines
    assert played.verdict.startswith("VERDICT held: ")
    assert (played.stderr, played.left) == ("", [])
    notes, full = chapters_of(file)
    assert (notes["verdict"]["outcome"], full["verdict"]["outcome"]) == ("violated", "held")
    assert played.notes == [f"NOTES violated: {notes['verdict']['sentence']}"]
    stale = notes["operations"][notes["witness"][-1]]
    assert (stale["op"], stale["fits"], stale["at"]) == ("read", False, None)
    assert {span["kind"] for span in notes["spans"]} == {"crash"}
    assert {f"host-{number}" for number in range(1, 6)} <= {lane["name"] for lane in full["lanes"]}
    assert all(key["ordered"] for key in full["keys"])


@pytest.mark.whole
@pytest.mark.parametrize("demo", ["easy", "medium"])
def test_a_violated_run_and_one_that_prints_json_have_a_page_too(
    demo: str, zookeeper: Zookeeper, tmp_path: Path
) -> None:
    file = tmp_path / "timeline.html"
    file.write_text("of an earlier run")
    options = ("--protocol", "notes", "--json", "--timeline", str(file))
    played = play(demo, *options, *SMALL_LOAD, zookeeper=zookeeper)
    assert played.status == 1, str(played)
    told = only_object(played.stdout)
    (notes,) = chapters_of(file)
    assert notes["verdict"]["outcome"] == told["verdict"] == "violated"
    assert len(notes["witness"]) == len(told["witness"])


@pytest.mark.parametrize("where", ["no-such-folder/timeline.html", "."])
def test_an_unwritable_file_is_refused_before_anything_runs(where: str, tmp_path: Path) -> None:
    file = tmp_path / where
    played = play("easy", "--timeline", str(file), zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, "--timeline", str(file), "choose another file")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--live", "chunk_size=5", "--timeline", "t.html"), ("--live", "--timeline")),
        (("--timeline", "-"), ("--timeline -", "no file")),
        (("--timeline", "same", "--history", "same"), ("--history and --timeline", "name two")),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], said: tuple[str, ...]) -> None:
    played = play("easy", *options, zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, *said)


def test_a_run_that_never_began_leaves_no_page_and_keeps_an_earlier_one(tmp_path: Path) -> None:
    new, old = tmp_path / "new.html", tmp_path / "old.html"
    old.write_text("of an earlier run")
    for file in (new, old):
        assert play("easy", "--timeline", str(file), zookeeper=NOBODY).status == 3
    assert not new.exists()
    assert old.read_text() == "of an earlier run"


@pytest.mark.whole
@pytest.mark.timeout(180)
def test_what_was_watched_has_a_page(pods: Pods, tmp_path: Path) -> None:
    file = tmp_path / "timeline.html"
    played = play("hard", "--watch", "5", "--timeline", str(file), zookeeper=pods.zookeeper)
    assert played.status == 0, str(played)
    (full,) = chapters_of(file)
    assert full["verdict"]["outcome"] == "held"
    assert len(full["operations"]) > 10
