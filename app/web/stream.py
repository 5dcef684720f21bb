"""Server-sent events that resume where they stopped: written once for all listeners.

An event is told as (kind, key, how to make its data). Within a moment only the latest of each key counts,
and its data is made when the moment is over: a job of 4,000 tasks costs a dozen events a second and not
thousands. Every event has an id, ``<stream>.<number>``; the last ones are kept, so a listener that comes back
with the id of the last that it has had gets those that it missed, and one that has missed too much, or comes
back to another master, gets a snapshot of everything. No connection holds up the others: each has a
bounded queue, and one that overflows is emptied and given a snapshot as well.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
from eventlet import queue

# Kinds of listeners: all, a page, a page that shows logs.
PLAIN, PAGE, LOGS = "plain", "page", "logs"
Wants = frozenset[str]

# Events within this time are one message: well below what the eye, or a promise of 100 ms, notices.
_MOMENT_S = 0.06
_MOST_WAITING = 100  # messages in one listener's queue
_MOST_KEPT = 300  # events for listeners that come back
# A page that was left may be back at once (a reload, a lost connection): this long it still counts as there.
_LINGER_S = 20.0
# A sign of life, so that a dead connection is noticed on both sides.
_BEAT_S = 10.0
_FOR_ALL = {"job", "cluster"}

Make = Callable[[], Any]


class _Listener:
    def __init__(self, wants: Wants) -> None:
        self.wants = wants
        self.lost = False
        self.queue: Any = queue.LightQueue()

    def put(self, message: str) -> None:
        if self.queue.qsize() >= _MOST_WAITING:
            self.lost = True
            while self.queue.qsize():
                self.queue.get()
        self.queue.put(message)


class Stream:
    """All listeners of this worker.

    Attributes:
        on_audience: called when the first of these (PAGE, LOGS) has come (True) or the last is gone (False).
    """

    def __init__(self) -> None:
        self.on_audience: Callable[[str, bool], None] = lambda who, there: None
        self._listeners: set[_Listener] = set()
        self._there = {PAGE: 0, LOGS: 0}
        self._pending: dict[tuple[str, Hashable], Make] = {}
        self._flusher: Any = None
        self._flushed_at = 0.0
        self._restart()

    def there(self, who: str) -> bool:
        """Whether a listener of this kind is there, or was a moment ago."""
        return self._there[who] > 0

    def _restart(self) -> None:
        """What comes now does not go on from what was before: an id of that is unknown."""
        self._name = f"{time.time_ns():x}"
        self._number = 0
        self._kept: deque[tuple[int, str, str]] = deque(maxlen=_MOST_KEPT)
        self._pending = {}

    restart = _restart

    # -- telling --

    def tell(self, kind: str, key: Hashable, make: Make, *, urgent: bool = False) -> None:
        """Something has happened. ``make`` gives its data, or None if there is nothing new after all.

        Never blocks, and costs nothing without listeners.
        """
        if not self._listeners and not self._there[PAGE]:
            return
        self._pending.pop((kind, key), None)
        self._pending[kind, key] = make
        due_s = self._flushed_at + _MOMENT_S - time.monotonic()
        if urgent or due_s <= 0:
            self.flush()
        elif self._flusher is None:
            self._flusher = eventlet.spawn_after(due_s, self.flush)

    def flush(self) -> None:
        """Send what has been told."""
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()
        pending, self._pending = self._pending, {}
        self._flushed_at = time.monotonic()
        fresh = []
        for (kind, _), make in pending.items():
            if (data := make()) is not None:
                fresh.append((kind, self._numbered(kind, data)))
        messages: dict[Wants, str] = {}
        for listener in self._listeners:
            wants = listener.wants
            if wants not in messages:
                messages[wants] = "".join(text for kind, text in fresh if _hears(wants, kind))
            if messages[wants]:
                listener.put(messages[wants])

    def _numbered(self, kind: str, data: Any) -> str:
        if kind == "log":
            return _event(kind, data)  # a line has a number of its own, and its worker keeps it
        self._number += 1
        text = _event(kind, data, f"{self._name}.{self._number}")
        self._kept.append((self._number, kind, text))
        return text

    # -- following --

    def follow(
        self,
        wants: Wants,
        after: str,
        still: Callable[[], bool],
        snapshot: Make,
        backlog: Callable[[], Iterable[Any]],
    ) -> Iterator[str]:
        """One listener's stream, until it goes away, or ``still()`` ends: then it asks elsewhere.

        Args:
            after: the id of the last event that it has had; empty at first.
            snapshot: everything that a page shows, as of now.
            backlog: the log lines that are known; a listener skips those that it has.
        """

        def whole() -> str:
            self.flush()  # what is older than the snapshot must not come after it
            return _event("snapshot", snapshot(), f"{self._name}.{self._number}")

        with self._listening(wants) as mine:
            yield ": welcome\n\n"
            if PAGE in wants:
                yield whole() if (missed := self._missed(wants, after)) is None else missed
            if LOGS in wants:
                yield "".join(_event("log", lines) for lines in backlog())
            while still():
                message = _event("beat", {}) if PAGE in wants else ": still here\n\n"
                with suppress(queue.Empty):
                    message = mine.queue.get(timeout=_BEAT_S)
                if mine.lost and PAGE in wants:
                    mine.lost, message = False, whole()
                yield message

    @contextmanager
    def _listening(self, wants: Wants) -> Iterator[_Listener]:
        if not self._listeners and not self._there[PAGE]:
            self._restart()  # without listeners nothing was kept
        mine = _Listener(wants)
        self._listeners.add(mine)
        for who in wants & self._there.keys():
            self._there[who] += 1
            if self._there[who] == 1:
                self.on_audience(who, True)
        try:
            yield mine
        finally:
            self._listeners.discard(mine)
            eventlet.spawn_after(_LINGER_S, self._left, wants)

    def _left(self, wants: Wants) -> None:
        for who in wants & self._there.keys():
            self._there[who] -= 1
            if not self._there[who]:
                self.on_audience(who, False)

    def _missed(self, wants: Wants, after: str) -> str | None:
        """The events behind ``after``, as one message; None where they are unknown."""
        name, _, number = after.partition(".")
        if name != self._name or not number.isdecimal() or not 0 <= int(number) <= self._number:
            return None
        missed = [(n, kind, text) for n, kind, text in self._kept if n > int(number)]
        if len(missed) < self._number - int(number):
            return None
        texts = [text for _, kind, text in missed if _hears(wants, kind)]
        return "".join([_event("resumed", {"events": len(texts)}), *texts])


def _hears(wants: Wants, kind: str) -> bool:
    return kind in _FOR_ALL or (LOGS if kind == "log" else PAGE) in wants


def _event(kind: str, data: Any, number: str = "") -> str:
    """As the wire has it. JSON has no line ends of its own, so nothing in ``data`` can forge a field."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
