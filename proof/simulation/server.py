"""One server of the ensemble: its copy of the znodes, the watches, and the connections of its clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError, SessionMovedError
from kazoo.protocol.connection import CHANGED_EVENT, CHILD_EVENT, CREATED_EVENT, DELETED_EVENT
from kazoo.protocol.serialization import Close, Exists, GetChildren, GetChildren2, GetData, Sync

from proof.simulation import tree
from proof.simulation.clock import after, now_s

if TYPE_CHECKING:
    from proof.simulation.ensemble import Ensemble, Entry
    from proof.simulation.network import Channel

_EVENTS = {
    "created": CREATED_EVENT,
    "changed": CHANGED_EVENT,
    "deleted": DELETED_EVENT,
    "children": CHILD_EVENT,
}
# A server that comes back gets what it lacks from the leader before it serves; in seconds.
_JOINS_S = (0.05, 0.5)


@dataclass(eq=False)
class Waiting:
    """A request that is not yet answered; None: a new connection.

    ``until``: the transaction that must be applied here before.
    """

    request: Any
    number: int
    until: int | None = None
    answer: Any = None


@dataclass(eq=False)
class Connection:
    """A client's connection, as its server sees it. ``backlog``: in the order in which they came."""

    number: int
    replies: Channel
    session: int = 0
    backlog: deque[Waiting] = field(default_factory=deque)
    ended: Callable[[], object] = lambda: None


