"""Which worker has done which task, and which one holds it now.

A task's ``done`` record names the worker that did it, and the job's runner reads it anyway: no extra request.
A task's lock names its holder. Most tasks are over before a lock could be shown, so the locks are read only
when a job stands still for a moment, and then watched: what a job waits for is the tasks of a worker that
has died, or is slow.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import eventlet

from app.mapreduce.runner import Progress
from app.web.stream import PAGE, Stream
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

_QUIET_S = 0.25
# Locks at one look; and a look at many is not taken again soon.
_MOST_LOCKS = 500
_LOCKS_PER_S = 100
_JOBS_KEPT = 4


@dataclass
class _Phase:
    total: int = 0
    did: dict[int, str] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)
    news: list[int] = field(default_factory=list)
    source: list[tuple[int, str]] = field(default_factory=list)  # the runner's own list, and ...
    taken: int = 0  # ... how many of it are in ``did``

    def take(self) -> bool:
        """Take in what the runner has noted since; says whether there was anything."""
        fresh = self.source[self.taken :]
        for index, pod in fresh:
            self.did[index] = pod
            self.held.pop(index, None)
            self.news.append(index)
        self.taken = len(self.source)
        return bool(fresh)


@dataclass
class _Job:
    phases: dict[str, _Phase] = field(default_factory=dict)
    running: bool = True
    changed_at: float = 0.0
    looking: Any = None


class TaskGrid:
    """The tasks of the last jobs.

    Args:
        client: the session to look at locks with.
    """

    def __init__(self, stream: Stream, client: Any) -> None:
        self._stream = stream
        self._client = client
        self._jobs: dict[str, _Job] = {}

    def take(self, progress: Progress) -> None:
        """A job has made progress. Never blocks."""
        if progress.result is None and progress.phase is not None:
            job = self._jobs.setdefault(progress.id, _Job())
            phase = job.phases.setdefault(progress.phase, _Phase())
            if progress.finished is not phase.source:  # begun anew, perhaps by another attempt
                phase.source, phase.taken = progress.finished, 0
                self._tell(progress.id, progress.phase, phase)
            phase.total, job.changed_at = progress.total, time.monotonic()
            self._look_when_quiet(progress.id, _QUIET_S)
            for old in list(self._jobs)[:-_JOBS_KEPT]:
                del self._jobs[old]
        if progress.id in self._jobs:
            self._catch_up(progress)

    def _catch_up(self, progress: Progress) -> None:
        """The last tasks of a phase may be reported only with what comes after it."""
        job = self._jobs[progress.id]
        job.running = progress.result is None
        for name, phase in job.phases.items():
            if phase.take():
                self._tell(progress.id, name, phase)

    def view(self) -> list[dict[str, Any]]:
        """All of it, for a page that has just come."""
        return [
            _view(job_id, name, phase, phase.did)
            for job_id, job in self._jobs.items()
            for name, phase in job.phases.items()
        ]

    def _tell(self, job_id: str, name: str, phase: _Phase) -> None:
        self._stream.tell("tasks", (job_id, name), lambda: self._news(job_id, name, phase))

    def _news(self, job_id: str, name: str, phase: _Phase) -> dict[str, Any]:
        news, phase.news = phase.news, []
        return _view(job_id, name, phase, {index: phase.did[index] for index in news})

    # -- the holders of tasks that a job waits for --

    def _look_when_quiet(self, job_id: str, after_s: float) -> None:
        job = self._jobs.get(job_id)
        if job is not None and job.looking is None and self._stream.there(PAGE):
            job.looking = eventlet.spawn_after(after_s, self._if_quiet, job_id, job)

    def _if_quiet(self, job_id: str, job: _Job) -> None:
        job.looking = None
        open_tasks = [
            (name, phase, [i for i in range(phase.total) if i not in phase.did])
            for name, phase in list(job.phases.items())[-1:]
        ]
        quiet_s = time.monotonic() - job.changed_at
        if not job.running or not any(left for _, _, left in open_tasks):
            return
        if quiet_s < _QUIET_S * 0.9:
            self._look_when_quiet(job_id, _QUIET_S - quiet_s)
            return
        for name, phase, left in open_tasks:
            try:
                self._look(job_id, name, phase, left[:_MOST_LOCKS])
            except zk.NO_REPLY as error:
                log.info("the locks of %s: %r", job_id, error)  # the next progress makes us look again

    def _look(self, job_id: str, name: str, phase: _Phase, left: list[int]) -> None:
        again_s = max(_QUIET_S, len(left) / _LOCKS_PER_S)
        wanted = [paths.lock(job_id, name, index) for index in left]
        found = zk.get_all(
            self._client, wanted, zk.Deadline(zk.STEP_S), lambda event: self._look_when_quiet(job_id, again_s)
        )
        held = {
            index: one[0].decode(errors="replace")[:100]
            for index, one in zip(left, found, strict=True)
            if one is not None and index not in phase.did
        }
        if held != phase.held:
            phase.held = held
            self._tell(job_id, name, phase)


def _view(job_id: str, name: str, phase: _Phase, did: Mapping[int, str]) -> dict[str, Any]:
    return {
        "job": job_id,
        "phase": name,
        "total": phase.total,
        "did": _by_pod(did),
        "held": _by_pod(phase.held),
    }


def _by_pod(tasks: Mapping[int, str]) -> dict[str, str]:
    pods: dict[str, list[int]] = {}
    for index, pod in tasks.items():
        pods.setdefault(pod, []).append(index)
    return {pod: ranges(indices) for pod, indices in pods.items()}


def ranges(indices: Iterable[int]) -> str:
    """ "0-3,7": what a worker has done is mostly a row of neighbours."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(begin) if begin == end else f"{begin}-{end}" for begin, end in parts)
