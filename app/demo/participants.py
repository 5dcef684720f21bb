"""Who takes part: each participant has its own session, on its own link, and if need be its own disk.

A participant runs roles (a replica's host, a configuration copy, a member of the pair), each with ``start``
and ``stop``. Its faults are the design's:

    cut, heal        its link holds back every byte; after its timeout the session is over
    slow             its link delays
    crash, restart   its sockets are gone, its memory too; its disk is kept
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import eventlet

from app import zk
from app.checker.history import Recorder
from app.faults import Link


class Role(Protocol):
    """What runs in a participant while it lives."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Participant:
    """One participant in this process.

    Args:
        name: for the screen, the history and the znodes.
        hosts: the ZooKeeper servers.
        chroot: the run's own root.
        session_timeout_s: its session's.
        roles: makes its roles from a connected client; called again after every restart.
        recorder: where its faults are written down.
    """

    def __init__(
        self,
        name: str,
        hosts: str,
        chroot: str,
        session_timeout_s: float,
        roles: Callable[[Any], list[Role]],
        recorder: Recorder,
    ) -> None:
        self.name = name
        self.link = Link(hosts)
        self._chroot = chroot
        self._session_timeout_s = session_timeout_s
        self._make_roles = roles
        self._recorder = recorder
        self._burial: Any = None
        self.client: Any = None
        self.roles: list[Role] = []
        self.state = "up"

    def start(self) -> None:
        self.client = self.connect()
        self.roles = self._make_roles(self.client)
        for role in self.roles:
            role.start()

    def connect(self) -> Any:
        """Another session on this participant's link: who reaches *it* goes through here."""
        return zk.connect(self.link.hosts, chroot=self._chroot, session_timeout_s=self._session_timeout_s)

    def cut(self) -> None:
        self._recorder.fault("cut", self.name)
        self.state = "cut"
        self.link.cut()

    def slow(self, delay_s: float) -> None:
        self._recorder.fault("slow", self.name)
        self.state = "slow"
        self.link.slow(delay_s)

    def heal(self) -> None:
        """Undo a cut or a slow; a crashed participant is restarted."""
        if self.state == "crashed":
            self.restart()
        elif self.state != "up":
            self._recorder.fault("heal", self.name)
            self.state = "up"
            self.link.heal()

    def crash(self) -> None:
        """Gone in the middle of whatever it did. The server finds out by its silence."""
        if self.state == "crashed":
            return
        self._recorder.fault("crash", self.name)
        self.state = "crashed"
        self.link.down()
        for role in self.roles:
            role.stop()
        # The old client is told nothing and reaches nobody; it only has to come to an end.
        self._burial = eventlet.spawn(zk.disconnect, self.client)

    def restart(self) -> None:
        """Back with an empty memory, a new session, and the disk as it was. Raises Unreachable."""
        if self._burial is not None:
            self._burial.wait()
        self._recorder.fault("restart", self.name)
        self.link.heal()
        self.start()
        self.state = "up"

    def close(self) -> None:
        """End in an orderly way; harmless in any state."""
        for role in self.roles:
            role.stop()
        if self.client is not None and self.state != "crashed":
            zk.disconnect(self.client)
        if self._burial is not None:
            self._burial.wait()
        self.link.close()


def disk_folder(parent: Path, name: str) -> Path:
    """A participant's own disk: a folder that outlives its crashes, and goes with the run."""
    folder = parent / name
    folder.mkdir(exist_ok=True)
    return folder
