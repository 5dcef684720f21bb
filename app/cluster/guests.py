"""A worker's guests: which demo runs have invited it, and what it hosts for them.

A run names its cast in the transaction that creates its root, so one look at a new root tells whether this
worker is invited: a run without it costs one question, and no watch. Nothing that happens to a guest, or
that a demo says, harms the worker: its parts run on second sessions behind links of their own, in green
threads that are owned here, and never more than a few at a time.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import eventlet
from eventlet import tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from app.cluster.guest import Guest, decline
from app.cluster.guest_role import GuestRole
from app.errors import Unreachable
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# Demos that run at the same time on one cluster: a class of a dozen shares it in turns. Each guest is a
# session, a link and a few green threads.
MOST_GUESTS = 8
# All guests end at once; where ZooKeeper doesn't answer, each takes a few seconds.
_END_S = 4.0
_NOT_NOW: tuple[type[Exception], ...] = (*zk.NO_REPLY, Unreachable, OSError)


class Guests:
    """Follows ``/demos``, and accepts invitations while the worker's life lasts.

    Args:
        client: the worker's main session.
        name: the pod's.
        hosts: the ZooKeeper servers, for the guests' own sessions.
        folder: for the guests' disks, one folder for each run; gone with the run.
    """

    def __init__(self, client: KazooClient, name: str, hosts: str, folder: Path) -> None:
        self._client = client
        self._name = name
        self._hosts = hosts
        self._folder = folder
        self._guests: dict[str, Guest] = {}
        self._known: set[str] = set()
        self._reconciler = Reconciler(client, "invitations", self._look, not_now=_NOT_NOW)
        self._endings = eventlet.GreenPool(2 * MOST_GUESTS)

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        """End all of them; their folders stay, as a crashed pod's do, until their runs are over."""
        self._reconciler.stop()
        for guest in self._guests.values():
            self._endings.spawn_n(guest.stop)
        self._guests.clear()
        with eventlet.Timeout(_END_S, False):
            self._endings.waitall()

    def _look(self) -> None:
        deadline = zk.Deadline(zk.STEP_S)
        zk.ensure(self._client, (paths.DEMOS,), deadline)
        found = zk.wait(self._client.get_children_async(paths.DEMOS, watch=self._reconciler.wake), deadline)
        runs = set(paths.usable(found))
        for run_id in set(self._guests) - runs:
            self._end(self._guests[run_id])
        asked = [
            (run_id, self._client.exists_async(self._invitation(run_id))) for run_id in runs - self._known
        ]
        for run_id, result in asked:
            if zk.wait(result, deadline) is not None:
                self._accept(run_id)
            self._known.add(run_id)
        self._known &= runs
        tpool.execute(_sweep, self._folder, runs)

    def _invitation(self, run_id: str) -> str:
        return paths.run(run_id) + paths.cast(self._name)

    def _accept(self, run_id: str) -> None:
        if len(self._guests) >= MOST_GUESTS:
            log.warning("%s: invited to %s, but has %d guests already", self._name, run_id, MOST_GUESTS)
            why = f"{self._name} has {MOST_GUESTS} demos as its guests already: wait until one has ended"
            with suppress(NoNodeError):
                decline(self._client, self._name, run_id, why)
            return
        log.info("%s: a guest of %s", self._name, run_id)
        guest = Guest(self._client, self._name, run_id, partial(self._make_role, run_id), self._end)
        self._guests[run_id] = guest
        guest.start()

    def _make_role(self, run_id: str, changed: Callable[[], None]) -> GuestRole:
        folder = self._folder / paths.checked(run_id)
        return GuestRole(self._name, self._hosts, paths.run(run_id), folder, changed)

    def _end(self, guest: Guest) -> None:
        if self._guests.pop(guest.run_id, None) is guest:
            self._endings.spawn_n(self._bury, guest)

    def _bury(self, guest: Guest) -> None:
        guest.stop()
        try:
            tpool.execute(_remove, self._folder / guest.run_id)
        except OSError as error:
            log.warning("%s: the folder of %s stays for now: %s", self._name, guest.run_id, error)


def _sweep(folder: Path, runs: set[str]) -> None:
    """Remove the disks of runs that are over: their guests died before they could."""
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name not in runs:
            _remove(left)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
