"""Synchronous primary-backup: the user is answered only when two disks have the payload.

The sequence of one transaction (the notes' figure, with the parts that the page leaves out):

    primary   payload to its own disk, synced
    primary   create /jobs/<id>            checked: still my epoch, backup's seat still there
    backup    payload to its own disk: temporary file, fsync, rename, fsync of the folder
    backup    create /jobs/<id>/backup_ack, and only then
    primary   create /jobs/<id>/outcome    checked: still my epoch. Created once: the one decision
    primary   answers its user

Invariants:
    * whoever was told "stored" has the payload on two disks: committed needs an ACK that counts, and an ACK
      is created after the copy is synced (Alsberg & Day, ICSE 1976: two-host resiliency);
    * whoever was told "not stored" is told so for ever: the outcome is decided by one create, and a late
      ACK changes nothing;
    * of two who believe to be primary the store listens to one: everything decided is checked against
      ``/epoch`` in the same transaction (Budhiraja et al. 1993: at most one primary; Liskov & Cowling 2012:
      the view number).
A copy may go when its transaction was aborted, and when ``/jobs/<id>/result`` exists: then the payload has
been used, and its owner has what came of it.
Promised: one pod lost at a time loses nothing that was acknowledged.

Leadership is decided elsewhere (``app.cluster``) and comes in as an :class:`Epoch`. ZooKeeper watches drive
every step; nothing polls. Here is the primary's side; the backup's is in ``backup``.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventlet import queue, tpool
from kazoo.client import KazooClient

from app.consistency.backup import Backup
from app.consistency.engine.disk import Disk, KeyedLock
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.records import OnStep, forget_old, quiet, read_ack, read_outcome
from app.consistency.engine.transactions import (
    Ack,
    Decision,
    Digest,
    Outcome,
    is_valid_ack,
    takeover_decision,
)
from app.errors import Aborted, Fenced, IdConflict, InDoubt, Malformed, NoBackup, PayloadUnavailable, Refused
from app.zookeeper import client as zk, paths

__all__ = ["ACK_TIMEOUT_S", "Backup", "OnStep", "Primary"]

log = logging.getLogger(__name__)

# The notes' patience with the backup.
ACK_TIMEOUT_S = 10.0
# A decision in a hundred is worth a look at what may be forgotten.
_TIDY_EVERY = 100
_NOT_TIDIED: tuple[type[Exception], ...] = (zk.TransactionFailed, *zk.NO_REPLY)


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
        self.epoch = epoch  # another one when the backup changes; the primary in it is always this one
        self.ack_timeout_s = ack_timeout_s
        self._on_step = on_step
        self._decided = 0
        self._locks = KeyedLock()

    # -- for users --

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
        with self._locks.hold(job_id), self._in_doubt_without_answer(job_id):
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
        with self._in_doubt_without_answer(job_id):
            self._check_epoch()
            outcome = read_outcome(self._client, job_id, zk.Deadline(zk.STEP_S))
        if outcome is None or outcome.decision == "aborted":
            return None
        payload: bytes | None = tpool.execute(self._disk.load, job_id, outcome.sha256)
        if payload is None:
            message = f"{job_id} is committed, but this primary's copy is missing or damaged"
            raise InDoubt(message, ask_again=job_id)
        return payload

    def commit(self, build: Callable[[Any], None], deadline: zk.Deadline) -> list[Any]:
        """Commit what ``build`` adds to a transaction, checked against our epoch; returns its results.

        For whoever acts in the primary's name. Raises Fenced, zk.Rejected (with the index among what was
        added) or one of zk.NO_REPLY.
        """
        while True:
            epoch = self.epoch
            transaction = epoch.guard(self._client.transaction())
            build(transaction)
            try:
                return zk.commit(transaction, deadline)[1:]
            except zk.TransactionFailed as rejected:
                if rejected.index > 0:
                    raise zk.TransactionFailed(rejected.index - 1, rejected.cause) from rejected
                if not self._renewed(epoch):
                    raise self._fenced() from rejected

    # -- taking over --

    def take_over(self, previous: Epoch) -> list[str]:
        """Settle every undecided transaction and fetch what we lack, before we serve.

        A valid ACK of the previous epoch means committed: its user may be waiting for it. Everything else is
        aborted, which is safe, since nobody has been answered. Returns the ids of committed transactions
        whose payload could not be had anywhere.

        Raises:
            InDoubt: ZooKeeper stopped answering, or another leads by now.
            OSError: our disk can't keep what we lack.
        """
        lost = []
        try:
            for job_id in self._unfinished():
                try:
                    settled = self._settle(job_id, previous)
                except Malformed:
                    log.exception("%s can't be settled", job_id)
                    settled = False
                if not settled:
                    lost.append(job_id)
        except zk.NO_REPLY as error:
            message = "ZooKeeper stopped answering while transactions were being settled; taking over again"
            raise InDoubt(message) from error
        return lost

    def _unfinished(self) -> list[str]:
        """Every transaction but those whose payload has been used: of a long history, a few."""
        zk.wait(self._client.sync_async(paths.JOBS), zk.Deadline(zk.STEP_S))
        job_ids = paths.usable(zk.wait(self._client.get_children_async(paths.JOBS), zk.Deadline(zk.STEP_S)))
        # All asked at once: one after the other, a thousand of them would take a second.
        asked = [(job_id, self._client.exists_async(paths.result(job_id))) for job_id in job_ids]
        deadline = zk.Deadline(2 * zk.STEP_S)
        return [job_id for job_id, result in asked if zk.wait(result, deadline) is None]

    def _settle(self, job_id: str, previous: Epoch) -> bool:
        """Decide one transaction if nobody has, and have its copy if it stays: False if that can't be had."""
        deadline = zk.Deadline(zk.STEP_S)
        outcome = read_outcome(self._client, job_id, deadline)
        if outcome is not None and outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            return True
        if outcome is not None and tpool.execute(self._disk.load, job_id, outcome.sha256) is not None:
            return True
        found = zk.get(self._client, paths.job(job_id), deadline)
        if found is None:
            return True  # forgotten since it was listed
        digest = Digest.of(found[0])
        if outcome is None:
            ack = read_ack(self._client, job_id, deadline)
            outcome = self._decide(job_id, digest, takeover_decision(ack, (previous, self.epoch), digest))
            self._on_step(f"settled as {outcome.decision}", job_id)
        if outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            return True
        if digest.sha256 != outcome.sha256:
            log.error("%s is committed, but its payload is on no disk that we can reach", job_id)
            return False
        try:
            tpool.execute(self._disk.save, job_id, found[0])
        except PayloadUnavailable as error:
            log.error("%s is committed, but lost: %s", job_id, error)
            return False
        return True

    # -- the steps of one transaction --

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
                if rejected.index == 0 and self._renewed(epoch):
                    continue
                return self._known(job_id, digest, self._refusal(rejected))
            except zk.NO_REPLY:
                if not self._can_go_on(deadline):
                    raise

    def _refusal(self, rejected: zk.TransactionFailed) -> Refused:
        if rejected.index == 0:
            return self._fenced()
        if rejected.index == 1:
            return _no_backup()
        return Refused(f"the store turned it down: {rejected.cause!r}")

    def _known(self, job_id: str, digest: Digest, refusal: Refused) -> Outcome | None:
        """The decision on an earlier attempt of this request, None while it is undecided.

        Raises ``refusal`` if there was none.
        """
        deadline = zk.Deadline(zk.STEP_S)
        zk.wait(self._client.sync_async(paths.JOBS), deadline)
        # In this order: an aborted payload is blanked together with its outcome.
        found = zk.get(self._client, paths.job(job_id), deadline)
        outcome = read_outcome(self._client, job_id, deadline)
        if found is None:
            raise refusal
        recorded = outcome.sha256 if outcome else Digest.of(found[0]).sha256
        if recorded != digest.sha256:
            message = f"the id {job_id} already belongs to another payload: a new request takes a new id"
            raise IdConflict(message)
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
                        self._renewed(self.epoch)  # a new backup's, quicker than our own word of it
                    if ack is not None and is_valid_ack(ack, self.epoch, digest):
                        self._on_step("ACK received", job_id)
                        return ack
                    log.warning("%s: an ACK that doesn't count: %s", job_id, ack)
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
                if not self._renewed(epoch):
                    raise self._deposed(job_id)
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
        self._tidy()
        return True

    def _tidy(self) -> None:
        """Now and then, forget settled transactions that no retry can still ask for."""
        self._decided += 1
        if self._decided % _TIDY_EVERY == 0:
            try:
                forget_old(self._client, self.epoch)
            except _NOT_TIDIED as error:
                log.info("not tidied this time: %r", error)

    # -- our epoch --

    def _check_epoch(self) -> None:
        """Commit a check of our epoch, which the store orders after every decision of an earlier one.

        Raises Fenced, or one of zk.NO_REPLY.
        """
        self.commit(lambda nothing_more: None, zk.Deadline(zk.STEP_S))

    def _renewed(self, over: Epoch) -> bool:
        """Whether the epoch that is over was followed by another one of ours: the backup has changed.

        The seat tells: it is held by one session, and nobody else writes it into ``/epoch``.
        """
        found = zk.get(self._client, paths.EPOCH, zk.Deadline(zk.STEP_S))
        current = Epoch.from_znode(found[0], found[1].version) if found else None
        if current is None or current.primary_seat != over.primary_seat:
            return False
        self.epoch = current
        return current != over

    # -- small things --

    def _discard(self, job_id: str, digest: Digest) -> None:
        try:
            tpool.execute(self._disk.discard, job_id, digest.sha256)
        except OSError as error:
            log.error("the copy of %s can't be dropped: %s", job_id, error)

    def _can_go_on(self, deadline: zk.Deadline) -> bool:
        return zk.wait_connected(self._client, deadline) and not deadline.passed

    @contextmanager
    def _in_doubt_without_answer(self, job_id: str) -> Iterator[None]:
        try:
            yield
        except zk.NO_REPLY as error:
            message = (
                f"ZooKeeper doesn't answer, so the outcome of {job_id} is unknown: ask again with this id"
            )
            raise InDoubt(message, ask_again=job_id) from error
        except Malformed as error:
            message = f"the record of {job_id} can't be read: {error}"
            raise InDoubt(message, ask_again=job_id) from error

    def _fenced(self) -> Fenced:
        return Fenced(
            f"epoch {self.epoch.number} is over: another leads now, and the store listens to it alone"
        )

    def _deposed(self, job_id: str) -> InDoubt:
        message = (
            f"{job_id} was published, then epoch {self.epoch.number} ended: the new primary decides; ask it"
        )
        return InDoubt(message, ask_again=job_id)


def _no_backup() -> NoBackup:
    return NoBackup(
        "no backup is ready, so two copies can't be promised: nothing was written; try again later"
    )
