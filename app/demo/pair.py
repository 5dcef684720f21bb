"""The medium demo's cast: a primary-backup pair, its users, and the final look at both disks."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from kazoo.client import KazooClient

from app.cluster.member import Member
from app.cluster.messages import Entry, Part
from app.consistency.engine.disk import Disk, sha256
from app.consistency.primary_backup import Primary
from app.demo.participants import Participant, disk_folder
from app.demo.recording import recorded_read
from app.demo.remote import RemoteDisk, RemoteMember, RemotePrimary, step_of
from app.demo.stage import Stage
from app.errors import Aborted, Fenced, InDoubt, LessonError, NoBackup
from app.zookeeper import client as zk

# A user who finds no primary, or is told to try again, does so for this long; in seconds.
_USER_PATIENCE_S = 10.0
_BREATH_S = 0.1

Leading: TypeAlias = Primary | RemotePrimary


class Pair:
    """Two participants, of whom the election makes a primary and a backup.

    Attributes:
        submitted: payload by job id, of everything that any user has asked to store.
        steps: (seconds on the monotonic clock, who, what has just happened, transaction's id).
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.submitted: dict[str, str] = {}
        self.steps: list[tuple[float, str, str, str]] = []
        self.participants: list[Participant] = []

    def bring(self) -> None:
        """Both on stage; the first to stand in line leads."""
        part = Part(kind="member")
        for name in self._stage.names("node", 2):
            heard = partial(self._heard, name)
            self.participants.append(
                self._stage.bring(name, partial(self._roles, name), part=part, heard=heard)
            )
            self._stage.require(lambda: self.primary() is not None, "somebody leads")
        self.ready()

    def _roles(self, name: str, client: KazooClient) -> list[Member]:
        return [
            Member(
                client,
                name,
                self._folder(name),
                ack_timeout_s=self._stage.options.ack_timeout_s,
                on_step=partial(self._note, name),
            )
        ]

    def _note(self, name: str, step: str, job_id: str) -> None:
        self.steps.append((time.monotonic(), name, step, job_id))
        self._stage.tell()

    def _heard(self, name: str, entry: Entry, at_ns: int) -> None:
        """The same from a pod."""
        at_s, step, job_id = step_of(entry, at_ns)
        self.steps.append((at_s, name, step, job_id))

    def _folder(self, name: str) -> Disk:
        return Disk(disk_folder(self._stage.folder, name))

    def disk(self, participant: Participant) -> Disk | RemoteDisk:
        member = self.member(participant)
        return member.disk if isinstance(member, RemoteMember) else self._folder(participant.name)

    def member(self, participant: Participant) -> Member | RemoteMember:
        only = participant.role
        assert isinstance(only, Member | RemoteMember)
        return only

    def leader(self) -> Participant | None:
        """Who acts as primary; of two who believe it, the one of the newer epoch."""
        acting = [
            (primary.epoch.number, participant.name, participant)
            for participant in self.participants
            if participant.acts and (primary := self.member(participant).primary)
        ]
        return max(acting)[2] if acting else None

    def primary(self) -> Leading | None:
        leader = self.leader()
        return self.member(leader).primary if leader else None

    def other(self, participant: Participant) -> Participant:
        return next(one for one in self.participants if one is not participant)

    def ready(self) -> tuple[Participant, Participant]:
        """(primary's, backup's) participant, once both are in their roles."""

        def both() -> bool:
            primary = self.primary()
            return primary is not None and primary.epoch.backup is not None and self._backs_up(primary)

        self._stage.require(both, "a primary leads and a backup is recorded", 20)
        leader = self.leader()
        assert leader is not None
        return leader, self.other(leader)

    def _backs_up(self, primary: Leading) -> bool:
        for participant in self.participants:
            backup = self.member(participant).backup
            if (
                participant.name == primary.epoch.backup
                and backup
                and backup.epoch.number == primary.epoch.number
            ):
                return True
        return False

    # -- users --

    def submit(self, user: str, primary: Leading, job_id: str, payload: str) -> None:
        """One request to one primary, recorded. Raises Refused or InDoubt."""
        self.submitted[job_id] = payload
        key = self._stage.key(job_id)
        self._stage.write(user, key, payload, lambda: primary.submit(job_id, payload.encode()))

    def submit_to_whoever_leads(self, user: str, job_id: str, payload: str) -> None:
        """One request of a stubborn user: the same id again, at whoever leads. Raises the last answer."""
        self.submitted[job_id] = payload
        self._stage.write(
            user, self._stage.key(job_id), payload, lambda: self._insist(job_id, payload.encode())
        )

    def _insist(self, job_id: str, payload: bytes) -> None:
        patience = zk.Deadline(_USER_PATIENCE_S)
        doubt: InDoubt | None = None
        last: LessonError
        while True:
            primary = self.primary()
            try:
                if primary is None:
                    raise NoBackup("nobody leads at the moment: nothing was written")
                primary.submit(job_id, payload)
                return
            except Aborted:
                raise
            except InDoubt as error:
                doubt = last = error
            except (NoBackup, Fenced) as error:
                # This attempt did nothing; an earlier one that nobody answered still may have.
                last = doubt or error
            if patience.passed:
                raise last
            self._stage.rest(_BREATH_S)

    # -- the end --

    def audit(self) -> None:
        """Ask the primary for every payload, and look on both disks; all of it is for the checker."""
        self.ready()
        stage = self._stage
        mine = [job_id for job_id in self.submitted if self._is_of_this_protocol(job_id)]
        stage.until(lambda: not any(self._is_left_over(job_id) for job_id in mine), 5)
        primary = self.primary()
        assert primary is not None
        for job_id in mine:
            recorded_read(stage.recorder, "primary", stage.key(job_id), partial(self._ask, primary, job_id))
            for participant in self.participants:
                found = self._on_disk(participant, job_id)
                stage.recorder.observe(f"disk of {participant.name}", stage.key(job_id), found)

    def _is_of_this_protocol(self, job_id: str) -> bool:
        return self._stage.key(job_id) in self._stage.history().by_key()

    def _is_left_over(self, job_id: str) -> bool:
        """Whether a copy is still there whose submission was refused: the backup drops it when it hears."""
        key = self._stage.key(job_id)
        outcomes = {op.outcome for op in self._stage.history().by_key()[key] if op.op == "write"}
        return outcomes == {"refused"} and any(self._on_disk(one, job_id) for one in self.participants)

    @staticmethod
    def _ask(primary: Leading, job_id: str) -> tuple[str | None, None]:
        payload = primary.read(job_id)
        return (payload.decode() if payload is not None else None), None

    def copies_of(self, job_id: str) -> Callable[[Participant], bool]:
        """Tells for a participant whether its disk has a copy of what was submitted under this id."""
        return lambda participant: self._on_disk(participant, job_id) is not None

    def _on_disk(self, participant: Participant, job_id: str) -> str | None:
        payload = self.disk(participant).load(job_id, sha256(self.submitted[job_id].encode()))
        return payload.decode() if payload is not None else None
