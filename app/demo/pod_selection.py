"""The participants' choice: live workers if the options ask for them, else sessions of the demo's process."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from eventlet import queue
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from app.cluster.nodes import described
from app.demo.options import Options
from app.demo.pod_client import PodClient
from app.errors import BadSettingError, InDoubt
from app.zookeeper import client as zk

# A live worker hears of a new run at once; one that is busy, or just starting, takes a moment.
_COMING_S = 15.0


def live_workers(client: KazooClient) -> dict[str, dict[str, Any]]:
    """What each live worker says of itself, in the order of their numbers. Raises one of zk.NO_REPLY.

    ``client``: without a chroot.
    """
    found: dict[str, dict[str, Any]] = {}
    with suppress(NoNodeError):  # no worker has ever been here
        found = described(client)
    return {name: found[name] for name in sorted(found, key=_by_number)}


def choose_pods(
    options: Options, needed: int, client: KazooClient, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The names of the pods that take part; none: all participants live in this process.

    Raises BadSettingError with one line if there are fewer live workers than were asked for.
    """
    if options.participants == "local" or (options.participants == "auto" and "POD_NAME" not in environ):
        return ()
    workers = list(live_workers(client))
    if len(workers) >= needed:
        return tuple(workers[:needed])
    if options.participants == "auto":
        return ()
    message = (
        f"--participants pods: {needed} live workers are needed, and there {_are(len(workers))}: start more "
        "(`make lab` starts five, `make deploy` a cluster), or use --participants local"
    )
    raise BadSettingError(message)


class GuestPods:
    """The pods that take part in one run as its guests, and their mailboxes.

    Args:
        client: a connected client in the run's chroot.
        pods: their names, in order; the i-th one hosts replica i. None: all live in this process.
        least: how many must be left for the run to go on.
    """

    def __init__(self, client: KazooClient, pods: tuple[str, ...], least: int = 0) -> None:
        self.pods = pods
        self.least = least
        self._pod_clients = {pod: PodClient(client, pod) for pod in pods}

    def pod_client(self, pod: str) -> PodClient:
        return self._pod_clients[pod]

    def open(self) -> None:
        """Wait until all have come. Raises InDoubt (one doesn't) or BadSettingError (one can't)."""
        came: Any = queue.LightQueue()
        for pod_client in self._pod_clients.values():
            pod_client.on_report = came.put
            pod_client.open()
        deadline = zk.Deadline(_COMING_S)
        while awaited := [pod for pod, pod_client in self._pod_clients.items() if pod_client.report is None]:
            try:
                came.get(timeout=deadline.left_s)
            except queue.Empty as error:
                message = f"{', '.join(awaited)} did not follow the invitation within {_COMING_S:g} s"
                raise InDoubt(message) from error
        for pod_client in self._pod_clients.values():
            if pod_client.report is not None and pod_client.report.declined is not None:
                raise BadSettingError(pod_client.report.declined)

    def close(self) -> None:
        for pod_client in self._pod_clients.values():
            pod_client.close()


def _by_number(name: str) -> list[tuple[int, str]]:
    """worker-2 before worker-10."""
    return [(int(part or -1) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]


def _are(count: int) -> str:
    return {0: "are none", 1: "is one"}.get(count, f"are {count}")
