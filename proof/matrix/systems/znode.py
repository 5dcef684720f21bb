"""One znode on ZooKeeper itself, whose servers are the replicas; each client has a way of its own to them.

Here a "cut replica" is a client that is cut off from its server, and a "crashed" one a connection that
breaks: a server's own faults are the matrix's to make.
"""

from collections.abc import Sequence
from typing import Any

from kazoo.exceptions import BadVersionError

from app.checker.history import Value, Version
from app.zookeeper import client as zk
from app.zookeeper.link import Link
from proof.matrix.orders import CLIENT_SESSION_S, OPERATION_S, STEP_S, Orders
from proof.matrix.schedule import CLIENTS, WRITER
from proof.matrix.systems.by_client import ByClient


class Plain(ByClient[Link]):
    """Writes set the znode whatever is there; a read is a get from the client's own server."""

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._orders = orders
        self._clients: dict[str, Any] = {}

    def open(self) -> None:
        for client in CLIENTS:
            self._ways[client] = link = Link(self._orders.home(client))
            self._clients[client] = zk.connect(
                link.hosts, chroot=self._orders.chroot, session_timeout_s=CLIENT_SESSION_S, deadline_s=STEP_S
            )

    def begin(self, act: str) -> None:
        super().begin(act)
        zk.ensure(self._clients[WRITER], (_path(act),), zk.Deadline(STEP_S))

    def write(self, client: str, key: str, value: str) -> Version | None:
        done = self._clients[client].set_async(_path(key), value.encode())
        return zk.wait(done, zk.Deadline(OPERATION_S)).mzxid, ""

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        data, stat = zk.wait(self._clients[client].get_async(_path(key)), zk.Deadline(OPERATION_S))
        return _told(data, stat)

    def crash(self, replicas: Sequence[int]) -> None:
        for link in self._of(replicas):
            link.down()

    def close(self) -> None:
        for client in self._clients.values():
            zk.disconnect(client)
        super().close()


class Synced(Plain):
    """The same, with a sync before each get: the server catches up with its leader first."""

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        deadline = zk.Deadline(OPERATION_S)
        zk.wait(self._clients[client].sync_async(_path(key)), deadline)
        data, stat = zk.wait(self._clients[client].get_async(_path(key)), deadline)
        return _told(data, stat)


class Checked(Plain):
    """A write replaces what its writer has seen, and nothing else; a read is checked by the leader."""

    def write(self, client: str, key: str, value: str) -> Version | None:
        deadline = zk.Deadline(OPERATION_S)
        zookeeper = self._clients[client]
        while True:
            _, stat = zk.wait(zookeeper.get_async(_path(key)), deadline)
            try:
                done = zookeeper.set_async(_path(key), value.encode(), version=stat.version)
                return zk.wait(done, deadline).mzxid, ""
            except BadVersionError:
                continue  # another writer was first; ours did not happen

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        deadline = zk.Deadline(OPERATION_S)
        zookeeper = self._clients[client]
        while True:
            data, stat = zk.wait(zookeeper.get_async(_path(key)), deadline)
            check = zookeeper.transaction()
            check.check(_path(key), stat.version)
            try:
                zk.commit(check, deadline)
                return _told(data, stat)
            except zk.TransactionFailed:
                continue  # it was old, or has changed meanwhile


def _path(key: str) -> str:
    return f"/{key}"


def _told(data: bytes, stat: Any) -> tuple[Value, Version | None]:
    return data.decode() or None, (stat.mzxid, "")
