"""Who takes part in the world ``eventual``: copies, publishers, a rogue; and the store's loss."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import eventlet
from eventlet import event

from app.consistency.as_in_the_notes import overwrite
from app.consistency.engine.configuration import publish_first
from app.consistency.eventual import ConfigReplica, Copy, publish
from app.demo.recording import NOT_A_RESULT, recorded_write
from app.errors import Malformed, Refused
from app.zookeeper import client as zk
from proof.simulation import tree
from proof.simulation.pod import Pod
from proof.simulation.stage import Stage
from proof.simulation.worlds.configuration import Asked, Log, Seen

OPERATIONS = 60
# A publisher's longest operation, and its rest, in seconds.
_PATIENCE_S = (0.3, 2.0, 5.0, 5.0)
_THINK_S = ((0.0, 0.02), (0.01, 0.08), (0.05, 0.5), (0.2, 2.0))
# The safety net's seconds: as in the demo, as in the worker, and never while a run lasts.
_REFRESH_S = (1.0, 30.0, 3600.0)
# In how many runs there is a rogue, the store loses its history, and that means all of it.
_ROGUE, _LOSS, _ALL = 0.3, 0.3, 0.3
_NEW_EPOCH, _LATE = 0.6, 0.4
ROGUES_ORDER, LOSS_ORDER = 30_000, 20_000
# For how long a publisher tries in the end, in seconds.
_INSISTS_S = 60.0

_INVALID = (
    b"__import__('os').system('true')",
    b"",
    b"{",
    b"[1, 2]",
    b"null",
    b"{}",
    b'{"chunk_size": 0}',
    b'{"chunk_size": "2048"}',
    b'{"chunk_size": 1000001}',
    b'{"chunk_size": 2.5}',
    b"\xff\xfe",
)


@dataclass
class Cast:
    """Who takes part, as the seed says; and what is known of it.

    Attributes:
        keys: of each publisher.
        disturbed: an update may be gone, and rightly: a rogue's doing, or the store's loss.
    """

    stage: Stage
    keys: list[list[str]]
    operations: int
    patience_s: float
    think_s: tuple[float, float]
    refresh_s: float
    rogue: bool
    loss: bool
    late: bool  # the loss comes when all is published, and nobody publishes after it
    log: Log = field(default_factory=Log)
    asked: Asked = field(default_factory=Asked)
    seen: dict[str, Seen] = field(default_factory=dict)
    values: Iterator[int] = field(default_factory=lambda: itertools.count(2001))
    faults: Counter[str] = field(default_factory=Counter)
    published: Any = field(default_factory=event.Event)

    @classmethod
    def drawn(cls, stage: Stage) -> Cast:
        choose, script = stage.chance("cast"), stage.script
        shared = choose.sample(["chunk_size", "reducers"], choose.randint(0, 2))
        count, own = choose.randint(2, 4), choose.randint(1, 2)
        keys = [[*(f"key_{i}_{k}" for k in range(own)), *shared] for i in range(1, count + 1)]
        return cls(
            stage,
            keys[: stage.at_most(count, script.clients)],
            stage.at_most(OPERATIONS, script.operations),
            choose.choice(_PATIENCE_S),
            choose.choice(_THINK_S),
            choose.choice(_REFRESH_S),
            rogue=choose.random() < _ROGUE and script.happens(ROGUES_ORDER),
            loss=choose.random() < _LOSS and script.happens(LOSS_ORDER),
            late=choose.random() < _LATE,
        )

    @property
    def disturbed(self) -> bool:
        return self.rogue or (self.loss and not self.late)

    def fault(self, op: str, value: str) -> None:
        self.faults[op] += 1
        self.stage.recorder.fault(op, value)


class CopyPod:
    """A pod with a copy of the configuration; what it applies is recorded."""

    def __init__(self, cast: Cast, name: str) -> None:
        self._cast, self.name = cast, name
        self.pod = Pod(cast.stage, self._roles)
        self._shown: dict[str, Any] = {}

    @property
    def replica(self) -> ConfigReplica | None:
        return next((role for role in self.pod.roles if isinstance(role, ConfigReplica)), None)

    def _roles(self, client: Any) -> Sequence[ConfigReplica]:
        publish_first(client, zk.Deadline(zk.CONNECT_DEADLINE_S))  # as the worker
        self._shown = {}
        replica = ConfigReplica(
            client,
            self.name,
            on_apply=lambda copy: self._applied(replica, copy),
            refresh_s=self._cast.refresh_s,
        )
        return [replica]

    def _applied(self, replica: ConfigReplica, copy: Copy) -> None:
        shown, self._shown = self._shown, dict(copy.value or {})
        self._observe(replica, copy, {k: v for k, v in self._shown.items() if shown.get(k) != v})

    def _observe(self, replica: ConfigReplica, copy: Copy, values: dict[str, Any]) -> None:
        # A next life has forgotten what the last one had read; a reset is reported.
        life = f"{self.name}.{self.pod.lives}.{replica.resets}"
        seen = self._cast.seen.setdefault(life, Seen(replica.resets, self._cast.log.era))
        seen.copies.append(copy)
        for key, value in values.items():
            self._cast.stage.recorder.observe(life, key, value, (copy.mzxid, ""))

    def look(self, keys: Sequence[str]) -> None:
        """Record what it holds, also if that is nothing."""
        if replica := self.replica:
            held = replica.copy.value or {}
            self._observe(replica, replica.copy, {key: held.get(key) for key in keys})


class PublisherPod:
    """A pod that publishes; after a crash it goes on with what is left to do."""

    def __init__(self, cast: Cast, name: str, keys: list[str]) -> None:
        self._cast, self.name, self._keys = cast, name, keys
        self._choose = cast.stage.chance(name)
        self._left = cast.operations // len(cast.keys)
        self.done: Any = event.Event()
        self.pod = Pod(cast.stage, lambda client: [_Acting(partial(self._act, client))])

    def insist(self) -> None:
        """Publish each of its keys once more, until that is acknowledged."""
        deadline = zk.Deadline(_INSISTS_S)
        keys = sorted({*self._keys, "chunk_size"})
        while keys and not deadline.passed:
            eventlet.sleep(0.1)
            if self.pod.lives_on:
                with suppress(*NOT_A_RESULT):
                    self._publish(self.pod.client, keys[0])
                    del keys[0]

    def _act(self, client: Any) -> None:
        while self._left > 0:
            self._left -= 1
            with suppress(*NOT_A_RESULT):
                self._publish(client, self._choose.choice(self._keys))
            eventlet.sleep(self._choose.uniform(*self._cast.think_s))
        if not self.done.ready():
            self.done.send()

    def _publish(self, client: Any, key: str) -> None:
        value = next(self._cast.values)
        changes = self._cast.asked.changes
        changes[key, value] = "unknown"

        def published() -> tuple[int, str]:
            made = publish(client, {key: value}, timeout_s=self._cast.patience_s)
            changes[key, value] = made.mzxid
            return made.mzxid, ""

        try:
            recorded_write(self._cast.stage.recorder, self.name, key, value, published)
        except (Refused, Malformed) as error:
            changes[key, value] = "refused"
            if isinstance(error, Malformed) and key != "chunk_size":
                self._publish(client, "chunk_size")  # that repairs what a rogue has left
            raise


class _Acting:
    """A role that does one thing."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._thread: Any = None

    def start(self) -> None:
        self._thread = eventlet.spawn(self._act)

    def stop(self) -> None:
        self._thread.kill()


