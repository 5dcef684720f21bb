"""The stream of events by itself: what resumes, what is bounded, what is sent at all. No server."""

import json
import random
from typing import Any

import pytest

from app.web import stream as module
from app.web.stream import LOGS, PAGE, PLAIN, Stream
from app.web.task_grid import ranges

PAGES = frozenset([PLAIN, PAGE])


def listen(stream: Stream, after: str = "", wants: frozenset[str] = PAGES) -> Any:
    return stream.follow(wants, after, lambda: True, lambda: {"all": 1}, lambda: [{"pod": "a", "lines": []}])


def events(message: str) -> list[tuple[str, Any]]:
    """(kind, data) of each event in a message."""
    found = []
    for block in message.strip().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def last_id(message: str) -> str:
    return next(line[4:] for line in reversed(message.split("\n")) if line.startswith("id: "))


def test_who_comes_first_gets_a_snapshot_and_then_what_happens() -> None:
    stream = Stream()
    mine = listen(stream)

    assert next(mine).startswith(":")
    assert events(next(mine)) == [("snapshot", {"all": 1})]
    stream.tell("pods", None, lambda: {"x": 1}, urgent=True)
    assert events(next(mine)) == [("pods", {"x": 1})]


def test_who_comes_back_gets_what_was_missed_and_nothing_twice() -> None:
    stream = Stream()
    mine, other = listen(stream), listen(stream)
    next(mine), next(other)
    known = last_id(next(mine))
    stream.tell("pods", None, lambda: 1, urgent=True)
    known = last_id(next(mine))
    mine.close()
    stream.tell("pods", None, lambda: 2, urgent=True)
    stream.tell("object", None, lambda: 3, urgent=True)

    again = listen(stream, known)
    next(again)

    assert events(next(again)) == [("resumed", {"events": 2}), ("pods", 2), ("object", 3)]


@pytest.mark.parametrize("after", ["other.1", "", "x", "{name}.999", "{name}.-1"])
def test_an_id_that_nobody_knows_is_answered_with_a_snapshot(after: str) -> None:
    stream = Stream()
    mine = listen(stream)
    next(mine)
    name = last_id(next(mine)).partition(".")[0]

    again = listen(stream, after.format(name=name))
    next(again)

    assert events(next(again))[0][0] == "snapshot"


def test_who_has_missed_too_much_gets_a_snapshot() -> None:
    stream = Stream()
    mine = listen(stream)
    next(mine)
    known = last_id(next(mine))
    for number in range(module._MOST_KEPT + 1):
        stream.tell("pods", number, dict, urgent=True)

    again = listen(stream, known)
    next(again)

    assert events(next(again))[0][0] == "snapshot"


def test_a_listener_that_does_not_listen_holds_up_nobody_and_loses_nothing_for_good() -> None:
    stream = Stream()
    slow = listen(stream)
    next(slow), next(slow)
    for number in range(3 * module._MOST_WAITING):
        stream.tell("pods", number, dict, urgent=True)

    assert max(listener.queue.qsize() for listener in stream._listeners) <= module._MOST_WAITING
    assert events(next(slow)) == [("snapshot", {"all": 1})]


def test_of_what_happens_in_a_moment_the_latest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOMENT_S", 2.0)  # on a busy machine 100 calls take more than the 60 ms
    stream = Stream()
    mine = listen(stream)
    next(mine), next(mine)
    stream.tell("job", "a", lambda: 0, urgent=True)
    for number in range(100):
        stream.tell("job", "a", lambda number=number: number)  # type: ignore[misc]

    assert events(next(mine)) == [("job", 0)]
    assert events(next(mine)) == [("job", 99)]


def test_what_nobody_hears_is_not_even_made() -> None:
    stream = Stream()

    stream.tell("job", "a", lambda: pytest.fail("made"), urgent=True)


def test_a_plain_listener_hears_of_jobs_and_not_of_what_a_page_shows() -> None:
    stream = Stream()
    plain = listen(stream, wants=frozenset([PLAIN]))
    assert next(plain) == ": welcome\n\n"

    stream.tell("pods", None, lambda: 1, urgent=True)
    stream.tell("job", "a", lambda: 2, urgent=True)

    assert events(next(plain)) == [("job", 2)]


def test_log_lines_go_to_those_who_look_at_logs() -> None:
    stream = Stream()
    mine, other = listen(stream, wants=PAGES | {LOGS}), listen(stream)
    next(mine), next(mine), next(other), next(other)
    assert events(next(mine)) == [("log", {"pod": "a", "lines": []})]

    stream.tell("log", "a", lambda: "line", urgent=True)
    stream.tell("pods", None, lambda: 1, urgent=True)

    assert events(next(mine)) == [("log", "line")]
    assert events(next(other)) == [("pods", 1)]


def test_what_is_told_cannot_forge_a_field() -> None:
    stream = Stream()
    mine = listen(stream)
    next(mine), next(mine)

    stream.tell("pods", None, lambda: "x\n\nevent: snapshot\ndata: {}\r\u2028", urgent=True)

    assert events(next(mine)) == [("pods", "x\n\nevent: snapshot\ndata: {}\r\u2028")]


@pytest.mark.parametrize("seed", range(30))
def test_ranges_name_every_task_once(seed: int) -> None:
    choose = random.Random(seed)
    indices = {index for index in range(choose.randrange(300)) if choose.random() < choose.choice((0.1, 0.9))}
    named: list[int] = []
    for part in filter(None, ranges(indices).split(",")):
        begin, _, end = part.partition("-")
        named += range(int(begin), int(end or begin) + 1)
    assert named == sorted(indices)
