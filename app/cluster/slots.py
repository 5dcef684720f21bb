"""Replica slots: which worker hosts which replica. Taken, never configured.

Each of the five slots is the ephemeral znode ``/hosts/<i>``. A worker takes the lowest that is free and
keeps it while its session lives; a sixth worker waits until one is. What replica i holds stays in its znode,
as on a disk that the next host of slot i mounts: stale, perhaps, and never empty.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from app.consistency.quorum import N
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)


class Slot:
    """Takes a replica slot, and another if it is lost.

    Args:
        client: the worker's connected client.
        name: the worker's, for those who look at ``/hosts/<i>``.
        on_change: called when it has taken another slot; must return quickly.

    Attributes:
        number: the slot that it holds (1..N), None while it has none.
    """

    def __init__(self, client: KazooClient, name: str, on_change: Callable[[], None]) -> None:
        self._client = client
        self._name = name.encode()
        self._on_change = on_change
        self._reconciler = Reconciler(client, "a replica slot", self._have_one)
        self.number: int | None = None

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        """Look after it no longer; the znode goes with the session."""
        self._reconciler.stop()

    def _have_one(self) -> None:
        deadline = zk.Deadline(zk.STEP_S)
        asked = self._client.get_children_async(paths.HOSTS, watch=self._reconciler.wake)
        taken = {int(child) for child in zk.wait(asked, deadline) if child.isdecimal()}
        before, self.number = self.number, self._mine(taken, deadline)
        for index in sorted(set(range(1, N + 1)) - taken):
            if self.number is None and self._take(index, deadline):
                self.number = index
        if self.number != before:
            log.info("%s hosts replica %s", self._name.decode(), self.number)
            self._on_change()

    def _mine(self, taken: set[int], deadline: zk.Deadline) -> int | None:
        """The slot that this session holds. One that a former session of ours left behind is freed."""
        asked = [(index, self._client.get_async(paths.host(index))) for index in sorted(taken)]
        held = None
        for index, result in asked:
            with suppress(NoNodeError):
                data, stat = zk.wait(result, deadline)
                if stat.ephemeralOwner == zk.session_id(self._client):
                    held = index
                elif data == self._name:
                    with suppress(BadVersionError):
                        zk.wait(self._client.delete_async(paths.host(index), version=stat.version), deadline)
        return held

    def _take(self, index: int, deadline: zk.Deadline) -> bool:
        try:
            zk.wait(self._client.create_async(paths.host(index), self._name, ephemeral=True), deadline)
        except NodeExistsError:
            return False  # another was first
        return True
