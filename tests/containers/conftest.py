"""Three ZooKeeper containers and five of the app's, as the manifests have them; whole before every test."""

import contextlib
import ipaddress
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import docker
import pytest
from docker.models.networks import Network

from app.zookeeper import paths
from lab import docker_engine
from tests.client import PATIENCE_S, Client
from tests.conftest import ROOT, znodes_below
from tests.containers.api import MOUNTED_AT, Api
from tests.containers.pods import Kind, Pod
from tests.k8s.manifests import K8S, find, read
from tests.lab import conftest as lab
from tests.lab.conftest import need

# The first build fetches Python's packages.
BUILD_S = 600
until = partial(lab.until, within_s=PATIENCE_S)


class Classroom(Client):
    """What ``kubectl apply -f k8s/`` makes, on Docker."""

    def __init__(self, engine: docker.DockerClient, run: str, network: Network, folder: Path) -> None:
        super().__init__()
        self._engine = engine
        self._run = run
        self._network = network
        network.reload()
        pool = network.attrs["IPAM"]["Config"][0]
        gateway = str(ipaddress.ip_network(pool["Subnet"])[1])
        self._free = [str(one) for one in ipaddress.ip_network(pool["Subnet"]).hosts()]
        self._free.remove(pool.get("Gateway", gateway))
        self.api = Api(pool.get("Gateway", gateway), folder)
        stateful = find(read(K8S / "zookeeper.yaml"), "StatefulSet")
        deployment = find(read(K8S / "app.yaml"), "Deployment")
        self._server = Kind(stateful, ("zookeeper",))
        self._worker = Kind(
            deployment,
            extra={"mounts": [docker.types.Mount(MOUNTED_AT, str(folder), type="bind", read_only=True)]},
        )
        self.environment = self.api.environment
        self._worker.main.setdefault("env", []).extend(
            {"name": name, "value": value} for name, value in self.environment.items()
        )
        count = range(stateful["spec"]["replicas"])
        self.servers = [self._pod(self._server, f"zookeeper-{number}") for number in count]
        self.workers: list[Pod] = []
        for _ in range(deployment["spec"]["replicas"]):
            self.add()

    def _pod(self, kind: Kind, name: str) -> Pod:
        return Pod(self._engine, self._run, self._network, kind, name, self._free.pop(0))

    def add(self) -> Pod:
        """A new pod of the Deployment, with a name that no other has had."""
        worker = self._pod(self._worker, f"zk-app-{uuid.uuid4().hex[:5]}")
        self.workers.append(worker)
        return worker

    def remove(self, worker: Pod) -> int:
        """`kubectl delete pod`: an orderly end, then it is gone. Its exit status."""
        ended = worker.stop()
        self.workers.remove(worker)
        worker.delete()
        self._free.append(worker.address)
        return ended

    # -- looking --

    @property
    def hosts(self) -> str:
        return ",".join(f"{server.address}:2181" for server in self.servers)

    def roles(self) -> dict[str, str]:
        """Role by pod, as each says of itself."""
        told = {worker.name: worker.get("/readyz") for worker in self.workers}
        return {
            name: answer.json()["role"]
            for name, answer in told.items()
            if answer and answer.status_code == 200
        }

    def who(self, role: str) -> Pod:
        """Who has this role now; waits until somebody does."""

        def look() -> Pod | None:
            roles = self.roles()
            return next((worker for worker in self.workers if roles.get(worker.name) == role), None)

        found = until(look, lambda: self.roles())
        assert isinstance(found, Pod)
        return found

    def master_url(self) -> str:
        return self.who("master").url

    def leader(self) -> Pod:
        """The ZooKeeper leader."""

        def look() -> Pod | None:
            return next((one for one in self.servers if b"Mode: leader" in self._srvr(one)), None)

        found = until(look, lambda: [self._srvr(server) for server in self.servers])
        assert isinstance(found, Pod)
        return found

    def _srvr(self, server: Pod) -> bytes:
        server.container.reload()
        if server.container.status != "running":
            return b""
        ask = "exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; cat <&3"
        said = server.container.exec_run(["timeout", "2", "bash", "-c", ask]).output
        assert isinstance(said, bytes)
        return said

    def znodes(self, *roots: str) -> set[str]:
        """Every znode below these."""
        return znodes_below(self.hosts, *roots)

    # -- whole again --

    def settle(self) -> None:
        """Wait until all are ready as their probes have it, with one master, one backup, and five slots."""
        for pod in [*self.servers, *self.workers]:
            until(pod.probed, pod.last_words)
        wanted = sorted(["master", "backup", *["worker"] * (len(self.workers) - 2)])
        until(lambda: sorted(self.roles().values()) == wanted, self.roles)
        until(lambda: len(self.znodes(paths.HOSTS)) == 5, lambda: self.znodes(paths.HOSTS))

    def mend(self) -> None:
        for pod in [*self.servers, *self.workers]:
            pod.mend()
        self.settle()

    def close(self) -> None:
        self.http.close()
        self.api.close()
        for pod in [*self.workers, *self.servers]:
            with contextlib.suppress(docker.errors.NotFound):
                pod.delete()


@pytest.fixture(scope="session")
def classroom_of_five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    need("docker")
    if sys.platform != "linux":
        pytest.skip("the containers' own addresses can be reached on Linux only")
    run = f"{docker_engine.LABEL}-{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("containers") / "serviceaccount"
    folder.mkdir()
    with ExitStack() as closing:
        engine = docker_engine.connect()
        closing.callback(engine.close)
        engine.api.timeout = BUILD_S
        docker_engine.sweep(engine)
        engine.images.build(path=str(ROOT), tag="zk-app:latest", rm=True)
        network = docker_engine.network(engine, run, "classroom")
        closing.callback(docker_engine.remove, engine, f"{docker_engine.RUN_LABEL}={run}")
        classroom = Classroom(engine, run, network, folder)
        closing.callback(classroom.close)
        classroom.settle()
        yield classroom


@pytest.fixture
def classroom(classroom_of_five: Classroom) -> Classroom:
    """Everybody in order, whatever the last test did to them."""
    classroom_of_five.mend()
    return classroom_of_five
