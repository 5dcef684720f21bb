"""Registers over replicas: are they linearizable, whatever befalls their hosts, the servers and the ways?

Three to seven replicas, two to five clients. In one seed a client reaches replica i through host i's own way,
as in the demo; in another the clients have ways of their own, and only a host's death takes its replica
offline, as with pods. In some, each replica has a second host that waits for the first one's session to end;
in some, a replica loses its data.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import eventlet

from app.checker.history import Value, Version
from app.checker.judges import judge_registers
from app.consistency.engine.replicas import ReplicaHost, Replicas
from app.consistency.engine.versions import UNWRITTEN, Versioned
from app.consistency.quorum import Quorum, Register
from app.demo.faults import OF_A_QUORUM_WRITE, TO_PARTICIPANTS, Fault, Moment, Powers
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.errors import InDoubt
from app.zookeeper import client as zk, paths
from proof.simulation.nemesis import Moments, Nemesis, harm_servers
from proof.simulation.network import Line
from proof.simulation.script import Played, Script
from proof.simulation.stage import Stage

# Of all clients together: many short runs meet more than a few long ones.
_OPERATIONS = (30, 60, 120, 240)
# A client's longest operation, in seconds; one in a few seeds is less patient than the network is slow.
_PATIENCE_S = (0.2, 0.5, 2.0, 2.0)
_THINK_S = ((0.0, 0.02), (0.01, 0.08), (0.05, 0.5))
_REST_S = ((0.02, 0.3), (0.1, 1.0), (0.5, 4.0))
_LASTING_S = (0.003, 12.0)
# How often a client whose write is in doubt rolls it forward, and a replica loses its data in a run.
_ROLLS_FORWARD = 0.5
_LOSES_DATA = 0.2


@dataclass
class _Cast:
    """Who takes part, as the seed says."""

    quorum: Quorum
    keys: list[str]
    clients: int
    operations: int
    own_ways: bool
    spares: bool
    patience_s: float
    think_s: tuple[float, float]
    ways: list[Line] = field(default_factory=list)  # of host i, at i - 1; the spare's follow
    sessions: list[Any] = field(default_factory=list)

    @classmethod
    def drawn(cls, stage: Stage) -> _Cast:
        choose, script = stage.chance("cast"), stage.script
        n = choose.choice((3, 4, 5, 5, 5, 6, 7))
        w = choose.randint(n // 2 + 1, n) if choose.random() < 0.3 else n // 2 + 1
        r = n + 1 - w if choose.random() < 0.7 else n // 2 + 1
        usual = Quorum(weak=True)  # the course's own N, W and R, which a mutant may have changed
        return cls(
            usual if choose.random() < 0.3 else Quorum(n, w, max(r, n + 1 - w)),
            ["x", "y"][: choose.choice((1, 1, 2))],
            stage.at_most(choose.randint(2, 5), script.clients),
            stage.at_most(choose.choice(_OPERATIONS), script.operations),
            own_ways=choose.random() < 0.4,
            spares=choose.random() < 0.3,
            patience_s=choose.choice(_PATIENCE_S),
            think_s=choose.choice(_THINK_S),
        )


def play(script: Script) -> Played:
    stage = Stage(script)
    cast, moments = _Cast.drawn(stage), Moments()
    _bring_hosts(stage, cast)
    clients = [_Client(stage, cast, moments, f"client-{number + 1}") for number in range(cast.clients)]
    for client in clients:
        client.create_objects()
    nemeses = _nemeses(stage, cast, moments)
    for thread in [stage.spawn(client.act, cast.operations // cast.clients) for client in clients]:
        thread.wait()
    for nemesis in nemeses:
        nemesis.stop()
    history = stage.recorder.history()
    faults = sum((nemesis.faults for nemesis in nemeses), Counter())
    return Played(
        script, judge_registers(history), "linearizable", list(history.lines()),
        Counter(operation.outcome for operation in history.operations), faults,
        [number for nemesis in nemeses for number in nemesis.struck], cast.clients, stage.hub.now_s,
    )  # fmt: skip


def _bring_hosts(stage: Stage, cast: _Cast) -> None:
    director = stage.connect(stage.line(), 60.0)
    zk.ensure(director, paths.ROOTS, zk.Deadline(60))
    for number in range(cast.quorum.n * (2 if cast.spares else 1)):
        way = stage.line()
        client = stage.connect(way)
        index = number % cast.quorum.n + 1
        ReplicaHost(client, index, f"host-{number + 1}").start()
        cast.ways.append(way)
        cast.sessions.append(client)
    while len(zk.wait(director.get_children_async(paths.HOSTS), zk.Deadline(60))) < cast.quorum.n:
        eventlet.sleep(0.1)


class _Client:
    """Reads and writes, and thinks between; what it is told is recorded."""

    def __init__(self, stage: Stage, cast: _Cast, moments: Moments, name: str) -> None:
        self._stage, self._cast, self._moments, self._name = stage, cast, moments, name
        self._choose = stage.chance(name)
        self._written = 0
        self._way: int | None = None  # the number of its own way, if it has one: whom a moment concerns
        self._acks: Counter[Version] = Counter()
        n = cast.quorum.n
        ways = [stage.line() for _ in range(n)] if cast.own_ways else cast.ways[:n]
        if cast.own_ways:
            cast.ways += ways[:1]
            self._way = len(cast.ways)
            ways = ways[:1] * n
        sessions: dict[int, Any] = {}
        for way in ways:
            if id(way) not in sessions:
                sessions[id(way)] = stage.connect(way)
        self._registers = {
            key: Register(
                Replicas(key, [sessions[id(way)] for way in ways]), cast.quorum, timeout_s=cast.patience_s,
                choose=self._choose, on_ack=self._acknowledged, on_answer=self._answered,
            )
            for key in cast.keys
        }  # fmt: skip

    def create_objects(self) -> None:
        for register in self._registers.values():
            while True:
                try:
                    register.create()
                    break
                except InDoubt:
                    continue  # "creating it again is harmless"

    def act(self, operations: int) -> None:
        for _ in range(operations):
            key = self._choose.choice(self._cast.keys)
            try:
                self._write(key) if self._choose.random() < 0.5 else self._read(key)
            except NOT_A_RESULT:
                eventlet.sleep(self._cast.think_s[1])
            eventlet.sleep(self._choose.uniform(*self._cast.think_s))

    def _write(self, key: str) -> None:
        self._written += 1
        value = f"{self._name}-{self._written}"
        recorded_write(self._stage.recorder, self._name, key, value, lambda: self._stored(key, value))

    def _stored(self, key: str, value: str) -> Version:
        """The version that it has, also where it took a second try: with what the first is asked again by."""
        register = self._registers[key]
        try:
            version = register.write(value.encode())
        except InDoubt as doubt:
            if self._choose.random() > _ROLLS_FORWARD or not isinstance(doubt.ask_again, Versioned):
                raise
            version = register.roll_forward(doubt.ask_again)
        return version.counter, version.writer

    def _read(self, key: str) -> Value:
        return recorded_read(self._stage.recorder, self._name, key, lambda: self._found(key))

    def _found(self, key: str) -> tuple[Value, Version | None]:
        held = self._registers[key].read()
        if held == UNWRITTEN:
            return None, None
        return held.value.decode(), (held.version.counter, held.version.writer)

    def _acknowledged(self, version: Any, index: int) -> None:
        known = (version.counter, version.writer)
        self._acks[known] += 1
        if self._acks[known] < self._cast.quorum.w:
            self._moments.now(Moment.FIRST_ACK, self._way)

    def _answered(self, index: int, held: Versioned) -> None:
        self._moments.now(Moment.VERSION_KNOWN, self._way)


def _nemeses(stage: Stage, cast: _Cast, moments: Moments) -> list[Nemesis]:
    choose = stage.chance("nemesis")
    n = cast.quorum.n

    def harm(fault: Fault, victim: int, delay_s: float) -> Callable[[], object]:
        way = cast.ways[victim - 1]
        if fault == Fault.CUT:
            way.cut_at_random(choose)
        elif fault == Fault.CRASH:
            way.down()
        else:
            way.slow(delay_s)
        return way.heal

    most = max(1, n - max(cast.quorum.w, cast.quorum.r)) + choose.choice((0, 0, 1))
    names = [f"way {number}" for number in range(1, len(cast.ways) + 1)]
    aims = OF_A_QUORUM_WRITE if choose.random() < 0.6 else ()
    powers = Powers(TO_PARTICIPANTS, len(names), most, choose.choice(_REST_S), _LASTING_S, aims)
    nemeses = [Nemesis(stage, powers, names, harm, choose=choose, moments=moments)]
    if choose.random() < 0.7:
        nemeses.append(harm_servers(stage))
    if choose.random() < _LOSES_DATA and stage.script.happens(_LOSS):
        stage.spawn(_lose_data, stage, cast, choose)
    return nemeses


_LOSS = 20_000


def _lose_data(stage: Stage, cast: _Cast, choose: random.Random) -> None:
    """One replica's data is gone: it may not vote any more."""
    eventlet.sleep(choose.uniform(0.1, 5.0))
    director, index = stage.connect(stage.line(), 60.0), choose.randint(1, cast.quorum.n)
    for key in cast.keys:
        stage.recorder.fault("lose", f"replica {index}")
        director.delete(paths.replica(key, index))
