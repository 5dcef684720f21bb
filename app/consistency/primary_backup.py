"""Synchronous primary-backup: the user is answered only when two disks have the payload.

One transaction (the notes' ``master_synchronous_write`` is :meth:`Primary.submit` here, and their
``backup_replication_listener`` :meth:`Backup.replicate`):

    primary   payload to its own disk, synced
    primary   create /jobs/<id>             if its epoch is in force, and the backup's seat is there
    backup    payload to its own disk: temporary file, fsync, rename, fsync of the folder
    backup    create /jobs/<id>/backup_ack  if the epoch is in force, and only then
    primary   create /jobs/<id>/outcome     if its epoch is in force. Created once: the one decision
    primary   answers its user

An epoch is a numbered pair: one primary, and its backup or none yet. A new one of either begins a new epoch.
A seat is a participant's ephemeral znode under ``/election``; who leads is decided there (``app.cluster``).

Invariants:
    1. "Stored" means that two disks have had the payload: committed needs a valid ACK, and a backup creates
       one only after its copy is synced (Alsberg & Day, ICSE 1976: two-host resiliency).
    2. "Not stored" stays true: one create decides the outcome, and a late ACK changes nothing. The record is
       kept for an hour at least, so a retry finds it.
    3. Of two processes that believe to be primary, ZooKeeper listens to one: it carries out each decision
       together with a check of ``/epoch``, or not at all (Budhiraja et al. 1993: at most one primary; Liskov
       & Cowling 2012: the view number).
A copy is deleted when its transaction is aborted, and when ``/jobs/<id>/result`` exists: then the payload has
been used. Promised: one pod lost at a time loses nothing that was acknowledged.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

from eventlet import tpool
from kazoo.exceptions import NodeExistsError

from app.consistency.engine.fencing import Epoch
from app.consistency.engine.follower import Follower
from app.consistency.engine.leader import Leader, no_backup
from app.consistency.engine.records import in_doubt_without_reply, read_ack, read_outcome, watched_acks
from app.consistency.engine.takeover import TakeOver
from app.consistency.engine.transactions import Ack, Decision, Digest, Outcome
from app.errors import Aborted, Fenced, InDoubt, Refused
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

BackupStep = Literal["drop", "leave", "copy", "copy and acknowledge", "refuse"]


# --- decisions: pure functions over values --------------------------------------------------------------


def is_valid_ack(ack: Ack, epoch: Epoch, digest: Digest) -> bool:
    """Whether this ACK says that the backup of ``epoch`` has this payload on its disk."""
    expected = (epoch.backup, epoch.number, digest.size, digest.sha256)
    return (ack.author, ack.epoch, ack.size, ack.sha256) == expected


def takeover_decision(ack: Ack | None, epochs: Iterable[Epoch], digest: Digest) -> Decision:
    """What a new primary decides: committed only with a valid ACK, of the epoch before or of its own.

    Aborting is safe: no user is answered before the outcome exists, and it is created only once.
    """
    return "committed" if ack and any(is_valid_ack(ack, epoch, digest) for epoch in epochs) else "aborted"


def backup_step(outcome: Outcome | None, payload: bytes | None, blanked: bool) -> BackupStep:
    """What a backup does with a transaction; ``blanked``: its payload was emptied, as only an abort does."""
    if outcome is not None and outcome.decision == "aborted":
        return "drop"
    if payload is None or (outcome is None and blanked):
        return "leave"  # a missing record is no reason to drop a copy; a blanked one's outcome is on the way
    if outcome is None:
        return "copy and acknowledge"
    return "copy" if outcome.sha256 == Digest.of(payload).sha256 else "refuse"  # somebody has overwritten it


# --- the primary's side ---------------------------------------------------------------------------------


class Primary(Leader):
    """Takes transactions while its epoch is in force."""

    def submit(self, job_id: str, payload: bytes) -> Outcome:
        """Store ``payload`` under ``job_id``; returns when two disks have it. The same again is harmless.

        Raises:
            NoBackup: no backup is alive and up to date. Nothing was written.
            Fenced: another has taken over. Nothing was written.
            Aborted: the ACK didn't come in time, and that was made the decision: not stored, for good.
            IdConflict: the id already belongs to another payload.
            Refused: the payload is too large for a znode, or this primary's disk can't keep it.
            InDoubt: nobody here can know yet. ``ask_again`` is the id: submitting again finds the record.
        """
        zk.check_size(payload, "a payload")
        digest = Digest.of(payload)
        with in_doubt_without_reply(job_id):
            # In turns: of two submissions of one id neither drops a copy that the other has published.
            with self._disk.locks.hold(job_id):
                outcome = self._begin(job_id, payload, digest)
            if outcome is None:  # undecided: published now, or by an earlier attempt
                ack = self._await_ack(job_id, digest)
                outcome = self._decide(job_id, digest, "committed" if ack else "aborted")
            if outcome.decision == "aborted":
                self._discard(job_id, digest)
                message = f"{job_id} is aborted: not stored, and never will be; a new attempt takes a new id"
                raise Aborted(message)
            return outcome

    def _begin(self, job_id: str, payload: bytes, digest: Digest) -> Outcome | None:
        """Our own copy, then the record. Returns the outcome if the transaction was decided before."""
        copy_is_new = False
        try:
            if self.epoch.backup is None:
                raise no_backup()
            copy_is_new = self._save(job_id, payload)
            self._publish(job_id, payload)
        except Refused as refusal:
            # An earlier attempt may have left a record: then that counts, and else the refusal.
            return self._from_record(job_id, digest, refusal, copy_is_new)
        self._on_step("published", job_id)
        return None

    def _publish(self, job_id: str, payload: bytes) -> None:
        """Create the record, once: in our epoch, and while the backup's seat is there. Raises Refused."""
        deadline = zk.Deadline(zk.STEP_S)

        def build(transaction: Any) -> None:
            transaction.check(paths.seat(self.epoch.backup_seat), -1)  # no backup: no such seat
            transaction.create(paths.job(job_id), payload)

        try:
            # Together with the check of our epoch, or Fenced.
            zk.insist(self._client, lambda: self.commit(build, deadline), deadline)
        except zk.TransactionFailed as failed:
            if failed.index == 0:  # of what build adds: the seat
                raise no_backup() from failed
            message = f"the store turned it down: {failed.cause!r}"
            raise Refused(message) from failed

    def _await_ack(self, job_id: str, digest: Digest) -> Ack | None:
        """The backup's valid ACK, or None when our patience ends. A watch wakes us."""
        for ack in watched_acks(self._client, job_id, zk.Deadline(self.ack_timeout_s)):
            if ack is not None and ack.epoch > self.epoch.number:
                # Of a later epoch. If that is ours, with a new backup, we go on in it.
                with suppress(*zk.NO_REPLY):  # the watch fires when a connection is lost
                    self._fence.renewed(self.epoch)
            if ack is not None and is_valid_ack(ack, self.epoch, digest):
                self._on_step("ACK received", job_id)
                return ack
            log.warning("%s: an ACK that is not valid: %s", job_id, ack or "it can't be read")
        return None

    def _decide(self, job_id: str, digest: Digest, decision: Decision) -> Outcome:
        """Create the outcome, unless there is one: then that is the decision, and this returns it.

        Raises InDoubt if another leads now and has not decided yet, or one of zk.NO_REPLY.
        """
        deadline = zk.Deadline(zk.STEP_S)
        outcome: Outcome

        def build(transaction: Any) -> None:
            nonlocal outcome
            outcome = Outcome.of(decision, self.epoch, digest)  # of the epoch that is checked with it
            transaction.create(paths.outcome(job_id), outcome.to_bytes())
            if decision == "aborted":
                transaction.set_data(paths.job(job_id), b"")  # the record stays, and needs no payload

        try:
            zk.insist(self._client, lambda: self.commit(build, deadline), deadline)
        except (Fenced, zk.TransactionFailed) as failed:
            # Somebody has decided: a new primary, or an attempt of ours whose reply was lost. That stands.
            decided = zk.insist(self._client, lambda: read_outcome(self._client, job_id, deadline), deadline)
            if decided is None:
                raise self._fence.deposed(job_id) from failed
            return decided
        self._on_step(decision, job_id)
        self._tidying.decided(self.epoch)
        return outcome

    def read(self, job_id: str) -> bytes | None:
        """A committed payload, byte for byte from this primary's own disk; None if there is no such one.

        Raises:
            Fenced: another has taken over, and may have decided what we don't know of.
            InDoubt: ZooKeeper didn't answer, or our copy is damaged or missing.
        """
        with in_doubt_without_reply(job_id):
            self._fence.check()
            outcome = read_outcome(self._client, job_id, zk.Deadline(zk.STEP_S))
        if outcome is None or outcome.decision == "aborted":
            return None
        payload: bytes | None = tpool.execute(self._disk.load, job_id, outcome.sha256)
        if payload is None:
            message = f"{job_id} is committed, but this primary's copy is missing or damaged"
            raise InDoubt(message, ask_again=job_id)
        return payload

    def take_over(self, previous: Epoch) -> list[str]:
        """Settle what ``previous`` left undecided, and fetch what we lack, before we serve: TakeOver."""

        def decide(job_id: str, digest: Digest, ack: Ack | None) -> Outcome:
            return self._decide(job_id, digest, takeover_decision(ack, (previous, self.epoch), digest))

        return TakeOver(self._client, self._disk, decide, self._on_step).run()


