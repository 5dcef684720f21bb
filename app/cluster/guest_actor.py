"""One who takes part: a session on a link of its own, and the roles that it runs while it lives.

The same in a demo's process and in a pod that is a demo's guest. What can befall it is the design's:

    cut, heal        its link holds back every byte; after its timeout the session is over
    slow             its link delays
    crash, restart   its sockets are gone, its memory too; its disk is kept
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import eventlet
from kazoo.client import KazooClient

from app.zookeeper import client as zk
from app.zookeeper.link import Link


class Role(Protocol):
    """What runs in an actor while it lives."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Actor:
    """A link, a session on it, and roles.

    Args:
        hosts: the ZooKeeper servers.
        chroot: the run's own root.
        session_timeout_s: its session's.
        roles: makes its roles from a connected client; called again after every restart.
    """

    def __init__(
        self, hosts: str, chroot: str, session_timeout_s: float, roles: Callable[[Any], Sequence[Role]]
    ) -> None:
        self._link = Link(hosts)
        self._chroot = chroot
        self._session_timeout_s = session_timeout_s
        self._make_roles = roles
        self._burial: Any = None
        self._alive = False
        self._client: KazooClient = None
        self.roles: Sequence[Role] = []

    @property
    def hosts(self) -> str:
        """The servers as this actor, and those that want to reach *it*, must use them."""
        return self._link.hosts

    @property
    def connected(self) -> bool:
        return self._client is not None and bool(self._client.connected)

    @property
    def alive(self) -> bool:
        """Whether it has a memory: it was started, and has not crashed."""
        return self._alive

    @property
    def session(self) -> int | None:
        """Its session's number; None while it isn't connected."""
        return zk.session_id(self._client) if self._alive else None

    def start(self) -> None:
        """Connect, and begin its roles. Raises Unreachable."""
        self._client = self.connect()
        self._alive = True
        self.roles = self._make_roles(self._client)
        for role in self.roles:
            role.start()

    def connect(self) -> Any:
        """Another session on this actor's link."""
        return zk.connect(self.hosts, chroot=self._chroot, session_timeout_s=self._session_timeout_s)

    def cut(self) -> None:
        self._link.cut()

    def slow(self, delay_s: float) -> None:
        self._link.slow(delay_s)

    def heal(self) -> None:
        """Undo a cut or a slow; a crashed actor is restarted."""
        if self._alive:
            self._link.heal()
        else:
            self.restart()

    def crash(self) -> None:
        """Gone in the middle of whatever it did. The server finds out by its silence."""
        if not self._alive:
            return
        self._alive = False
        self._link.down()
        for role in self.roles:
            role.stop()
        # The old client hears and reaches nothing; it only has to come to an end.
        self._burial = eventlet.spawn(zk.disconnect, self._client)

    def restart(self) -> None:
        """Back with an empty memory, a new session, and the disk as it was. Raises Unreachable."""
        if self._burial is not None:
            self._burial.wait()
        self._link.heal()
        if not self._alive:
            self.start()

    def close(self) -> None:
        """End in an orderly way; harmless in any state."""
        if self._alive:
            self._alive = False
            for role in self.roles:
                role.stop()
            zk.disconnect(self._client)
        if self._burial is not None:
            self._burial.wait()
        self._link.close()
