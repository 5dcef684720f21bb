"""Synchronous primary-backup: the user is answered only when two disks have the payload.

The sequence of one transaction (the notes' figure, with the parts that the page leaves out):

    primary   payload to its own disk, synced
    primary   create /jobs/<id>            checked: still my epoch, backup's seat still there
    backup    payload to its own disk: temporary file, fsync, rename, fsync of the folder
    backup    create /jobs/<id>/backup_ack, and only then
    primary   create /jobs/<id>/outcome    checked: still my epoch. Created once: the one decision
    primary   answers its user

Invariants:
    * a user who is answered "stored" has the payload on two disks: committed needs a valid ACK, and a backup
      creates one only after its copy is synced (Alsberg & Day, ICSE 1976: two-host resiliency);
    * the answer "not stored" stays true: one create decides the outcome, and a late ACK changes nothing;
    * of two processes that believe to be primary, the store listens to one: every decision is checked against
      ``/epoch`` in the same transaction (Budhiraja et al. 1993: at most one primary; Liskov & Cowling 2012:
      the view number).
A copy may be deleted when its transaction is aborted, and when ``/jobs/<id>/result`` exists: then the
payload has been used, and its owner has the result.
Promised: one pod lost at a time loses nothing that was acknowledged.

Leadership is decided elsewhere (``app.cluster``) and comes in as an :class:`Epoch`. ZooKeeper watches drive
every step; nothing polls.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from eventlet import queue, tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from app.consistency.engine.disk import Disk, KeyedLock
from app.consistency.engine.fencing import Epoch, Fence
from app.consistency.engine.follower import Follower, catch_up
from app.consistency.engine.records import (
    OnStep,
    Tidying,
    in_doubt_without_reply,
    is_used,
    known_outcome,
    quiet,
    read_ack,
    read_outcome,
)
from app.consistency.engine.takeover import TakeOver
from app.consistency.engine.transactions import Ack, Decision, Digest, Outcome
from app.errors import Aborted, InDoubt, NoBackup, PayloadUnavailable, Refused
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# The notes' patience with the backup, in seconds.
ACK_TIMEOUT_S = 10.0


# --- decisions: pure functions over values --------------------------------------------------------------


def is_valid_ack(ack: Ack, epoch: Epoch, digest: Digest) -> bool:
    """Whether this ACK shows that the backup of ``epoch`` has the payload on its disk."""
    expected = (epoch.backup, epoch.number, digest.size, digest.sha256)
    return (ack.author, ack.epoch, ack.size, ack.sha256) == expected


def takeover_decision(ack: Ack | None, epochs: Iterable[Epoch], digest: Digest) -> Decision:
    """What a new primary decides: committed only with a valid ACK of one of ``epochs``.

    Aborting is always safe here, since no user has been answered while a transaction is undecided.
    """
    return "committed" if ack and any(is_valid_ack(ack, epoch, digest) for epoch in epochs) else "aborted"


# --- the primary's side ---------------------------------------------------------------------------------


class Primary:
    """Takes transactions while its epoch is in force.

    Args:
        client: this participant's own connected client.
        disk: its own disk.
        epoch: the epoch in which it leads.
        ack_timeout_s: its patience with the backup, in seconds.
        on_step: called with (what has just happened, transaction's id); must return quickly.
    """

    def __init__(
        self,
        client: KazooClient,
        disk: Disk,
        epoch: Epoch,
        *,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        on_step: OnStep = quiet,
    ) -> None:
        self._client = client
        self._disk = disk
        self._fence = Fence(client, epoch)
        self.ack_timeout_s = ack_timeout_s
        self._on_step = on_step
        self._tidying = Tidying(client)
        self._locks = KeyedLock()

    @property
    def epoch(self) -> Epoch:
        """The epoch in which it leads: another one when the backup changes."""
        return self._fence.epoch

    @epoch.setter
    def epoch(self, epoch: Epoch) -> None:
        self._fence.epoch = epoch

    def submit(self, job_id: str, payload: bytes) -> Outcome:
        """Store ``payload`` under ``job_id``; returns when two disks have it. The same again is harmless.

        Raises:
            NoBackup: no backup is alive and up to date. Nothing was written.
            Fenced: another has taken over. Nothing was written.
            Aborted: the ACK didn't come in time, and that was made the decision: not stored, for ever.
            IdConflict: the id already belongs to another one.
            Refused: the payload is too large for a znode, or this
                primary's disk can't keep it.
            InDoubt: nobody here can know yet. ``ask_again`` is the id: submitting again finds the record.
        """
        zk.check_size(payload, "a payload")
        digest = Digest.of(payload)
        # In turns, so that of two submissions of one id neither drops a copy that the other has published.
        with self._locks.hold(job_id), in_doubt_without_reply(job_id):
            with self._disk.locks.hold(job_id):
                outcome = self._begin(job_id, payload, digest)
            if outcome is None:
                ack = self._await_ack(job_id, digest)
                outcome = self._decide(job_id, digest, "committed" if ack else "aborted")
            if outcome.decision == "aborted":
                self._discard(job_id, digest)
                message = f"{job_id} is aborted: not stored, and never will be; a new attempt takes a new id"
                raise Aborted(message)
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

    def commit(self, build: Callable[[Any], object], deadline: zk.Deadline) -> list[Any]:
        """Commit what ``build`` adds to a transaction, checked against our epoch. As :meth:`Fence.commit`."""
        return self._fence.commit(build, deadline)

    def take_over(self, previous: Epoch) -> list[str]:
        """Settle what ``previous`` left undecided, and fetch what we lack, before we serve: see TakeOver.

        A valid ACK means committed: its user may be waiting for it. All else is aborted, which is safe.
        """

        def decide(job_id: str, digest: Digest, ack: Ack | None) -> Outcome:
            return self._decide(job_id, digest, takeover_decision(ack, (previous, self.epoch), digest))

        return TakeOver(self._client, self._disk, decide, self._on_step).run()

    def _begin(self, job_id: str, payload: bytes, digest: Digest) -> Outcome | None:
        """Our own copy, then the record. Returns the outcome if the transaction was decided before."""
        if self.epoch.backup is None:
            return self._known(job_id, digest, _no_backup())
        try:
            is_new = tpool.execute(self._disk.save, job_id, payload)
        except (OSError, PayloadUnavailable) as error:
            message = f"this primary's disk can't keep {job_id} ({error})"
            if (outcome := self._known(job_id, digest, Refused(f"{message}: nothing was written"))) is None:
                raise InDoubt(f"{message}, which is undecided; ask again", ask_again=job_id) from error
            return outcome
        self._on_step("primary has it on disk", job_id)
        try:
            return self._publish(job_id, payload, digest)
        except Refused:
            if is_new:  # provably never published with these bytes: the copy is nobody's
                self._discard(job_id, digest)
            raise

    def _publish(self, job_id: str, payload: bytes, digest: Digest) -> Outcome | None:
        """Create the record, once. Returns the outcome if the transaction was decided before."""
        deadline = zk.Deadline(zk.STEP_S)
        while True:
            epoch = self.epoch
            publication = epoch.guard(self._client.transaction())
            publication.check(f"{paths.ELECTION}/{epoch.backup_seat}", -1)  # no backup: no such seat
            publication.create(paths.job(job_id), payload)
            try:
                zk.commit(publication, deadline)
                self._on_step("published", job_id)
                return None
            except zk.TransactionFailed as rejected:
                # None of the three can succeed later, so no attempt of ours can still arrive; but one that
                # nobody answered may have been carried out.
                if rejected.index == 0 and self._fence.renewed(epoch):
                    continue
                return self._known(job_id, digest, self._refusal(rejected))
            except zk.NO_REPLY:
                if not self._can_go_on(deadline):
                    raise

    def _refusal(self, rejected: zk.TransactionFailed) -> Refused:
        if rejected.index == 0:
            return self._fence.fenced()
        if rejected.index == 1:
            return _no_backup()
        return Refused(f"the store turned it down: {rejected.cause!r}")

    def _known(self, job_id: str, digest: Digest, refusal: Refused) -> Outcome | None:
        outcome = known_outcome(self._client, job_id, digest, refusal)
        self._on_step(f"known as {outcome.decision}" if outcome else "known already", job_id)
        return outcome

    def _await_ack(self, job_id: str, digest: Digest) -> Ack | None:
        """The backup's ACK, or None when our patience ends. A watch wakes us; other ACKs are passed over."""
        patience = zk.Deadline(self.ack_timeout_s)
        changed: Any = queue.LightQueue()
        path = paths.backup_ack(job_id)
        while not patience.passed:
            try:
                if zk.wait(self._client.exists_async(path, watch=changed.put), patience) is not None:
                    ack = read_ack(self._client, job_id, patience)
                    if ack is not None and ack.epoch > self.epoch.number:
                        self._fence.renewed(self.epoch)  # a new backup's, quicker than our own word of it
                    if ack is not None and is_valid_ack(ack, self.epoch, digest):
                        self._on_step("ACK received", job_id)
                        return ack
                    log.warning("%s: an invalid ACK: %s", job_id, ack)
                changed.get(timeout=patience.left_s)
            except queue.Empty:
                break
            except zk.NO_REPLY:
                zk.wait_connected(self._client, patience)
        return None

    def _decide(self, job_id: str, digest: Digest, decision: Decision) -> Outcome:
        """Create the outcome, unless there is one: then that is the decision, and this returns it.

        Raises InDoubt if another leads now and has not decided yet, or one of zk.NO_REPLY.
        """
        deadline = zk.Deadline(zk.STEP_S)
        while True:
            epoch = self.epoch
            outcome = Outcome(
                decision=decision,
                by=epoch.primary or "",
                epoch=epoch.number,
                size=digest.size,
                sha256=digest.sha256,
            )
            try:
                if self._try_to_decide(job_id, outcome, epoch):
                    return outcome
                decided = read_outcome(self._client, job_id, deadline)
                if decided is not None:
                    return decided
                if not self._fence.renewed(epoch):
                    raise self._fence.deposed(job_id)
            except zk.NO_REPLY:
                if not self._can_go_on(deadline):
                    raise

    def _try_to_decide(self, job_id: str, outcome: Outcome, epoch: Epoch) -> bool:
        """Whether ours became the decision. False: there is one already, or the epoch is over."""
        deciding = epoch.guard(self._client.transaction())
        deciding.create(paths.outcome(job_id), outcome.to_bytes())
        if outcome.decision == "aborted":
            deciding.set_data(paths.job(job_id), b"")  # a tombstone needs no megabyte
        try:
            zk.commit(deciding, zk.Deadline(zk.STEP_S))
        except zk.TransactionFailed:
            return False
        self._on_step(outcome.decision, job_id)
        self._tidying.decided(self.epoch)
        return True

    def _discard(self, job_id: str, digest: Digest) -> None:
        try:
            tpool.execute(self._disk.discard, job_id, digest.sha256)
        except OSError as error:
            log.error("the copy of %s can't be dropped: %s", job_id, error)

    def _can_go_on(self, deadline: zk.Deadline) -> bool:
        return zk.wait_connected(self._client, deadline) and not deadline.passed


def _no_backup() -> NoBackup:
    return NoBackup(
        "no backup is ready, so two copies can't be promised: nothing was written; try again later"
    )


# --- the backup's side ----------------------------------------------------------------------------------


class Backup:
    """Copies every transaction to its own disk, and acknowledges it only then.

    Args: as for :class:`Primary`; ``name`` is what it signs its ACKs with.
    """

    def __init__(
        self, client: KazooClient, disk: Disk, epoch: Epoch, name: str, *, on_step: OnStep = quiet
    ) -> None:
        self._client = client
        self._disk = disk
        self.epoch = epoch
        self._name = name
        self._on_step = on_step
        self._follower = Follower(client, name, lambda job_id: self._copy(job_id, acknowledge=True))

    def start(self) -> None:
        """Follow ``/jobs`` by a watch, and look through all of it once: a restart finds what it missed."""
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()

    def replicate(self, children: list[str]) -> None:
        """Copy and acknowledge what is new among the ids in ``children``; returns before that is done."""
        self._follower.take(children)

    def catch_up(self) -> None:
        """Copy everything that is not aborted, and return when it is on disk.

        Complete if our epoch has no backup yet: then nothing new can be published meanwhile. Raises OSError
        or PayloadUnavailable (this isn't complete), or one of zk.NO_REPLY.
        """
        catch_up(self._client, self._name, self._copy)

    def _copy(self, job_id: str, *, acknowledge: bool = False) -> None:
        # Under the lock, or "aborted" could be overtaken by the copy that it is to drop.
        with self._disk.locks.hold(job_id):
            self._keep(job_id, zk.Deadline(zk.STEP_S), acknowledge=acknowledge)

    def _keep(self, job_id: str, deadline: zk.Deadline, *, acknowledge: bool = False) -> None:
        """Have the copy on disk if it is to be kept, drop it on an explicit "aborted"."""
        # Both asked at once, to save a round trip; a megabyte that is here already isn't asked for again.
        # What is undecided leaves a watch for its decision.
        got = None if self._disk.may_hold(job_id) else self._client.get_async(paths.job(job_id))
        watch = self._follower.wake if acknowledge else None
        decided = self._client.exists_async(paths.outcome(job_id), watch=watch)
        outcome = read_outcome(self._client, job_id, deadline) if zk.wait(decided, deadline) else None
        if outcome is not None and outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            self._on_step("aborted, no copy kept", job_id)
            return
        if outcome is not None and (
            tpool.execute(self._disk.load, job_id, outcome.sha256) is not None
            or is_used(self._client, job_id, deadline)
        ):
            return
        try:
            payload, stat = zk.wait(got or self._client.get_async(paths.job(job_id)), deadline)
        except NoNodeError:
            return  # forgotten. A copy is never dropped because a record is missing.
        if outcome is None and stat.version > 0:
            return  # aborted and blanked since we asked: its outcome is on the way
        digest = Digest.of(payload)
        if outcome is not None and outcome.sha256 != digest.sha256:
            log.error("%s: the payload of %s is not the committed one: not copied", self._name, job_id)
            return
        tpool.execute(self._disk.save, job_id, payload)
        if acknowledge and outcome is None:
            self._on_step("backup has it on disk", job_id)
            self._acknowledge(job_id, digest, deadline)

    def _acknowledge(self, job_id: str, digest: Digest, deadline: zk.Deadline) -> None:
        """Create the ACK, or replace one that isn't ours: one left by an older backup, or a forged one."""
        ack = Ack(author=self._name, epoch=self.epoch.number, size=digest.size, sha256=digest.sha256)
        path = paths.backup_ack(job_id)
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
            except zk.TransactionFailed as rejected:
                if rejected.index == 0:
                    log.info("%s: epoch %d is over; no ACK for %s", self._name, self.epoch.number, job_id)
                    return
                if not isinstance(rejected.cause, NodeExistsError):
                    return  # forgotten meanwhile
            if read_ack(self._client, job_id, deadline) == ack:
                return
