"""Drops a worker's own copies of uploads whose jobs have ended."""

import logging
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import queue, tpool
from kazoo.client import KazooClient

from app.consistency.engine.records import is_used, read_outcome
from app.errors import Malformed
from app.mapreduce.uploads import UploadDisk
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# Seconds between two looks through the whole disk, for the ends that this worker didn't hear of. An idle disk
# costs no request.
_SWEEP_S = 60.0
# Seconds before a job is asked about again, when ZooKeeper didn't reply.
_AGAIN_S = 1.0


class Sweeper:
    """Drops copies as their jobs end; and now and then, those of whose end it didn't hear.

    Args:
        client: the worker's session.
        disk: the worker's own.
    """

    def __init__(self, client: KazooClient, disk: UploadDisk) -> None:
        self._client = client
        self._disk = disk
        self._ended: Any = queue.LightQueue()
        self._thread: Any = None

    def start(self) -> None:
        self._thread = eventlet.spawn(self._run)

    def stop(self) -> None:
        self._thread.kill()

    def job_ended(self, job_id: str) -> None:
        """A job has left the board: if it has ended, our copy of its upload may go."""
        self._ended.put(job_id)

    def _run(self) -> None:
        self._sweep()  # what has ended while we were away
        while True:
            job_id = None
            with suppress(queue.Empty):
                job_id = self._ended.get(timeout=zk.jittered(_SWEEP_S))
            if job_id is None:
                self._sweep()
            else:
                self._drop([job_id])

    def _sweep(self) -> None:
        try:
            self._drop(sorted(tpool.execute(self._disk.kept)))
            tpool.execute(self._disk.drop_abandoned)
        except OSError as error:
            log.warning("the disk is not swept: %s", error)

    def _drop(self, job_ids: list[str]) -> None:
        """Drop the copies that are no longer needed; without a reply, ask again later."""
        unanswered = []
        for job_id in job_ids:
            try:
                if self._is_over(job_id):
                    tpool.execute(self._disk.forget, job_id)
            except zk.NO_REPLY:
                unanswered.append(job_id)
            except (Malformed, OSError) as error:
                log.info("the copy of %s stays for now: %r", job_id, error)
        if unanswered:
            log.info("no reply about %d copies: they are looked at again", len(unanswered))
            zk.wait_connected(self._client, zk.Deadline(zk.STEP_S))
            eventlet.sleep(zk.jittered(_AGAIN_S))
            for job_id in unanswered:
                self._ended.put(job_id)

    def _is_over(self, job_id: str) -> bool:
        """Its payload has been used; or never will be: who was deposed before that was decided isn't told."""
        deadline = zk.Deadline(zk.STEP_S)
        if is_used(self._client, job_id, deadline):
            return True
        outcome = read_outcome(self._client, job_id, deadline)
        return outcome is not None and outcome.decision == "aborted"
