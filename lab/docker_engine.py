"""The Docker engine of this machine, and what on it is ours: networks and containers with our labels."""

import ipaddress
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from lab.ensemble import EnsembleError, Say, Sleep, UnavailableError

LABEL = "k8s-zk-lab"  # its value: the supervisor's process id
HOST_LABEL = "k8s-zk-lab.host"  # several machines may share an engine
RUN_LABEL = "k8s-zk-lab.run"
PULL_S = 180.0
ANSWER_S = 5
# The kernel can't freeze a process that is just then forking or deep in the disk, and on a busy machine runc
# runs out of patience after a fraction of a second. It has thawed everything by then, so one may ask again.
FREEZES = 10
FREEZE_AGAIN_S = 0.5
DEFAULT_SOCKET = "unix:///var/run/docker.sock"
LAB_NETWORK = int(ipaddress.ip_address("198.18.0.0"))


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, requests.RequestException) as exc:
        raise EnsembleError(f"{doing}: {_one_line(exc)}") from exc


def connect() -> docker.DockerClient:
    """The engine of this machine, if it answers."""
    url = os.environ.get("DOCKER_HOST", "")
    # After `eval $(minikube docker-env)` DOCKER_HOST leads to a machine whose loopback is not ours.
    if not url.startswith(("unix:", "tcp://127.", "tcp://localhost")):
        context = ContextAPI.get_current_context()
        url = (context and context.Host) or DEFAULT_SOCKET
    try:
        _knock(url)
        engine = docker.DockerClient(url, timeout=ANSWER_S)  # one that is there answers at once ...
        engine.ping()
        engine.api.timeout = 30  # ... but may take its time over work
    except (OSError, DockerException) as exc:  # the SDK's own RequestException is an OSError
        raise UnavailableError(
            f"no Docker engine answers at {url} (is Docker started?): {_one_line(exc)}"
        ) from exc
    return engine


def _knock(url: str) -> None:
    """Raises OSError where nothing listens: the SDK would leave its socket to the garbage collector."""
    if url.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(ANSWER_S)
            door.connect(url.removeprefix("unix:").removeprefix("//"))


def ensure_image(engine: docker.DockerClient, image: str, say: Say, sleep: Sleep) -> None:
    """Have the image, if need be by pulling it: in a thread, for the SDK's pull has no deadline."""
    try:
        engine.images.get(image)
        return
    except ImageNotFound:
        say(f"pulling {image} (at most {PULL_S:g} s)")
    failure: list[str] = []

    def pull() -> None:
        try:
            engine.images.pull(image)
        except (DockerException, requests.RequestException) as exc:
            failure.append(_one_line(exc))

    thread = threading.Thread(target=pull, daemon=True)
    thread.start()
    deadline = time.monotonic() + PULL_S
    while thread.is_alive() and time.monotonic() < deadline:
        sleep(0.1)
    if thread.is_alive() or failure:
        raise UnavailableError(f"{image} can't be pulled: {''.join(failure) or 'it takes too long'}")


def labels_of(run: str) -> dict[str, str]:
    return {LABEL: str(os.getpid()), HOST_LABEL: socket.gethostname(), RUN_LABEL: run}


def network(engine: docker.DockerClient, run: str, name: str) -> Network:
    """A bridge in 198.18.0.0/15, which RFC 2544 keeps for laboratories: Docker's own pools are few.

    The peers' one is internal, so Docker never publishes ports through it and may take it away.
    """
    for _ in range(20):
        subnet = ipaddress.ip_network((LAB_NETWORK + 16 * random.randrange(2**13), 28))
        try:
            return engine.networks.create(
                f"{run}-{name}",
                driver="bridge",
                internal=name == "peers",
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
                labels=labels_of(run),
            )
        except APIError as exc:
            if "overlap" not in str(exc):
                raise
    raise UnavailableError(f"no room for another network in {ipaddress.ip_address(LAB_NETWORK)}/15")


def freeze(container: Container) -> None:
    """Pause it; asked again, within limits, where the kernel was too busy to.

    Raises:
        APIError: the engine's own, also where it could not in :data:`FREEZES` attempts.
    """
    for attempt in range(1, FREEZES + 1):
        try:
            container.pause()
            return
        except APIError as exc:
            if attempt == FREEZES or "unable to freeze" not in str(exc):
                raise
        time.sleep(FREEZE_AGAIN_S)


def remove(engine: docker.DockerClient, label: str) -> None:
    """Remove what carries the label: also what a half-failed start has left unreported."""
    with engine_errors("removing containers"):
        for container in engine.containers.list(all=True, filters={"label": label}):
            with suppress(NotFound):
                container.remove(v=True, force=True)
        for network in engine.networks.list(filters={"label": label}):
            with suppress(NotFound):
                network.remove()
        for volume in engine.volumes.list(filters={"label": label}):
            with suppress(NotFound):
                volume.remove()


def sweep(engine: docker.DockerClient) -> None:
    """Remove what supervisors that were killed on this machine have left behind."""
    mine: dict[str, str | list[str] | bool] = {"label": f"{HOST_LABEL}={socket.gethostname()}"}
    containers = engine.containers.list(all=True, filters=mine, ignore_removed=True)
    found = [container.labels for container in containers]
    found += [network.attrs["Labels"] for network in engine.networks.list(filters=mine)]
    for run in {labels[RUN_LABEL] for labels in found if not _alive(int(labels[LABEL]))}:
        with suppress(EnsembleError):  # another supervisor may be sweeping, too
            remove(engine, f"{RUN_LABEL}={run}")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, but alive
    return True


def _one_line(error: Exception) -> str:
    """The engine's own words, if there are any."""
    words = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(words).split())
