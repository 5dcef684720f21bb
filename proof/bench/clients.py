"""Growth with the number of clients: 1 to 64 at one register of five replicas, each without a pause.

The clients run in two processes of their own, as the hard demo's load does: in one eventlet process all of
them wait for the same interpreter. Half of what they do is reading. Medians and rates are taken from the time
in which all of them were at it.
"""

import statistics
from collections.abc import Sequence
from contextlib import closing

import eventlet

from app.checker.history import Operation
from app.consistency.quorum import N, R, W
from app.demo.clients import Clients, RegisterLoad
from app.zookeeper import client as zk
from proof.bench.growth import Growth, Point, Series
from proof.bench.measuring import Effort, NotDone
from proof.bench.quorum import register_of, serve
from proof.bench.sessions import STEP_S, Sessions

LOADS = (1, 2, 4, 8, 16, 32, 64)
_RUN_S, _LEAST_RUN_S = 4.0, 0.5
_START_S = 30.0
# A median of fewer says little; on a busy machine two clients need a while for this many.
_ENOUGH = 20
# More than a client does in that time: they are stopped.
_OPERATIONS = 1_000_000
# What one operation may take; in a demo it is two seconds, here none is to be refused.
_OPERATION_S = 20.0

_LIMIT = (
    "ZooKeeper's commits, three for a read and ten for a write, one after another: twice the clients wait "
    "twice as long. Of two who write at once, each tries again where the other was first, and a read that "
    "meets a write completes it before it returns: that is why the rate falls, before it is level."
)


def measure(hosts: str, effort: Effort) -> list[Growth]:
    with Sessions(hosts) as sessions:
        serve([sessions.open() for _ in range(N)], N, sessions)
        register_of("crowded", [sessions.open()] * N)
        seconds = max(_LEAST_RUN_S, effort.seconds(_RUN_S))
        seen = {load: _crowd(hosts, sessions.chroot, load, seconds) for load in effort.loads(LOADS)}
    writes, reads = (
        Series(
            f"quorum {action}",
            tuple(Point(load, p50_ms(operations, action)) for load, operations in seen.items()),
        )
        for action in ("write", "read")
    )
    rate = Series("reads and writes", tuple(Point(load, per_s(done)) for load, done in seen.items()))
    return [
        Growth("Clients", "clients of one register", "milliseconds an operation", (writes, reads), _LIMIT),
        Growth("Clients: the rate", "clients of one register", "operations a second", (rate,), _LIMIT),
    ]


def all_at_it(operations: Sequence[Operation]) -> list[Operation]:
    """Those that ended well while every client was at it: all had begun, and none had done its last."""
    well = [one for one in operations if one.outcome == "ok" and one.returned_ns is not None]
    if not well:
        return []
    clients = {one.process for one in well}
    begun = max(min(one.invoked_ns for one in well if one.process == client) for client in clients)
    ended = min(max(one.returned_ns or 0 for one in well if one.process == client) for client in clients)
    return [one for one in well if begun <= (one.returned_ns or 0) <= ended]


def p50_ms(operations: Sequence[Operation], action: str) -> float:
    took = [(one.returned_ns or 0) - one.invoked_ns for one in operations if one.op == action]
    return statistics.median(took) / 1e6


def per_s(operations: Sequence[Operation]) -> float:
    """From the first end to the last."""
    ends = sorted(one.returned_ns or 0 for one in operations)
    return 1e9 * (len(ends) - 1) / (ends[-1] - ends[0])


def _crowd(hosts: str, chroot: str, clients: int, seconds: float) -> list[Operation]:
    servers = hosts.split(",")
    # A session for each way that differs: here, for each server that may come first.
    ways = [",".join(servers[index % len(servers) :] + servers[: index % len(servers)]) for index in range(N)]
    load = RegisterLoad(
        links=ways,
        chroot=chroot,
        object_id="crowded",
        key="crowded",
        protocol="full",
        n=N,
        w=W,
        r=R,
        operations=_OPERATIONS,
        clients=clients,
        first=1,
        seed=clients,
        session_timeout_s=10.0,
        timeout_s=_OPERATION_S,
        think_s=(0.0, 0.0),
    )
    with closing(Clients(load)) as crowd:
        begin = zk.Deadline(_START_S)
        while crowd.endings().total() < max(2 * clients, _ENOUGH) and not begin.passed:
            eventlet.sleep(0.05)
        eventlet.sleep(seconds)
        crowd.enough()
        history = crowd.history(_OPERATION_S + STEP_S)
    done = all_at_it(history.operations)
    if {one.op for one in done} != {"read", "write"} or len(done) < 3:
        message = f"{clients} clients did {len(done)} operations together: too few to tell"
        raise NotDone(message)
    return done
