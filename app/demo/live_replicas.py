"""``demo_hard_quorum.py --watch``: a register on the live workers' own replicas, while a class deletes pods.

Replica i is served by the worker that holds the slot ``/hosts/<i>`` of the cluster at work. No worker is
invited or notified, and a pod that replaces a deleted one takes its slot as well. The object itself lives in
this run's root, and goes with it.
"""

import logging
import math
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from eventlet import queue
from kazoo.exceptions import NoNodeError

from app.consistency.engine.replicas import Replicas
from app.consistency.engine.versions import UNWRITTEN, Versioned, decode
from app.consistency.quorum import Quorum, Register
from app.demo.clients import Clients, RegisterLoad
from app.demo.replica_set import OBJECT, shown
from app.demo.stage import Stage
from app.demo.story import Interrupted
from app.errors import BadSettingError, Malformed
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# A light load: at most some three operations a second of each client, until the watching ends.
_THINK_S = (0.3, 0.9)
_OPERATIONS = 1_000_000
_LAST_OPERATIONS_S = 20.0
# The table is drawn again at most this often, and looked at again at least every second.
_FRAME_S = 0.2
_GLANCE_S = 1.0
_HEADER = ("replica", "hosted by", "online", "version", "value")


@dataclass(frozen=True, slots=True)
class Shown:
    """One replica as it is now: its host's name and session (none: offline), what it holds (none: lost)."""

    host: str | None
    session: int | None
    held: Versioned | None


def watch_live_replicas(stage: Stage) -> None:
    """Load and look for as long as the options say; then what was done is in the stage's history."""
    _LiveReplicas(stage).perform(stage.options.watch_s or math.inf)


class _LiveReplicas:
    """The live workers' replicas of one object, under load, as the screen shows them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._object_id = OBJECT
        self._quorum = Quorum()
        self._client = stage.session(chroot="")
        self._changed: Any = queue.LightQueue()
        self._before: dict[int, Shown] = {}

    def perform(self, seconds: float) -> None:
        """Until the time is over or Ctrl-C."""
        story, options = self._stage.story, self._stage.options
        self._create()
        self._before = self._look()
        self._stage.watched += [replica.host for replica in self._before.values() if replica.host]
        story.act(f"light load from {options.clients} clients on the live replicas: delete some pods")
        until = "until Ctrl-C" if math.isinf(seconds) else f"for {seconds:g} s, or until Ctrl-C"
        story.say(f"{until}; then all that the clients read and wrote is checked")
        with closing(Clients(self._load())) as clients:
            try:
                self._follow(clients, seconds)
            except Interrupted:
                story.say("stopping: finishing open operations, then checking")
            clients.enough()
            self._stage.include(clients.history(_LAST_OPERATIONS_S))

    def _create(self) -> None:
        """The object, if enough live workers would serve it. Raises BadSettingError."""
        served: list[str] = []
        with suppress(NoNodeError):  # no worker has ever been here
            served = zk.wait(self._client.get_children_async(paths.HOSTS), zk.Deadline(zk.STEP_S))
        if len(served) < self._quorum.w:
            message = (
                f"--watch: of {self._quorum.n} replicas {len(served)} have a live host, and a write needs "
                f"{self._quorum.w}: `make lab` starts five workers, `make deploy` a cluster"
            )
            raise BadSettingError(message)
        replicas = Replicas(self._object_id, [self._client] * self._quorum.n, self._stage.chroot)
        with closing(Register(replicas, self._quorum)) as register:
            register.create()

    def _load(self) -> RegisterLoad:
        stage, q = self._stage, self._quorum
        return RegisterLoad(
            links=[stage.hosts] * q.n,
            chroot="",
            root=stage.chroot,
            object_id=self._object_id,
            key=stage.key(self._object_id),
            protocol="full",
            n=q.n,
            w=q.w,
            r=q.r,
            operations=_OPERATIONS,
            clients=stage.options.clients,
            seed=stage.options.seed,
            session_timeout_s=stage.options.session_timeout_s,
            think_s=_THINK_S,
        )

    def _follow(self, clients: Clients, seconds: float) -> None:
        time_is_up = zk.Deadline(seconds)
        with self._stage.story.moving_table(_HEADER) as draw:
            while not time_is_up.passed:
                try:
                    now = self._look()
                except zk.NO_REPLY as error:
                    log.info("no look at the replicas: %r", error)
                else:
                    self._report(now)
                    draw(_rows(now), _score(clients))
                self._wait(min(_GLANCE_S, time_is_up.left_s))

    def _wait(self, seconds: float) -> None:
        """Until something has changed; then a moment more, so that what changes together is seen together."""
        try:
            self._changed.get(timeout=max(seconds, 0.01))
        except queue.Empty:
            return
        self._stage.rest(_FRAME_S)
        while self._changed.qsize():
            self._changed.get()

    def _look(self) -> dict[int, Shown]:
        """Every replica as it is now, all asked at once. Leaves watches. Raises one of zk.NO_REPLY."""
        deadline, client, changed = zk.Deadline(zk.STEP_S), self._client, self._changed.put
        indices = range(1, self._quorum.n + 1)
        for index in indices:
            client.exists_async(paths.host(index), watch=changed)  # also for a host that may come
        hosts = zk.get_all(client, [paths.host(index) for index in indices], deadline)
        replicas = [self._stage.chroot + paths.replica(self._object_id, index) for index in indices]
        holdings = zk.get_all(client, replicas, deadline, changed)
        return {
            index: Shown(
                host[0].decode(errors="replace") if host else None,
                host[1].ephemeralOwner if host else None,
                _held(found),
            )
            for index, host, found in zip(indices, hosts, holdings, strict=True)
        }

    def _report(self, now: Mapping[int, Shown]) -> None:
        """Write what has happened to the hosts since the last look on the screen and into the history."""
        newest = max((seen.held.version.counter for seen in now.values() if seen.held), default=0)
        story, record = self._stage.story, self._stage.recorder.fault
        for index, seen in now.items():
            before = self._before[index]
            if seen.session == before.session:
                continue
            if before.host is not None:
                record("gone", f"replica-{index}")
                story.say(f"replica {index}: {before.host} is gone", "bold red")
            if seen.host is not None:
                behind = newest - seen.held.version.counter if seen.held else 0
                stale = f", {behind} versions behind" if behind > 0 else ""
                record("back", f"replica-{index}")
                story.say(f"replica {index}: {seen.host} hosts it{stale}", "bold green")
                self._stage.watched += [seen.host] if seen.host not in self._stage.watched else []
        self._before = dict(now)


def _held(found: tuple[bytes, Any] | None) -> Versioned | None:
    if found is None:
        return None
    try:
        return decode(found[0])
    except Malformed:
        return None


def _rows(replicas: Mapping[int, Shown]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for index, seen in replicas.items():
        held = seen.held or UNWRITTEN
        version = "-" if held == UNWRITTEN else shown(held.version)
        value = held.value.decode(errors="replace")
        rows.append((str(index), seen.host or "-", "yes" if seen.host else "NO", version, value))
    return rows


def _score(clients: Clients) -> str:
    endings = clients.endings()
    return (
        f"{endings['ok']} operations ok, {endings['refused']} refused, {endings['unknown']} unknown; "
        "Ctrl-C: stop and check"
    )
