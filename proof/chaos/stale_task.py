"""A task's claimant is stopped during the task, and so is the next one: which may store its result?

The first claimant's session runs out while it is stopped; another claims the task and is stopped as well, and
then the first goes on, in a new session, with the rest of its work. It has been fenced off: its token, the
version of the task's znode when it claimed it, is old. A watch on the task shows whether that counts.
"""

import logging
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import eventlet

from app.errors import Malformed, Refused
from app.mapreduce.records import Attempt, Done
from app.zookeeper import client as zk, paths
from lab.workers import Worker
from proof.chaos.audit import TaskSeen
from proof.chaos.loads import Uploads, dwelling
from proof.chaos.site import SESSION_S, Site

log = logging.getLogger(__name__)

_PIECES = 10
_PHASE = "dwelling"
_STEP_S = 3.0
_GLANCE_S = 0.05
# From the upload to a claim; from a stop to the next claim, past the session's end; the rest of the work.
_CLAIM_S, _NEXT_S, _REST_S = 8.0, SESSION_S + 8.0, 4.0
_END_S = 15.0


class StaleTask:
    """The scene, and what was seen of its tasks.

    Attributes:
        seen: each task's record and result, as they were when both were there.
        scenes: how often it came as far as two claimants.
    """

    def __init__(self, site: Site, uploads: Uploads, client: Any, choose: random.Random) -> None:
        self._site = site
        self._uploads = uploads
        self._client = client
        self._choose = choose
        self.seen: dict[str, TaskSeen] = {}
        self.scenes = 0

    def play(self) -> None:
        """Raises Refused if no worker was seen with a task of it."""
        job_id = self._uploads.upload(dwelling(self._choose, _PIECES))
        stopped: list[Worker] = []
        try:
            self._stage(job_id, stopped)
        finally:
            for worker in stopped:
                worker.send(signal.SIGCONT)
        self._until(job_id, lambda: self._ended(job_id), _END_S)
        if not stopped:
            raise Refused("no worker but the master claimed a task, so none was stopped")

    def _stage(self, job_id: str, stopped: list[Worker]) -> None:
        master = self._site.master()

        def claim_of(index: int | None, but: Worker | None) -> tuple[int, Worker] | None:
            """A claim of a worker that may be stopped: the master has to go on offering tasks."""
            for number, name in self._locks(job_id).items():
                worker = self._site.workers.named(name)
                if worker not in (None, but, master) and index in (None, number):
                    assert worker is not None
                    return number, worker
            return None

        first = self._until(job_id, lambda: claim_of(None, None), _CLAIM_S)
        if first is None:
            return
        index, one = first
        one.send(signal.SIGSTOP)
        stopped.append(one)
        second = self._until(job_id, lambda: claim_of(index, one), _NEXT_S)
        if second is None:
            return
        _, other = second
        other.send(signal.SIGSTOP)
        stopped.append(other)
        self.scenes += 1
        one.send(signal.SIGCONT)
        self._until(job_id, lambda: None, _REST_S)

    # -- watching --

    def _until(self, job_id: str, look: Callable[[], Any], for_s: float) -> Any:
        """What ``look`` finds, or None; meanwhile every task is watched."""
        deadline_s = time.monotonic() + for_s
        found = None
        while not found and time.monotonic() < deadline_s:
            try:
                self._watch(job_id)
                found = look()
            except (*zk.NO_REPLY, Malformed) as error:  # type: ignore[misc] # a tuple of exceptions
                log.info("not seen: %r", error)
            eventlet.sleep(_GLANCE_S)
        return found

    def _locks(self, job_id: str) -> dict[int, str]:
        asked = [paths.lock(job_id, _PHASE, index) for index in range(_PIECES)]
        found = zk.get_all(self._client, asked, zk.Deadline(_STEP_S))
        return {index: one[0].decode() for index, one in enumerate(found) if one is not None}

    def _ended(self, job_id: str) -> bool:
        return zk.get(self._client, paths.result(job_id), zk.Deadline(_STEP_S)) is not None

    def _watch(self, job_id: str) -> None:
        """First the results, then the records: so a claim that a result names is never missed."""
        indices = range(_PIECES)
        asked = [paths.done(job_id, _PHASE, index) for index in indices]
        asked += [paths.task(job_id, _PHASE, index) for index in indices]
        found = zk.get_all(self._client, asked, zk.Deadline(_STEP_S))
        for index in indices:
            done, task = found[index], found[_PIECES + index]
            if done is not None and task is not None:
                result, attempt = Done.from_bytes(done[0]), Attempt.from_bytes(task[0])
                name = f"task {index} of {job_id[:8]}"
                self.seen[name] = TaskSeen(
                    name, attempt.number, attempt.by, task[1].mzxid, done[1].czxid, result.attempt, result.by
                )
