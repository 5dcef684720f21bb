"""The replicated register, N=5, W=3, R=3: read and write, all well and with one replica slow.

The floor makes the rounds that any quorum protocol must, through the same five sessions:

    read    at three random replicas: a checked get; done when the three have answered
    write   the same round, for the greatest counter; then at all five a checked, conditional set;
            done when three have answered

A checked get is the protocol's own: a transaction with a check that the host lives, and a get pipelined
behind it on the same session. A plain get may come from a follower that lags. A checked set is one
transaction. Both fan out as the protocol does. What the floor is spared: versions, the choice of the newest,
a green thread for each replica, and everything that goes on when an answer doesn't come.

With one replica slow (half a second each way, on its host's link) the floor is the same operation of ours
while none is: a quorum should not feel its slowest member.
"""

import random
from collections.abc import Sequence
from typing import Any

import eventlet
from eventlet import queue

from app import paths, zk
from app.consistency.quorum import Quorum, Register
from app.consistency.replicas import ReplicaHost, Replicas
from lab.bench.measuring import PAYLOAD, Row, Watch, in_turn
from lab.bench.sessions import STEP_S, Sessions, done

QUORUM = Quorum()
TARGET = 1.5
TARGET_SLOW = 1.2
_SLOW_S = 0.5
_BLOCK = 20  # samples of each kind with a slow replica, then as many without


def measure(sessions: Sessions, samples: int) -> list[Row]:
    # Hosts, and the sessions that reach them through their links. All but the slow rows go without a link,
    # which would cost ours and the floor the same, and so make the ratio look better than it is.
    links = [sessions.link() for _ in range(QUORUM.n)]
    for index, link in enumerate(links, 1):
        sessions.started(ReplicaHost(sessions.open(link), index, f"host-{index}"))
    _wait_until_served(sessions.open())
    direct = [sessions.open() for _ in links]
    register, floor = _register("ours", direct), Floor("floor", direct)

    def write(watch: Watch) -> None:
        with watch.timing():
            register.write(PAYLOAD)

    def read(watch: Watch) -> None:
        with watch.timing():
            register.read()

    return [
        in_turn("quorum write", TARGET, write, floor.write, samples),
        in_turn("quorum read", TARGET, read, floor.read, samples),
        *_with_one_slow(_register("slow", [sessions.open(link) for link in links]), links[2], samples),
    ]


def _register(object_id: str, clients: Sequence[Any]) -> Register:
    register = Register(Replicas(object_id, clients), QUORUM, timeout_s=STEP_S)
    register.create()
    return register


def _wait_until_served(client: Any) -> None:
    deadline = zk.Deadline(STEP_S)
    while len(zk.wait(client.get_children_async(paths.HOSTS), deadline)) < QUORUM.n:
        eventlet.sleep(0.02)


def _with_one_slow(register: Register, link: Any, samples: int) -> list[Row]:
    """Our own p50 with a slow replica, over our own without; in blocks that alternate."""
    writes, reads = {True: Watch(), False: Watch()}, {True: Watch(), False: Watch()}
    blocks = -(-samples // _BLOCK)
    for slow in [False, *[True, False] * blocks]:  # the first one warms up
        link.slow(_SLOW_S if slow else 0.0)
        for number in range(min(_BLOCK, samples)):
            with writes[slow].timing():
                register.write(b"%d" % number + PAYLOAD)
            with reads[slow].timing():
                register.read()
        link.slow(0.0)
        eventlet.sleep(3 * _SLOW_S if slow else 0.0)  # what the slow replica still owes arrives
    first = min(_BLOCK, samples)
    return [
        Row(f"quorum {name}, one replica slow", kind[True].p50_ms(), kind[False].p50_ms(first), TARGET_SLOW)
        for name, kind in (("write", writes), ("read", reads))
    ]


class Floor:
    """The rounds, bare."""

    def __init__(self, object_id: str, clients: Sequence[Any]) -> None:
        self._object_id = object_id
        self._clients = dict(enumerate(clients, 1))
        Replicas(object_id, clients).create(PAYLOAD, zk.Deadline(STEP_S))

    def read(self, watch: Watch) -> None:
        with watch.timing():
            self._round_of_gets(QUORUM.r)

    def write(self, watch: Watch) -> None:
        with watch.timing():
            self._round_of_gets(QUORUM.r)
            answered: Any = queue.LightQueue()
            for index in self._clients:
                self._checked_set(index).rawlink(answered.put)
            for _ in range(QUORUM.w):
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
