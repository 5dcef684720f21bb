"""Membership: who is alive, as the ephemeral znodes under ``/nodes`` say.

A pod that dies is in there until its session has expired; that is the only failure detector there is, and it
may be wrong: a pod that pauses is taken for dead. What must not go wrong for that is fenced elsewhere.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler


class Nodes:
    """Follows ``/nodes``.

    Args:
        client: a connected client.
        on_change: called when somebody has come or gone; must return quickly.

    Attributes:
        live: the names of all who are there, as far as we have heard.
    """

    def __init__(self, client: KazooClient, on_change: Callable[[], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._reconciler = Reconciler(client, "membership", self._look)
        self.live: frozenset[str] = frozenset()

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        self._reconciler.stop()

    def _look(self) -> None:
        asked = self._client.get_children_async(paths.NODES, watch=self._reconciler.wake)
        live = frozenset(zk.wait(asked, zk.Deadline(zk.STEP_S)))
        if live != self.live:
            self.live = live
            self._on_change()


def described(client: KazooClient) -> dict[str, dict[str, Any]]:
    """What every node says of itself now. Raises one of zk.NO_REPLY."""
    deadline = zk.Deadline(zk.STEP_S)
    names = zk.wait(client.get_children_async(paths.NODES), deadline)
    asked = [(name, client.get_async(paths.listed(paths.NODES, name))) for name in sorted(names)]
    found = [(name, told_by(_data(result, deadline))) for name, result in asked]
    return {name: told for name, told in found if told is not None}


def told_by(data: bytes) -> dict[str, Any] | None:
    """What a worker says of itself in these bytes; None if they aren't a worker's."""
    with suppress(ValueError):
        told = json.loads(data)
        if isinstance(told, dict):
            return told
    return None


def _data(result: Any, deadline: zk.Deadline) -> bytes:
    """The bytes of a node; none of one that has just gone."""
    with suppress(NoNodeError):
        data: bytes = zk.wait(result, deadline)[0]
        return data
    return b""
