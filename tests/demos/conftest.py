"""Where the demos of these tests find ZooKeeper, and the default runs that many tests look at."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from app.demo.run import remove
from app.demo.servers import Servers
from app.zookeeper import client as zk, paths
from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.workers import Workers
from tests.conftest import Ensemble
from tests.demos.playing import ROOT, Played, play, roots, within


@pytest.fixture
def zookeeper(ensemble: Ensemble) -> dict[str, str]:
    """What a user exports to run a demo on servers that are somebody else's: no harm comes to those."""
    return {"ZK_HOSTS": ensemble.hosts}


@dataclass(frozen=True)
class DefaultRun:
    """A run without any option that changes what is shown, with what it left in ZooKeeper."""

    played: Played
    history: Path
    left_in_zookeeper: set[str]


@pytest.fixture(scope="session")
def default_run(ensemble: Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DefaultRun]:
    """Runs a demo as `make demo` does, its servers' owner at hand; once, when it is first asked for."""
    folder = tmp_path_factory.mktemp("histories")
    zookeeper = {"ZK_HOSTS": ensemble.hosts}
    if ensemble.control:
        zookeeper["LAB_CONTROL"] = ensemble.control

    @cache
    def run(demo: str) -> DefaultRun:
        history = folder / f"{demo}.jsonl"
        before = roots(ensemble.hosts)
        played = play(demo, "--history", str(history), zookeeper=zookeeper)
        return DefaultRun(played, history, roots(ensemble.hosts) - before)

    return run


@dataclass(frozen=True)
class SingleServer:
    """A ZooKeeper of one server that no other test uses: stopping it is an outage of everything."""

    zookeeper: dict[str, str]
    hosts: str
    servers: Servers


@pytest.fixture(scope="session")
def laboratory_of_one() -> Iterator[SingleServer]:
    command = [sys.executable, "-m", "lab", "servers", "--servers", "1", "--json", "--until-stdin-closes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdin is not None
        assert lab.stdout is not None
        line = lab.stdout.readline()
        assert line, "the laboratory did not start; it says why above"
        started = json.loads(line)
        hosts = str(started["zk_hosts"])
        yield SingleServer({"ZK_HOSTS": hosts}, hosts, Servers(started["control"]))
        lab.stdin.close()
        lab.wait(60)


@pytest.fixture
def single_server(laboratory_of_one: SingleServer) -> Iterator[SingleServer]:
    """Serving, and with nothing under ``/demos``, before and after the test."""
    yield laboratory_of_one
    laboratory_of_one.servers.mend()
    client = zk.connect(laboratory_of_one.hosts, session_timeout_s=10, deadline_s=30)
    for root in roots(laboratory_of_one.hosts):
        remove(client, f"{paths.DEMOS}/{root}", zk.Deadline(20))
    zk.disconnect(client)


@dataclass(frozen=True)
class Pods:
    """Five live workers, as processes, on the shared ensemble; healed before each test that asks."""

    workers: Workers
    hosts: str

    @property
    def zookeeper(self) -> dict[str, str]:
        return {"ZK_HOSTS": self.hosts}

    @property
    def names(self) -> list[str]:
        return [worker.pod for worker in self.workers.all]

    def sessions(self) -> dict[str, int]:
        """The main session of each worker that is there now."""
        client = zk.connect(self.hosts, session_timeout_s=10, deadline_s=30)
        try:
            zk.wait(client.sync_async("/"), zk.Deadline(20))
            asked = {pod: client.exists_async(paths.node(pod)) for pod in self.names}
            found = {pod: zk.wait(result, zk.Deadline(20)) for pod, result in asked.items()}
            return {pod: stat.ephemeralOwner for pod, stat in found.items() if stat is not None}
        finally:
            zk.disconnect(client)

    def hosting(self) -> set[str]:
        """Who hosts a replica of the cluster at work now."""
        client = zk.connect(self.hosts, session_timeout_s=10, deadline_s=30)
        try:
            slots = zk.wait(client.get_children_async(paths.HOSTS), zk.Deadline(20))
            found = [zk.get(client, f"{paths.HOSTS}/{slot}", zk.Deadline(20)) for slot in slots]
            return {data.decode() for data, _ in filter(None, found)}
        finally:
            zk.disconnect(client)

    def folders(self) -> list[str]:
        """What guests have left on the workers' disks."""
        return [str(path) for one in self.workers.all for path in (one.backup_dir / "guests").glob("*")]

    def without_guests(self) -> bool:
        """Whether nothing of a guest is left: no link's port, no disk."""
        listening = [self.listening(pod) for pod in self.names]
        return not self.folders() and set(listening) == {1}

    def listening(self, pod: str) -> int:
        """Ports on which its process listens: its own for HTTP, and three for each guest's link."""
        worker = self.workers.named(pod)
        assert worker is not None
        inodes = set()
        for handle in Path(f"/proc/{worker.pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(str(handle.readlink()))
        table = Path(f"/proc/{worker.pid}/net/tcp").read_text().splitlines()[1:]
        return sum(row[3] == "0A" and f"socket:[{row[9]}]" in inodes for row in map(str.split, table))

    def heal(self) -> None:
        """All of them alive and ready."""
        self.workers.revive()
        within(60, lambda: not any(worker.unready() for worker in self.workers.all), "all workers are ready")
        within(60, lambda: len(self.sessions()) == len(self.names), "all are in /nodes")


@pytest.fixture(scope="package")  # five others, of the same names, are in other packages
def five_workers(ensemble: Ensemble) -> Iterator[Pods]:
    with GuardedDirectory() as den, Workers(5, ensemble.hosts, den, print_to_stderr) as workers:
        yield Pods(workers, ensemble.hosts)


@pytest.fixture
def pods(five_workers: Pods) -> Pods:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here to look for sockets")
    five_workers.heal()
    return five_workers
