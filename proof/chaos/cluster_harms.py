"""What is done to workers and to ZooKeeper's servers; each harm undoes itself."""

import random
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from app.checker.history import Recorder
from app.demo.faults import Fault
from app.errors import Refused
from lab.workers import Worker
from proof.chaos.harms import Harm, Harms
from proof.chaos.site import SESSION_S, Site
from proof.chaos.stale_task import StaleTask


class ClusterHarms(Harms):
    """The harms, by name."""

    def __init__(
        self, site: Site, stale: StaleTask, recorder: Recorder, choose: random.Random, turn: Any
    ) -> None:
        super().__init__(site, recorder, choose, turn)
        self._stale = stale

    def by_name(self) -> Mapping[str, Harm]:
        return dict(self._all())

    def _all(self) -> Iterator[tuple[str, Harm]]:
        yield "a worker is killed", self._kill_worker
        yield "the master is killed", self._kill_master
        yield "a worker is stopped for longer than its session", self._stop_worker
        yield "a worker is cut off", self._cut_worker
        if self._site.small_disk is not None:
            yield "the workers' disk is full", self._full_disk
        yield "a server is paused", lambda: self._server(Fault.PAUSE, 0.1, 2.5)
        yield "a server is killed", lambda: self._server(Fault.KILL, 0.1, 4.0)
        yield "a server is partitioned", lambda: self._server(Fault.PARTITION, 0.1, 4.0)
        yield "a task's claimant is stopped, and the next one as well", self._stale.play

    # -- workers --

    def _kill_worker(self) -> None:
        self._kill(self._choose.choice(self._site.workers.all))

    def _kill_master(self) -> None:
        if (master := self._site.master()) is None:
            raise Refused("no worker leads, so no master could be killed")
        self._kill(master)

    def _kill(self, worker: Worker) -> None:
        self._record(Fault.KILL, worker.pod)
        worker.send(signal.SIGKILL)
        self._later(0.5, 2 * SESSION_S)
        self._site.workers.revive()
        self._record("restart", worker.pod)
        self._later(3.0, 5.0)  # it takes a moment until it is of use

    def _stop_worker(self) -> None:
        worker = self._choose.choice(self._site.workers.all)
        self._record("stop", worker.pod)
        worker.send(signal.SIGSTOP)
        self._later(SESSION_S + 1, SESSION_S + 4)
        worker.send(signal.SIGCONT)
        self._record("resume", worker.pod)

    def _cut_worker(self) -> None:
        number = self._choose.randrange(len(self._site.links))
        pod = self._site.workers.all[number].pod
        self._record(Fault.CUT, pod)
        self._site.links[number].cut()
        self._later(0.05, SESSION_S + 4)
        self._site.links[number].heal()
        self._record("heal", pod)

    def _full_disk(self) -> None:
        self._site.fill_disk()
        self._record(Fault.CUT, "the workers' disk")
        self._later(1.0, 4.0)
        self._site.empty_disk()
        self._record("heal", "the workers' disk")

    # -- servers --

    def _server(self, verb: Fault, least_s: float, most_s: float) -> None:
        number = self._choose.randint(1, 3)
        with self._turn, self._harmed(verb, number):
            self._later(least_s, most_s)
