"""Who plays in the tests of the quorum: five hosts, each on a link of its own, and those who ask them."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import eventlet

from app.checker.history import Recorder, Value
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import NoReply, Offline, ReplicaHost, Replicas
from app.consistency.engine.versions import UNWRITTEN, Versioned, decode
from app.consistency.quorum import Quorum, Register
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import STEADY_SESSION_S, Place, eventually

ALL = (1, 2, 3, 4, 5)
OBJECT = "array"


class Asking(random.Random):
    """Chooses these replicas first."""

    def __init__(self, *first: int) -> None:
        super().__init__()
        self._first = first

    def shuffle(self, x: Any) -> None:
        x.sort(key=lambda index: (index not in self._first, index))


class Staged(Replicas):
    """The real access; a test may step in before a store, and sees which stores have been answered."""

    def __init__(self, clients: Iterable[Any]) -> None:
        super().__init__(OBJECT, list(clients))
        self.before_store: Callable[[int], None] = lambda index: None
        self.answered: list[int] = []

    def store(
        self, index: int, data: bytes, znode_version: int, deadline: zk.Deadline
    ) -> int | Offline | NoReply | None:
        self.before_store(index)
        result = super().store(index, data, znode_version, deadline)
        self.answered.append(index)
        return result


class Cast:
    """Five links; through link i, a session that hosts replica i and a session that asks it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.links = {index: place.link() for index in ALL}
        self.askers = {index: place.client(self.links[index], STEADY_SESSION_S) for index in ALL}
        self.sessions = {index: place.client(self.links[index], STEADY_SESSION_S) for index in ALL}
        self.hosts = {
            index: place.started(ReplicaHost(self.sessions[index], index, f"host-{index}")) for index in ALL
        }
        self.director = place.client()  # sees and moves the scenery, beside all links
        self.until_online(*ALL)

    def client_of(self, servers: str) -> Any:
        """A session that never leaves these servers."""
        link = Link(servers)
        self.place._closing.callback(link.close)
        return self.place.client(link, STEADY_SESSION_S)

    def replicas(self) -> Staged:
        return Staged(self.askers.values())

    def register(self, replicas: Replicas | None = None, **options: Any) -> Register:
        patience = {"timeout_s": 20.0, **options}  # a machine may be busy elsewhere
        return Register(replicas or self.replicas(), Quorum(), **patience)

    def notes(self, replicas: Replicas | None = None) -> NotesRegister:
        return NotesRegister(replicas or self.replicas(), Quorum(), timeout_s=20.0)

    # -- what there is, seen without any protocol ---------------------------------------------------------

    def znodes(self) -> dict[int, tuple[bytes, int] | None]:
        """Each replica's bytes and the transaction that wrote them; None where the znode is gone."""
        deadline = zk.Deadline(20)
        zk.wait(self.director.sync_async("/"), deadline)
        found = {index: zk.get(self.director, paths.replica(OBJECT, index), deadline) for index in ALL}
        return {index: (node[0], node[1].mzxid) if node else None for index, node in found.items()}

    def held(self) -> dict[int, Versioned]:
        return {index: decode(node[0]) for index, node in self.znodes().items() if node}

    def values(self) -> list[bytes]:
        """What replicas 1 to 5 hold."""
        return [held.value for held in self.held().values()]

    def owner(self, index: int) -> int | None:
        """The session that hosts the replica."""
        deadline = zk.Deadline(20)
        zk.wait(self.director.sync_async("/"), deadline)
        found = zk.get(self.director, paths.host(index), deadline)
        return found[1].ephemeralOwner if found else None

    def until_online(self, *indices: int) -> None:
        """Wait until each of these replicas has its own host, and can be asked."""

        def missing() -> list[int]:
            return [
                i
                for i in indices
                if not self.askers[i].connected
                or self.owner(i) is None
                or self.owner(i) != zk.session_id(self.sessions[i])
            ]

        eventually(lambda: not missing(), what="all replicas served")

    # -- faults -------------------------------------------------------------------------------------------

    @contextmanager
    def without(self, *indices: int) -> Iterator[None]:
        """These can't be reached for a moment, shorter than their sessions."""
        try:
            for index in indices:
                self.links[index].down()
            eventually(lambda: not any(self.askers[index].connected for index in indices))
            yield
        finally:
            self.heal(*indices)
        self.until_online(*indices)

    def dies(self, *indices: int) -> None:
        """The host of each is gone for the store, now; who asks has no trouble with the network."""
        for index in indices:
            self.hosts[index].stop()
            zk.disconnect(self.sessions[index])
        eventually(lambda: all(self.owner(index) is None for index in indices))

    def returns(self, *indices: int) -> None:
        """A new life of the host, with a session of its own."""
        for index in indices:
            self.sessions[index] = self.place.client(self.links[index], STEADY_SESSION_S)
            self.hosts[index] = self.place.started(ReplicaHost(self.sessions[index], index, f"host-{index}"))
        self.until_online(*indices)

    def heal(self, *indices: int) -> None:
        for index in indices or ALL:
            self.links[index].heal()


# --- a recorded load ------------------------------------------------------------------------------------


def recorded(
    recorder: Recorder, name: str, register: Register
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A write of something new, and a read, both written down."""
    numbers = count(1)

    def write() -> None:
        value = f"{name}-{next(numbers)}"
        recorded_write(recorder, name, OBJECT, value, lambda: register.write(value.encode()))

    def read() -> None:
        recorded_read(recorder, name, OBJECT, lambda: (shown(register.read()), None))

    return write, read


def shown(held: Versioned) -> Value:
    """As a history has it: null is "never written"."""
    return None if held == UNWRITTEN else held.value.decode()


class Load:
    """Some clients that read and write until told to stop; every operation is recorded."""

    def __init__(self, registers: Iterable[Register], recorder: Recorder) -> None:
        self._recorder = recorder
        self._going_on = True
        self._threads = [
            eventlet.spawn(self._client, *recorded(recorder, f"client-{number}", register))
            for number, register in enumerate(registers, 1)
        ]

    def _client(self, write: Callable[[], None], read: Callable[[], None]) -> None:
        choose = random.Random()
        while self._going_on:
            try:
                choose.choice((write, read))()
            except NOT_A_RESULT:
                eventlet.sleep(0.1)  # recorded as refused or unknown
            eventlet.sleep(choose.uniform(0, 0.02))

    def until_done(self, more: int) -> None:
        """Wait until this many further operations have ended well."""
        goal = self._done() + more
        eventually(lambda: self._done() >= goal, what=f"{more} more operations")

    def stop(self) -> None:
        self._going_on = False
        for thread in self._threads:
            thread.wait()

    def _done(self) -> int:
        return sum(operation.outcome == "ok" for operation in self._recorder.history().operations)