class Server:
    """Serves reads from its own copy; hands writes on to the leader."""

    def __init__(self, ensemble: Ensemble, number: int) -> None:
        self._ensemble = ensemble
        self.number = number
        self.nodes, self.zxid = tree.empty(), 0
        self.era = 0  # of its connections: another one, and all of them have ended
        self.serves = True
        self.is_down = self.is_paused = self.is_cut_off = False
        self._thinks_it_leads = False
        self._connections: dict[Connection, None] = {}
        # (which list, path) -> the connections to notify, once
        self._watches: dict[tuple[str, str], dict[Connection, None]] = {}
        self._due_s = self._sent_s = 0.0
        self._stalled: list[tuple[Connection, Waiting]] = []
        self._held: list[tuple[Callable[..., object], Any]] = []

    @property
    def in_touch(self) -> bool:
        """Whether the other servers hear it."""
        return not (self.is_down or self.is_paused or self.is_cut_off)

    @property
    def leads(self) -> bool:
        return self._ensemble.leader is self and self.in_touch

    # -- clients --

    def when_awake(self, act: Callable[..., object], *args: Any) -> None:
        """Do it now; while the process is stopped, when it goes on; if it is gone, never."""
        if self.is_paused:
            self._held.append((act, args))
        elif not self.is_down:
            act(*args)

    def open(
        self, replies: Channel, ended: Callable[[], object], timeout_s: float, session: int, seen: int
    ) -> Connection | None:
        """A client's first message: its connection, or None if this server ends it at once.

        A server that knows less than the client has seen sends it away. ``session`` is 0 for a new one; the
        connection's is 0 if that has expired. Sessions are the leader's: without one, no client is served.
        """
        leader = self._ensemble.leader
        if not self.serves or seen > self.zxid or leader is None or not leader.leads or not self.in_touch:
            return None
        made = Connection(self._ensemble.next_connection(), replies, ended=ended)
        if not session:
            made.session = self._ensemble.open_session(timeout_s, made.number)
        elif session in self._ensemble.sessions:
            made.session = session
            self._ensemble.sessions[session].owner = made.number
            self._ensemble.sessions[session].heard()
        self._connections[made] = None
        # A session's opening is a transaction: whoever opens one sees what was there before it.
        made.backlog.append(Waiting(None, 0, self.zxid if session else self._ensemble.zxid))
        self._answer(made)
        return made

    def close(self, connection: Connection) -> None:
        """Of the server's own accord, or because the client is gone."""
        if self._connections.pop(connection, self) is self:
            return
        for watching in self._watches.values():
            watching.pop(connection, None)
        connection.backlog.clear()
        connection.ended()

    def receive(self, connection: Connection, request: Any, number: int) -> None:
        """A request, or a ping (None)."""
        if connection not in self._connections:
            return
        session = self._ensemble.sessions.get(connection.session)
        if session is not None and session.owner == connection.number and self.in_touch:
            session.heard()
        if request is None:
            connection.replies.send(("pong",))
            return
        waiting = Waiting(request, number)
        connection.backlog.append(waiting)
        if not hasattr(request, "watcher"):
            self._sent_s = max(self._sent_s, now_s() + (0 if self.leads else self._ensemble.hop_s()))
            after(self._sent_s - now_s(), self._hand_on, connection, waiting, self.era)
        self._answer(connection)

    def _hand_on(self, connection: Connection, waiting: Waiting, era: int) -> None:
        """The request is at the leader, if there is one that we can reach."""
        if era != self.era:
            return
        leader = self._ensemble.leader
        if isinstance(waiting.request, Sync) and self._thinks_it_leads:
            self._synced(connection, waiting, self.zxid)  # it asks no other server, also when it is deposed
        elif leader is None or not leader.leads or not self.in_touch:
            self._stalled.append((connection, waiting))
        elif isinstance(waiting.request, Sync):
            after(self._ensemble.hop_s(), self._synced, connection, waiting, self._ensemble.zxid)
        elif isinstance(waiting.request, Close):
            self._ensemble.close_session(connection.session, waiting)
        else:
            self._ensemble.propose(waiting.request, connection.session, connection.number, waiting)

    def _synced(self, connection: Connection, waiting: Waiting, zxid: int) -> None:
        waiting.until, waiting.answer = zxid, waiting.request.path
        self._answer(connection)

    def _answer(self, connection: Connection) -> None:
        """Answer what can be answered now, in the order in which it was asked."""
        while connection.backlog:
            waiting = connection.backlog[0]
            if hasattr(waiting.request, "watcher"):
                waiting.until = self.zxid
                waiting.answer = self._look(connection, waiting.request)
            elif waiting.until is None or waiting.until > self.zxid:
                return
            if isinstance(waiting.answer, SessionMovedError):
                self.close(connection)  # the client is elsewhere, or will have to say again that it is here
                return
            connection.backlog.popleft()
            if waiting.request is None:
                connection.replies.send(("welcome", connection.session))
            else:
                connection.replies.send(("reply", waiting.number, self.zxid, waiting.answer))

    def _look(self, connection: Connection, request: Any) -> Any:
        node = self.nodes.get(request.path)
        kind = "children" if isinstance(request, GetChildren | GetChildren2) else "data"
        if request.watcher and (node is not None or isinstance(request, Exists)):
            self._watches.setdefault((kind, request.path), {})[connection] = None
        if node is None:
            return NoNodeError()
        if isinstance(request, Exists):
            return node.stat
        if isinstance(request, GetData):
            return node.data, node.stat
        names = sorted(node.children)
        self._ensemble.choose.shuffle(names)  # ZooKeeper promises no order
        return (names, node.stat) if isinstance(request, GetChildren2) else names

    # -- the log --

    def follow(self) -> None:
        """There is one more transaction: it is on its way to us, behind those before it."""
        if self.in_touch and self.serves:
            hops = 2 if self.leads else 3  # proposed, acknowledged by a majority; committed
            takes_s = sum(self._ensemble.hop_s() for _ in range(hops))
            self._due_s = max(self._due_s, now_s() + takes_s)
            after(self._due_s - now_s(), self._apply_next, self.era)

    def _apply_next(self, era: int) -> None:
        entry = self._ensemble.entry_after(self.zxid)
        if era == self.era and self.in_touch and entry is not None:
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        tree.apply(self.nodes, entry.changes)
        self.zxid = entry.zxid
        for change in entry.changes:
            self._notify(change)
        if entry.waiting is not None:
            entry.waiting.until, entry.waiting.answer = entry.zxid, entry.answer
        for connection in list(self._connections):
            if entry.ended and connection.session == entry.ended:
                self._answer(connection)  # the reply to the close
                self.close(connection)
            elif connection.backlog:
                self._answer(connection)

    def _notify(self, change: tree.Change) -> None:
        """Fire the watches: each once, and before any reply that would show the change."""
        kinds = {"children": ("children",), "deleted": ("data", "children")}.get(change.kind, ("data",))
        watching: dict[Connection, None] = {}
        for kind in kinds:
            watching |= self._watches.pop((kind, change.path), {})
        for connection in watching:
            connection.replies.send(("event", _EVENTS[change.kind], change.path))

    # -- faults --

    def kill(self) -> None:
        """The process is gone; what it had stored is there when it starts again."""
        self.is_down = True
        self._held.clear()
        self._end_connections()
        self._ensemble.lost_touch(self)

    def restart(self) -> None:
        self.is_down = False
        self._in_touch_again()

    def pause(self) -> None:
        """It stops (SIGSTOP): its connections stand, and nothing comes of them."""
        self.is_paused = True
        self._ensemble.lost_touch(self)

    def resume(self) -> None:
        """It goes on where it was, and has yet to notice what it missed."""
        self.is_paused = False
        held, self._held = self._held, []
        for act, args in held:
            act(*args)
        self._in_touch_again()

    def cut_off(self) -> None:
        """It hears its clients, and no other server."""
        self.is_cut_off = True
        self._ensemble.lost_touch(self)

    def heal(self) -> None:
        self.is_cut_off = False
        self._in_touch_again()

    def give_up(self, era: int) -> None:
        """It has heard no leader for too long: it ends its connections and looks for one."""
        if era == self.era and not self.in_touch:
            self._end_connections()

    def new_leader(self) -> None:
        """It follows another, or leads: its connections have ended."""
        self._end_connections()
        self.join()

    def start_again(self, nodes: tree.Nodes, zxid: int) -> None:
        """With another history than it had."""
        self._end_connections()
        self.nodes, self.zxid = nodes, zxid
        self.join()

    def join(self) -> None:
        """Get what it lacks from the leader, then serve."""
        after(self._ensemble.choose.uniform(*_JOINS_S), self._serve, self.era)

    def _serve(self, era: int) -> None:
        leader = self._ensemble.leader
        if era != self.era or not self.in_touch or self.serves:
            return
        if leader is None or not leader.in_touch:
            self.join()
            return
        self._thinks_it_leads = leader is self
        self.serves = True
        self._catch_up()

    def _in_touch_again(self) -> None:
        if self.serves:
            self._catch_up()
        else:
            self.join()
        for server in self._ensemble.servers if self.leads else [self]:
            server.hand_on_stalled()

    def hand_on_stalled(self) -> None:
        """What waited for the leader, or for us, is on its way again."""
        stalled, self._stalled = self._stalled, []
        for connection, waiting in stalled:
            self._hand_on(connection, waiting, self.era)

    def _catch_up(self) -> None:
        while entry := self._ensemble.entry_after(self.zxid):
            self._apply(entry)

    def _end_connections(self) -> None:
        self.era += 1
        self.serves = self._thinks_it_leads = False
        self._stalled.clear()
        for connection in list(self._connections):
            self.close(connection)
        self._watches.clear()
