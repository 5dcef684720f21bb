"""A cluster of workers on one machine: their processes, and one port that always leads to the master."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.console import print_to_stderr
from lab.ensemble import Ensemble, EnsembleError
from lab.guard import GuardedDirectory
from lab.interrupts import Interrupted, Interrupts
from lab.leadership import Leadership
from lab.proxy import Forwarder, entrance
from lab.workers import Workers, WorkersError

READY_S = 60.0  # five workers on two busy cores take six
ZOOKEEPER_S = 10.0  # within which an unreachable ZooKeeper is reported
TICK_S = 0.1  # between two looks at the workers


@dataclass(frozen=True)
class Place:
    """Where ZooKeeper is.

    Attributes:
        zk_hosts: for clients.
        control: the socket for orders to the servers, if we know one.
        ensemble: None where the servers aren't ours (``ZK_HOSTS``).
    """

    zk_hosts: str
    control: str | None
    ensemble: Ensemble | None


@dataclass
class Cluster:
    """What runs, once it runs."""

    place: Place
    directory: Path
    forwarder: Forwarder
    leadership: Leadership
    workers: Workers
    _leader: str | None = None  # the last one that was announced

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.forwarder.port}"

    def wait_ready(self, interrupts: Interrupts) -> None:
        """Return when every worker is ready and one leads, with a backup if there can be one."""
        deadline = time.monotonic() + READY_S
        while (missing := self._missing()) is not None:
            if time.monotonic() > deadline:
                raise WorkersError(f"not ready within {READY_S:g} s: {missing}")
            interrupts.sleep(TICK_S)
            for end in self._look():
                raise WorkersError(end)

    def tend(self) -> None:
        """Say what has changed."""
        for end in self._look():
            print_to_stderr(end)
        leader = self.leadership.leader()
        worker = self.workers.named(leader)
        if worker is not None and leader != self._leader:
            print_to_stderr(f"{leader} leads now (pid {worker.pid})")
            self._leader = leader

    def _look(self) -> list[str]:
        """Notice the processes that have ended; returns how, for those that stay down."""
        self.leadership.tend()
        ends = self.workers.tend()
        for end in ends:
            self.leadership.bury(end.pod)
            if not end.for_good:
                print_to_stderr(end.how)
        return [end.how for end in ends if end.for_good]

    def _missing(self) -> str | None:
        for worker in self.workers.all:
            if why := worker.unready():
                return f"{why}; its log ends: {worker.log_tail()}"
        return self.leadership.unsettled([worker.pod for worker in self.workers.all])


def run(place: Place, arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """Keep a cluster until a signal ends it."""
    with _cluster(place, arguments, interrupts) as cluster:
        cluster.wait_ready(interrupts)
        print(_as_json(cluster) if arguments.json else _as_text(cluster), flush=True)
        try:
            while True:
                interrupts.sleep(TICK_S)
                cluster.tend()
        except Interrupted:
            return 0


@contextmanager
def _cluster(place: Place, arguments: argparse.Namespace, interrupts: Interrupts) -> Iterator[Cluster]:
    """Started from the bottom up, ended from the top down: workers end while what they need still runs."""
    with ExitStack() as stack:
        forwarder = stack.enter_context(entrance(arguments.port, WorkersError))
        den = stack.enter_context(GuardedDirectory())
        workers = Workers(arguments.workers, place.zk_hosts, den, print_to_stderr, arguments.restart)
        leadership = stack.enter_context(
            Leadership(place.zk_hosts, lambda pod: forwarder.point_to(workers.port_of(pod)))
        )
        _wait_for_zookeeper(leadership, place.zk_hosts, interrupts)
        stack.enter_context(workers)
        yield Cluster(place, den.path, forwarder, leadership, workers)


def _wait_for_zookeeper(leadership: Leadership, zk_hosts: str, interrupts: Interrupts) -> None:
    deadline = time.monotonic() + ZOOKEEPER_S
    while not leadership.connected:
        if time.monotonic() > deadline:
            raise EnsembleError(f"no reply from {zk_hosts} within {ZOOKEEPER_S:g} s")
        interrupts.sleep(TICK_S)


def _as_json(cluster: Cluster) -> str:
    ensemble = cluster.place.ensemble
    servers = [server.row() for server in (ensemble.servers if ensemble else ())]
    workers = [
        {"pod": w.pod, "pid": w.pid, "url": w.url, "backup_dir": str(w.backup_dir), "log": str(w.log)}
        for w in cluster.workers.all
    ]
    whole = {
        "zk_hosts": cluster.place.zk_hosts,
        "control": cluster.place.control,
        "url": cluster.url,
        "servers": servers,
        "workers": workers,
        "shared_dir": str(cluster.workers.shared_dir),
    }
    return json.dumps(whole)


def _as_text(cluster: Cluster) -> str:
    roles = {cluster.leadership.epoch.backup: "backup", cluster.leadership.leader(): "master"}
    master = cluster.workers.named(cluster.leadership.leader())
    return "\n".join(
        [
            f"The page, always the master's:  {cluster.url}",
            *(
                f"  {w.pod:<10} pid {w.pid:<8} {w.url}  {roles.get(w.pod, '')}".rstrip()
                for w in cluster.workers.all
            ),
            f"  logs, the shared folder, backups: {cluster.directory}",
            f"Upload a picture:  curl -F image=@picture.png {cluster.url}/upload",
            f"Kill the master:   kill -9 {master.pid if master else '<pid>'}",
            "Until Ctrl-C.",
        ]
    )
