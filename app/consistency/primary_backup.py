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
Promised: one pod lost at a time loses nothing that was acknowledged.

Leadership is decided elsewhere (``app.cluster``) and comes in as an :class:`Epoch`. ZooKeeper watches drive
every step; nothing polls.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import eventlet
from eventlet import queue, semaphore, tpool
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState

from app import paths, zk
from app.consistency.disk import Disk
from app.consistency.epoch import Epoch
from app.consistency.transactions import (
    KEEP_LAST,
    Ack,
    Decision,
    Digest,
    Outcome,
    counts,
    forgettable,
    verdict,
)
from app.errors import Aborted, Fenced, InDoubt, NoBackup, NotUnderstood, Refused

log = logging.getLogger(__name__)

# The notes' patience with the backup.
ACK_TIMEOUT_S = 10.0
# Beyond that, what one step with ZooKeeper may take; a lost connection is waited for within it.
_STEP_S = 3.0
# Copies made at the same time by a backup: one bad or slow payload never holds up the next.
_COPIERS = 8
# A decision in a thousand is worth a look at what may be forgotten.
_TIDY_EVERY = 100
_NOT_TIDIED: tuple[type[Exception], ...] = (zk.Rejected, *zk.NO_ANSWER)

OnStep = Callable[[str, str], None]


