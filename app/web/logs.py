"""Logs: this worker's own, as server-sent events on ``GET /logs``; and all workers' on the master's page.

A worker says in ``/nodes/<pod>`` where it is reached, and serves its own log, so the master needs no rights
over pods. It reads the others' only while a page shows them. What comes is untrusted text: bounded here, and
set as text by the page.
"""

import ipaddress
import itertools
import json
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import eventlet
from eventlet import tpool

from app.web.stream import Stream
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

_MOST_LINES = 300
_MOST_LETTERS = 2_000
# Lines are written in tpool's threads, too, which must not wake a green thread: so it looks for itself, and
# only while a listener follows.
_LOOK_S = 0.2
_BEAT_S = 15.0
_MOST_AT_ONCE = 100
# Of the other workers' logs.
_CONNECT_S = 2.0
_SILENCE_S = 40.0  # a worker that has nothing to say says that more often
_AGAIN_S = 1.0
_MOST_BYTES = 32_768  # in a line of the stream: JSON needs up to twelve for a letter
_LINES_KEPT = 100
_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


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


class Feeds:
    """The logs of all pods.

    Args:
        urls: where each pod is reached, as it says itself.
    """

    def __init__(self, stream: Stream, urls: Callable[[], Mapping[str, str]]) -> None:
        self._stream = stream
        self._urls = urls
        self._readers: dict[str, Any] = {}
        self._kept: dict[str, deque[dict[str, Any]]] = {}
        self._news: dict[str, list[dict[str, Any]]] = {}
        self._on = False

    def start(self) -> None:
        self._on = True
        self.look()

    def stop(self) -> None:
        self._on = False
        for reader in self._readers.values():
            reader.kill()
        self._readers.clear()
        self._kept.clear()

    def look(self) -> None:
        """Workers may have come or gone: read those that are there."""
        if not self._on:
            return
        there = self._urls()
        for pod in set(self._readers) - set(there):
            self._readers.pop(pod).kill()
        for pod in set(there) - set(self._readers):
            self._readers[pod] = eventlet.spawn(self._read, pod)

    def view(self) -> list[dict[str, Any]]:
        """What is known, for a page that has just come."""
        return [{"pod": pod, "lines": list(lines)} for pod, lines in self._kept.items()]

    def _read(self, pod: str) -> None:
        while True:
            kept = self._kept.setdefault(pod, deque(maxlen=_LINES_KEPT))
            try:
                self._follow(pod, self._urls().get(pod, ""), kept[-1]["n"] if kept else 0)
            except (OSError, ValueError) as error:
                log.debug("the log of %s: %r", pod, error)
            eventlet.sleep(zk.jittered(_AGAIN_S))

    def _follow(self, pod: str, url: str, after: int) -> None:
        """Hand on one worker's lines, until it breaks off. Raises OSError or ValueError."""
        with closing(_connected(url)) as connection:
            connection.settimeout(_SILENCE_S)
            # HTTP/1.0: an answer without chunks, which ends with its connection.
            request = f"GET /logs HTTP/1.0\r\nHost: {pod}\r\nLast-Event-ID: {after}\r\n\r\n"
            connection.sendall(request.encode())
            with closing(connection.makefile("rb")) as lines:
                if b" 200 " not in lines.readline(_MOST_BYTES):
                    raise ValueError("no log there")
                while line := lines.readline(_MOST_BYTES):
                    if line.startswith(b"data: "):
                        self._take(pod, _line(line[6:]))

    def _take(self, pod: str, line: dict[str, Any]) -> None:
        kept = self._kept[pod]
        if kept and line["n"] <= kept[-1]["n"]:
            return
        kept.append(line)
        news = self._news.setdefault(pod, [])
        news.append(line)
        del news[:-_LINES_KEPT]
        self._stream.tell("log", pod, lambda: {"pod": pod, "lines": self._news.pop(pod, [])})


def _connected(url: str) -> Any:
    """Raises OSError or ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise ValueError("not where a worker is")
    host = parts.hostname
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # Resolving blocks, and nothing here is patched.
        host = tpool.execute(socket.gethostbyname, host)
    with eventlet.Timeout(_CONNECT_S, TimeoutError("no reply")):
        return eventlet.connect((host, parts.port))


def _line(data: bytes) -> dict[str, Any]:
    """One line as a worker tells it. Raises ValueError."""
    told = json.loads(data)
    number = told.get("n") if isinstance(told, dict) else None
    at = told.get("at") if isinstance(told, dict) else None
    if not isinstance(number, int) or not isinstance(at, int | float):
        raise ValueError("not a line")
    level = told.get("level")
    with suppress(TypeError):
        level = level if level in _LEVELS else "INFO"
    return {"n": number, "at": at, "level": str(level), "line": str(told.get("line"))[:_MOST_LETTERS]}
