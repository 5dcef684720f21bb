"""What the master does for one job: plan, offer, reduce, finish, clean up.

All of a job's state is in ZooKeeper and on the shared volume, and nothing here remembers more than it can
read again: a new master goes on where the last one stopped. Everything decided is committed with a check of
the epoch, so a paused master that wakes changes nothing.

    committed --plan--> planned --offer, phase by phase--> all done --finish--> result --clean--> result only
"""

import logging
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from eventlet import queue, tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError, NotEmptyError

from app import jobs
from app.concurrency import in_thread
from app.consistency.primary_backup import Primary
from app.errors import Fenced, InDoubt, Malformed, Refused
from app.jobs.job import Buffer, Job, Split, Unusable
from app.mapreduce import volume
from app.mapreduce.records import Attempt, Done, Manifest, Offer, Plan, Result
from app.mapreduce.reduced_value import ReducedValue
from app.mapreduce.tasks import MOST_ERRORS, offer_again
from app.mapreduce.uploads import UploadDisk, whole
from app.mapreduce.volume import Damaged, Volume
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# Requests under way at once: enough to hide their round trips, few enough for a server's queue.
_WINDOW = 200
# Without progress for this long, the open tasks are offered again: the safety net under the watches.
_STALLED_S = 10.0
# How often trouble that may pass is waited for, and how long each time: too few hosts for a quorum until a
# class has restarted them, a full disk only for a moment.
_MOST_TROUBLE = 240
_MOST_DISK_TROUBLE = 2
_BREATH_S = 0.5
# What stands beside the phases below a job.
_RECORD = {"backup_ack", "outcome", "result", "plan"}
_BLANK = Attempt().to_bytes()
_TROUBLE: tuple[type[Exception], ...] = (
    OSError, Damaged, InDoubt, Refused, Malformed, zk.TransactionFailed, NoNodeError, NotEmptyError
)  # fmt: skip
# An input that is damaged again and again is not worth another repair. Of one damage, several may complain.
_MOST_REPAIRS = 10
# As often as a task's code may raise, the rest of a job's code may.
_MOST_RAISED = MOST_ERRORS


@dataclass(slots=True)
class Progress:
    """What can be told of a job while it runs.

    Attributes:
        state: replicated, running, done or failed.
        done, total: tasks of the present phase.
        finished: (task, worker), as they were done; another list for every attempt at a phase.
        started: when it was committed, in seconds since 1970 by the store's clock.
    """

    id: str
    manifest: Manifest
    state: str = "replicated"
    phase: str | None = None
    done: int = 0
    total: int = 0
    started: float = 0.0
    result: Result | None = None
    finished: list[tuple[int, str]] = field(default_factory=list)


# A split that is made: its chunk_size, what it gave, and the name of the array that was written, if any.
Prepared = tuple[int, Split, str | None]


class Failed(Exception):
    """The job can't be done; the message says why, for its user."""


