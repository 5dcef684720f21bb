"""kazoo's client on a simulated line: all of kazoo but its ``ConnectionHandler``, the loop over a socket.

The session's states, the queue of requests, what happens to them when a connection is lost, watches,
transactions and ``DataWatch`` are kazoo's own: what is left to get wrong is small. Bytes for kazoo's loop
would make one thing more true, at several times the cost; that loop is tested on real servers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import eventlet
from kazoo.client import KazooClient
from kazoo.handlers.eventlet import SequentialEventletHandler
from kazoo.protocol.states import KeeperState

from proof.simulation.clock import Ordered, after
from proof.simulation.connection import Connection
from proof.simulation.ensemble import Ensemble
from proof.simulation.network import Line

# Between two rounds over the servers, in seconds: as app.zookeeper.client asks of kazoo.
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.3


class _Watchers(dict[str, Ordered]):
    def __missing__(self, path: str) -> Ordered:
        made = self[path] = Ordered()
        return made


class _Handler(SequentialEventletHandler):  # type: ignore[misc]  # kazoo has no annotations
    """kazoo's, but that starting a thread doesn't wait for it: the hub starts some, and can't wait."""

    def spawn(self, func: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return eventlet.spawn(func, *args, **options)


class Client(KazooClient):  # type: ignore[misc]  # kazoo has no annotations
    """Not yet started, as kazoo's. ``timeout``: of its session, in seconds."""

    def __init__(self, ensemble: Ensemble, line: Line, *, chroot: str = "", timeout: float) -> None:
        super().__init__(f"simulated:1{chroot}", timeout=timeout, handler=_Handler())
        self.state_listeners = Ordered()
        self._connection = _Connections(self, ensemble, line)

    def _reset_watchers(self) -> None:
        super()._reset_watchers()
        self._child_watchers, self._data_watchers = _Watchers(), _Watchers()


class _Connections:
    """Takes the place of kazoo's ``ConnectionHandler``: has one connection after the other."""

    def __init__(self, client: Client, ensemble: Ensemble, line: Line) -> None:
        self._client, self._ensemble, self._line = client, ensemble, line
        self._choose = random.Random()
        self.connection_stopped = client.handler.event_object()
        self.connection_stopped.set()
        self._write_sock = self  # kazoo rings it for each request
        self._connection: Connection | None = None
        self._left: list[Any] = []  # servers that this round has yet to try
        self._rounds = 0

    # -- what kazoo calls --

    def start(self) -> None:
        self.connection_stopped.clear()
        self._go_on()

    def stop(self, timeout: float | None = None) -> bool:
        self.connection_stopped.wait(timeout)
        return bool(self.connection_stopped.is_set())

    def close(self) -> None:
        """There is nothing to free."""

    def send(self, _: bytes) -> int:
        if self._connection is not None:
            self._connection.send_queued()
        return 1

    # -- connecting --

    def _go_on(self) -> None:
        """Try the next server; when all were tried, go round again after a pause."""
        self._connection = None
        client = self._client
        if client._stopped.is_set():  # noqa: SLF001 (kazoo's own loop asks so)
            self.connection_stopped.set()
            client._session_callback(KeeperState.CLOSED)  # noqa: SLF001
            return
        if client._state != KeeperState.CONNECTING:  # noqa: SLF001
            client._session_callback(KeeperState.CONNECTING)  # noqa: SLF001
        if self._left:
            patience_s = client._session_timeout / 1000 / len(self._ensemble.servers)  # noqa: SLF001
            self._connection = Connection(
                client, self._line, self._left.pop(), patience_s, self._choose, self._connected, self._go_on
            )
        else:
            pause_s = min(_PAUSE_S * 2**self._rounds, _LONGEST_PAUSE_S) if self._rounds else 0.0
            self._rounds += 1
            self._left = list(self._ensemble.servers)
            self._choose.shuffle(self._left)
            after(self._choose.uniform(pause_s / 2, pause_s), self._go_on)

    def _connected(self) -> None:
        self._rounds = 0