def _quiet(step: str, job_id: str) -> None:
    """The default listener of steps: nobody."""


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
        client: Any,
        disk: Disk,
        epoch: Epoch,
        *,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        on_step: OnStep = _quiet,
    ) -> None:
        self._client = client
        self._disk = disk
        self.epoch = epoch
        self.ack_timeout_s = ack_timeout_s
        self._on_step = on_step
        self._decided = 0
        self._submitting: dict[str, Any] = {}

    # -- for users --

    def submit(self, job_id: str, payload: bytes) -> Outcome:
        """Store ``payload`` under ``job_id``; returns when two disks have it. The same again is harmless.

        Raises:
            NoBackup: no backup is alive and up to date. Nothing was written.
            Fenced: another has taken over. Nothing was written.
            Aborted: the ACK didn't come in time, and that was made the decision: not stored, for ever.
            Refused: the id already belongs to another payload, or the payload is too large for a znode.
            InDoubt: ZooKeeper stopped answering. ``ask_again`` is the id; submitting again finds the record.
        """
        zk.check_size(payload, "a payload")
        if self.epoch.backup is None:
            message = (
                "no backup is ready, so two copies can't be promised: nothing was written; try again later"
            )
            raise NoBackup(message)
        with self._one_at_a_time(job_id):
            return self._submit(job_id, payload, Digest.of(payload))

    def _submit(self, job_id: str, payload: bytes, digest: Digest) -> Outcome:
        is_new = tpool.execute(self._disk.save, job_id, payload)
        self._on_step("primary has it on disk", job_id)
        try:
            outcome = self._publish(job_id, payload, digest)
        except Refused:
            if is_new:  # provably never published with these bytes: the copy is nobody's
                tpool.execute(self._disk.discard, job_id, digest.sha256)
            raise
        if outcome is None:
            ack = self._await_ack(job_id, digest)
            outcome = self._decide(job_id, digest, "committed" if ack else "aborted")
        if outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, digest.sha256)
            message = f"{job_id} is aborted: not stored, and never will be; a new attempt takes a new id"
            raise Aborted(message)
        return outcome

    def read(self, job_id: str) -> bytes | None:
        """A committed payload, byte for byte from this primary's own disk; None if there is no such one.

        Raises:
            Fenced: another has taken over, and may have decided what we don't know of.
            InDoubt: ZooKeeper didn't answer, or our copy is damaged or missing.
        """
        deadline = zk.Deadline(_STEP_S)
        try:
            # Committed, so ordered by the store after every decision of an earlier epoch.
            zk.commit(self.epoch.guard(self._client.transaction()), deadline)
            outcome = read_outcome(self._client, job_id, deadline)
        except zk.Rejected as rejected:
            raise self._fenced() from rejected
        except zk.NO_ANSWER as error:
            message = f"no answer whether this is still the primary; ask for {job_id} again"
            raise InDoubt(message, ask_again=job_id) from error
        if outcome is None or outcome.decision == "aborted":
            return None
        payload: bytes | None = tpool.execute(self._disk.load, job_id, outcome.sha256)
        if payload is None:
            message = f"{job_id} is committed, but this primary's copy is missing or damaged"
            raise InDoubt(message, ask_again=job_id)
        return payload

    # -- taking over --

    def take_over(self, previous: Epoch) -> list[str]:
        """Settle every undecided transaction and fetch what we lack, before we serve.

        A valid ACK of the previous epoch means committed: its user may have been answered. Everything else
        is aborted, which is safe, since nobody has been. Returns the ids of committed transactions whose
        payload could not be had anywhere. Raises InDoubt if ZooKeeper stops answering or another leads.
        """
        deadline = zk.Deadline(_STEP_S)
        try:
            job_ids = zk.wait(self._client.get_children_async(paths.JOBS), deadline)
            return [job_id for job_id in job_ids if not self._settle(job_id, previous)]
        except zk.NO_ANSWER as error:
            message = "ZooKeeper stopped answering while transactions were being settled; taking over again"
            raise InDoubt(message) from error

    def _settle(self, job_id: str, previous: Epoch) -> bool:
        """Decide one transaction if nobody has, and have its copy if it stays: False if that can't be had."""
        deadline = zk.Deadline(_STEP_S)
        try:
            outcome = read_outcome(self._client, job_id, deadline)
        except NotUnderstood:
            log.exception("%s can't be settled", job_id)
            return False
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
            outcome = self._decide(job_id, digest, verdict(ack, (previous, self.epoch), digest))
            self._on_step(f"settled as {outcome.decision}", job_id)
        if outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            return True
        if digest.sha256 != outcome.sha256:
            log.error("%s is committed, but its payload is on no disk that we can reach", job_id)
            return False
        tpool.execute(self._disk.save, job_id, found[0])
        return True

    # -- the steps of one transaction --

    def _publish(self, job_id: str, payload: bytes, digest: Digest) -> Outcome | None:
        """Create the record, once. Returns the outcome if the transaction was decided before."""
        deadline = zk.Deadline(_STEP_S)
        unanswered = False
        while True:
            epoch = self.epoch
            publication = epoch.guard(self._client.transaction())
            publication.check(f"{paths.ELECTION}/{epoch.backup_seat}", -1)
            publication.create(paths.job(job_id), payload)
            try:
                zk.commit(publication, deadline)
                self._on_step("published", job_id)
                return None
            except zk.Rejected as rejected:
                # Neither check can ever succeed again, so no earlier attempt of ours can still arrive. But
                # one that nobody answered may have been carried out.
                if isinstance(rejected.cause, NodeExistsError) or (unanswered and self._is_there(job_id)):
                    return self._known(job_id, digest, deadline)
                if epoch is not self.epoch:
                    continue  # we have changed it ourselves: another backup
                raise self._refusal(rejected) from rejected
            except zk.NO_ANSWER as error:
                unanswered = True
                if not self._can_go_on(deadline):
                    raise self._doubt(job_id) from error

    def _is_there(self, job_id: str) -> bool:
        try:
            return zk.get(self._client, paths.job(job_id), zk.Deadline(_STEP_S)) is not None
        except zk.NO_ANSWER as error:
            raise self._doubt(job_id) from error

    def _refusal(self, rejected: zk.Rejected) -> Refused:
        if rejected.index == 0:
            return self._fenced()
        return NoBackup("the backup has just been lost: nothing was written; try again in a moment")

    def _known(self, job_id: str, digest: Digest, deadline: zk.Deadline) -> Outcome | None:
        """The record that is there already: ours if it has our digest, else the id is taken."""
        try:
            outcome = read_outcome(self._client, job_id, deadline)
            found = zk.get(self._client, paths.job(job_id), deadline)
        except zk.NO_ANSWER as error:
            raise self._doubt(job_id) from error
        recorded = outcome.sha256 if outcome else Digest.of(found[0]).sha256 if found else None
        if recorded != digest.sha256:
            message = f"the id {job_id} already belongs to another payload: a new request takes a new id"
            raise Refused(message)
        self._on_step("known already", job_id)
        return outcome

    def _await_ack(self, job_id: str, digest: Digest) -> Ack | None:
        """The backup's ACK, or None when our patience ends. A watch wakes us; other ACKs are passed over."""
        patience = zk.Deadline(self.ack_timeout_s)
        changed: Any = queue.LightQueue()
        path = paths.backup_ack(job_id)
        while not patience.passed:
            try:
                if zk.wait(self._client.exists_async(path, watch=changed.put), patience) is None:
                    changed.get(timeout=patience.left_s)
                ack = read_ack(self._client, job_id, patience, watch=changed.put)
                if ack is not None and counts(ack, self.epoch, digest):
                    self._on_step("ACK received", job_id)
                    return ack
                if ack is not None:
                    log.warning("%s: an ACK that doesn't count: %s", job_id, ack)
                    changed.get(timeout=patience.left_s)
            except queue.Empty:
                break
            except zk.NO_ANSWER:
                zk.wait_connected(self._client, patience)
        return None

    def _decide(self, job_id: str, digest: Digest, decision: Decision) -> Outcome:
        """Create the outcome, unless there is one: then that is the decision, and this returns it.

        Raises InDoubt if ZooKeeper stops answering, or if another leads now and has not decided yet.
        """
        deadline = zk.Deadline(_STEP_S)
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
            except zk.NO_ANSWER as error:
                if not self._can_go_on(deadline):
                    raise self._doubt(job_id) from error
                continue
            if decided is not None:
                return decided
            if epoch is self.epoch:
                raise self._deposed(job_id)

    def _try_to_decide(self, job_id: str, outcome: Outcome, epoch: Epoch) -> bool:
        """Whether ours became the decision. False: there is one already, or the epoch is over."""
        deciding = epoch.guard(self._client.transaction())
        deciding.create(paths.outcome(job_id), outcome.to_bytes())
        if outcome.decision == "aborted":
            deciding.set_data(paths.job(job_id), b"")  # a tombstone needs no megabyte
        try:
            zk.commit(deciding, zk.Deadline(_STEP_S))
        except zk.Rejected:
            return False
        self._on_step(outcome.decision, job_id)
        self._tidy()
        return True

    # -- forgetting --

    def _tidy(self) -> None:
        """Now and then, forget settled transactions that no retry can still ask for."""
        self._decided += 1
        if self._decided % _TIDY_EVERY == 0:
            try:
                forget_old(self._client, self.epoch)
            except _NOT_TIDIED as error:
                log.info("not tidied this time: %r", error)

    # -- small things --

    @contextmanager
    def _one_at_a_time(self, job_id: str) -> Iterator[None]:
        """Two submissions of one id take turns, so that neither drops a copy that the other has published."""
        turn, waiting = self._submitting.get(job_id, (semaphore.Semaphore(), 0))
        self._submitting[job_id] = (turn, waiting + 1)
        try:
            with turn:
                yield
        finally:
            turn, waiting = self._submitting.pop(job_id)
            if waiting > 1:
                self._submitting[job_id] = (turn, waiting - 1)

    def _can_go_on(self, deadline: zk.Deadline) -> bool:
        return zk.wait_connected(self._client, deadline) and not deadline.passed

    def _fenced(self) -> Fenced:
        return Fenced(
            f"epoch {self.epoch.number} is over: another leads now, and the store listens to it alone"
        )

    def _deposed(self, job_id: str) -> InDoubt:
        message = (
            f"{job_id} was published, then epoch {self.epoch.number} ended: the new primary decides; ask it"
        )
        return InDoubt(message, ask_again=job_id)

    def _doubt(self, job_id: str) -> InDoubt:
        message = f"ZooKeeper doesn't answer, so the outcome of {job_id} is unknown: ask again with this id"
        return InDoubt(message, ask_again=job_id)


