"""When the page's parts look, and at what. No server: a watch is called as kazoo calls it."""

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest

from app.consistency.engine.fencing import NO_EPOCH
from app.web.logs import Tail
from app.web.paced_watcher import PacedWatcher
from app.web.stream import Stream
from app.web.trail import Trail
from app.zookeeper import client as zk

Look = Callable[[set[str]], None]


@pytest.fixture
def eye_of() -> Iterator[Callable[[Look], PacedWatcher]]:
    client = SimpleNamespace(connected=True, add_listener=lambda _: None, remove_listener=lambda _: None)
    made: list[PacedWatcher] = []

    def eye(look: Look) -> PacedWatcher:
        made.append(PacedWatcher(client, "a test's eye", look, 0.0))
        made[-1].start()
        eventlet.sleep(0.01)
        return made[-1]

    yield eye
    for one in made:
        one.stop()


def told(eye: PacedWatcher, *changed: str | None) -> None:
    for path in changed:
        eye.changed(SimpleNamespace(path=path))
    eventlet.sleep(0.01)


def test_what_has_changed_is_looked_at_and_at_first_all_of_it(eye_of: Callable[[Look], PacedWatcher]) -> None:
    looks: list[set[str]] = []
    eye = eye_of(looks.append)

    told(eye, "/a", "/b")

    assert looks == [set(), {"/a", "/b"}]


def test_when_a_lost_connection_has_taken_the_watches_all_of_it_is_looked_at(
    eye_of: Callable[[Look], PacedWatcher],
) -> None:
    looks: list[set[str]] = []
    eye = eye_of(looks.append)

    told(eye, "/a", None)

    assert looks == [set(), set()]


def test_after_a_look_that_nobody_answered_all_of_it_is_looked_at(
    eye_of: Callable[[Look], PacedWatcher],
) -> None:
    looks: list[set[str]] = []

    def look(paths: set[str]) -> None:
        looks.append(paths)
        if len(looks) == 2:
            raise zk.NO_REPLY[0]

    eye = eye_of(look)
    told(eye, "/a")

    told(eye, "/b")

    assert looks == [set(), {"/a"}, set()]


def test_an_upload_that_was_stored_before_is_told_as_known() -> None:
    trail = Trail(Stream(), lambda: NO_EPOCH, client=None)

    trail.take("primary has it on disk", "a-job")
    trail.take("known as committed", "a-job")

    view = trail.view()
    assert view is not None
    assert list(view["ms"]) == ["copied", "known"]


def test_a_line_whose_words_do_not_fit_is_no_error_of_whoever_wrote_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tail = Tail()
    arguments: Any = ("one too many",)

    tail.emit(logging.LogRecord("a job", logging.INFO, "job.py", 1, "no place for it", arguments, None))

    assert tail.since(0) == []
    assert "not all arguments converted" in capsys.readouterr().err
