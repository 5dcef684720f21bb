"""An ensemble of servers: what ZooKeeper promises, and no more (Hunt et al., USENIX ATC 2010; Junqueira, Reed
& Serafini, "Zab", DSN 2011).

One order of transactions: the leader numbers each request that writes (its zxid), also one that fails. Every
server applies them in this order, each in its own time: so a read at a server may be old. A session's own
requests are answered in their order, a read behind the writes before it. Sessions are the leader's: one that
it hasn't heard of for its timeout ends, and its ephemeral znodes go in one transaction.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kazoo.exceptions import SessionExpiredError, SessionMovedError, ZookeeperError

from proof.simulation import tree
from proof.simulation.clock import after, now_s
from proof.simulation.network import Latency
from proof.simulation.server import Server, Waiting

# A session is ended at a whole tick, as ZooKeeper's leader counts.
TICK_S = 0.25
# From the loss of a leader to the next one, in seconds; and after how long a server that has lost its leader
# stops serving. Each is drawn anew, so either may come first.
_ELECTION_S = (0.2, 2.0)
_GIVES_UP_S = (0.2, 1.5)


@dataclass
class Session:
    """A session as the leader knows it. ``owner``: the number of the connection that it is on."""

    number: int
    timeout_s: float
    owner: int
    ends_s: float = 0.0
    ephemerals: dict[str, None] = field(default_factory=dict)

    def heard(self) -> None:
        self.ends_s = (int((now_s() + self.timeout_s) / TICK_S) + 1) * TICK_S


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of the log: what it changes, and the request that it answers."""

    zxid: int
    changes: list[tree.Change]
    waiting: Waiting | None
    answer: Any
    ended: int = 0  # the session that it ends
    session: int = 0  # that asked for it


class Ensemble:
    """Servers, one log, and the sessions.

    Args:
        count: how many servers.
        choose: the source of chance.
        latency: between servers.
    """

    def __init__(self, count: int, choose: random.Random, latency: Latency) -> None:
        self.choose, self._latency = choose, latency
        self.nodes = tree.empty()  # after the whole log
        self.log: list[Entry] = []
        self.zxid = self._first = 0
        self.sessions: dict[int, Session] = {}
        self._numbers = 0
        self.servers = [Server(self, number) for number in range(1, count + 1)]
        self.leader: Server | None = self.servers[-1]
        self.listeners: list[Callable[[Entry], object]] = []

    # -- transactions --

    def propose(self, request: Any, session: int, connection: int, waiting: Waiting) -> None:
        """At the leader: give the request its place in the log, or its error a place."""
        changes: list[tree.Change] = []
        at = tree.At(self.zxid + 1, self._now_ms(), session)
        known = self.sessions.get(session)
        try:
            if known is None:
                raise SessionExpiredError
            if known.owner != connection:
                raise SessionMovedError
            answer, changes = tree.perform(self.nodes, request, at)
        except ZookeeperError as error:
            answer = error
        self._append(changes, waiting, answer, session=session)

    def _append(
        self,
        changes: list[tree.Change],
        waiting: Waiting | None,
        answer: Any,
        ended: int = 0,
        session: int = 0,
    ) -> None:
        self.zxid += 1
        for change in changes:
            self._note_owner(change)
        tree.apply(self.nodes, changes)
        entry = Entry(self.zxid, changes, waiting, answer, ended, session)
        self.log.append(entry)
        for listener in self.listeners:
            listener(entry)
        for server in self.servers:
            server.follow()

    def _note_owner(self, change: tree.Change) -> None:
        node = change.node or self.nodes.get(change.path)
        session = self.sessions.get(node.owner) if node is not None else None
        if session is not None and change.kind == "created":
            session.ephemerals[change.path] = None
        elif session is not None and change.kind == "deleted":
            session.ephemerals.pop(change.path, None)

    def _now_ms(self) -> int:
        return round(time.time() * 1000)

    def entry_after(self, zxid: int) -> Entry | None:
        place = zxid - self._first
        return self.log[place] if place < len(self.log) else None

    def hop_s(self) -> float:
        """What a message between two servers takes."""
        return self._latency.draw(self.choose)

    # -- sessions --

    def next_connection(self) -> int:
        self._numbers += 1
        return self._numbers

    def open_session(self, timeout_s: float, connection: int) -> int:
        """A new session; its opening is a transaction, too."""
        number = 0x1000000000000 + self.next_connection()
        session = self.sessions[number] = Session(number, timeout_s, connection)
        session.heard()
        self._append([], None, None)
        self._watch_over(session)
        return number

    def close_session(self, number: int, waiting: Waiting | None = None) -> None:
        session = self.sessions.pop(number, None)
        if session is None:
            self._append([], waiting, True)
            return
        at = tree.At(self.zxid + 1, self._now_ms(), 0)
        changes = tree.expire(self.nodes, session.ephemerals, at)
        self._append(changes, waiting, True, ended=number)

    def _watch_over(self, session: Session) -> None:
        """End it when its leader hasn't heard of it for its timeout; there may be no leader for a while."""
        if session.number not in self.sessions:
            return
        if now_s() >= session.ends_s:
            if self.leader is not None and self.leader.leads:
                self.close_session(session.number)
                return
            session.heard()
        after(session.ends_s - now_s(), self._watch_over, session)

    # -- faults --

    def lost_touch(self, server: Server) -> None:
        """A server is down, paused or cut off from the others."""
        after(self.choose.uniform(*_GIVES_UP_S), server.give_up, server.era)
        if server is self.leader:
            after(self.choose.uniform(*_ELECTION_S), self.elect, server)

    def elect(self, deposed: Server) -> None:
        """The servers that are in touch elect one of them, if they are a majority; else again in a while.

        The new leader has the whole log: a majority has stored it. All connections end.
        """
        if self.leader is not deposed or deposed.leads:
            return
        there = [server for server in self.servers if server.in_touch]
        if 2 * len(there) <= len(self.servers):
            after(self.choose.uniform(*_ELECTION_S), self.elect, deposed)
            return
        self.leader = self.choose.choice(there)
        for server in there:
            server.new_leader()
        for session in self.sessions.values():
            session.heard()

    def lose_history(self, nodes: tree.Nodes, zxid: int) -> None:
        """The store comes back as it was at ``zxid``, an older :meth:`snapshot`: its data were lost."""
        self.nodes, self.log, self.zxid, self._first = dict(nodes), [], zxid, zxid
        self.sessions.clear()
        for server in self.servers:
            server.start_again(dict(nodes), zxid)

    def snapshot(self) -> tuple[tree.Nodes, int]:
        """What is stored now but for the ephemeral znodes, for :meth:`lose_history`."""
        nodes = dict(self.nodes)
        owned = [path for path, node in nodes.items() if node.owner]
        tree.apply(nodes, tree.expire(nodes, owned, tree.At(self.zxid, self._now_ms(), 0)))
        return nodes, self.zxid
