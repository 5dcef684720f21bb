"""One object's replicas: znodes that are *served only while their host lives*.

The five replica znodes share one ZooKeeper ensemble; what is real is that each fails alone. A participant
hosts replica i while it holds the ephemeral znode ``/hosts/<i>``. Every access is one ZooKeeper transaction
with a check of that znode, so a replica goes offline with its host's session and comes back with its old
data, as a disk would.

What the answers mean is not decided here: the full quorum and the notes' share this access.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from app.consistency.engine.versions import Versioned, decode
from app.errors import InDoubt, Malformed, Refused
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offline:
    """The replica provably did not store anything: it is not served, or nothing was sent to it."""

    why: str


@dataclass(frozen=True, slots=True)
class NoReply:
    """No reply: it may have stored, or may store yet."""


@dataclass(frozen=True, slots=True)
class ZnodeValue:
    """A replica's bytes and its znode version, read while its host lived."""

    data: bytes
    znode_version: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A replica's answer: what it holds, and the znode version to replace it by."""

    held: Versioned
    znode_version: int


class Replicas:
    """Access to the N replicas of one object, replica i through ``clients[i - 1]``.

    In one process each replica has a client on its host's own link, so that cutting the link is the fault.
    With pods the same client stands in all N places.
    """

    def __init__(self, object_id: str, clients: Sequence[KazooClient], root: str = "") -> None:
        """``root``: the path above the object, where its hosts stand elsewhere."""
        self.object_id = object_id
        self._clients = tuple(clients)
        self._root = root

    def __len__(self) -> int:
        return len(self._clients)

    def create(self, initial: bytes, deadline: zk.Deadline) -> bool:
        """Create all N at once; False if the object exists. Raises Refused or InDoubt."""
        client = next((client for client in self._clients if client.connected), self._clients[0])
        creation = client.transaction()
        creation.create(self._root + paths.object_root(self.object_id))
        for index in range(1, len(self) + 1):
            creation.create(self._path(index), initial)
        try:
            zk.commit(creation, deadline)
        except zk.TransactionFailed as rejected:
            if not isinstance(rejected.cause, NodeExistsError):
                message = f"object {self.object_id} was not created: {rejected.cause!r}"
                raise Refused(message) from rejected
            return False
        except zk.NO_REPLY as error:
            message = f"no answer whether object {self.object_id} was created; creating it again is harmless"
            raise InDoubt(message, ask_again=self.object_id) from error
        return True

    def read(self, index: int, deadline: zk.Deadline) -> ZnodeValue | Offline | NoReply:
        """Read replica ``index`` as of now.

        The check of the host goes through the leader, and the get follows it on the same session: so it sees
        at least all that was committed before. A plain get may come from a follower that lags.
        """
        client = self._clients[index - 1]
        if not client.connected:
            return Offline("no connection; nothing was sent")
        check = client.transaction()
        check.check(paths.host(index), -1)
        checked = check.commit_async()
        got = client.get_async(self._path(index))  # pipelined behind the check
        try:
            zk.committed(zk.wait(checked, deadline))
            data, stat = zk.wait(got, deadline)
        except zk.TransactionFailed:
            return Offline("its host is dead")
        except NoNodeError:
            return Offline("it has no data: lost, or the object was never created")
        except zk.NO_REPLY:
            return NoReply()
        return ZnodeValue(data, stat.version)

    def reading(self, index: int, deadline: zk.Deadline) -> Reading | Offline:
        """What replica ``index`` holds. Waits for a lost connection, since asking again changes nothing."""
        found: ZnodeValue | Offline | NoReply = NoReply()
        while isinstance(found, NoReply):
            if not self.reconnected(index, deadline):
                return Offline("no connection in time")
            found = self.read(index, deadline)
        if isinstance(found, Offline):
            return found
        try:
            return Reading(decode(found.data), found.znode_version)
        except Malformed as error:
            return Offline(str(error))

    def store(
        self, index: int, data: bytes, znode_version: int, deadline: zk.Deadline
    ) -> int | Offline | NoReply | None:
        """Replace what replica ``index`` holds if its znode has ``znode_version`` (-1: whatever it has).

        Returns the new znode version, or None if another write was first.
        """
        client = self._clients[index - 1]
        if not client.connected:
            return Offline("no connection; nothing was sent")
        update = client.transaction()
        update.check(paths.host(index), -1)
        update.set_data(self._path(index), data, version=znode_version)
        try:
            version: int = zk.commit(update, deadline)[1].version
        except zk.TransactionFailed as rejected:
            if isinstance(rejected.cause, BadVersionError):
                return None
            return Offline("its host is dead" if rejected.index == 0 else "it has no data")
        except zk.NO_REPLY:
            return NoReply()
        return version

    def _path(self, index: int) -> str:
        return self._root + paths.replica(self.object_id, index)

    def reconnected(self, index: int, deadline: zk.Deadline) -> bool:
        """Wait until replica ``index`` can be reached again; says whether there is time left to ask it."""
        return zk.wait_connected(self._clients[index - 1], deadline) and not deadline.passed


class ReplicaHost:
    """Keeps replica ``index`` of every object online while its session lives.

    Args:
        client: the host's own connected client; the replica is as alive as its session.
        index: which replica, from 1.
        name: the host's, as ``/hosts/<index>`` shows it.
    """

    def __init__(self, client: KazooClient, index: int, name: str) -> None:
        self._client = client
        self._path = paths.host(index)
        self._name = name.encode()
        # Again after every reconnect, for the session may be a new one.
        self._reconciler = Reconciler(client, self._path, self._hold)

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        """Watch over it no longer; the znode goes with the session."""
        self._reconciler.stop()

    def _hold(self) -> None:
        """Own the znode, or wait until its owner's session ends; watch it in either case."""
        deadline = zk.Deadline(zk.STEP_S)
        with suppress(NodeExistsError):
            zk.wait(self._client.create_async(self._path, self._name, ephemeral=True), deadline)
        found = zk.get(self._client, self._path, deadline, watch=self._reconciler.wake)
        if found is None:
            self._reconciler.wake()  # gone since: try again
        elif found[0] == self._name and zk.session_id(self._client) not in (None, found[1].ephemeralOwner):
            # Our own former session's, which has yet to expire: the znode is ours to replace.
            with suppress(NoNodeError):
                zk.wait(self._client.delete_async(self._path, version=found[1].version), deadline)
