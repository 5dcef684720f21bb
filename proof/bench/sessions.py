"""The bench's own root on the ensemble, and its sessions: all of one kind, all gone at the end."""

from contextlib import ExitStack
from typing import Any, Self

from app.cluster.election import prepare
from app.demo.run import Run
from app.zookeeper import client as zk
from app.zookeeper.link import Link

_SESSION_S = 10.0
STEP_S = 10.0  # what one step may take before the bench gives up


class Sessions:
    """A root under ``/demos``, prepared as any run's; sessions in it, through links or directly.

    Attributes:
        chroot: the root, for processes that take part.
    """

    def __init__(self, hosts: str) -> None:
        self._hosts = hosts
        self._closing = ExitStack()
        self.chroot = ""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            owner = zk.connect(self._hosts, session_timeout_s=_SESSION_S)
            undo.callback(zk.disconnect, owner)
            run = Run(owner, "bench")
            run.open()
            undo.callback(run.close)
            self.chroot = run.chroot
            self._closing = undo.pop_all()
        prepare(self.open(), zk.Deadline(STEP_S))
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.close()

    def open(self, link: Link | None = None) -> Any:
        """A session of its own."""
        client = zk.connect(
            link.hosts if link else self._hosts, chroot=self.chroot, session_timeout_s=_SESSION_S
        )
        self._closing.callback(zk.disconnect, client)
        return client

    def link(self) -> Link:
        link = Link(self._hosts)
        self._closing.callback(link.close)
        return link

    def started(self, role: Any) -> Any:
        """``role``, started now and stopped at the end."""
        role.start()
        self._closing.callback(role.stop)
        return role


def done(result: Any) -> Any:
    """The value of a raw asynchronous call."""
    return zk.wait(result, zk.Deadline(STEP_S))