def rogue(cast: Cast) -> None:
    """Overwrites the configuration with what is none."""
    choose = cast.stage.chance("rogue")
    for _ in range(choose.randint(1, 4)):
        eventlet.sleep(choose.uniform(0.05, 8.0))
        data = choose.choice(_INVALID)
        cast.asked.rogue |= {b"", data}  # where there is no znode, it begins as an empty one
        cast.fault("invalid", data.decode(errors="replace"))
        client = cast.stage.connect(cast.stage.line())
        with suppress(*zk.NO_REPLY):
            overwrite(client, data)
        zk.disconnect(client)


def lose_history(cast: Cast) -> None:
    """The store goes back to what it had a while ago, or to nothing.

    Where its epoch goes on, clients come back at once and find older znodes; where that is lost, too, servers
    send them away, for they have seen more.
    """
    choose, ensemble = cast.stage.chance("loss"), cast.stage.ensemble
    eventlet.sleep(choose.uniform(0.1, 5.0))
    nodes, zxid = ensemble.snapshot()
    if choose.random() < _ALL:
        nodes, zxid = tree.empty(), 0
    eventlet.sleep(choose.uniform(0.1, 8.0))
    if cast.late:
        cast.published.wait()
    kept = zxid
    if nodes != tree.empty() and choose.random() < _NEW_EPOCH:
        zxid = ensemble.zxid + 1000
    cast.fault("lose", "the store")
    cast.log.lost(nodes, kept)
    ensemble.lose_history(nodes, zxid)
