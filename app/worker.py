"""One worker: a session, and everything that a pod does with it. Every pod runs the same.

Roles are taken, never configured: the first in line of the election leads, the next backs up, each of five
hosts one replica of every quorum object, and all of them compute. A worker whose connection is suspended
stops acting as master; one whose session is lost comes back with a new one; one that is asked to end hands
over first.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import eventlet
from eventlet import event
from kazoo.client import KazooClient

from app.cluster.election import prepare
from app.cluster.guests import Guests
from app.cluster.label import RoleLabel
from app.cluster.member import Member
from app.cluster.nodes import Nodes, described
from app.cluster.slots import Slot
from app.consistency.engine.configuration import publish_first
from app.consistency.eventual import INITIAL, ConfigReplica, Copy
from app.errors import LessonError
from app.mapreduce.master import Master
from app.mapreduce.runner import Progress
from app.mapreduce.sweeper import Sweeper
from app.mapreduce.task_worker import TaskWorkers
from app.mapreduce.uploads import UploadDisk
from app.mapreduce.volume import Volume
from app.settings import Settings, WorkerSettings
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# A server that lost its data leaves an old client in SUSPENDED permanently: after this a new one is made.
GIVE_UP_S = 30.0
# How often it is looked at whether the connection has been away for too long.
_TICK_S = 1.0
# An orderly end waits this long for uploads that are being received.
_LAST_ORDERS_S = 1.0
# What a job does is told to the others only if it lasts: most are over before anybody could look.
_DOING_AFTER_S = 0.5
# What may pass by itself.
_NOT_NOW: tuple[type[Exception], ...] = (*zk.NO_REPLY, LessonError, OSError)


class Worker:
    """A worker from start to end.

    Args:
        settings, worker_settings: from the environment.
        on_cluster: called when a worker has come, gone, or taken a role.
        on_job: called with a job that has made progress.
        on_step: called with a step of a transaction and its job's id. All three must return quickly.
        connect: makes a connected client; by default one for ``settings.zk_hosts``. Raises a LessonError.
    """

    def __init__(
        self,
        settings: Settings,
        worker_settings: WorkerSettings,
        *,
        on_cluster: Callable[[], None],
        on_job: Callable[[Progress], None],
        on_step: Callable[[str, str], None],
        connect: Callable[[], Any] | None = None,
    ) -> None:
        self.settings = settings
        self.local = worker_settings
        self.name = settings.pod_name
        self.shared = Volume(worker_settings.shared_dir)
        self.disk = UploadDisk(worker_settings.backup_dir, self.shared)
        self.label = RoleLabel(self.name, worker_settings.namespace)
        self.on_cluster, self.on_job, self.on_step = on_cluster, on_job, on_step
        self.stopping = False
        self._ending = event.Event()
        self._uploads = 0  # being received now
        self.life: WorkerSession | None = None
        self._connect = connect or partial(
            zk.connect, settings.zk_hosts, session_timeout_s=worker_settings.session_timeout_s
        )

    def stop(self) -> None:
        """End in an orderly way: :meth:`run` hands over and returns."""
        if not self.stopping:
            self.stopping = True
            self._ending.send()

    def run(self) -> None:
        """Live, until told to stop; then hand over and return."""
        while not self.stopping:
            try:
                client = self._connect()
            except LessonError as error:
                log.warning("%s", error)
                eventlet.sleep(zk.jittered(1.0))
                continue
            life = WorkerSession(self, client)
            try:
                life.start()
                self.life = life
                self._watch_over(life)
            except _NOT_NOW as error:
                log.warning("%s: starting anew: %r", self.name, error)
                eventlet.sleep(zk.jittered(1.0))
            finally:
                self.life = None
                life.stop()
                zk.disconnect(client)

    def _watch_over(self, life: "WorkerSession") -> None:
        while not self.stopping and life.silence.seconds < GIVE_UP_S:
            self._ending.wait(timeout=_TICK_S)
        last_orders = zk.Deadline(_LAST_ORDERS_S)
        while self.stopping and self._uploads and not last_orders.passed:
            eventlet.sleep(_LAST_ORDERS_S / 20)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """An upload is being received: an orderly end waits a moment for it."""
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @property
    def master(self) -> Master | None:
        """The master that this worker is, while it is."""
        life = self.life
        return life.master if life and life.member.primary and not self.stopping else None

    def keeps(self, master: Master) -> bool:
        """Whether this master goes on, now or when its connection is back: no other has taken over."""
        return self.life is not None and self.life.master is master and not self.stopping

    @property
    def ready(self) -> bool:
        """Whether its session is there, and it knows the configuration, or why it can't be known.

        One that comes while the configuration can't be read works by the first one: it has no last good one.
        """
        life = self.life
        if life is None or not life.client.connected:
            return False
        return life.config.copy.value is not None or life.config.rejected is not None


class WorkerSession:
    """What lives with one client: ended as a whole, and begun anew."""

    def __init__(self, worker: Worker, client: KazooClient) -> None:
        self._worker = worker
        self.client = client
        self.silence = zk.Silence(client)
        name, changed = worker.name, self._changed
        self.nodes = Nodes(client, self._someone_changed)
        self.slot = Slot(client, name, changed)
        self.config = ConfigReplica(client, name, node=self._description)
        self.member = Member(client, name, worker.disk.copies, on_step=self._stepped, on_change=changed)
        self.sweeper = Sweeper(client, worker.disk)
        self.crew = TaskWorkers(
            client, name, worker.shared, self._share, self._doing_changed, self.sweeper.job_ended
        )
        self.guests = Guests(client, name, worker.settings.zk_hosts, worker.local.backup_dir / "guests")
        # Ended in the opposite order: who leads hands over first, and a demo's guests wait for nothing.
        self._roles = (
            self.guests, self.nodes, self.config, self.slot, self.sweeper, self.crew, self.member
        )  # fmt: skip
        self._started: list[Any] = []
        self._live: frozenset[str] = frozenset()
        self.master: Master | None = None

    def start(self) -> None:
        deadline = zk.Deadline(zk.CONNECT_DEADLINE_S)
        prepare(self.client, deadline)
        publish_first(self.client, deadline)
        self.silence.start()
        for role in self._roles:
            role.start()
            self._started.append(role)

    def stop(self) -> None:
        """Stop acting. The session, and what it holds, is the caller's to end."""
        self.silence.stop()
        for role in reversed(self._started):
            role.stop()
        if self.master is not None:
            self.master.stop()
            self.master = None
        self._worker.label.set(leads=False)

    @property
    def role(self) -> str:
        if self.master is not None and self.member.primary is not None:
            return "master"
        return "backup" if self.member.backup is not None else "worker"

    @property
    def epoch(self) -> int | None:
        """The epoch in which it leads or backs up."""
        if self.master is not None:
            return self.master.primary.epoch.number
        return self.member.backup.epoch.number if self.member.backup else None

    def leader(self) -> tuple[str, str] | None:
        """(name, url) of who leads, as the nodes say of themselves. Raises one of zk.NO_REPLY."""
        for node in self.cluster():
            if node["role"] == "master":
                return node["pod"], node["url"]
        return None

    def cluster(self) -> list[dict[str, Any]]:
        """What every node says of itself. Raises one of zk.NO_REPLY."""
        told = described(self.client)
        return [{"pod": name, "role": "worker", "url": "", **node} for name, node in told.items()]

    # -- what the parts tell --

    def _description(self, copy: Copy) -> bytes:
        return json.dumps(
            {
                "role": self.role,
                "url": self._worker.local.url,
                "epoch": self.epoch,
                "config_version": copy.mzxid,
                "slot": self.slot.number,
                "doing": self.crew.doing,
            }
        ).encode()

    def _share(self) -> tuple[int, int]:
        """Where this worker begins among those who share a job's tasks."""
        names = sorted(self.nodes.live | {self._worker.name})
        return names.index(self._worker.name), len(names)

    def _changed(self) -> None:
        """A role has been taken or lost, perhaps.

        While the connection is away the master is kept and not asked: if no other takes over, it goes
        on with the uploads and jobs that it has in hand.
        """
        primary = self.member.leadership
        if self.master is not None and self.master.primary is not primary:
            self.master.stop()
            self.master = None
            log.info("%s no longer leads", self._worker.name)
        if primary is not None and self.master is None:
            self.master = self._new_master(primary)
            self.master.start()
            log.info("%s leads in epoch %d", self._worker.name, primary.epoch.number)
        self._worker.label.set(leads=self.member.primary is not None)
        self.config.announce()
        self._worker.on_cluster()

    def _new_master(self, primary: Any) -> Master:
        worker = self._worker
        return Master(
            self.client,
            primary,
            worker.disk,
            worker.shared,
            self.nodes,
            min_nodes=worker.local.min_nodes,
            chunk_size=self._chunk_size,
            on_event=worker.on_job,
        )

    def _chunk_size(self) -> int:
        """From our copy of the eventual configuration: it may be stale, and the plan keeps what it was."""
        value = (self.config.copy.value or INITIAL)["chunk_size"]
        assert isinstance(value, int)  # parsed by its schema
        return value

    def _stepped(self, step: str, job_id: str) -> None:
        """A step of a transaction, here as primary or as backup."""
        log.info("%s: %s", job_id, step)
        self._worker.on_step(step, job_id)

    def _someone_changed(self) -> None:
        gone, self._live = self._live - self.nodes.live, self.nodes.live
        if gone and self.master is not None:
            log.info("gone: %s", ", ".join(sorted(gone)))
            self.master.someone_left()
        self._worker.on_cluster()

    def _doing_changed(self) -> None:
        eventlet.spawn_after(_DOING_AFTER_S, self._tell_doing, self.crew.doing)

    def _tell_doing(self, doing: list[str]) -> None:
        if doing == self.crew.doing:
            self.config.announce()
