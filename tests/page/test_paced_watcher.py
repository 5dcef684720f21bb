"""When the page's parts look, and at what. No server: a watch is called as kazoo calls it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from app.consistency.engine.fencing import NO_EPOCH
from app.web.logs import Tail
from app.web.paced_watcher import PacedWatcher
from app.web.stream import Stream
from app.web.trail import Trail
from app.zookeeper import client as zk
from tests.conftest import eventually


class Looking:
    """A watcher, what it has looked at, and the watch's callback. ``trouble`` ends a look, by its number."""

    def __init__(self, trouble: dict[int, Exception]) -> None:
        client = SimpleNamespace(connected=True, add_listener=lambda _: None, remove_listener=lambda _: None)
        self.looks: list[set[str]] = []
        self._trouble = trouble
        self.watcher = PacedWatcher(client, "a test's watcher", self._look, 0.0)

    def _look(self, paths: set[str]) -> None:
        self.looks.append(paths)
        if len(self.looks) in self._trouble:
            raise self._trouble[len(self.looks)]

    def after(self, *changed: str | None) -> list[set[str]]:
        """The looks, once these have changed at the same moment, and something was looked at since."""
        before = len(self.looks)
        for path in changed:
            self.watcher.changed(SimpleNamespace(path=path))
        eventually(lambda: len(self.looks) > before)
        return self.looks


@pytest.fixture
def looking() -> Iterator[Callable[..., Looking]]:
    with ExitStack() as closing:

        def started(trouble: dict[int, Exception] | None = None) -> Looking:
            made = Looking(trouble or {})
            made.watcher.start()
            closing.callback(made.watcher.stop)
            eventually(lambda: made.looks)
            return made

        yield started


def test_what_has_changed_is_looked_at_and_at_first_all_of_it(looking: Callable[..., Looking]) -> None:
    assert looking().after("/a", "/b") == [set(), {"/a", "/b"}]


def test_when_a_lost_connection_has_taken_the_watches_all_of_it_is_looked_at(
    looking: Callable[..., Looking],
) -> None:
    assert looking().after("/a", None) == [set(), set()]


def test_after_a_look_that_nobody_answered_all_of_it_is_looked_at(looking: Callable[..., Looking]) -> None:
    one = looking({2: zk.NO_REPLY[0]()})

    one.after("/a")

    assert one.after("/b")[:3] == [set(), {"/a"}, set()]


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
