"""Drops a worker's own copies of uploads whose jobs have ended."""

import logging

from eventlet import tpool
from kazoo.client import KazooClient

from app.consistency.engine.records import is_used, read_outcome
from app.errors import Malformed
from app.mapreduce.uploads import UploadDisk
from app.zookeeper import client as zk
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# Seconds between two looks through the whole disk, for the ends that this worker didn't hear of. An idle disk
# costs no request.
_SWEEP_S = 60.0


class Sweeper:
    """Drops copies as their jobs end; and now and then, those of whose end it didn't hear.

    Args:
        client: the worker's session.
        disk: the worker's own.
    """

    def __init__(self, client: KazooClient, disk: UploadDisk) -> None:
        self._client = client
        self._disk = disk
        self._ended: set[str] = set()  # the jobs to ask about; none: about all whose copies are here
        self._reconciler = Reconciler(client, "copies of uploads", self._sweep, recheck_s=_SWEEP_S)

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        self._reconciler.stop()

    def job_ended(self, job_id: str) -> None:
        """A job has left the board: if it has ended, our copy of its upload may go."""
        self._ended.add(job_id)
        self._reconciler.wake()

    def _sweep(self) -> None:
        """Without a reply this is done again soon, with the jobs that are left."""
        try:
            if not self._ended:
                tpool.execute(self._disk.drop_abandoned)
            job_ids = sorted(self._ended or tpool.execute(self._disk.kept))
        except OSError as error:
            log.warning("the disk is not swept: %s", error)
            return
        for job_id in job_ids:
            try:
                if self._is_over(job_id):
                    tpool.execute(self._disk.forget, job_id)
            except (Malformed, OSError) as error:
                log.info("the copy of %s stays for now: %r", job_id, error)
            self._ended.discard(job_id)

    def _is_over(self, job_id: str) -> bool:
        """Its payload has been used; or never will be: who was deposed before that was decided isn't told."""
        deadline = zk.Deadline(zk.STEP_S)
        if is_used(self._client, job_id, deadline):
            return True
        outcome = read_outcome(self._client, job_id, deadline)
        return outcome is not None and outcome.decision == "aborted"
