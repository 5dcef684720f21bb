"""Growth with the number of replicas: a register's write and read with majorities of 3 to 51, and the floors.

The replicas share five sessions, as a client's replicas do that are reached by the same way, and so do their
hosts: what grows is the number of requests, not of connections. The sizes are measured in turn, so that a
minute in which the machine is busy falls on all of them.
"""

from typing import Any

import eventlet

from app.consistency.quorum import Quorum
from proof.bench.growth import Growth, Point, Series
from proof.bench.measuring import Effort, Sample, Watch
from proof.bench.quorum import Floor, reads, register_of, serve, writes
from proof.bench.sessions import Sessions

SIZES = (3, 5, 9, 17, 33, 51)
_SESSIONS = 5
_SAMPLES = 25  # of each size; what is to be seen is larger than between an operation and its floor
_WARM_UP = 3

_LIMIT = (
    "ZooKeeper's one order: each replica that is asked or stored at is a transaction of its own through the "
    "same leader, which a store on N machines of their own would not share; the floor grows alike."
)


def measure(hosts: str, effort: Effort) -> list[Growth]:
    with Sessions(hosts) as sessions:
        clients = [sessions.open() for _ in range(_SESSIONS)]
        sizes, samples = effort.loads(SIZES), effort.times(_SAMPLES)
        serve(clients, max(sizes), sessions)
        kinds = {size: _kinds(size, clients) for size in sizes}
        watches = {size: {what: Watch() for what in kinds[size]} for size in sizes}
        warm_up = min(_WARM_UP, samples)
        for _ in range(warm_up + samples):
            for size in sizes:
                for what, sample in kinds[size].items():
                    sample(watches[size][what])
                    # As long again, so that late replies are out of the way.
                    eventlet.sleep(watches[size][what].seconds[-1])
        series = [
            Series(
                what,
                tuple(_point(size, watches[size][what].p50_ms(warm_up)) for size in sizes),
            )
            for what in kinds[sizes[0]]
        ]
    return [
        Growth(
            title="Replicas",
            load="replicas, majority quorums",
            value="milliseconds an operation",
            series=tuple(series),
            limit=_LIMIT,
            rate="op/s, one client",
        )
    ]


def _point(size: int, took_ms: float) -> Point:
    return Point(size, took_ms, 1000 / took_ms)


def _kinds(size: int, clients: list[Any]) -> dict[str, Sample]:
    majority = size // 2 + 1
    quorum = Quorum(size, majority, majority)
    reached = [clients[index % _SESSIONS] for index in range(size)]
    register = register_of(f"ours-{size}", reached, quorum)
    floor = Floor(f"floor-{size}", reached, quorum)
    return {
        "quorum write": writes(register),
        "its floor": floor.write,
        "quorum read": reads(register),
        "the read's floor": floor.read,
    }
