"""The replicated register, N=5, W=3, R=3: read and write, all well and with one replica slow.

The floor makes the rounds that any quorum protocol must, through the same five sessions:

    read    at three random replicas: a checked get; done when the three have answered
    write   the same round, for the greatest counter; then at all five a checked set, at whatever version;
            done when three have answered

A checked get is the protocol's own: a transaction with a check that the host lives, and a get pipelined
behind it on the same session. A plain get may come from a follower that lags. A checked set is one
transaction. Both fan out as the protocol does. What the floor is spared: versions, the choice of the newest,
a green thread for each replica, and everything that goes on when an answer doesn't come.

With one replica slow (half a second each way, on its host's link) the floor is the same operation of ours
while none is: a quorum should not feel its slowest member.

Beside it, the notes' register over the same sessions: it asks all five, stores at one after the other, and
waits for every one of them.
"""

import random
from collections.abc import Sequence
from typing import Any

import eventlet
from eventlet import queue

from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import ReplicaHost, Replicas
from app.consistency.quorum import Quorum, Register
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from proof.bench.measuring import PAYLOAD, Effort, Row, Sample, Watch, in_turn
from proof.bench.sessions import STEP_S, Sessions, done

QUORUM = Quorum()
TARGET = 1.5
TARGET_SLOW = 1.2
NOTES_WRITE = (
    "no version travels with the value, the znodes' own decide: replicas that missed different writes look "
    "equal, and a read returns an old value; it stores at one after the other, so it saves no time"
)
NOTES_READ = "no write-back: what one read has returned, the next may miss; it waits for all five"
NOTES_SLOW = "it waits for the slowest replica, always"
_SLOW_S = 0.5
_BLOCK = 20  # samples of each kind with a slow replica, then as many without
_NOTES_SLOW = 3  # samples of the notes' protocol, of some four seconds each


def measure(hosts: str, samples: int) -> list[Row]:
    with Sessions(hosts) as sessions:
        # Hosts, and the sessions that reach them through their links. All but the slow rows go without a
        # link, which would cost ours and the floor the same, and so make the ratio look better than it is.
        links = [sessions.link() for _ in range(QUORUM.n)]
        serve([sessions.open(link) for link in links], QUORUM.n, sessions)
        direct = [sessions.open() for _ in links]
        register, floor, notes = (
            register_of("ours", direct),
            Floor("floor", direct),
            notes_of("notes", direct),
        )
        write = in_turn([writes(register), floor.write, writes(notes)], samples)
        read = in_turn([reads(register), floor.read, reads(notes)], samples)
        linked = [sessions.open(link) for link in links]
        return [
            Row("quorum write", write[0], write[1], TARGET, write[2], NOTES_WRITE),
            Row("quorum read", read[0], read[1], TARGET, read[2], NOTES_READ),
            *_with_one_slow(register_of("slow", linked), notes_of("slow-notes", linked), links[2], samples),
        ]


def register_of(object_id: str, clients: Sequence[Any], quorum: Quorum = QUORUM) -> Register:
    register = Register(Replicas(object_id, clients), quorum, timeout_s=STEP_S)
    register.create()
    return register


def notes_of(object_id: str, clients: Sequence[Any]) -> NotesRegister:
    register = NotesRegister(Replicas(object_id, clients), QUORUM, timeout_s=STEP_S)
    register.create()
    return register


def writes(register: Register | NotesRegister) -> Sample:
    def sample(watch: Watch) -> None:
        with watch.timing():
            register.write(PAYLOAD)

    return sample


def reads(register: Register | NotesRegister) -> Sample:
    def sample(watch: Watch) -> None:
        with watch.timing():
            register.read()

    return sample


def serve(clients: Sequence[Any], replicas: int, sessions: Sessions) -> None:
    """Host this many replicas, shared by these sessions; returns when all are served."""
    for index in range(1, replicas + 1):
        sessions.started(ReplicaHost(clients[index % len(clients)], index, f"host-{index}"))
    deadline = zk.Deadline(STEP_S)
    while len(zk.wait(clients[0].get_children_async(paths.HOSTS), deadline)) < replicas:
        eventlet.sleep(0.02)


def _with_one_slow(register: Register, notes: NotesRegister, link: Link, samples: int) -> list[Row]:
    """Our own p50 with a slow replica, over our own without; in blocks that alternate."""
    wrote, saw = {True: Watch(), False: Watch()}, {True: Watch(), False: Watch()}
    blocks = -(-samples // (2 * _BLOCK))  # half as many as of the others: each block is waited out
    for slow in [False, *[True, False] * blocks]:  # the first one warms up
        link.slow(_SLOW_S if slow else 0.0)
        for _ in range(min(_BLOCK, samples)):
            writes(register)(wrote[slow])
            reads(register)(saw[slow])
        link.slow(0.0)
        eventlet.sleep(3 * _SLOW_S if slow else 0.0)  # what the slow replica still owes arrives
    link.slow(_SLOW_S)
    notes_wrote, notes_saw = Watch(), Watch()
    for _ in range(Effort(samples).times(_NOTES_SLOW)):
        writes(notes)(notes_wrote)
        reads(notes)(notes_saw)
    link.slow(0.0)
    first = min(_BLOCK, samples)

    def row(name: str, took: dict[bool, Watch], notes_took: Watch) -> Row:
        ours_ms, floor_ms = took[True].p50_ms(), took[False].p50_ms(first)
        return Row(
            f"quorum {name}, one replica slow",
            ours_ms,
            floor_ms,
            TARGET_SLOW,
            notes_took.p50_ms(),
            NOTES_SLOW,
        )

    return [row("write", wrote, notes_wrote), row("read", saw, notes_saw)]


class Floor:
    """The rounds, bare."""

    def __init__(self, object_id: str, clients: Sequence[Any], quorum: Quorum = QUORUM) -> None:
        self._object_id = object_id
        self._quorum = quorum
        self._clients = dict(enumerate(clients, 1))
        Replicas(object_id, clients).create(PAYLOAD, zk.Deadline(STEP_S))

    def read(self, watch: Watch) -> None:
        with watch.timing():
            self._round_of_gets(self._quorum.r)

    def write(self, watch: Watch) -> None:
        with watch.timing():
            self._round_of_gets(self._quorum.r)
            answered: Any = queue.LightQueue()
            for index in self._clients:
                self._checked_set(index).rawlink(answered.put)
            for _ in range(self._quorum.w):
                answered.get(timeout=STEP_S).get_nowait()

    def _round_of_gets(self, count: int) -> None:
        asked = [self._checked_get(index) for index in random.sample(sorted(self._clients), count)]
        for check, got in asked:
            zk.committed(done(check))
            done(got)

    def _checked_get(self, index: int) -> tuple[Any, Any]:
        check = self._clients[index].transaction()
        check.check(paths.host(index), -1)
        return check.commit_async(), self._clients[index].get_async(paths.replica(self._object_id, index))

    def _checked_set(self, index: int) -> Any:
        update = self._clients[index].transaction()
        update.check(paths.host(index), -1)
        update.set_data(paths.replica(self._object_id, index), PAYLOAD)
        return update.commit_async()
