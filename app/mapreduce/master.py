"""The master's part: taking uploads, and seeing every job to its end.

An upload is answered after the primary-backup transaction that stands for it has been committed: then its
bytes are on the primary's disk, on the backup's, and on the shared volume. From there its job runs to its
end under any master. A new one reads what there is and goes on.
"""

import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool
from kazoo.client import KazooClient

from app import jobs
from app.cluster.nodes import Nodes
from app.concurrency import in_thread, run_all
from app.consistency.engine.disk import KeyedLock
from app.consistency.engine.records import read_outcome
from app.consistency.primary_backup import Primary
from app.errors import Fenced, InDoubt, Malformed, Refused
from app.mapreduce import volume
from app.mapreduce.records import Manifest, Result
from app.mapreduce.runner import Prepared, Progress, Runner, attempt, cut
from app.mapreduce.uploads import Spool, UploadDisk
from app.mapreduce.volume import Volume
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# The last jobs that the page lists, and whose result files are kept. Records of older ones stay (a retry must
# find its own), their files go.
JOBS_KEPT = 10
_NOT_NOW: tuple[type[Exception], ...] = (*zk.NO_REPLY, OSError)
_NOT_REMOVED: tuple[type[Exception], ...] = (*_NOT_NOW, Fenced)


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
        client: KazooClient,
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
        self._locks = KeyedLock()
        self._submitted: set[str] = set()  # their files are theirs, though there may be no record yet
        self._stopped = False
        self._book: dict[str, Progress] = {}  # the last jobs, oldest first
        self._runners: dict[str, tuple[Runner, Any]] = {}
        self._thread: Any = None

    def start(self) -> None:
        self._thread = eventlet.spawn(self._take_up)

    def stop(self) -> None:
        """Act no more. What is under way is in the store, for the next master."""
        self._stopped = True
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

    def submit(self, job_id: str, kind: str, name: str, spool: Spool) -> Progress:
        """Make what was received a job; returns when two disks and the shared volume have it.

        Raises:
            Unusable: the input can't be processed. Nothing was stored.
            Refused, InDoubt: as :meth:`Primary.submit`.
            OSError: a disk can't keep it. Nothing was stored.
        """
        self.admit()
        manifest = Manifest(job=kind, name=name, size=spool.size, sha256=spool.sha256)
        self._submitted.add(job_id)
        with self._locks.hold(job_id):
            known = zk.get(self._client, paths.job(job_id), zk.Deadline(zk.STEP_S)) is not None
            prepared = None if known else self._prepare(job_id, manifest, spool)
            try:
                self.primary.submit(job_id, manifest.to_bytes())
            except Fenced:
                # What is on the shared volume under this id may be our successor's by now: it tidies up.
                tpool.execute(self._disk.drop_strays, job_id)
                raise
            except Refused:
                if not known:
                    self._drop(job_id)
                raise
            return self._begin(job_id, manifest, prepared)

    def _prepare(self, job_id: str, manifest: Manifest, spool: Spool) -> Prepared:
        """At once: our own copy, the shared one, and the split, which shows whether it is usable."""
        shared = self._shared.upload(job_id, manifest.sha256)
        job, chunk_size = jobs.find(manifest.job), self._chunk_size()
        source = self._disk.blob(job_id, manifest.sha256)
        try:
            self._disk.name(spool, job_id)
            split, array = run_all(
                partial(in_thread, volume.sync, source),
                partial(in_thread, volume.copy, source, shared),
                partial(in_thread, cut, job, source, self._shared, job_id, chunk_size, attempt(self.primary)),
            )[2]
        except BaseException:
            self._drop(job_id)
            raise
        return chunk_size, split, array

    def _drop(self, job_id: str) -> None:
        """Nothing of a refused upload stays."""
        tpool.execute(self._shared.forget, job_id)
        tpool.execute(self._disk.drop_strays, job_id)

    def _begin(self, job_id: str, manifest: Manifest, prepared: Prepared | None) -> Progress:
        if self._stopped:
            return Progress(job_id, manifest)  # stored; the present master finds it
        progress = self._book.get(job_id)
        if progress is None:
            try:
                found = None if prepared else self.find(job_id)
            except zk.NO_REPLY as error:
                message = f"{job_id} is stored; whether it has begun nobody can say now: ask for it again"
                raise InDoubt(message, ask_again=job_id) from error
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

        Raises one of zk.NO_REPLY.
        """
        if job_id in self._book:
            return self._book[job_id]
        deadline = zk.Deadline(zk.STEP_S)
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
            return
        finally:
            runner.close()
            self._runners.pop(runner.progress.id, None)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        """List no more than the last jobs, and remove the outputs of those that have just left the list."""
        left = [job_id for job_id in self._book if job_id not in self._runners]
        for job_id in left[: max(0, len(self._book) - JOBS_KEPT)]:
            result = self._book.pop(job_id).result
            if result is not None and result.file is not None:
                self._remove([self._shared.result(result.file)])

    def _remove(self, files: list[Path]) -> None:
        """Remove what is no longer needed: decided before, by name, and done only while we lead.

        ZooKeeper can't fence a volume. A thread that is paused here removes late, but only what a master that
        led has found to belong to no job; no name is used twice.
        """
        try:
            self.primary.commit(lambda nothing_more: None, zk.Deadline(zk.STEP_S))
            tpool.execute(_unlink, files)
        except _NOT_REMOVED as error:
            log.info("not removed now: %r", error)

    # -- taking over --

    def _take_up(self) -> None:
        """Go on with what is unfinished, list what has ended, remove what belongs to no job."""
        while True:
            try:
                self._survey()
                return
            except _NOT_NOW as error:
                log.warning("taking over: %r; again", error)
                zk.wait_connected(self._client, zk.Deadline(zk.STEP_S))
                eventlet.sleep(zk.jittered(0.5))

    def _survey(self) -> None:
        deadline = zk.Deadline(2 * zk.STEP_S)
        # Files before records: what is there now and has no record then will never have one.
        files = tpool.execute(_files_by_job, self._shared)
        zk.wait(self._client.sync_async(paths.JOBS), deadline)
        job_ids = paths.usable(zk.wait(self._client.get_children_async(paths.JOBS), deadline))
        asked = [
            (job_id, *(self._client.exists_async(path(job_id)) for path in (paths.result, paths.plan)))
            for job_id in job_ids
        ]
        seen = [(job_id, zk.wait(ended, deadline), zk.wait(plan, deadline)) for job_id, ended, plan in asked]
        last = [job_id for _, job_id in sorted((ended.ctime, job_id) for job_id, ended, _ in seen if ended)]
        unfinished = [job_id for job_id, ended, plan in seen if not ended or plan]
        known = last[-JOBS_KEPT:] + unfinished
        needed = {job_id for job_id in known if self._take(job_id, job_id in unfinished)} | self._submitted
        # Of a job that has ended, only the output: a master that was deposed in the middle of an upload may
        # have copied it to the volume when its successor had seen the job to its end.
        over = set(last) - set(unfinished) - self._submitted
        self._remove(
            [
                path
                for job_id, found in files.items()
                for path in found
                if job_id not in needed or (job_id in over and path.parent != self._shared.results)
            ]
        )

    def _take(self, job_id: str, unfinished: bool) -> bool:
        """List a job, and go on with it; False if its files belong to no job."""
        try:
            progress = self.find(job_id)
        except Malformed as error:
            log.error("%s left alone: %s", job_id, error)
            return True
        if progress is None or progress.state == "aborted":
            return False
        if progress.state != "undecided" and job_id not in self._runners:
            self._book[job_id] = progress
            if unfinished:
                self._run(progress)
        return True


_NOTHING = Manifest(job="none", name="", size=1, sha256="0" * 64)


def _files_by_job(shared: Volume) -> dict[str, list[Path]]:
    """Everything on the shared volume, by the id of the job that it belongs to."""
    found: dict[str, list[Path]] = {}
    for folder in (shared.uploads, shared.jobs, shared.results):
        for path in folder.iterdir():
            found.setdefault(path.name.partition(".")[0], []).append(path)
    return found


def _unlink(files: list[Path]) -> None:
    for path in files:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
