"""What every world stands on: an ensemble, lines to it, sessions, all of one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import eventlet

from app.checker.history import Recorder
from app.zookeeper import client as zk
from proof.simulation import clock
from proof.simulation.client import Client
from proof.simulation.ensemble import Ensemble
from proof.simulation.network import Latency, Line
from proof.simulation.script import Script

T = TypeVar("T")

# Seconds that a session lasts without a word: the demos' two, or longer.
_SESSIONS_S = (2.0, 4.0, 10.0)
_SERVERS = (3, 3, 3, 5)


class Stage:
    """Made once in a process: from then on time is virtual, and chance is the seed's.

    Attributes:
        script: what is played.
        choose: the load's chance; :meth:`chance` makes others, so that what one draws changes nothing
            for another.
        recorder: of the history.
        ensemble: the servers.
        session_s: the sessions' timeout.
    """

    def __init__(self, script: Script) -> None:
        self.hub = clock.begin(script.seed)
        self.script = script
        self.choose = self.chance("load")
        self.recorder = Recorder(clock=self.hub.monotonic_ns)
        own = self.chance("stage")
        self.session_s: float = own.choice(_SESSIONS_S)
        slowest_s = own.choice((0.005, 0.05, 0.3))
        self._latency = Latency(spike_s=(0.002, slowest_s), rarely=own.choice((0.0, 0.02, 0.1)))
        self.ensemble = Ensemble(own.choice(_SERVERS), self.chance("servers"), self._latency)
        self._network = self.chance("network")

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{what} {self.script.seed}")

    def at_most(self, drawn: int, limit: int | None) -> int:
        """What the seed says, or less where shrinking has taken some away."""
        return drawn if limit is None else min(drawn, limit)

    def line(self, process: clock.Process | None = None) -> Line:
        """A participant's way to the servers."""
        return Line(self._latency, self._network, process)

    def connect(self, line: Line, session_s: float | None = None) -> Any:
        """A client with a session through ``line``. Raises Stuck."""
        return connected(Client(self.ensemble, line, timeout=session_s or self.session_s))

    def spawn(self, act: Callable[..., Any], *args: Any) -> Any:
        """A green thread; ``wait()`` it."""
        return eventlet.spawn(act, *args)


def connected(client: Client, deadline_s: float = 60.0) -> Client:
    client.start_async().wait(deadline_s)
    if not client.connected:
        zk.disconnect(client)
        message = f"no session within {deadline_s:g} s of virtual time"
        raise clock.Stuck(message)
    return client