class Backup:
    """Copies every transaction to its own disk, and acknowledges it only then.

    Args: as for :class:`Primary`; ``name`` is what it signs its ACKs with.
    """

    def __init__(self, client: Any, disk: Disk, epoch: Epoch, name: str, *, on_step: OnStep = _quiet) -> None:
        self._client = client
        self._disk = disk
        self.epoch = epoch
        self._name = name
        self._on_step = on_step
        self._seen: set[str] = set()
        self._copiers = eventlet.GreenPool(_COPIERS)
        self._inbox: Any = queue.LightQueue()
        self._thread: Any = None

    def start(self) -> None:
        """Follow ``/jobs`` by a watch, and look through all of it once: a restart finds what it missed."""
        self._client.add_listener(self._on_state)
        self._thread = eventlet.spawn(self._follow)
        self._inbox.put(None)

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        for thread in [self._thread, *self._copiers.coroutines_running]:
            if thread is not None:
                eventlet.kill(thread)

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._seen.clear()  # watches and ACKs may have been lost with the connection
            self._inbox.put(None)

    def _follow(self) -> None:
        while True:
            event = self._inbox.get()
            try:
                if event is not None and event.path and event.path != paths.JOBS:
                    self._copiers.spawn_n(self._copy, event.path.split("/")[2])
                else:
                    deadline = zk.Deadline(_STEP_S)
                    self.replicate(
                        zk.wait(self._client.get_children_async(paths.JOBS, watch=self._inbox.put), deadline)
                    )
            except zk.NO_ANSWER as error:
                log.info("%s: %r; again on reconnect", self._name, error)

    def replicate(self, children: list[str]) -> None:
        """Copy and acknowledge what is new among the ids in ``children``; returns before that is done."""
        self._seen.intersection_update(children)
        for job_id in children:
            if job_id not in self._seen:
                self._seen.add(job_id)
                self._copiers.spawn_n(self._copy, job_id)

    def catch_up(self) -> None:
        """Copy everything that is not aborted, and return when it is on disk. Raises one of zk.NO_ANSWER.

        Complete if our epoch has no backup yet: then nothing new can be published meanwhile.
        """
        deadline = zk.Deadline(_STEP_S)
        zk.wait(self._client.sync_async(paths.JOBS), deadline)
        for job_id in zk.wait(self._client.get_children_async(paths.JOBS), deadline):
            self._keep(job_id, zk.Deadline(_STEP_S))

    def _copy(self, job_id: str) -> None:
        """One transaction, by itself: its trouble is nobody else's."""
        try:
            self._keep(job_id, zk.Deadline(_STEP_S), acknowledge=True)
        except zk.NO_ANSWER as error:
            log.info("%s: %s not copied yet (%r); again on reconnect", self._name, job_id, error)
            self._seen.discard(job_id)
        except NotUnderstood as error:
            log.error("%s: %s left alone: %s", self._name, job_id, error)
        except OSError as error:
            log.error(
                "%s: %s can't be kept on this disk, so it isn't acknowledged: %s", self._name, job_id, error
            )

    def _keep(self, job_id: str, deadline: zk.Deadline, *, acknowledge: bool = False) -> None:
        """Have the copy on disk if it is to be kept, drop it on an explicit "aborted"."""
        # Both asked at once, to save a round trip; a megabyte that is here already isn't asked for again.
        # What is undecided leaves a watch for its decision.
        watch = self._inbox.put if acknowledge else None
        decided = self._client.exists_async(paths.outcome(job_id), watch=watch)
        got = None if self._disk.may_hold(job_id) else self._client.get_async(paths.job(job_id))
        outcome = read_outcome(self._client, job_id, deadline) if zk.wait(decided, deadline) else None
        if outcome is not None and outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            self._on_step("aborted, no copy kept", job_id)
            return
        if outcome is not None and tpool.execute(self._disk.load, job_id, outcome.sha256) is not None:
            return
        try:
            payload = zk.wait(got or self._client.get_async(paths.job(job_id)), deadline)[0]
        except NoNodeError:
            return  # forgotten. A copy is never dropped because a record is missing.
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
            except zk.Rejected as rejected:
                if rejected.index == 0:
                    log.info("%s: epoch %d is over; no ACK for %s", self._name, self.epoch.number, job_id)
                    return
                if not isinstance(rejected.cause, NodeExistsError):
                    return  # forgotten meanwhile
            if read_ack(self._client, job_id, deadline) == ack:
                return


