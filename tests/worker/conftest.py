"""Five real worker processes on three real servers, whole again after every test."""

import contextlib
import hashlib
import io
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.consistency.eventual import encoded, publish
from app.zookeeper import client as zk, paths
from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.workers import COMMAND, Worker, Workers
from tests.client import PATIENCE_S, Client
from tests.conftest import Ensemble, znodes_below

Picture = np.ndarray[Any, np.dtype[np.uint8]]


class Cluster(Client):
    """What a test does to the workers, and asks of them as a client would."""

    def __init__(self, workers: Workers, hosts: str) -> None:
        super().__init__()
        self.workers = workers
        self.hosts = hosts

    # -- who is who --

    def roles(self) -> dict[str, str]:
        """Role by pod, as each live worker says of itself."""
        return {worker.pod: role for worker in self.workers.all if (role := worker.role())}

    def who(self, role: str) -> Worker:
        """The worker that has this role now; waits until one does."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for pod, its in self.roles().items():
                if its == role and (worker := self.workers.named(pod)):
                    return worker
            time.sleep(0.05)
        raise AssertionError(f"nobody is {role}: {self.roles()}")

    def plain(self) -> list[Worker]:
        """The three that are neither master nor backup."""
        roles = self.settle()
        return [worker for worker in self.workers.all if roles[worker.pod] == "worker"]

    def new_master(self, other_than: Worker) -> Worker:
        """Wait until another worker leads."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := self.who("master")) is other_than:
            assert time.monotonic() < deadline, f"{other_than.pod} still leads"
            time.sleep(0.02)
        return now

    def master_url(self) -> str:
        return self.who("master").url

    # -- harm --

    def kill(self, worker: Worker) -> None:
        worker.send(signal.SIGKILL)
        assert worker.gone(time.monotonic() + PATIENCE_S)

    def restart_all(
        self, between: Callable[[], None] = lambda: None, command: Sequence[str] = COMMAND
    ) -> None:
        """Told to end, all at once, and started again."""
        for worker in self.workers.all:
            worker.send(signal.SIGTERM)
        for worker in self.workers.all:
            assert worker.gone(time.monotonic() + PATIENCE_S)
            worker.ended()
        between()
        for worker in self.workers.all:
            worker.start(command)
        self.settle()

    @contextlib.contextmanager
    def stopped(self, worker: Worker) -> Iterator[None]:
        worker.send(signal.SIGSTOP)
        try:
            yield
        finally:
            worker.send(signal.SIGCONT)

    def heal(self) -> None:
        """Every worker alive and ready, one of them master, one of them backup; the first configuration."""
        for worker in self.workers.all:
            worker.send(signal.SIGCONT)
        self.workers.revive()
        self.settle()
        self.configure(1024)

    def settle(self) -> dict[str, str]:
        """Wait until each has its role and its slot; the roles by pod."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            roles = self.roles()
            nodes = self._nodes()
            if sorted(roles.values()) == ["backup", "master", "worker", "worker", "worker"] and nodes == 5:
                return roles
            assert time.monotonic() < deadline, (roles, nodes)
            time.sleep(0.1)

    def _nodes(self) -> int:
        for worker in self.workers.all:
            with contextlib.suppress(httpx.TransportError):
                answer = self.http.get(f"{worker.url}/cluster", timeout=1)
                if answer.status_code == 200:
                    return sum(node["slot"] is not None for node in answer.json()["nodes"])
        return 0

    def configure(self, chunk_size: int) -> None:
        """Publish, unless just that is published, and wait until every worker has applied it."""
        client = zk.connect(self.hosts, session_timeout_s=10, deadline_s=30)
        try:
            zk.wait(client.sync_async(paths.CONFIG), zk.Deadline(10))
            found = zk.get(client, paths.CONFIG, zk.Deadline(10))
            if found is not None and found[0] == encoded({"chunk_size": chunk_size}):
                version = found[1].mzxid
            else:
                version = publish(client, {"chunk_size": chunk_size}).mzxid
        finally:
            zk.disconnect(client)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            # None, while it has no session for a moment.
            nodes = self.http.get(f"{self.workers.all[0].url}/cluster").json().get("nodes")
            if nodes and all(node.get("config_version", 0) >= version for node in nodes):
                return
            time.sleep(0.05)
        raise AssertionError("the configuration has not arrived everywhere")

    # -- what is left --

    def znodes(self) -> set[str]:
        """Every znode below /jobs, /objects and /board."""
        return znodes_below(self.hosts, paths.JOBS, paths.OBJECTS, paths.BOARD)

    def files(self) -> set[str]:
        """Every file on the shared volume and on the workers' own disks."""
        roots = [self.workers.shared_dir, *(worker.backup_dir for worker in self.workers.all)]
        # os.walk, unlike rglob, goes on when a folder is removed while it looks.
        return {f"{folder}/{name}" for root in roots for folder, _, names in os.walk(root) for name in names}

    def left_of(self, job_id: str) -> set[str]:
        """What there is of a job, by files and znodes: of one that has ended, its record and its result."""
        znodes = {path.removeprefix(paths.job(job_id)) for path in self.znodes() if job_id in path}
        return znodes | {Path(path).parent.name for path in self.files() if job_id in path}

    def leaves_only_its_record(self, job_id: str) -> None:
        """Wait until nothing else is left of a job, in ZooKeeper or on any disk."""
        # A worker that didn't hear of the job's end looks through its disk once a minute or so.
        deadline = time.monotonic() + 120
        while (left := self.left_of(job_id)) != RECORD:
            assert time.monotonic() < deadline, left ^ RECORD
            time.sleep(0.1)


# What stays of a job that is done.
RECORD = {"", "/backup_ack", "/outcome", "/result", "results"}


@pytest.fixture(scope="package")  # five others, of the same names, are in other packages
def cluster_of_five(ensemble: Ensemble) -> Iterator[Cluster]:
    with GuardedDirectory() as den, Workers(5, ensemble.hosts, den, print_to_stderr) as workers:
        cluster = Cluster(workers, ensemble.hosts)
        cluster.settle()
        yield cluster
        cluster.http.close()


@pytest.fixture
def cluster(cluster_of_five: Cluster) -> Cluster:
    """Five workers in order, whatever the last test did to them."""
    cluster_of_five.heal()
    return cluster_of_five


# --- pictures ---------------------------------------------------------------------------------------------

_numbers = itertools.count(os.getpid())


def noise(height: int, width: int) -> Picture:
    """A grey picture that no other test has sent: a slope with noise. uint8, (height, width)."""
    random = np.random.default_rng(next(_numbers))
    slope = np.linspace(40, 180, width)[None, :] + random.normal(0, 12, (height, width))
    return slope.clip(0, 255).astype(np.uint8)


def as_file(picture: Picture, kind: str = "TIFF") -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind)
    return out.getvalue()


def as_pixels(data: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(data)))


def equalized(picture: Picture) -> Picture:
    """The course's definition, in one process: what every job's result must equal to the pixel."""
    cdf = np.cumsum(np.bincount(picture.ravel(), minlength=256))
    masked = np.ma.masked_equal(cdf, 0)
    spread = (masked - masked.min()) * 255 / (masked.max() - masked.min())
    table: Picture = np.ma.filled(spread, 0).astype(np.uint8)
    return table[picture]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
