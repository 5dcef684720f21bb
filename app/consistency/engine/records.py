"""What both sides of the pair share: reading a transaction's records, and forgetting them.

How the records look, and the rules of deciding, stand in ``transactions``.
"""

import logging
from collections.abc import Callable

from kazoo.client import KazooClient

from app.consistency.engine.fencing import Epoch
from app.consistency.engine.transactions import KEEP_LAST, Ack, Outcome, forgettable
from app.errors import Malformed
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)


# Told (what has just happened, transaction's id); must return quickly.
OnStep = Callable[[str, str], None]


def quiet(step: str, job_id: str) -> None:
    """The default listener of steps: nobody."""


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


def forget_old(client: KazooClient, epoch: Epoch) -> int:
    """Delete the records that may be forgotten; returns how many. Copies on disks stay: they are the data.

    Raises zk.Rejected (another leads now) or one of zk.NO_REPLY.
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
