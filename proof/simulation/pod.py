"""A pod: a process with a session and the roles that live with it. It can crash, and begins anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import eventlet

from app.cluster.guest_actor import Role
from app.errors import LessonError
from app.worker import GIVE_UP_S
from app.zookeeper import client as zk, paths
from proof.simulation import clock
from proof.simulation.client import Client
from proof.simulation.network import Line
from proof.simulation.stage import Stage, connected

# As the worker: how often it looks whether the connection has been away for too long.
_TICK_S = 1.0


class Pod:
    """Does with its session what the worker does: after a long suspension it ends it all and begins anew.

    Args:
        roles: makes its roles from a connected client, for each life.

    Attributes:
        line: its way to the servers.
        lives: how often it has begun.
        client, roles: of this life; None and empty while it has none.
    """

    def __init__(self, stage: Stage, roles: Callable[[Any], Sequence[Role]]) -> None:
        self.line: Line = stage.line()
        self._stage, self._make_roles = stage, roles
        self.lives = 0
        self.client: Any = None
        self.roles: Sequence[Role] = ()
        self._thread: Any = None

    @property
    def lives_on(self) -> bool:
        """Whether it is there, and connected."""
        return bool(self.roles and self.client is not None and self.client.connected)

    @property
    def session(self) -> int | None:
        return zk.session_id(self.client) if self.client is not None else None

    def start(self) -> None:
        self._thread = self._stage.spawn(self._run)

    def crash(self) -> None:
        """Its memory is gone, in the middle of whatever it did; its connections break."""
        self._thread.kill()
        self.line.down()
        self._end()

    def restart(self) -> None:
        self.line.heal()
        self.start()

    def _run(self) -> None:
        while True:
            self.client = client = Client(self._stage.ensemble, self.line, timeout=self._stage.session_s)
            with suppress(clock.Stuck, LessonError, *zk.NO_REPLY):
                connected(client, zk.CONNECT_DEADLINE_S)
                self._live(client)
            self._end()
            eventlet.sleep(zk.jittered(_TICK_S))

    def _live(self, client: Any) -> None:
        zk.ensure(client, paths.ROOTS, zk.Deadline(zk.CONNECT_DEADLINE_S))
        silence = zk.Silence(client)
        silence.start()
        self.lives += 1
        self.roles = self._make_roles(client)
        for role in self.roles:
            role.start()
        while silence.seconds < GIVE_UP_S:
            eventlet.sleep(_TICK_S)

    def _end(self) -> None:
        """The session ends in an orderly way, if its servers can be told; else they find out."""
        for role in self.roles:
            role.stop()
        self.roles = ()
        if self.client is not None:
            eventlet.spawn(zk.disconnect, self.client)
            self.client = None
