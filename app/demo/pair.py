"""The medium demo's participants: a primary-backup pair, and the final look at both disks."""

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from kazoo.client import KazooClient

from app.cluster.member import Member
from app.cluster.messages import Entry, Part
from app.consistency.as_in_the_notes import NotesBackup, NotesPrimary
from app.consistency.engine.disk import Disk, sha256
from app.consistency.primary_backup import Backup, Primary
from app.demo.faults import moment_of
from app.demo.participants import Participant, disk_folder
from app.demo.remote import RemoteBackup, RemoteMember, RemotePrimary
from app.demo.run import remove
from app.demo.stage import Stage
from app.demo.waiting import Stopwatch
from app.errors import NoBackup
from app.zookeeper import client as zk, paths

Leading: TypeAlias = Primary | RemotePrimary


class Pair:
    """Two participants: the election makes one the primary and the other its backup.

    Attributes:
        submitted: payload by job id, of everything that any user has asked to store.
        steps: (seconds on the monotonic clock, who, what has just happened, transaction's id).
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.submitted: dict[str, str] = {}
        self.steps: list[tuple[float, str, str, str]] = []
        self.participants: list[Participant] = []

    def bring(self) -> None:
        """Both on stage; the first one to stand for election leads."""
        part = Part(kind="member")
        for name in self.stage.names("node", 2):
            roles, heard = partial(self._roles, name), partial(self._heard, name)
            self.participants.append(self.stage.bring(name, roles, part=part, heard=heard))
            self.stage.require(lambda: self.primary() is not None, "a primary leads")
        self.ready()

    def _roles(self, name: str, client: KazooClient) -> list[Member]:
        ack_timeout_s, note = self.stage.options.ack_timeout_s, partial(self._note, name)
        return [Member(client, name, self._folder(name), ack_timeout_s=ack_timeout_s, on_step=note)]

    def _note(self, name: str, step: str, job_id: str) -> None:
        self.steps.append((time.monotonic(), name, step, job_id))
        self.stage.aim.reached(moment_of(step))
        self.stage.notify()

    def _heard(self, name: str, entry: Entry, at_ns: int) -> None:
        """The same from a pod."""
        self.steps.append((at_ns / 1e9, name, entry.step, entry.job_id))

    def _folder(self, name: str) -> Disk:
        return Disk(disk_folder(self.stage.folder, name))

    def member(self, participant: Participant) -> Member | RemoteMember:
        only = participant.role
        assert isinstance(only, Member | RemoteMember)
        return only

    def leader(self) -> Participant | None:
        """The participant that acts as primary; of two that believe it, the one with the newer epoch."""
        acting = [
            (primary.epoch.number, participant.name, participant)
            for participant in self.participants
            if participant.acts and (primary := self.member(participant).primary)
        ]
        return max(acting)[2] if acting else None

    def primary(self) -> Leading | None:
        leader = self.leader()
        return self.member(leader).primary if leader else None

    def leading(self) -> Leading:
        """The primary that leads now. Raises NoBackup if none does."""
        if (primary := self.primary()) is None:
            raise NoBackup("no primary leads at the moment: nothing was written")
        return primary

    def backup_of(self, participant: Participant) -> Backup | RemoteBackup | None:
        """The backup that this participant is, while it is."""
        return self.member(participant).backup

    def ready(self) -> tuple[Participant, Participant]:
        """(primary's, backup's) participant, once both are in their roles."""

        def both() -> bool:
            primary = self.primary()
            return primary is not None and primary.epoch.backup is not None and self._backs_up(primary)

        self.stage.require(both, "a primary leads and a backup is recorded", 20)
        leader = self.leader()
        assert leader is not None
        return leader, next(one for one in self.participants if one is not leader)

    def _backs_up(self, primary: Leading) -> bool:
        """Whether the backup that the epoch names is in its role."""
        return any(
            participant.name == primary.epoch.backup
            and (backup := self.backup_of(participant)) is not None
            and backup.epoch.number == primary.epoch.number
            for participant in self.participants
        )

    # -- users --

    def request(self) -> tuple[str, str]:
        """(id, payload) of a new request."""
        return str(uuid.uuid4()), self.stage.unique("order")

    def submit(self, user: str, job_id: str, payload: str, primary: Leading | None = None) -> None:
        """One request to a primary, by default the one that leads; recorded. Raises Refused or InDoubt."""
        asked = primary or self.leading()
        self.record(user, job_id, payload, lambda: asked.submit(job_id, payload.encode()))

    def record(self, user: str, job_id: str, payload: str, action: Callable[[], Any]) -> Any:
        """Do and record a request; :meth:`audit` will look for its payload. Returns and raises as it does."""
        self.submitted[job_id] = payload
        return self.stage.write(user, self.stage.key(job_id), payload, action)

    # -- for the screen --

    def show_steps(self, job_id: str, asked: Stopwatch, answered: str) -> None:
        """The steps of one transaction, in the order of time: what pods report may come in another."""
        self.stage.until(lambda: {"ACK created", "committed"} <= {step[2] for step in self._steps(job_id)}, 2)
        rows = [(asked.ms(at), who, what) for at, who, what in self._steps(job_id)]
        self.stage.story.table(("after", "who", "what"), [*rows, (answered, "user", "is answered")])
        self.stage.story.look_with(f"zkCli.sh get {self.stage.chroot}{paths.backup_ack(job_id)}")

    def _steps(self, job_id: str) -> list[tuple[float, str, str]]:
        return sorted((at, who, what) for at, who, what, job in self.steps if job == job_id)

    def wipe(self, job_id: str) -> None:
        """Empty the payload's znode, so that what is read afterwards comes from a disk."""
        zk.wait(self.stage.client.set_async(paths.job(job_id), b""), zk.Deadline(zk.STEP_S))

    def listen(self, participant: Participant, listener: Callable[..., None]) -> None:
        """Call the backup's listener as the watch on ``/jobs`` does; in a pod, it calls its own."""
        backup = self.backup_of(participant)
        asked = self.stage.client.get_children_async(paths.JOBS)
        if isinstance(backup, Backup):
            listener(zk.wait(asked, zk.Deadline(zk.STEP_S)), client=backup)

    def decision(self, job_id: str) -> str:
        """The outcome's znode as it is now."""
        found = zk.get(self.stage.client, paths.outcome(job_id), zk.Deadline(zk.STEP_S))
        return f"{paths.outcome(job_id[:8])}: {found[0].decode()[:60] if found else '(nothing)'}..."

    # -- the end --

    def audit(self) -> None:
        """Ask the primary for every payload, and look on both disks: for the checker."""
        self.ready()
        stage = self.stage
        recorded = stage.history().by_key()
        mine = [job_id for job_id in self.submitted if stage.key(job_id) in recorded]  # of this protocol
        stage.until(lambda: not any(self._is_left_over(job_id) for job_id in mine), 5)
        primary = self.leading()
        for job_id in mine:
            stage.read("primary", stage.key(job_id), partial(_text_of, primary, job_id))
            for participant in self.participants:
                found = self._on_disk(participant, job_id)
                stage.recorder.observe(f"disk of {participant.name}", stage.key(job_id), found)

    def _is_left_over(self, job_id: str) -> bool:
        """Whether a refused payload is still on a disk: the backup drops its copy on seeing the outcome."""
        key = self.stage.key(job_id)
        outcomes = {op.outcome for op in self.stage.history().by_key()[key] if op.op == "write"}
        return outcomes == {"refused"} and any(self._on_disk(one, job_id) for one in self.participants)

    def copies(self, job_id: str) -> int:
        """On how many of the two disks is what was submitted under this id."""
        return sum(self._on_disk(one, job_id) is not None for one in self.participants)

    def _on_disk(self, participant: Participant, job_id: str) -> str | None:
        member = self.member(participant)
        disk = member.disk if isinstance(member, RemoteMember) else self._folder(participant.name)
        payload = disk.load(job_id, sha256(self.submitted[job_id].encode()))
        return payload.decode() if payload is not None else None


