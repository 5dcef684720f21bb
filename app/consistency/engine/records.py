"""What both sides of the pair share: reading a transaction's records, and forgetting them.

How the records look stands in ``transactions``, the rules of deciding in ``primary_backup``.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventlet import queue
from kazoo.client import KazooClient

from app.consistency.engine.fencing import Epoch
from app.consistency.engine.transactions import KEEP_LAST, Ack, Digest, Outcome, forgettable
from app.errors import IdConflict, InDoubt, Malformed, Refused
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)


# A decision in a hundred is worth a look at what may be forgotten.
TIDY_EVERY = 100
_NOT_TIDIED: tuple[type[Exception], ...] = (zk.TransactionFailed, *zk.NO_REPLY)

# Told (what has just happened, transaction's id); must return quickly.
OnStep = Callable[[str, str], None]


def quiet(step: str, job_id: str) -> None:
    """The default listener of steps: none."""


def read_outcome(client: KazooClient, job_id: str, deadline: zk.Deadline) -> Outcome | None:
    """The decision on a transaction, None while there is none. Raises Malformed, or as zk.NO_REPLY."""
    found = zk.get(client, paths.outcome(job_id), deadline)
    return Outcome.from_bytes(found[0]) if found else None


def is_used(client: KazooClient, job_id: str, deadline: zk.Deadline) -> bool:
    """Whether a committed payload has been used and its copies may be gone. Raises one of zk.NO_REPLY."""
    return zk.wait(client.exists_async(paths.result(job_id)), deadline) is not None


def read_ack(client: KazooClient, job_id: str, deadline: zk.Deadline) -> Ack | None:
    """The ACK of a transaction; None while there is none, or none that can be understood."""
    found = zk.get(client, paths.backup_ack(job_id), deadline)
    try:
        return Ack.from_bytes(found[0]) if found else None
    except Malformed as error:
        log.warning("%s: %s", paths.backup_ack(job_id), error)
        return None


def watched_acks(client: KazooClient, job_id: str, patience: zk.Deadline) -> Iterator[Ack | None]:
    """The ACK of a transaction when there is one, and again whenever it changes, until our patience ends.

    None for one that can't be understood. A watch wakes us, and a lost connection is waited for.
    """
    changed: Any = queue.LightQueue()
    while not patience.passed:
        try:
            if zk.wait(client.exists_async(paths.backup_ack(job_id), watch=changed.put), patience):
                yield read_ack(client, job_id, patience)
            changed.get(timeout=patience.left_s)
        except queue.Empty:
            return
        except zk.NO_REPLY:
            zk.wait_connected(client, patience)


def known_outcome(client: KazooClient, job_id: str, digest: Digest, refusal: Refused) -> Outcome | None:
    """The decision on an earlier attempt of this request, None while it is undecided.

    Raises ``refusal`` if there was none, IdConflict if the id belongs to another payload.
    """
    deadline = zk.Deadline(zk.STEP_S)
    zk.wait(client.sync_async(paths.JOBS), deadline)
    # In this order: an aborted payload is blanked together with its outcome.
    found = zk.get(client, paths.job(job_id), deadline)
    outcome = read_outcome(client, job_id, deadline)
    if found is None:
        raise refusal
    recorded = outcome.sha256 if outcome else Digest.of(found[0]).sha256
    if recorded != digest.sha256:
        message = f"the id {job_id} already belongs to another payload: a new request takes a new id"
        raise IdConflict(message)
    return outcome


@contextmanager
def in_doubt_without_reply(job_id: str) -> Iterator[None]:
    """No reply, or a record that can't be read, leaves the transaction in doubt."""
    try:
        yield
    except zk.NO_REPLY as error:
        message = f"ZooKeeper doesn't answer, so the outcome of {job_id} is unknown: ask again with this id"
        raise InDoubt(message, ask_again=job_id) from error
    except Malformed as error:
        message = f"the record of {job_id} can't be read: {error}"
        raise InDoubt(message, ask_again=job_id) from error


class Tidying:
    """Now and then, forgets settled transactions that no retry can still ask for."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._decided = 0

    def decided(self, epoch: Epoch) -> None:
        """One more transaction is decided. Never raises."""
        self._decided += 1
        if self._decided % TIDY_EVERY == 0:
            try:
                forget_old(self._client, epoch)
            except _NOT_TIDIED as error:
                log.info("not tidied this time: %r", error)


def forget_old(client: KazooClient, epoch: Epoch) -> int:
    """Delete the records that may be forgotten; returns how many. Copies on disks stay: they are the data.

    Raises zk.TransactionFailed (another leads now) or one of zk.NO_REPLY.
    """
    deadline = zk.Deadline(zk.STEP_S)
    job_ids = paths.usable(zk.wait(client.get_children_async(paths.JOBS), deadline))
    if len(job_ids) <= KEEP_LAST:
        return 0
    stats = [(job_id, client.exists_async(paths.outcome(job_id))) for job_id in job_ids]
    settled = [(stat.mtime / 1000, job_id) for job_id, asked in stats if (stat := zk.wait(asked, deadline))]
    # "Now" is the latest decision: the store's clock, and never ahead of it.
    now_s = max((decided_s for decided_s, _ in settled), default=0.0)
    return sum(_forget(client, epoch, job_id, deadline) for job_id in forgettable(settled, now_s))


def _forget(client: KazooClient, epoch: Epoch, job_id: str, deadline: zk.Deadline) -> bool:
    """Delete one record as a whole; False if it holds something of others yet, a job's tasks for example."""
    forgetting = epoch.guard(client.transaction())
    for path in (
        paths.result(job_id), paths.outcome(job_id), paths.backup_ack(job_id), paths.job(job_id)
    ):  # fmt: skip
        if zk.wait(client.exists_async(path), deadline):
            forgetting.delete(path)
    try:
        zk.commit(forgetting, deadline)
    except zk.TransactionFailed as rejected:
        if rejected.index == 0:
            raise
        log.info("%s is not forgotten yet: %r", job_id, rejected.cause)
        return False
    return True
