"""Growth with the number of copies: from ``publish`` until the last of 5 to 500 has applied the value.

Every copy is a whole one with a session of its own, as a pod's is: its own connection, watch, read, and
announcement. What isn't real is the number of machines: the copies live in four processes, which share the
cores with ZooKeeper, so that hundreds wait for a processor where pods would not.
"""

import json
import statistics
import sys
import time
from contextlib import ExitStack
from typing import Any

import eventlet
from eventlet.green import subprocess

from app.consistency.eventual import publish
from lab.workers import TOP
from proof.bench.growth import Growth, Point, Series
from proof.bench.measuring import Effort, NotDone
from proof.bench.sessions import Sessions

LOADS = (5, 15, 50, 150, 500)
PROCESSES = 4
_SAMPLES = 10
_WARM_UP = 2
# For 125 sessions to be opened by each process, on a busy machine.
_OPEN_S = 90.0
_CONVERGED_S = 30.0
_END_S = 20.0
# After a value each copy announces that it has it, which is a write of its own and not what is measured.
_ANNOUNCED_S = 0.2
_ANNOUNCED_EACH_S = 0.004

_LIMIT = (
    "Processor time: one write serves all, but each copy is notified, reads and parses by itself, in an "
    "interpreter that it shares with a hundred others, and the servers send each its event and its "
    "answer. From some fifty copies on, no core is idle until the last has it."
)


def measure(hosts: str, effort: Effort) -> list[Growth]:
    with Sessions(hosts) as sessions, ExitStack() as ending:
        publisher = sessions.open()
        publish(publisher, {"chunk_size": 1})
        processes = [_Process(hosts, sessions.chroot, f"copy-{number}") for number in range(PROCESSES)]
        for process in processes:
            ending.callback(process.close)
        for process in processes:
            ending.callback(process.enough)  # called before any close: so they end at the same time
        points, value = [], 1
        for load in effort.loads(LOADS):
            for process, share in zip(processes, shares(load), strict=True):
                process.want(share)
            for process in processes:
                process.opened()
            took = []
            for _ in range(_WARM_UP + effort.times(_SAMPLES)):
                value += 1
                took.append(_converged_ms(publisher, value, processes))
                eventlet.sleep(_ANNOUNCED_S + _ANNOUNCED_EACH_S * load)
            ms = statistics.median(took[_WARM_UP:])
            points.append(Point(load, ms, 1000 * load / ms))
    return [
        Growth(
            title="Watchers",
            load="copies, a session each",
            value="milliseconds until the last has it",
            series=(Series("publish to converged", tuple(points)),),
            limit=_LIMIT,
            rate="copies/s",
        )
    ]


def shares(load: int) -> list[int]:
    """The copies of each process; in sum, the load."""
    return [load // PROCESSES + (number < load % PROCESSES) for number in range(PROCESSES)]


def _converged_ms(publisher: Any, value: int, processes: list["_Process"]) -> float:
    began = time.monotonic_ns()
    mzxid = publish(publisher, {"chunk_size": value}).mzxid
    return (max(process.applied_ns(mzxid) for process in processes) - began) / 1e6


class _Process:
    """A process of copies, from now until :meth:`close`."""

    def __init__(self, hosts: str, chroot: str, name: str) -> None:
        self._wanted = 0
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "proof.bench.copies_process", hosts, chroot, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the bench, which ends it through its input
            cwd=TOP,
        )

    def want(self, copies: int) -> None:
        """Have it open as many as are missing; begins, and returns."""
        more, self._wanted = copies - self._wanted, copies
        self._process.stdin.write(json.dumps({"more": more}).encode() + b"\n")
        self._process.stdin.flush()

    def opened(self) -> None:
        self._until("open", self._wanted, _OPEN_S)

    def applied_ns(self, mzxid: int) -> int:
        """When the last of its copies had applied that version."""
        return int(self._until("mzxid", mzxid, _CONVERGED_S)["last_ns"])

    def enough(self) -> None:
        self._process.stdin.close()

    def close(self) -> None:
        """Wait for its end, with a deadline."""
        with eventlet.Timeout(_END_S, False):
            self._process.wait()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _until(self, key: str, value: int, seconds: float) -> dict[str, int]:
        """The line in which it says so; older ones are passed over."""
        with eventlet.Timeout(seconds, False):
            while line := self._process.stdout.readline():
                told: dict[str, int] = json.loads(line)
                if told.get(key) == value:
                    return told
        message = f"a process of {self._wanted} copies did not say {key}={value} within {seconds:g} s"
        raise NotDone(message)
