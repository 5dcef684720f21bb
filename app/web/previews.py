"""Small pictures of a job's input and output: a browser shows no TIFF, and should not be sent 75 megapixels.

An input is deleted when its job ends, perhaps before a page has asked for it. So while a page is open, the
inputs of the last jobs are held open: a deleted file is gone only when it is closed.
"""

import logging
from typing import IO, Any

import eventlet
from eventlet import semaphore, tpool

from app import jobs
from app.jobs.job import Job, Unusable
from app.mapreduce.runner import Progress
from app.mapreduce.volume import Volume

log = logging.getLogger(__name__)

MOST_PX = 640  # of the longer side
_INPUTS_HELD = 2
_MADE_KEPT = 20


class Previews:
    """Made once each, and one at a time: a class that looks must not cost its jobs their processor."""

    def __init__(self, shared: Volume) -> None:
        self._shared = shared
        self._turn = semaphore.Semaphore()
        self._inputs: dict[str, IO[bytes]] = {}
        self._made: dict[tuple[str, str], bytes | None] = {}

    def hold(self, progress: Progress) -> None:
        """A job runs while a page is open: keep its input. Never blocks."""
        if progress.id not in self._inputs and progress.result is None:
            eventlet.spawn(self._open, progress)

    def _open(self, progress: Progress) -> None:
        path = self._shared.upload(progress.id, progress.manifest.sha256)
        try:
            opened = tpool.execute(open, path, "rb")
        except OSError as error:
            log.debug("%s: %s", path, error)  # not restored yet, say; its next progress makes us try again
            return
        if progress.id in self._inputs:
            opened.close()
            return
        self._inputs[progress.id] = opened
        for old in list(self._inputs)[:-_INPUTS_HELD]:
            self._inputs.pop(old).close()

    def release(self) -> None:
        """No page is open any more."""
        while self._inputs:
            self._inputs.popitem()[1].close()

    def get(self, progress: Progress, which: str) -> bytes | None:
        """A PNG of a job's input ("before") or output ("after"); None if there is none."""
        with self._turn:
            key = (progress.id, which)
            if key not in self._made:
                made = self._make(progress, which)
                if made is None:
                    return None
                self._made[key] = made
                for old in list(self._made)[:-_MADE_KEPT]:
                    del self._made[old]
            return self._made[key]

    def _make(self, progress: Progress, which: str) -> bytes | None:
        job, result = jobs.find(progress.manifest.job), progress.result
        source: Any = self._inputs.get(progress.id)
        if which == "before" and source is None:
            self._open(progress)
            source = self._inputs.get(progress.id)
        if which == "after":
            source = self._shared.result(result.file) if result is not None and result.file else None
        if source is None:
            return None
        try:
            made: bytes | None = tpool.execute(_preview, job, source)
        except (Unusable, OSError, ValueError) as error:
            log.info("no preview of %s: %s", progress.id, error)
            return None
        return made


def _preview(job: Job, source: Any) -> bytes | None:
    """In a thread."""
    if hasattr(source, "seek"):
        source.seek(0)
        return job.preview(source, MOST_PX)
    with source.open("rb") as file:
        return job.preview(file, MOST_PX)