def _text_of(primary: Leading, job_id: str) -> str | None:
    payload = primary.read(job_id)
    return payload.decode() if payload is not None else None


class NotesPair:
    """The notes' primary and backup, in this process and in a corner of the run's root of their own."""

    ROOT = "/notes"

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        remove(stage.client, self.ROOT, zk.Deadline(10))  # of an act that was spoilt
        self.backup = stage.bring("notes-backup", self._roles, root=self.ROOT)
        self._primary = NotesPrimary(
            stage.session(chroot=stage.chroot + self.ROOT), ack_timeout_s=stage.options.ack_timeout_s
        )

    def _roles(self, client: KazooClient) -> list[NotesBackup]:
        zk.ensure(
            client, paths.ROOTS, zk.Deadline(10)
        )  # by its own session: its server may lag behind others
        return [NotesBackup(client, "notes-backup")]

    def submit(self, job_id: str) -> None:
        """One request to the primary, recorded. Raises Refused when no ACK has come in time."""
        payload, key = self._stage.unique("order"), self._stage.key(job_id)
        self._stage.write("user", key, payload, lambda: self._primary.submit(payload.encode(), job_id))

    def wait_for_ack(self, job_id: str) -> None:
        """Until the backup has acknowledged it; then what it has is recorded."""
        kept = self.backup.role.acknowledged
        self._stage.require(lambda: job_id in kept, "the backup has acknowledged it")
        self._stage.recorder.observe("notes-backup", self._stage.key(job_id), kept[job_id].decode())
