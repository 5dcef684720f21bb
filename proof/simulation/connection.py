"""One connection of a client to a server, from dialling to its end, as kazoo's loop would see it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError
from kazoo.protocol.connection import EVENT_TYPE_MAP
from kazoo.protocol.serialization import Close, Exists, GetChildren, GetChildren2, Transaction
from kazoo.protocol.states import Callback, EventType, KeeperState, WatchedEvent

from proof.simulation import server as servers
from proof.simulation.clock import after
from proof.simulation.network import Line

if TYPE_CHECKING:
    from proof.simulation.client import Client

# A server drops the connection on a packet of more bytes (jute.maxbuffer).
_MOST_BYTES = 1_048_575


class Connection:
    """Dials at once.

    Args:
        client: its queue is sent, in order.
        server: where to.
        patience_s: for how long it waits for the server's first word.
        connected: called when the session is there.
        ended: called once, when the connection has: it was refused, lost, or closed.
    """

    def __init__(
        self,
        client: Client,
        line: Line,
        server: servers.Server,
        patience_s: float,
        choose: random.Random,
        connected: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._client, self._line, self._server, self._choose = client, line, server, choose
        self._on_connected, self._on_ended = connected, ended
        self._requests = line.channel("requests", self._at_the_server)
        self._replies = line.channel("replies", self._received)
        self._there: servers.Connection | None = None  # as the server has it
        self._is_ready = self._has_ended = self._awaits_pong = False
        self._number = 0
        self._read_timeout_s = client._session_timeout / 1000 * 2 / 3  # noqa: SLF001 (kazoo's own loop asks so)
        line.on_break(self._lost)
        self._timer = after(patience_s, self._lost)
        if line.is_down or server.is_down:
            after(line.takes_s(), self._lost)
        else:
            self._requests.send(("hello", client._session_id or 0, client.last_zxid))  # noqa: SLF001

    # -- at the server --

    def _at_the_server(self, message: tuple[Any, ...]) -> None:
        self._server.when_awake(self._arrived, message)

    def _arrived(self, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "hello":
            timeout_s = self._client._session_timeout / 1000  # noqa: SLF001
            self._there = self._server.open(self._replies, self._closed_there, timeout_s, *rest)
            if self._there is None:
                self._replies.send(("closed",))
        elif self._there is not None:
            if kind == "bye" or _size(rest[0]) > _MOST_BYTES:
                self._server.close(self._there)
            else:
                self._server.receive(self._there, *rest)

    def _closed_there(self) -> None:
        self._replies.send(("closed",))

    # -- at the client --

    def send_queued(self) -> None:
        """Send what kazoo has queued."""
        client = self._client
        while self._is_ready and client._queue:  # noqa: SLF001
            request, result = client._queue.popleft()  # noqa: SLF001
            self._number += 1
            client._pending.append((request, result, self._number))  # noqa: SLF001
            self._requests.send(("request", request, self._number))
            self._wait_for_the_next()

    def _received(self, message: tuple[Any, ...]) -> None:
        if self._has_ended:
            return
        kind, *rest = message
        if kind == "closed":
            self._lost()
        elif kind == "welcome":
            self._welcomed(*rest)
        elif kind == "pong":
            self._awaits_pong = False
        elif kind == "event":
            self._notify(*rest)
        else:
            self._answered(*rest)

    def _welcomed(self, session: int) -> None:
        client = self._client
        if not session:
            self._end()
            client._session_callback(KeeperState.EXPIRED_SESSION)  # noqa: SLF001
            self._on_ended()
            return
        self._is_ready = True
        client._session_id = session  # noqa: SLF001
        client._session_passwd = b"simulated"  # noqa: SLF001
        self._on_connected()
        self._wait_for_the_next()
        client._session_callback(KeeperState.CONNECTED)  # noqa: SLF001
        self.send_queued()

    def _answered(self, number: int, zxid: int, answer: Any) -> None:
        """As kazoo's ``_read_response``: the result, then the watch; an error leaves none."""
        client = self._client
        request, result, expected = client._pending.popleft()  # noqa: SLF001
        assert number == expected
        client.last_zxid = max(client.last_zxid, zxid)
        if isinstance(request, Close):
            self._end()
            self._on_ended()
            return
        if isinstance(answer, NoNodeError) and isinstance(request, Exists):
            answer = None
        if isinstance(answer, Exception):
            result.set_exception(answer)
            return
        result.set(Transaction.unchroot(client, answer) if isinstance(request, Transaction) else answer)
        watcher = getattr(request, "watcher", None)
        if watcher and not client._stopped.is_set():  # noqa: SLF001
            of_children = isinstance(request, GetChildren | GetChildren2)
            watchers = client._child_watchers if of_children else client._data_watchers  # noqa: SLF001
            watchers[request.path].add(watcher)

    def _notify(self, kind: int, path: str) -> None:
        """As kazoo's ``_read_watch_event``."""
        client, event = self._client, EVENT_TYPE_MAP[kind]
        watching: list[Any] = []
        if event != EventType.CHILD:
            watching += client._data_watchers.pop(path, ())  # noqa: SLF001
        if event in (EventType.CHILD, EventType.DELETED):
            watching += client._child_watchers.pop(path, ())  # noqa: SLF001
        if not client._stopped.is_set():  # noqa: SLF001
            said = WatchedEvent(event, client._state, client.unchroot(path))  # noqa: SLF001
            for watcher in watching:
                client.handler.dispatch_callback(Callback("watch", watcher, (said,)))

    # -- pings, and the end --

    def _wait_for_the_next(self) -> None:
        """kazoo pings when it has sent nothing for half of its patience; a second silence is the end."""
        self._timer.cancel()
        jitter_s = self._choose.randint(1, 40) / 100
        self._timer = after(max(self._read_timeout_s / 2 - jitter_s, jitter_s), self._silent)

    def _silent(self) -> None:
        if self._awaits_pong:
            self._lost()
            return
        self._awaits_pong = True
        self._requests.send(("request", None, 0))
        self._wait_for_the_next()

    def _lost(self) -> None:
        """Of what was sent, some may have happened, and some may happen yet: it is still under way."""
        if self._has_ended:
            return
        self._end()
        if self._client._state != KeeperState.CONNECTING:  # noqa: SLF001
            self._client._session_callback(KeeperState.CONNECTING)  # noqa: SLF001
        self._on_ended()

    def _end(self) -> None:
        self._has_ended = True
        self._is_ready = False
        self._timer.cancel()
        self._replies.close()
        if self._choose.random() < 0.5:
            self._requests.send(("bye", None))
        else:
            self._requests.close()  # as where a machine dies with what it had to send
        self._line.forget(self._lost, self._replies)


def _size(request: Any) -> int:
    """Roughly, in bytes, what a request is as a packet: its data."""
    if isinstance(request, Transaction):
        return sum(_size(operation) for operation in request.operations)
    return len(getattr(request, "data", b"") or b"")
