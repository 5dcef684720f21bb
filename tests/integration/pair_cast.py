"""The cast of the primary-backup tests: sides with a link, a disk and a memory of their steps.

Members take their roles from the election. Where a test must hold every step in its own hand, it records a
pair in ``/epoch`` itself (:meth:`Cast.record`) and makes the Primary and the Backup by hand.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import eventlet

from app.cluster.member import Member
from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.records import read_ack, read_outcome
from app.consistency.engine.transactions import Ack, Digest, Outcome, job_id_for
from app.consistency.primary_backup import Backup, Primary
from app.errors import InDoubt
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import STEADY_SESSION_S, Place, eventually

# Long enough for a loaded machine where an ACK is to come, short where a test waits for it in vain.
PATIENT_S, IMPATIENT_S = 40.0, 0.4


@dataclass
class Side:
    """One participant."""

    name: str
    link: Link
    client: Any
    disk: Disk
    steps: list[tuple[str, str]] = field(default_factory=list)
    on: dict[str, Callable[[], object]] = field(default_factory=dict)  # done once, right after that step

    def on_step(self, step: str, job_id: str) -> None:
        self.steps.append((step, job_id))
        self.on.pop(step, lambda: None)()

    def did(self, step: str, job_id: str) -> int:
        return self.steps.count((step, job_id))

    def copies(self) -> dict[str, bytes]:
        """What is on its disk, by file name; a temporary file would show too."""
        found = {}
        for path in self.disk.folder.iterdir():
            with suppress(FileNotFoundError):  # dropped while we look
                found[path.name] = path.read_bytes()
        return found

    def has(self, job_id: str, payload: bytes) -> bool:
        return self.copies().get(f"{job_id}.{Digest.of(payload).sha256}") == payload


@dataclass
class MemberSide(Side):
    """One participant that stands for election."""

    member: Any = None

    @property
    def primary(self) -> Primary:
        found = self.member.primary
        assert found is not None, f"{self.name} is not primary"
        assert isinstance(found, Primary)
        return found


class Cast:
    """Makes the sides of one test, and looks at the store with eyes of its own."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self._folder = folder
        self.eyes = place.client()

    # -- by hand --

    def side(self, name: str) -> Side:
        link = self.place.link()
        return Side(name, link, self.place.client(link, STEADY_SESSION_S), Disk(self._folder / name))

    def record(self, primary: Side, backup: Side | None) -> Epoch:
        """Seat the two and write them into ``/epoch``, whatever was there."""
        old = self.epoch()
        new = old.led_by(primary.name, self.take_seat(primary))
        if backup is not None:
            new = Epoch(new.number, new.primary, new.primary_seat, backup.name, self.take_seat(backup))
        stat = zk.wait(self.eyes.set_async(paths.EPOCH, new.to_bytes()), zk.Deadline(20))
        return Epoch.from_znode(new.to_bytes(), stat.version)

    def change_backup(self, epoch: Epoch, backup: Side | None) -> Epoch:
        """What the primary's own candidate does: the next epoch, with another backup or none."""
        new = epoch.backed_up_by(*(backup.name, self.take_seat(backup)) if backup else (None, None))
        zk.wait(self.eyes.set_async(paths.EPOCH, new.to_bytes(), epoch.znode_version), zk.Deadline(20))
        return new

    def take_seat(self, side: Side, *, ready_for: Epoch | None = None) -> str:
        prefix = f"{paths.ELECTION}/{side.name}~by-hand~"
        said = str(ready_for.number).encode() if ready_for is not None else b""
        asked = side.client.create_async(prefix, said, ephemeral=True, sequence=True)
        return str(zk.wait(asked, zk.Deadline(20)).rsplit("/", 1)[1])

    def primary(self, side: Side, epoch: Epoch, ack_timeout_s: float = PATIENT_S) -> Primary:
        return Primary(side.client, side.disk, epoch, ack_timeout_s=ack_timeout_s, on_step=side.on_step)

    def backup(self, side: Side, epoch: Epoch) -> Backup:
        """Started."""
        made = Backup(side.client, side.disk, epoch, side.name, on_step=side.on_step)
        started = self.place.started(made)
        assert isinstance(started, Backup)
        return started

    def pair(self, ack_timeout_s: float = PATIENT_S) -> tuple[Side, Side, Primary, Backup]:
        """A primary "a" and a started backup "b", without an election."""
        a, b = self.side("a"), self.side("b")
        epoch = self.record(a, b)
        return a, b, self.primary(a, epoch, ack_timeout_s), self.backup(b, epoch)

    # -- by election --

    def member(
        self, name: str, ack_timeout_s: float = PATIENT_S, session_s: float = STEADY_SESSION_S
    ) -> MemberSide:
        """Started; whoever comes first leads."""
        link = self.place.link()
        side = MemberSide(name, link, self.place.client(link, session_s), Disk(self._folder / name))
        side.member = self.place.started(
            Member(side.client, name, side.disk, ack_timeout_s=ack_timeout_s, on_step=side.on_step)
        )
        return side

    def members(
        self, *names: str, ack_timeout_s: float = PATIENT_S, session_s: float = STEADY_SESSION_S
    ) -> list[MemberSide]:
        """In line in this order, with the first two recorded as the pair."""
        sides: list[MemberSide] = []
        for name in names:
            sides.append(self.member(name, ack_timeout_s, session_s))
            eventually(lambda: sides[-1].member._candidate.seat, what=f"{name} has a seat")
        self.wait_for_pair(*sides[:2])
        return sides

    def wait_for_pair(self, primary: MemberSide, backup: MemberSide) -> None:
        eventually(
            lambda: (
                primary.member.primary is not None
                and primary.primary.epoch.backup == backup.name
                and backup.member.backup is not None
                and backup.member.backup.epoch == primary.primary.epoch
            ),
            what=f"{primary.name} leads with {backup.name}",
        )

    # -- the store, seen by nobody's link --

    def epoch(self) -> Epoch:
        zk.wait(self.eyes.sync_async(paths.EPOCH), zk.Deadline(20))  # our server may lag behind theirs
        data, stat = zk.wait(self.eyes.get_async(paths.EPOCH), zk.Deadline(20))
        return Epoch.from_znode(data, stat.version)

    def jobs(self) -> list[str]:
        zk.wait(self.eyes.sync_async(paths.JOBS), zk.Deadline(20))
        return list(zk.wait(self.eyes.get_children_async(paths.JOBS), zk.Deadline(20)))

    def payload(self, job_id: str) -> bytes | None:
        zk.wait(self.eyes.sync_async(paths.JOBS), zk.Deadline(20))
        found = zk.get(self.eyes, paths.job(job_id), zk.Deadline(20))
        return found[0] if found else None

    def outcome(self, job_id: str) -> Outcome | None:
        zk.wait(self.eyes.sync_async(paths.JOBS), zk.Deadline(20))
        return read_outcome(self.eyes, job_id, zk.Deadline(20))

    def ack(self, job_id: str) -> Ack | None:
        zk.wait(self.eyes.sync_async(paths.JOBS), zk.Deadline(20))
        return read_ack(self.eyes, job_id, zk.Deadline(20))

    def create(self, path: str, data: bytes) -> None:
        zk.wait(self.eyes.create_async(path, data), zk.Deadline(20))

    def publish(self, job_id: str, payload: bytes, ack: Ack | None = None) -> None:
        """A record without an outcome, as a primary that died leaves it."""
        self.create(paths.job(job_id), payload)
        if ack is not None:
            self.create(paths.backup_ack(job_id), ack.to_bytes())

    def blank(self, job_id: str) -> None:
        """Take the payload out of ZooKeeper, so that only disks can have it."""
        zk.wait(self.eyes.set_async(paths.job(job_id), b"blank"), zk.Deadline(20))

    def remove(self, job_id: str) -> None:
        """As if it had been forgotten: record, ACK and outcome at once."""
        removing = self.eyes.transaction()
        for path in (paths.outcome(job_id), paths.backup_ack(job_id), paths.job(job_id)):
            removing.delete(path)
        zk.commit(removing, zk.Deadline(20))

    def decision(self, job_id: str) -> str | None:
        found = self.outcome(job_id)
        return found.decision if found else None


