"""Taking over: before a new primary serves, every transaction is decided and on its disk."""

import logging
from collections.abc import Callable

from eventlet import tpool
from kazoo.client import KazooClient

from app.consistency.engine.disk import Disk
from app.consistency.engine.records import OnStep, read_ack, read_outcome
from app.consistency.engine.transactions import Ack, Digest, Outcome
from app.errors import InDoubt, Malformed, PayloadUnavailable
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)


class TakeOver:
    """Settles what the previous primary has left undecided, and fetches what we lack.

    Args:
        client, disk: the new primary's.
        decide: makes the one decision on a transaction, given its digest and its ACK, if it has one.
        on_step: called with (what has just happened, transaction's id); must return quickly.
    """

    def __init__(
        self,
        client: KazooClient,
        disk: Disk,
        decide: Callable[[str, Digest, Ack | None], Outcome],
        on_step: OnStep,
    ) -> None:
        self._client = client
        self._disk = disk
        self._decide = decide
        self._on_step = on_step

    def run(self) -> list[str]:
        """Returns the ids of committed transactions whose payload is on no disk that we can reach.

        Raises:
            InDoubt: ZooKeeper stopped answering, or another leads by now.
            OSError: our disk can't keep what we lack.
        """
        lost = []
        try:
            for job_id in self._unfinished():
                try:
                    settled = self._settle(job_id)
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

    def _settle(self, job_id: str) -> bool:
        """Decide one transaction if need be, and have its copy if it stays: False if no copy is left."""
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
            # Kept before it is committed: if the primary that published it is our backup by now, its disk is
            # the only one that has it. Aborting what can't be kept is safe.
            if ack is not None and not self._keep(job_id, found[0]):
                ack = None
            outcome = self._decide(job_id, digest, ack)
            self._on_step(f"settled as {outcome.decision}", job_id)
        if outcome.decision == "aborted":
            tpool.execute(self._disk.discard, job_id, outcome.sha256)
            return True
        if digest.sha256 != outcome.sha256:
            log.error("%s is committed, but its payload is on no disk that we can reach", job_id)
            return False
        return self._keep(job_id, found[0])

    def _keep(self, job_id: str, payload: bytes) -> bool:
        """Have the copy, synced; False if what it stands for is nowhere to be had. Raises OSError."""
        try:
            tpool.execute(self._disk.save, job_id, payload)
        except PayloadUnavailable as error:
            log.error("%s can't be kept: %s", job_id, error)
            return False
        return True
