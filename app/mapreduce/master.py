"""The master's part: taking uploads, and seeing every job to its end.

An upload is answered after the primary-backup transaction that stands for it has been committed: then its
bytes are on the primary's disk, on the backup's, and on the shared volume. From there its job runs to its
end, whoever leads. A new master reads what there is and goes on.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool

from app import jobs, paths, zk
from app.cluster.nodes import Nodes
from app.consistency.disk import Turns
from app.consistency.primary_backup import Primary
from app.consistency.records import read_outcome
from app.errors import Fenced, NotUnderstood, Refused
from app.jobs.job import Split, Unusable
from app.mapreduce import volume
from app.mapreduce.records import Manifest, Result
from app.mapreduce.runner import Progress, Runner, cut
from app.mapreduce.uploads import Spool, UploadDisk
from app.mapreduce.volume import Volume

log = logging.getLogger(__name__)

_STEP_S = 5.0
# The last jobs that the page lists, and whose result files are kept. Records of older ones stay (a retry must
# find its own), their files go.
JOBS_KEPT = 10
_NOT_NOW: tuple[type[Exception], ...] = (*zk.NO_ANSWER, OSError)

Prepared = tuple[int, Split, str | None]


class TooFewNodes(Refused):
    """Fewer live workers than an upload needs. Nothing was stored."""


class Master:
    """Serves uploads and runs jobs for as long as its primary leads.

    Args:
        client: the worker's session.
        primary: in whose name everything is decided.
        disk: the worker's own.
        shared: the shared volume.
        nodes: who is alive.
        min_nodes: live workers that an upload needs.
        chunk_size: the configuration's value now.
        on_event: called with a job whose progress has changed; must return quickly.
    """

    def __init__(
        self,
        client: Any,
        primary: Primary,
        disk: UploadDisk,
        shared: Volume,
        nodes: Nodes,
        *,
        min_nodes: int,
        chunk_size: Callable[[], int],
        on_event: Callable[[Progress], None],
    ) -> None:
        self._client = client
        self.primary = primary
        self._disk = disk
        self._shared = shared
        self._nodes = nodes
        self._min_nodes = min_nodes
        self._chunk_size = chunk_size
        self._on_event = on_event
        self._turns = Turns()
        self._submitting: set[str] = set()  # their files belong to them, though there is no record yet
        self._book: dict[str, Progress] = {}  # the last jobs, oldest first
        self._runners: dict[str, tuple[Runner, Any]] = {}
        self._thread: Any = None

    def start(self) -> None:
        self._thread = eventlet.spawn(self._take_up)

    def stop(self) -> None:
        """Act no more. What is under way is in the store, for whoever comes next."""
        for thread in [self._thread, *(thread for _, thread in self._runners.values())]:
            eventlet.kill(thread)
        for runner, _ in self._runners.values():
            runner.close()
        self._runners.clear()

    def someone_left(self) -> None:
        """A worker has died: the tasks that it held are open again."""
        for runner, _ in self._runners.values():
            runner.events.put("nodes")

    # -- uploads --

    def admit(self) -> None:
        """Whether an upload has a chance now: asked before a byte of it is received. Raises TooFewNodes."""
        if (live := len(self._nodes.live)) < self._min_nodes:
            message = f"{live} of {self._min_nodes} workers are alive: nothing was stored; try again later"
            raise TooFewNodes(message)

    def spool(self, most_bytes: int) -> Spool:
        return self._disk.spool(most_bytes)

    def submit(self, job_id: str, kind: str, name: str, spool: Spool) -> Progress:
        """Make what was received a job; returns when two disks and the shared volume have it.

        Raises:
            Unusable: the input can't be processed. Nothing was stored.
            Refused, InDoubt: as :meth:`Primary.submit`.
            OSError: a disk can't keep it. Nothing was stored.
        """
        self.admit()
        manifest = Manifest(job=kind, name=name, size=spool.size, sha256=spool.sha256)
        with self._turns.of(job_id), self._submission(job_id):
            known = zk.get(self._client, paths.job(job_id), zk.Deadline(_STEP_S)) is not None
            prepared = None if known else self._prepare(job_id, manifest, spool)
            try:
                self.primary.submit(job_id, manifest.to_bytes())
            except Refused:
                if not known:
                    self._drop(job_id)
                raise
            return self._begin(job_id, manifest, prepared)

    @contextmanager
    def _submission(self, job_id: str) -> Iterator[None]:
        self._submitting.add(job_id)
        try:
            yield
        finally:
            self._submitting.discard(job_id)

    def _prepare(self, job_id: str, manifest: Manifest, spool: Spool) -> Prepared:
        """At once: our own copy, the shared one, and the split, which shows whether it is usable."""
        shared = self._shared.upload(job_id, manifest.sha256)
        shared.unlink(missing_ok=True)  # a stray of an attempt that was refused
        job, chunk_size = jobs.find(manifest.job), self._chunk_size()
        attempt = f"{self.primary.epoch.number}.first"
        source = self._disk.blob(job_id, manifest.sha256)
        try:
            self._disk.name(spool, job_id)
            cutting = (cut, job, source, self._shared, job_id, chunk_size, attempt)
            split, array = _all_of(
                (self._disk.settle, source), (volume.copy_unchecked, source, shared), cutting
            )[2]
        except (OSError, Unusable):
            self._drop(job_id)
            raise
        return chunk_size, split, array

    def _drop(self, job_id: str) -> None:
        """Nothing of a refused upload stays."""
        tpool.execute(self._shared.forget, job_id)
        tpool.execute(self._disk.drop_strays, job_id)

    def _begin(self, job_id: str, manifest: Manifest, prepared: Prepared | None) -> Progress:
        progress = self._book.get(job_id)
        if progress is None:
            found = None if prepared else self.find(job_id)
            progress = found or Progress(job_id, manifest, started=time.time())
        if job_id not in self._runners and progress.result is None:
            self._run(progress, prepared)
        return progress

    # -- jobs --

    def jobs(self) -> list[Progress]:
        """The last jobs, newest first."""
        return list(reversed(self._book.values()))

    def find(self, job_id: str) -> Progress | None:
        """Any job that the store still knows; its state may be ``aborted`` or ``undecided``, too.

        Raises one of zk.NO_ANSWER.
        """
        if job_id in self._book:
            return self._book[job_id]
        deadline = zk.Deadline(_STEP_S)
        found = zk.get(self._client, paths.job(job_id), deadline)
        if found is None:
            return None
        outcome = read_outcome(self._client, job_id, deadline)
        if outcome is not None and outcome.decision == "aborted":
            return Progress(job_id, _NOTHING, "aborted", started=found[1].ctime / 1000)
        progress = Progress(job_id, Manifest.from_bytes(found[0]), started=found[1].ctime / 1000)
        progress.state = "replicated" if outcome else "undecided"
        ended = zk.get(self._client, paths.result(job_id), deadline)
        if ended is not None:
            progress.result = Result.from_bytes(ended[0])
            progress.state = progress.result.state
        return progress

    def output(self, progress: Progress) -> Path | None:
        """Where a job's output is; None where there is none, or none any more."""
        if progress.result is None or progress.result.file is None:
            return None
        path = self._shared.result(progress.result.file)
        return path if path.is_file() else None

    def _run(self, progress: Progress, prepared: Prepared | None = None) -> None:
        self._book[progress.id] = progress
        runner = Runner(
            self._client,
            self.primary,
            self._disk,
            self._shared,
            progress,
            self._chunk_size,
            lambda: self._on_event(progress),
            prepared,
        )
        self._runners[progress.id] = (runner, eventlet.spawn(self._see_to_its_end, runner))

    def _see_to_its_end(self, runner: Runner) -> None:
        try:
            runner.run()
        except Fenced as error:
            log.info("%s: %s", runner.progress.id, error)
        finally:
            runner.close()
            self._runners.pop(runner.progress.id, None)
        self._prune()

    def _prune(self) -> None:
        """Forget old jobs, and remove the files of results that nobody lists any more."""
        for job_id in list(self._book)[: max(0, len(self._book) - JOBS_KEPT)]:
            if job_id not in self._runners:
                del self._book[job_id]
        kept = {one.result.file for one in self._book.values() if one.result}
        tpool.execute(_remove_others, self._shared.results, kept, set(self._runners))

    # -- taking over --

    def _take_up(self) -> None:
        """Go on with what is unfinished, list what has ended, remove what belongs to nobody."""
        while True:
            try:
                self._survey()
                return
            except _NOT_NOW as error:
                log.warning("taking over: %r; again", error)
                zk.wait_connected(self._client, zk.Deadline(_STEP_S))
                eventlet.sleep(zk.jittered(0.5))

    def _survey(self) -> None:
        deadline = zk.Deadline(2 * _STEP_S)
        job_ids = zk.wait(self._client.get_children_async(paths.JOBS), deadline)
        asked = [
            (job_id, *(self._client.exists_async(path(job_id)) for path in (paths.result, paths.plan)))
            for job_id in job_ids
        ]
        seen = [(job_id, zk.wait(ended, deadline), zk.wait(plan, deadline)) for job_id, ended, plan in asked]
        last = sorted((ended.ctime, job_id) for job_id, ended, _ in seen if ended)[-JOBS_KEPT:]
        unfinished = [job_id for job_id, ended, plan in seen if not ended or plan]
        for job_id in [job_id for _, job_id in last] + unfinished:
            try:
                progress = self.find(job_id)
            except NotUnderstood as error:
                log.error("%s left alone: %s", job_id, error)
                continue
            if progress is None or progress.state in ("aborted", "undecided") or job_id in self._runners:
                continue
            self._book[job_id] = progress
            if job_id in unfinished:
                self._run(progress)
        tpool.execute(_remove_strays, self._shared, set(job_ids), self._submitting)
        self._prune()


_NOTHING = Manifest(job="none", name="", size=1, sha256="0" * 64)


def _all_of(*calls: Sequence[Any]) -> list[Any]:
    """Each call in a thread of its own, at once; their results, or the first error when all have ended."""
    threads = [eventlet.spawn(_ending, call) for call in calls]
    endings = [thread.wait() for thread in threads]
    for _, error in endings:
        if error is not None:
            raise error
    return [result for result, _ in endings]


def _ending(call: Sequence[Any]) -> tuple[Any, Exception | None]:
    """Its result or its error: eventlet prints what leaves a green thread, even if somebody waits for it."""
    try:
        return tpool.execute(*call), None
    except (OSError, Unusable) as error:
        return None, error


def _remove_others(folder: Path, kept: set[str | None], running: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in kept and path.name.partition(".")[0] not in running:
            path.unlink(missing_ok=True)


def _remove_strays(shared: Volume, known: set[str], submitting: set[str]) -> None:
    """Uploads and arrays without a record: nobody but a primary of this epoch could still publish one."""
    for path in [*shared.uploads.iterdir(), *shared.jobs.iterdir()]:
        job_id = path.name.partition(".")[0]
        if job_id not in known and job_id not in submitting:
            shared.forget(job_id)
