"""The backup's side of the protocol that stands in ``primary_backup``.

A backup follows ``/jobs`` by a watch. For every transaction that is undecided it puts the payload on its own
disk, synced, and only then creates the ACK, checked against the epoch that recorded it. It keeps what is
committed, and drops a copy only on an explicit "aborted".
"""

import logging
from typing import Any

import eventlet
from eventlet import queue, tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState

from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.records import OnStep, is_used, quiet, read_ack, read_outcome
from app.consistency.engine.transactions import Ack, Digest
from app.errors import Malformed, PayloadUnavailable
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# Copies made at the same time: one bad or slow payload never holds up the next.
_COPIERS = 8


class Backup:
    """Copies every transaction to its own disk, and acknowledges it only then.

    Args: as for :class:`~app.consistency.primary_backup.Primary`; ``name`` is what it signs its ACKs with.
    """

    def __init__(
        self, client: KazooClient, disk: Disk, epoch: Epoch, name: str, *, on_step: OnStep = quiet
    ) -> None:
        self._client = client
        self._disk = disk
        self.epoch = epoch
        self._name = name
        self._on_step = on_step
        self._seen: set[str] = set()
        self._copiers = eventlet.GreenPool(_COPIERS)
        self._inbox: Any = queue.LightQueue()
        self._thread: Any = None

    def start(self) -> None:
        """Follow ``/jobs`` by a watch, and look through all of it once: a restart finds what it missed."""
        self._client.add_listener(self._on_state)
        self._thread = eventlet.spawn(self._follow)
        self._inbox.put(None)

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        for thread in [self._thread, *self._copiers.coroutines_running]:
            if thread is not None:
                eventlet.kill(thread)

    def replicate(self, children: list[str]) -> None:
        """Copy and acknowledge what is new among the ids in ``children``; returns before that is done."""
        self._seen.intersection_update(children)
        for job_id in paths.usable(children):
            if job_id not in self._seen:
                self._seen.add(job_id)
                self._copiers.spawn_n(self._copy, job_id)

    def catch_up(self) -> None:
        """Copy everything that is not aborted, and return when it is on disk.

        Complete if our epoch has no backup yet: then nothing new can be published meanwhile.

        Raises:
            OSError: the disk can't keep it all.
            PayloadUnavailable: something is missing, so this isn't complete.
            Exception: one of zk.NO_REPLY.
        """
        deadline = zk.Deadline(zk.STEP_S)
        zk.wait(self._client.sync_async(paths.JOBS), deadline)
        for job_id in paths.usable(zk.wait(self._client.get_children_async(paths.JOBS), deadline)):
            try:
                with self._disk.locks.hold(job_id):
                    self._keep(job_id, zk.Deadline(zk.STEP_S))
            except Malformed as error:
                log.error("%s: %s left alone: %s", self._name, job_id, error)

    # -- following --

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._seen.clear()  # watches and ACKs may have been lost with the connection
            self._inbox.put(None)

    def _follow(self) -> None:
        while True:
            event = self._inbox.get()
            try:
                if event is not None and event.path and event.path != paths.JOBS:
                    self._copiers.spawn_n(self._copy, event.path.split("/")[2])
                else:
                    deadline = zk.Deadline(zk.STEP_S)
                    asked = self._client.get_children_async(paths.JOBS, watch=self._inbox.put)
                    self.replicate(zk.wait(asked, deadline))
            except zk.NO_REPLY as error:
                log.info("%s: %r; looking again", self._name, error)
                self._look_again()

    def _look_again(self) -> None:
        """At once if the answer was only late; else the next connection makes us look."""
        if self._client.connected:
            self._inbox.put(None)

    def _copy(self, job_id: str) -> None:
        """One transaction, by itself: its trouble is nobody else's."""
        try:
            # In turn, or "aborted" could be overtaken by the copy that it is to drop.
            with self._disk.locks.hold(job_id):
                self._keep(job_id, zk.Deadline(zk.STEP_S), acknowledge=True)
        except zk.NO_REPLY as error:
            log.info("%s: %s not copied yet: %r", self._name, job_id, error)
            self._seen.discard(job_id)
            self._look_again()
        except Malformed as error:
            log.error("%s: %s left alone: %s", self._name, job_id, error)
        except (OSError, PayloadUnavailable) as error:
            log.error("%s: %s can't be kept, so it isn't acknowledged: %s", self._name, job_id, error)

    # -- one transaction --

    def _keep(self, job_id: str, deadline: zk.Deadline, *, acknowledge: bool = False) -> None:
        """Have the copy on disk if it is to be kept, drop it on an explicit "aborted"."""
        # Both asked at once, to save a round trip; a megabyte that is here already isn't asked for again.
        # What is undecided leaves a watch for its decision.
        got = None if self._disk.may_hold(job_id) else self._client.get_async(paths.job(job_id))
        watch = self._inbox.put if acknowledge else None
        decided = self._client.exists_async(paths.outcome(job_id), watch=watch)
        outcome = read_outcome(self._client, job_id, deadline) if zk.wait(decided, deadline) else None
        if outcome is not None and outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            self._on_step("aborted, no copy kept", job_id)
            return
        if outcome is not None and (
            tpool.execute(self._disk.load, job_id, outcome.sha256) is not None
            or is_used(self._client, job_id, deadline)
        ):
            return
        try:
            payload, stat = zk.wait(got or self._client.get_async(paths.job(job_id)), deadline)
        except NoNodeError:
            return  # forgotten. A copy is never dropped because a record is missing.
        if outcome is None and stat.version > 0:
            return  # aborted and blanked since we asked: its outcome is on the way
        digest = Digest.of(payload)
        if outcome is not None and outcome.sha256 != digest.sha256:
            log.error("%s: the payload of %s is not the committed one: not copied", self._name, job_id)
            return
        tpool.execute(self._disk.save, job_id, payload)
        if acknowledge and outcome is None:
            self._on_step("backup has it on disk", job_id)
            self._acknowledge(job_id, digest, deadline)

    def _acknowledge(self, job_id: str, digest: Digest, deadline: zk.Deadline) -> None:
        """Create the ACK, or replace one that isn't ours: one left by an older backup, or a forged one."""
        ack = Ack(author=self._name, epoch=self.epoch.number, size=digest.size, sha256=digest.sha256)
        path = paths.backup_ack(job_id)
        for replace in (False, True):
            acknowledging = self.epoch.guard(self._client.transaction())
            if replace:
                acknowledging.set_data(path, ack.to_bytes())
            else:
                acknowledging.create(path, ack.to_bytes())
            try:
                zk.commit(acknowledging, deadline)
                self._on_step("ACK created", job_id)
                return
            except zk.TransactionFailed as rejected:
                if rejected.index == 0:
                    log.info("%s: epoch %d is over; no ACK for %s", self._name, self.epoch.number, job_id)
                    return
                if not isinstance(rejected.cause, NodeExistsError):
                    return  # forgotten meanwhile
            if read_ack(self._client, job_id, deadline) == ack:
                return
