"""Membership: who is alive, as the ephemeral znodes under ``/nodes`` say.

A pod that dies is in there until its session has expired; that is the only failure detector there is, and it
may be wrong: a pod that pauses is taken for dead. What must not go wrong for that is fenced elsewhere.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import queue
from kazoo.exceptions import NoNodeError

from app import paths, zk

log = logging.getLogger(__name__)

# The safety net under the watch, and after a step that nobody answered.
_RECHECK_S = 30.0
_RETRY_S = 0.5
_STEP_S = 3.0


class Nodes:
    """Follows ``/nodes``.

    Args:
        client: a connected client.
        on_change: called when somebody has come or gone; must return quickly.

    Attributes:
        live: the names of all who are there, as far as we have heard.
    """

    def __init__(self, client: Any, on_change: Callable[[], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._wake: Any = queue.LightQueue()
        self._thread: Any = None
        self.live: frozenset[str] = frozenset()

    def start(self) -> None:
        self._client.add_listener(self._wake.put)
        self._thread = eventlet.spawn(self._follow)

    def stop(self) -> None:
        self._client.remove_listener(self._wake.put)
        if self._thread is not None:
            self._thread.kill()

    def _follow(self) -> None:
        while True:
            again_s = _RECHECK_S
            if self._client.connected:
                try:
                    asked = self._client.get_children_async(paths.NODES, watch=self._wake.put)
                    live = frozenset(zk.wait(asked, zk.Deadline(_STEP_S)))
                    if live != self.live:
                        self.live = live
                        self._on_change()
                except zk.NO_ANSWER as error:
                    again_s = _RETRY_S
                    log.info("membership: %r; again soon", error)
            with suppress(queue.Empty):
                self._wake.get(timeout=zk.jittered(again_s))


def described(client: Any) -> dict[str, bytes]:
    """What every node says of itself now. Raises one of zk.NO_ANSWER."""
    deadline = zk.Deadline(_STEP_S)
    names = zk.wait(client.get_children_async(paths.NODES), deadline)
    asked = [(name, client.get_async(f"{paths.NODES}/{name}")) for name in sorted(names)]
    return {name: found for name, result in asked if (found := _data(result, deadline)) is not None}


def _data(result: Any, deadline: zk.Deadline) -> bytes | None:
    with suppress(NoNodeError):
        data: bytes = zk.wait(result, deadline)[0]
        return data
    return None
