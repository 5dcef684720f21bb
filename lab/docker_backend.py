"""ZooKeeper servers as containers, through the Docker SDK.

Each ensemble has two private networks: one that its servers vote on, and one that carries the published
ports. Taking a container off the first is a partition that its clients don't notice.
"""

import ipaddress
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import docker
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import LogConfig

from lab import ensemble
from lab.docker_engine import (
    LABEL,
    RUN_LABEL,
    connect,
    engine_errors,
    ensure_image,
    freeze,
    labels_of,
    network,
    remove,
    sweep,
)
from lab.ensemble import Ensemble, EnsembleError, Say, Server, Sleep, UnavailableError, free_ports

IMAGE = "zookeeper:3.9"


class DockerServer(Server):
    """A container. Its pid is the engine's: on a Mac or on Windows it belongs to Docker's own machine."""

    def __init__(self, index: int, port: int, container: Container, peers: Network, address: str) -> None:
        super().__init__(index, f"127.0.0.1:{port}", container.name)
        self._container = container
        self._peers = peers
        self._address = address

    def ended(self) -> bool:
        with self._order("state"):
            return self._status() not in ("created", "running", "restarting", "paused")

    def kill(self) -> None:
        with self._order("kill"):
            if self._status() in ("running", "paused"):
                self._container.kill()
                self._container.wait(timeout=20)

    def pause(self) -> None:
        with self._order("pause"):
            if self._status() == "running":
                freeze(self._container)

    def resume(self) -> None:
        with self._order("resume"):
            if self._status() == "paused":
                self._container.unpause()

    def stop(self) -> None:
        self.resume()  # a frozen process can't end in an orderly way
        with self._order("stop"):
            if self._status() == "running":
                self._container.stop(timeout=10)

    def restart(self) -> None:
        with self._order("restart"):
            if self._status() not in ("running", "paused"):
                self._container.start()

    def partition(self) -> None:
        with self._order("partition"):
            if self._with_peers():
                self._peers.disconnect(self._container, force=True)

    def heal(self) -> None:
        with self._order("heal"):
            if not self._with_peers():
                self._peers.connect(self._container, ipv4_address=self._address)

    def log_tail(self, lines: int = 20) -> str:
        with self._order("log"):
            return self._container.logs(tail=lines).decode(errors="replace")

    @contextmanager
    def _order(self, verb: str) -> Iterator[None]:
        with engine_errors(f"{verb} of server {self.index}"):
            yield
            self._status()
            self.pid = self._container.attrs["State"]["Pid"] or None

    def _status(self) -> str:
        self._container.reload()
        return self._container.status

    def _with_peers(self) -> bool:
        self._container.reload()
        return self._peers.name in self._container.attrs["NetworkSettings"]["Networks"]


def start(count: int, say: Say, sleep: Sleep = time.sleep) -> Ensemble:
    """Start `count` containers and wait until they form an ensemble; on failure, leave nothing behind."""
    image = os.environ.get("LAB_IMAGE", IMAGE)  # for a mirror, or another version
    run = f"{LABEL}-{uuid.uuid4().hex[:8]}"
    with engine_errors("Docker"), ExitStack() as undo:
        engine = undo.enter_context(closing(connect()))
        sweep(engine)
        ensure_image(engine, image, say, sleep)
        undo.callback(remove, engine, f"{RUN_LABEL}={run}")
        peers, clients = (network(engine, run, name) for name in ("peers", "clients"))
        servers = [_server(engine, image, run, index, count, peers, clients) for index in range(1, count + 1)]
        started = Ensemble("docker", f"Docker containers ({image})", servers, undo.pop_all().close, sleep)
        undo.callback(started.close)
        started.wait_ready()
        undo.pop_all()
    return started


def _server(
    engine: docker.DockerClient,
    image: str,
    run: str,
    index: int,
    count: int,
    peers: Network,
    clients: Network,
) -> DockerServer:
    """Create and start one server, on another port if that one was taken meanwhile."""
    peers.reload()
    subnet = ipaddress.ip_network(peers.attrs["IPAM"]["Config"][0]["Subnet"])
    # Fixed addresses, not names: Java remembers what a name meant, also after the network has changed.
    addresses = {number: str(subnet[number + 1]) for number in range(1, count + 1)}
    for attempt in range(1, 4):
        (port,) = free_ports(1)
        container = engine.containers.create(
            image,
            name=f"{run}-{index}-{attempt}",
            labels=labels_of(run),
            network=clients.name,
            ports={"2181/tcp": ("127.0.0.1", port)},
            environment=_environment(index, addresses),
            log_config=LogConfig(type="json-file", config={"max-size": "5m"}),
        )
        server = DockerServer(index, port, container, peers, addresses[index])
        try:
            server.heal()
            server.restart()
            return server
        except EnsembleError as exc:
            if "port is already allocated" not in str(exc) and "address already in use" not in str(exc):
                raise
    raise UnavailableError(f"no free port for server {index}")


def _environment(index: int, addresses: dict[int, str]) -> dict[str, str]:
    """The official image's variables: the configuration of lab/java_backend.py in other words."""
    settings = {
        "ZOO_MY_ID": str(index),
        "ZOO_TICK_TIME": str(ensemble.TICK_MS),
        "ZOO_INIT_LIMIT": str(ensemble.INIT_LIMIT),
        "ZOO_SYNC_LIMIT": str(ensemble.SYNC_LIMIT),
        "ZOO_MAX_CLIENT_CNXNS": "0",
        "ZOO_AUTOPURGE_PURGEINTERVAL": "0",
        "ZOO_ADMINSERVER_ENABLED": "false",
        "ZOO_4LW_COMMANDS_WHITELIST": "srvr",
        # A server that restarts while it is cut off has no address of its own to listen on: any will do.
        "ZOO_CFG_EXTRA": f"maxSessionTimeout={ensemble.MAX_SESSION_TIMEOUT_MS} quorumListenOnAllIPs=true",
        "SERVER_JVMFLAGS": " ".join(ensemble.JVM_FLAGS),
    }
    if len(addresses) > 1:
        settings["ZOO_SERVERS"] = " ".join(
            f"server.{i}={host}:2888:3888;2181" for i, host in addresses.items()
        )
    return settings