# --- the backup's side ----------------------------------------------------------------------------------


class Backup(Follower):
    """Copies every transaction to its own disk, and acknowledges it only then."""

    def _copy(self, job_id: str, *, acknowledge: bool) -> None:
        """Take the step that is due; ``acknowledge`` is False while a backup to be catches up."""
        deadline = zk.Deadline(zk.STEP_S)
        # Under the lock, or "aborted" could be overtaken by the copy that it is to drop.
        with self._disk.locks.hold(job_id):
            outcome, payload, blanked = self._look(job_id, deadline, watch=acknowledge)
            step = backup_step(outcome, payload, blanked)
            if outcome is not None and step == "drop":
                tpool.execute(self._disk.discard, job_id, outcome.sha256)
                self._on_step("aborted, no copy kept", job_id)
            if payload is not None and step in ("copy", "copy and acknowledge"):
                tpool.execute(self._disk.save, job_id, payload)
                if acknowledge and step == "copy and acknowledge":
                    self._on_step("backup has it on disk", job_id)
                    self._acknowledge(job_id, Digest.of(payload), deadline)
            if step == "refuse":
                log.error("%s: the payload of %s is not the committed one: not copied", self._name, job_id)

    def _acknowledge(self, job_id: str, digest: Digest, deadline: zk.Deadline) -> None:
        """Create the ACK, or replace one that isn't ours: one left by an older backup, or a forged one."""
        ack, path = Ack.by(self._name, self.epoch, digest), paths.backup_ack(job_id)
        for replace in (False, True):
            acknowledging = self.epoch.guard(self._client.transaction())
            if replace:
                acknowledging.set_data(path, ack.to_bytes())
            else:
                acknowledging.create(path, ack.to_bytes())
            try:
                zk.commit(acknowledging, deadline)
                self._on_step("ACK created", job_id)
                return
            except zk.TransactionFailed as failed:
                if failed.index == 0 or not isinstance(failed.cause, NodeExistsError):
                    log.info("%s: no ACK for %s: %s", self._name, job_id, failed)
                    return  # the epoch's check: it is over; or the transaction is forgotten
            if read_ack(self._client, job_id, deadline) == ack:
                return