# --- reading the records --------------------------------------------------------------------------------


def read_outcome(client: Any, job_id: str, deadline: zk.Deadline) -> Outcome | None:
    """The decision on a transaction, None while there is none. Raises NotUnderstood, or as zk.NO_ANSWER."""
    found = zk.get(client, paths.outcome(job_id), deadline)
    return Outcome.from_bytes(found[0]) if found else None


def read_ack(client: Any, job_id: str, deadline: zk.Deadline, watch: Any = None) -> Ack | None:
    """The ACK of a transaction; None while there is none, or none that can be understood."""
    found = zk.get(client, paths.backup_ack(job_id), deadline, watch=watch)
    try:
        return Ack.from_bytes(found[0]) if found else None
    except NotUnderstood as error:
        log.warning("%s: %s", paths.backup_ack(job_id), error)
        return None


def forget_old(client: Any, epoch: Epoch) -> int:
    """Delete the records that may be forgotten; returns how many. Copies on disks stay: they are the data.

    Raises zk.Rejected (another leads now) or one of zk.NO_ANSWER.
    """
    deadline = zk.Deadline(_STEP_S)
    job_ids = zk.wait(client.get_children_async(paths.JOBS), deadline)
    if len(job_ids) <= KEEP_LAST:
        return 0
    stats = [(job_id, client.exists_async(paths.outcome(job_id))) for job_id in job_ids]
    settled = [(stat.mtime / 1000, job_id) for job_id, asked in stats if (stat := zk.wait(asked, deadline))]
    # "Now" is the latest decision: the store's clock, and never ahead of it.
    gone = forgettable(settled, max((decided_s for decided_s, _ in settled), default=0.0))
    for job_id in gone:
        forgetting = epoch.guard(client.transaction())
        for path in (paths.outcome(job_id), paths.backup_ack(job_id), paths.job(job_id)):
            if zk.wait(client.exists_async(path), deadline):
                forgetting.delete(path)
        zk.commit(forgetting, deadline)
    return len(gone)
