"""Four quorum protocols over the same five replicas: the notes', R+W <= N, without write-back, and whole.

Each replica's host is a participant that can be cut off or die. Clients reach the replicas from three sites,
each with a link of its own to each host: the writer's, that of the follower which will be cut off, and the
others'. "Maimed", the writer is cut off in the middle of its next write: when it has the answers that give
its version, and before any replica has the value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import eventlet

from app.checker.history import Value, Version
from app.cluster.guest_actor import Actor
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import ReplicaHost, Replicas
from app.consistency.engine.versions import Versioned
from app.consistency.quorum import Quorum, Register, newest
from app.errors import Unreachable
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from proof.matrix.orders import CLIENT_SESSION_S, HOST_SESSION_S, OPERATION_S, STEP_S, Orders
from proof.matrix.schedule import CLIENTS, REPLICAS, WRITER

OnAnswer: TypeAlias = Callable[[int, Versioned], None]


class WithoutWriteBack(Register):
    """A regular register (Lamport 1986): a read that meets a write half done makes nothing of it."""

    def read(self) -> Versioned:
        """The newest of R replies, wherever it is held. Raises TooFewReplicas."""
        seen = self._query(self._quorum.r, zk.Deadline(self._timeout_s))
        return newest(answer.held for answer in seen.values())


@dataclass(frozen=True, slots=True)
class Kind:
    """A protocol over five replicas, and its quorums."""

    protocol: type[Register] | type[NotesRegister]
    quorum: Quorum

    def register(
        self, replicas: Replicas, on_answer: OnAnswer, timeout_s: float = OPERATION_S
    ) -> Register | NotesRegister:
        if issubclass(self.protocol, NotesRegister):
            return self.protocol(replicas, self.quorum, timeout_s=timeout_s)
        return self.protocol(replicas, self.quorum, timeout_s=timeout_s, on_answer=on_answer)


NOTES = Kind(NotesRegister, Quorum())
SMALL = Kind(Register, Quorum(n=REPLICAS, w=2, r=2, weak=True))
WITHOUT_WRITE_BACK = Kind(WithoutWriteBack, Quorum())
WHOLE = Kind(Register, Quorum())


class Registers:
    """Five hosts, three sites, one register for each client."""

    def __init__(self, orders: Orders, kind: Kind) -> None:
        self._orders = orders
        self._kind = kind
        self._hosts = [
            Actor(orders.others, orders.chroot, HOST_SESSION_S, partial(_host, index))
            for index in range(1, REPLICAS + 1)
        ]
        self._links: dict[str, list[Link]] = {}
        self._sessions: dict[str, list[Any]] = {}
        self._registers: dict[tuple[str, str], Any] = {}
        self._key = ""
        self._to_be_kept: Sequence[int] | None = None
        self._answers = 0

    def open(self) -> None:
        for host in self._hosts:
            host.start()
        for client in CLIENTS:
            if (site := self._site(client)) not in self._links:
                self._links[site] = [Link(self._orders.home(client)) for _ in self._hosts]
                self._sessions[site] = [self._session(link) for link in self._links[site]]
        self._wait_until_served()

    def _session(self, link: Link) -> Any:
        return zk.connect(
            link.hosts, chroot=self._orders.chroot, session_timeout_s=CLIENT_SESSION_S, deadline_s=STEP_S
        )

    def _wait_until_served(self) -> None:
        deadline, client = zk.Deadline(STEP_S), self._sessions[WRITER][0]
        while len(zk.wait(client.get_children_async(paths.HOSTS), deadline)) < REPLICAS:
            if deadline.passed:
                raise Unreachable(f"not all hosts are there after {STEP_S:g} s")
            eventlet.sleep(0.05)

    def begin(self, act: str) -> None:
        # No operation of the clients', so it may take longer than one of theirs.
        self._kind.register(self._replicas(act, WRITER), _ignored, STEP_S).create()
        for client in CLIENTS:
            heard = self._answered if client == WRITER else _ignored
            self._registers[client, act] = self._kind.register(self._replicas(act, client), heard)
        self._key = act

    def key_to_write(self, client: str) -> str:
        return self._key

    def key_to_read(self, client: str) -> str:
        return self._key

    def write(self, client: str, key: str, value: str) -> Version | None:
        if client == WRITER:
            self._answers = max(self._kind.quorum.r, self._kind.quorum.w)
        made = self._registers[client, key].write(value.encode())
        return None if isinstance(made, int) else (made.counter, made.writer)

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        register = self._registers[client, key]
        if isinstance(register, NotesRegister):
            return register.read()[1].decode() or None, None
        held = register.read()
        return held.value.decode() or None, (held.version.counter, held.version.writer)

    # -- faults --

    def cut(self, replicas: Sequence[int]) -> None:
        for replica in replicas:
            self._hosts[replica - 1].cut()
            for link in self._ways_to(replica):
                link.cut()

    def heal(self, replicas: Sequence[int]) -> None:
        for replica in replicas:
            for link in self._ways_to(replica):
                link.heal()
            self._hosts[replica - 1].heal()

    def crash(self, replicas: Sequence[int]) -> None:
        for replica in replicas:
            self._hosts[replica - 1].crash()
            for link in self._ways_to(replica):
                link.down()

    restart = heal

    def maim(self, kept: Sequence[int]) -> None:
        if self._kind is NOTES:
            self._leave(kept)
        else:
            self._to_be_kept = kept

    def _answered(self, replica: int, held: Versioned) -> None:
        """One of the answers to the writer's question; after the last one of a write it may be maimed."""
        self._answers -= 1
        if self._answers == 0 and self._to_be_kept is not None:
            self._leave(self._to_be_kept)
            self._to_be_kept = None

    def _leave(self, kept: Sequence[int]) -> None:
        for replica, link in enumerate(self._links[WRITER], 1):
            if replica not in kept:
                link.cut()

    def unmaim(self) -> None:
        self._to_be_kept = None
        for link in self._links[WRITER]:
            link.heal()

    def close(self) -> None:
        for register in self._registers.values():
            if isinstance(register, Register):
                register.close()
        for host in self._hosts:
            host.close()
        for sessions in self._sessions.values():
            for session in sessions:
                zk.disconnect(session)
        for links in self._links.values():
            for link in links:
                link.close()

    @staticmethod
    def _site(client: str) -> str:
        """The links that a client uses: the writer has its own, and so has the client at the follower."""
        return client if client in (WRITER, "carol") else "bob"

    def _replicas(self, object_id: str, client: str) -> Replicas:
        return Replicas(object_id, self._sessions[self._site(client)])

    def _ways_to(self, replica: int) -> list[Link]:
        return [links[replica - 1] for links in self._links.values()]


def _host(index: int, client: Any) -> list[ReplicaHost]:
    return [ReplicaHost(client, index, f"host-{index}")]


def _ignored(replica: int, held: Versioned) -> None:
    """No client has asked for it."""