def new_id() -> str:
    return job_id_for(uuid.uuid4().hex)


def valid_ack(epoch: Epoch, payload: bytes) -> Ack:
    digest = Digest.of(payload)
    return Ack(author=epoch.backup or "", epoch=epoch.number, size=digest.size, sha256=digest.sha256)


class Ending:
    """A call in a green thread of its own, and how it ended: a result, or an exception."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self._thread = eventlet.spawn(self._run, call, *args)

    @staticmethod
    def _run(call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 (handed to the test, which asserts its type)
            return error

    def get(self) -> Any:
        with eventlet.Timeout(60):
            return self._thread.wait()


def asked_again(call: Callable[..., Any], *args: Any) -> Any:
    """How it ends for a user who asks again as long as it is in doubt."""
    endings: list[Any] = []

    def ask() -> bool:
        endings.append(Ending(call, *args).get())
        return not isinstance(endings[-1], InDoubt)

    eventually(ask)
    return endings[-1]


@contextmanager
def when_sent(client: Any, path_end: str, act: Callable[[], object]) -> Iterator[None]:
    """Do ``act`` once, just before the first transaction that creates a path with this end goes out."""
    real = client.transaction
    done: list[bool] = []

    def transaction() -> Any:
        made = real()
        commit_async = made.commit_async

        def commit() -> Any:
            created = [str(getattr(operation, "path", "")) for operation in made.operations[1:]]
            if not done and any(path.endswith(path_end) for path in created):
                done.append(True)
                act()
            return commit_async()

        made.commit_async = commit
        return made

    client.transaction = transaction
    try:
        yield
    finally:
        client.transaction = real


class HeldDisk(Disk):
    """A disk on which saving hangs until it is released: of everything, or of ``only`` one transaction."""

    def __init__(self, folder: Path, only: str | None = None) -> None:
        super().__init__(folder)
        self.released = threading.Event()
        self.saving = 0
        self._only = only

    def save(self, job_id: str, payload: bytes) -> bool:
        if self._only in (None, job_id):
            self.saving += 1
            assert self.released.wait(100)
        return super().save(job_id, payload)


def hold(side: Side, role: Any, only: str | None = None) -> HeldDisk:
    """From now on, saving hangs in this role of this side."""
    side.disk = role._disk = held = HeldDisk(side.disk.folder, only)
    return held


def crash(side: MemberSide) -> None:
    """The process is gone, and its session too (a test of the timeout itself cuts the link instead)."""
    side.member.stop()
    zk.disconnect(side.client)
