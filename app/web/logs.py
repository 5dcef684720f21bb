"""This worker's own log: its last lines, as server-sent events on ``GET /logs``."""

import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import eventlet

_MOST_LINES = 300
_MOST_LETTERS = 2_000
# Lines are written in tpool's threads, too, which must not wake a green thread: so it looks for itself, and
# only while a listener follows.
_LOOK_S = 0.2
_BEAT_S = 15.0
_MOST_AT_ONCE = 100


class Tail(logging.Handler):
    """Keeps the last lines. Line numbers only grow, over restarts too."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._numbers = itertools.count(time.time_ns() // 1_000)
        self._lines: deque[dict[str, Any]] = deque(maxlen=_MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)[:_MOST_LETTERS]
        except Exception:  # noqa: BLE001 (as in logging's own handlers: a student's words may raise anything)
            self.handleError(record)
            return
        number, at = next(self._numbers), round(record.created, 3)
        self._lines.append({"n": number, "at": at, "level": record.levelname, "line": text})

    def since(self, number: int) -> list[dict[str, Any]]:
        """The lines after this one, oldest first; the newest of them if there are many."""
        return [line for line in self._lines.copy() if line["n"] > number][-_MOST_AT_ONCE:]

    def follow(self, number: int = 0) -> Iterator[str]:
        """One listener's stream, for as long as it listens."""
        yield ": welcome\n\n"
        said_at = time.monotonic()
        while True:
            for line in self.since(number):
                number, said_at = line["n"], time.monotonic()
                yield f"id: {number}\ndata: {json.dumps(line)}\n\n"
            if time.monotonic() - said_at > _BEAT_S:
                said_at = time.monotonic()
                yield ": still here\n\n"
            eventlet.sleep(_LOOK_S)


TAIL = Tail()