class Runner:
    """One job's run under one master.

    Args:
        client: the master's session.
        primary: in whose name everything is decided.
        chunk_size: the configuration's value now.
        on_progress: called when something about ``progress`` has changed; must return quickly.
        prepared: the split that was made while the upload was received, with the name of its array.
    """

    def __init__(
        self,
        client: KazooClient,
        primary: Primary,
        disk: UploadDisk,
        shared: Volume,
        progress: Progress,
        chunk_size: Callable[[], int],
        on_progress: Callable[[], None],
        prepared: Prepared | None = None,
    ) -> None:
        self._client = client
        self._primary = primary
        self._disk = disk
        self._shared = shared
        self._chunk_size = chunk_size
        self._on_progress = on_progress
        self._prepared = prepared
        self._failure: str | None = None
        self._fresh = prepared is not None  # new: there is nothing to read
        self._repairs = 0
        self._complaints: list[tuple[int, str]] = []  # (task, the input that it could not read)
        self._input = ""
        self._offered: Offer | None = None  # what the board says, as far as we know
        self._made: set[str] = set()  # phases whose tasks are all there
        self._callbacks: dict[tuple[str, int], Callable[[Any], None]] = {}
        self.progress = progress
        self._id = progress.id
        self._job: Job
        try:
            self._job = jobs.find(progress.manifest.job)
        except KeyError as error:
            self._failure = str(error.args[0])  # its file was there when the job was sent
        self._reduced_value = ReducedValue(client, self._id, shared)
        self.events: Any = queue.LightQueue()  # what may make a wait for tasks end

    def run(self) -> None:
        """To the end, whatever comes between. Raises Fenced when another leads."""
        trouble = raised = 0
        while True:
            try:
                self._advance()
                return
            except Fenced:
                raise
            except zk.NO_REPLY as error:
                log.info("%s: %r; going on from what is stored", self._id, error)
                zk.wait_connected(self._client, zk.Deadline(zk.STEP_S))
            except (Unusable, Failed) as error:
                self._failure = str(error)
            except _TROUBLE as error:
                trouble += 1
                log.warning("%s: trouble %d: %r", self._id, trouble, error)
                if trouble > (_MOST_DISK_TROUBLE if isinstance(error, OSError) else _MOST_TROUBLE):
                    self._failure = _plain(error)
                self._pause()
            except Exception as error:
                # A job is a student's own code: whatever it raises is its result.
                log.exception("%s: raised", self._id)
                raised += 1
                if raised >= _MOST_RAISED:
                    self._failure = f"the job raised {raised} times: {type(error).__name__}: {_plain(error)}"
                self._pause()

    def _pause(self) -> None:
        with suppress(queue.Empty):
            self.events.get(timeout=zk.jittered(_BREATH_S))

    def close(self) -> None:
        self._reduced_value.close()

    def _advance(self) -> None:
        """From whatever is stored to the end; may be called again at any time."""
        ended = not self._fresh and self._read(paths.result(self._id)) is not None
        if not ended and self._failure is not None:
            self._end(Result(state="failed", error=self._failure, **self._described()))
        elif not ended:
            try:
                self._compute()
            except _ResultDamaged as damaged:
                # A result that can't be read is none: it is computed again, and this starts anew.
                self._reopen(damaged.phase, damaged.index)
                raise
        self._tell_end()
        self._clean()

    def _compute(self) -> None:
        """Plan, every phase, the output, the result."""
        plan = self._planned()
        self._tell("running")
        results: Iterator[Buffer] = iter(())
        given: Buffer = b""
        for phase in self._job.phases:
            done = self._phase(plan, phase)
            if phase == self._job.phases[0]:
                given = self._reduced(plan, phase, done)
            else:
                results = self._results(phase, done)
        self._finish(plan, given, results)

    def _tell_end(self) -> None:
        """The result is stored: its user hears of it at once, and cleaning up can take its time."""
        if self.progress.result is None and (data := self._read(paths.result(self._id))) is not None:
            self.progress.result = Result.from_bytes(data)
        result = self.progress.result
        if result is not None and self.progress.state != result.state:
            self._tell(result.state)  # also where we had known the end, and then worked from an older read

    # -- planning --

    def _planned(self) -> Plan:
        """The job's plan: read, or made and stored once. Raises Unusable where the input proves broken."""
        if not self._fresh and (data := self._read(paths.plan(self._id))) is not None:
            return Plan.from_bytes(data)
        self._fresh = False
        manifest = self.progress.manifest
        if self._prepared is None:
            self._prepared = self._split()
        chunk_size, split, array = self._prepared
        plan = Plan(
            chunk_size=chunk_size,
            extension=in_thread(self._job.check, self._source()),
            pieces=[(piece.offset, piece.length, piece.crc32) for piece in split.pieces],
            about=dict(split.about),
            input=array,
        )
        data = plan.to_bytes()
        zk.check_size(data, f"the plan of {manifest.name}")

        def build(transaction: Any) -> None:
            transaction.create(paths.plan(self._id), data)
            for phase in self._job.phases:
                transaction.create(paths.phase(self._id, phase))
                for index in range(min(len(plan.pieces), _WINDOW)):  # a small job's tasks come with its plan
                    transaction.create(paths.task(self._id, phase, index), _BLANK)

        try:
            self._primary.commit(build, zk.Deadline(zk.STEP_S))
            self._made.update(self._job.phases if len(plan.pieces) <= _WINDOW else ())
        except zk.TransactionFailed as rejected:
            if not isinstance(rejected.cause, NodeExistsError):
                raise
            return self._planned()  # an attempt of ours that got no reply
        return plan

    def _split(self) -> Prepared:
        chunk_size = self._chunk_size()
        return (chunk_size, *in_thread(self._cut, chunk_size))

    def _cut(self, chunk_size: int) -> tuple[Split, str | None]:
        """In a thread: the input, put right if need be, and the array that tasks read."""
        return cut(self._job, self._whole(), self._shared, self._id, chunk_size, self._attempt())

    def _whole(self) -> Path:
        """In a thread: the shared copy of the upload, restored if need be."""
        try:
            return whole(self._id, self.progress.manifest, self._shared, self._disk)
        except Damaged as error:
            raise Failed(f"its upload is lost, here and on the shared volume: {error}") from error

    def _source(self) -> Path:
        return self._shared.upload(self._id, self.progress.manifest.sha256)

    def _attempt(self) -> str:
        return attempt(self._primary)

    # -- a phase --

    def _phase(self, plan: Plan, phase: str) -> list[Done]:
        """Every task's result, in order; offered until all are there."""
        count = len(plan.pieces)
        self._make_tasks(phase, count)
        self.progress.finished = []  # not before: until now it is the last phase that everybody is told of
        self._tell("running", phase, 0, count)
        done: dict[int, Done] = {}
        self._gather(phase, range(count), done)
        if done:
            self._tell("running", phase, len(done), count)
        offered = self._offer(plan, phase, _open(count, done))
        while len(done) < count:
            event = "complaint" if self._complaints else self._next_event()
            if isinstance(event, int):
                self._collect(phase, self._and_more(event), done)
                self._tell("running", phase, len(done), count)
            left = count - len(done)
            repaired = self._repaired(plan, phase)
            if left and (repaired or event in ("nodes", None) or offer_again(left, offered)):
                self._gather(phase, range(count), done)
                offered = self._offer(plan, phase, _open(count, done))
        return [done[index] for index in range(count)]

    def _next_event(self) -> Any:
        with suppress(queue.Empty):
            return self.events.get(timeout=zk.jittered(_STALLED_S))
        return None

    def _and_more(self, first: int) -> list[int]:
        """The tasks that have been done meanwhile, too: asked for together."""
        indices = [first]
        while self.events.qsize() and len(indices) < _WINDOW:
            event = self.events.get()
            if not isinstance(event, int):
                self.events.put(event)
                break
            indices.append(event)
        return indices

    def _make_tasks(self, phase: str, count: int) -> None:
        """The phase's znodes, those that are missing; many to a transaction."""
        if phase in self._made:
            return
        deadline = zk.Deadline(4 * zk.STEP_S)
        there = set(zk.wait(self._client.get_children_async(paths.phase(self._id, phase)), deadline))
        missing = [index for index in range(count) if f"task_{index}" not in there]
        for begin in range(0, len(missing), _WINDOW):

            def build(transaction: Any, batch: list[int] = missing[begin : begin + _WINDOW]) -> None:
                for index in batch:
                    transaction.create(paths.task(self._id, phase, index), _BLANK)

            self._primary.commit(build, deadline)
        self._made.add(phase)

    def _gather(self, phase: str, indices: Any, done: dict[int, Done]) -> None:
        """Take in those that are done; the others leave a watch."""
        wanted = [index for index in indices if index not in done]
        for begin in range(0, len(wanted), _WINDOW):
            batch = wanted[begin : begin + _WINDOW]
            deadline = zk.Deadline(zk.STEP_S)
            asked = [(index, self._ask(phase, index)) for index in batch]
            there = [index for index, result in asked if zk.wait(result, deadline) is not None]
            self._collect(phase, there, done)

    def _collect(self, phase: str, indices: list[int], done: dict[int, Done]) -> None:
        """Take in results that are there. A task that was opened again leaves no watch."""
        deadline = zk.Deadline(zk.STEP_S)
        wanted = [index for index in indices if index not in done]
        got = [(index, self._client.get_async(paths.done(self._id, phase, index))) for index in wanted]
        for index, result in got:
            with suppress(NoNodeError):
                task = Done.from_bytes(zk.wait(result, deadline)[0])
                if task.error is not None:
                    raise Failed(task.error)
                if task.damaged is not None:
                    self._complaints.append((index, task.damaged))
                else:
                    done[index] = task
                    self.progress.finished.append((index, task.by))

    def _ask(self, phase: str, index: int) -> Any:
        # The same callback each time: kazoo calls it once, however often it was left.
        heard = self._callbacks.setdefault((phase, index), partial(self._on_done, index))
        return self._client.exists_async(paths.done(self._id, phase, index), watch=heard)

    def _on_done(self, index: int, event: Any) -> None:
        del event
        self.events.put(index)

    def _offer(self, plan: Plan, phase: str, left: list[int]) -> int:
        """Put the open tasks on the board; every worker hears of it. Returns how many."""
        if not left:
            return 0
        before = self._offered or self._last_offer()
        self._input = self._input or (before.input if before else "") or self._named(plan.input)
        offer = Offer(
            job=self.progress.manifest.job,
            phase=phase,
            round=before.round + 1 if before and before.phase == phase else 0,
            input=self._input,
            left=left,
        )

        def build(transaction: Any) -> None:
            if before is None:
                transaction.create(paths.board(self._id), offer.to_bytes())
            else:
                transaction.set_data(paths.board(self._id), offer.to_bytes())

        self._offered = None  # until the reply, what the board says is unknown
        self._primary.commit(build, zk.Deadline(zk.STEP_S))
        self._offered = offer
        return len(left)

    def _last_offer(self) -> Offer | None:
        data = self._read(paths.board(self._id))
        return Offer.from_bytes(data) if data is not None else None

    def _read(self, path: str) -> bytes | None:
        found = zk.get(self._client, path, zk.Deadline(zk.STEP_S))
        return found[0] if found else None

    def _named(self, array: str | None) -> str:
        """What tasks read, relative to the volume: this array, or without one the upload itself."""
        path = self._source() if array is None else self._shared.scratch(self._id, array)
        return str(path.relative_to(self._shared.folder))

    # -- a damaged input --

    def _repaired(self, plan: Plan, phase: str) -> bool:
        """Put right what tasks could not read, and open those tasks again. False without a complaint."""
        complaints, self._complaints = self._complaints, []
        if any(damaged == self._input for _, damaged in complaints):
            self._repairs += 1
            if self._repairs > _MOST_REPAIRS:
                raise Failed("its input on the shared volume was damaged again and again")
            log.warning("%s: %s is damaged; made anew", self._id, self._input)
            self._input = in_thread(self._mend, plan)
        for index, _ in complaints:
            self._reopen(phase, index)
        return bool(complaints)

    def _mend(self, plan: Plan) -> str:
        """In a thread: the input that tasks read from now on, relative to the volume."""
        source = self._whole()
        if plan.input is None:
            return self._named(None)
        split, array = cut(self._job, source, self._shared, self._id, plan.chunk_size, self._attempt())
        if array is None or [(p.offset, p.length, p.crc32) for p in split.pieces] != plan.pieces:
            raise Failed(
                "its input gave other pieces when it was cut again: the job's split is not deterministic"
            )
        return self._named(array)

    # -- results --

    def _reduced(self, plan: Plan, phase: str, done: list[Done]) -> Buffer:
        """The quorum object's value: read, or made and stored. Every master makes the same."""
        value = None if self._reduced_value.create() else self._reduced_value.read()
        if value is None:
            made = [self._load(phase, index, task) for index, task in enumerate(done)]
            value = in_thread(self._job.reduce, made, plan.about)
            self._reduced_value.write(value, self._attempt())
        return value

    def _results(self, phase: str, done: list[Done]) -> Iterator[Buffer]:
        """One by one, as they are asked for: all at once might not fit into memory. Called in a thread.

        Each is valid until the next is asked for.
        """
        buffer = bytearray(max((task.size for task in done), default=0))
        for index, task in enumerate(done):
            yield self._result(phase, index, task, buffer)

    def _load(self, phase: str, index: int, task: Done) -> Buffer:
        """One result, read in a thread if it is on the volume."""
        if task.inline is not None:
            return b64decode(task.inline)
        data: Buffer = tpool.execute(self._result, phase, index, task)
        return data

    def _result(self, phase: str, index: int, task: Done, buffer: bytearray | None = None) -> Buffer:
        if task.inline is not None:
            return b64decode(task.inline)
        try:
            path = self._shared.scratch(self._id, task.file or "?")
            return volume.read(path, 0, task.size, task.crc32, buffer)
        except Damaged as error:
            raise _ResultDamaged(phase, index, str(error)) from error

    def _reopen(self, phase: str, index: int) -> None:
        """A task has no result: it is open again."""
        path = paths.done(self._id, phase, index)
        self._primary.commit(lambda t: t.delete(path), zk.Deadline(zk.STEP_S))

    # -- the end --

    def _finish(self, plan: Plan, given: Buffer, results: Iterator[Buffer]) -> None:
        name = f"{self._id}.{self._attempt()}{plan.extension}"
        path = self._shared.result(name)
        size, crc32 = in_thread(self._write_output, plan, given, results, path)
        self._end(
            Result(
                state="done",
                extension=plan.extension,
                file=name,
                size=size,
                crc32=crc32,
                tasks=len(plan.pieces) * len(self._job.phases),
                **self._described(),
            )
        )

    def _write_output(
        self, plan: Plan, given: Buffer, results: Iterator[Buffer], path: Path
    ) -> tuple[int, int]:
        """In a thread: the output file, synced; its size and checksum."""
        with volume.new_file(path):
            self._job.finish(given, results, plan.about, path)
            return volume.settle(path)

    def _described(self) -> dict[str, Any]:
        manifest = self.progress.manifest
        seconds = max(0.0, time.time() - self.progress.started)
        return {"job": manifest.job, "name": manifest.name, "seconds": round(seconds, 3)}

    def _end(self, result: Result) -> None:
        """Store what came of the job, once, and take it off the board."""

        def build(transaction: Any) -> None:
            transaction.create(paths.result(self._id), result.to_bytes())
            if on_board:
                transaction.delete(paths.board(self._id))

        deadline = zk.Deadline(zk.STEP_S)
        on_board = self._offered is not None or self._read(paths.board(self._id)) is not None
        try:
            self._primary.commit(build, deadline)
        except zk.TransactionFailed as rejected:
            if not isinstance(rejected.cause, NodeExistsError):
                raise

    def _clean(self) -> None:
        """Remove what the job has created, but for its result; the plan last, for it tells of the rest."""
        deadline = zk.Deadline(4 * zk.STEP_S)
        with suppress(NoNodeError):
            children = zk.wait(self._client.get_children_async(paths.job(self._id)), deadline)
            for phase in set(children) - _RECORD:
                self._clean_phase(phase, deadline)
        zk.delete_all(self._client, [paths.board(self._id)], deadline)
        self._reduced_value.forget(deadline)
        tpool.execute(self._shared.forget, self._id)
        if self.progress.result is not None:
            tpool.execute(self._shared.forget_outputs, self._id, self.progress.result.file)
        tpool.execute(self._disk.forget, self._id)
        zk.delete_all(self._client, [paths.plan(self._id)], deadline)

    def _clean_phase(self, phase: str, deadline: zk.Deadline) -> None:
        root = paths.phase(self._id, phase)
        with suppress(NoNodeError):
            names = zk.wait(self._client.get_children_async(root), deadline)
            for begin in range(0, len(names), _WINDOW):
                batch = names[begin : begin + _WINDOW]
                parts = [f"{root}/{name}{part}" for name in batch for part in ("/lock", "/done", "")]
                zk.delete_all(self._client, parts, deadline)
            zk.delete_all(self._client, [root], deadline)

    def _tell(self, state: str, phase: str | None = None, done: int = 0, total: int = 0) -> None:
        progress = self.progress
        progress.state, progress.phase, progress.done, progress.total = state, phase, done, total
        self._on_progress()


def _open(count: int, done: Mapping[int, Done]) -> list[int]:
    """The tasks that have no result yet."""
    return [index for index in range(count) if index not in done]


class _ResultDamaged(Damaged):
    def __init__(self, phase: str, index: int, message: str) -> None:
        super().__init__(message)
        self.phase = phase
        self.index = index


def attempt(primary: Primary) -> str:
    """A part of a file's name that no other master, and no earlier attempt, has used."""
    return f"{primary.epoch.number}.{time.monotonic_ns():x}"


def cut(
    job: Job, source: Path, shared: Volume, job_id: str, chunk_size: int, named: str
) -> tuple[Split, str | None]:
    """Split an input; the name of the array that was written for it, if one was. Blocks.

    Raises Unusable or OSError; then nothing is left.
    """
    name = f"input.{named}"
    path = shared.scratch(job_id, name)
    with volume.new_file(path):
        split = job.split(source, path, chunk_size)
    return split, None if split.in_source else name


def _plain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0]
