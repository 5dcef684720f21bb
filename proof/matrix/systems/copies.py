"""A configuration carried by DataWatch: a pod for each client, which reads its own pod's copy."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from app.checker.history import Value, Version
from app.cluster.guest_actor import Actor
from app.consistency.eventual import ConfigReplica, publish
from app.errors import Refused
from proof.matrix.orders import HOST_SESSION_S, OPERATION_S, STEP_S, Orders
from proof.matrix.schedule import CLIENTS, WRITER
from proof.matrix.systems.by_client import ByClient


class Copies(ByClient[Actor]):
    """The parameters of an act are keys of the configuration."""

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._sessions: dict[str, Any] = {}
        self._ways = {
            client: Actor(
                orders.home(client), orders.chroot, HOST_SESSION_S, partial(self._roles, f"pod-{client}")
            )
            for client in CLIENTS
        }

    def _roles(self, name: str, client: Any) -> list[ConfigReplica]:
        self._sessions[name] = client
        return [ConfigReplica(client, name)]

    def open(self) -> None:
        for pod in self._ways.values():
            pod.start()
        publish(self._sessions[f"pod-{WRITER}"], {}, timeout_s=STEP_S)

    def write(self, client: str, key: str, value: str) -> Version | None:
        if not self._ways[client].alive:
            raise Refused("its pod is down: nothing was sent")
        made = publish(self._sessions[f"pod-{client}"], {key: value}, timeout_s=OPERATION_S)
        return made.mzxid, ""

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        pod = self._ways[client]
        copy = pod.roles[0].copy if pod.alive else None  # type: ignore[attr-defined] # all our roles are copies
        if copy is None or copy.value is None:
            raise Refused("its pod is down, or has no copy yet")
        return copy.value.get(key), (copy.mzxid, "")

    def crash(self, replicas: Sequence[int]) -> None:
        for pod in self._of(replicas):
            pod.crash()
