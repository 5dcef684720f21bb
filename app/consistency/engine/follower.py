"""Follows ``/jobs`` by a watch, and has each transaction copied by itself: its trouble harms no other."""

import logging
from abc import ABC, abstractmethod
from functools import partial

import eventlet
from eventlet import tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.records import OnStep, is_used, quiet, read_outcome
from app.consistency.engine.transactions import Outcome
from app.errors import Malformed, PayloadUnavailable
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# Copies made at the same time: one bad or slow payload never holds up the next.
_COPIERS = 8


class Follower(ABC):
    """Has each transaction copied when it is new, and again when it is decided.

    Args:
        client: this participant's own connected client. kazoo calls every watch when the connection is lost,
            so what is undecided is copied again after it.
        disk: its own disk.
        epoch: the epoch in which it backs up.
        name: what it signs its ACKs with.
        on_step: called with (what has just happened, transaction's id); must return quickly.
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
        self._running = False
        self._reconciler = Reconciler(client, f"{name}: {paths.JOBS}", self._look_for_new)

    @abstractmethod
    def _copy(self, job_id: str, *, acknowledge: bool) -> None:
        """Copy one transaction; raises one of zk.NO_REPLY, Malformed, OSError or PayloadUnavailable."""

    def start(self) -> None:
        """Begin by looking through all of it once: a restart finds what it missed."""
        self._running = True
        self._reconciler.start()

    def stop(self) -> None:
        self._running = False
        self._reconciler.stop()
        for thread in list(self._copiers.coroutines_running):
            eventlet.kill(thread)

    def replicate(self, children: list[str]) -> None:
        """Copy and acknowledge what is new among the ids in ``children``; returns before that is done."""
        self._seen.intersection_update(children)
        for job_id in paths.usable(children):
            if job_id not in self._seen:
                self._seen.add(job_id)
                self._copiers.spawn_n(self._one, job_id)

    def catch_up(self) -> None:
        """Copy everything that is not aborted, and return when it is on disk; acknowledge nothing.

        Complete if our epoch has no backup yet: then nothing new can be published meanwhile. Raises OSError
        or PayloadUnavailable (this isn't complete), or one of zk.NO_REPLY.
        """
        deadline = zk.Deadline(zk.STEP_S)
        zk.wait(self._client.sync_async(paths.JOBS), deadline)
        for job_id in paths.usable(zk.wait(self._client.get_children_async(paths.JOBS), deadline)):
            try:
                self._copy(job_id, acknowledge=False)
            except Malformed as error:
                log.error("%s: %s left alone: %s", self._name, job_id, error)

    def _look_for_new(self) -> None:
        asked = self._client.get_children_async(paths.JOBS, watch=self._reconciler.wake)
        self.replicate(zk.wait(asked, zk.Deadline(zk.STEP_S)))

    def _one(self, job_id: str) -> None:
        try:
            self._copy(job_id, acknowledge=True)
        except zk.NO_REPLY as error:
            log.info("%s: %s not copied yet: %r", self._name, job_id, error)
            self._seen.discard(job_id)
            self._reconciler.wake()
        except Malformed as error:
            log.error("%s: %s left alone: %s", self._name, job_id, error)
        except (OSError, PayloadUnavailable) as error:
            log.error("%s: %s can't be kept, so it isn't acknowledged: %s", self._name, job_id, error)

    def _again(self, job_id: str, event: object) -> None:
        """It has been decided. A watch calls this, so it must not wait for a free copier."""
        del event
        if self._running:
            eventlet.spawn_n(self._copiers.spawn_n, self._one, job_id)

    def _look(
        self, job_id: str, deadline: zk.Deadline, *, watch: bool
    ) -> tuple[Outcome | None, bytes | None, bool]:
        """A transaction's (outcome, payload, whether the payload has been blanked).

        There is no payload where the record is gone, or where nothing is left to copy. ``watch``: what is
        undecided is copied again when it is decided.
        """
        # Both asked at once, to save a round trip; a megabyte that is here already isn't asked for again.
        got = None if self._disk.may_hold(job_id) else self._client.get_async(paths.job(job_id))
        heard = partial(self._again, job_id) if watch else None
        decided = self._client.exists_async(paths.outcome(job_id), watch=heard)
        outcome = read_outcome(self._client, job_id, deadline) if zk.wait(decided, deadline) else None
        if outcome is not None and (
            outcome.decision == "aborted"
            or tpool.execute(self._disk.load, job_id, outcome.sha256) is not None
            or is_used(self._client, job_id, deadline)
        ):
            return outcome, None, False
        try:
            payload, stat = zk.wait(got or self._client.get_async(paths.job(job_id)), deadline)
        except NoNodeError:
            return outcome, None, False
        return outcome, payload, stat.version > 0
