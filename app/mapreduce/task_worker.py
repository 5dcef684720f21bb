"""What every worker does: claim open tasks, compute them, and say what came of them.

A claim is one transaction: the attempt's record, set conditionally, and the ephemeral ``lock``. A result is
one transaction with a check of the task's version, and that version is the fencing token: it grows with every
claim, while each new lock has the same version 0 and fences nothing. So a task counts once, however often it
ran. A worker that dies leaves its locks to the end of its session; then the master offers its tasks again.

(Burrows, OSDI 2006, section 2.4: sequencers; Dean & Ghemawat, OSDI 2004, section 3.3: re-execution.)
"""

import logging
import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import eventlet
from eventlet import tpool
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import KazooState

from app import jobs
from app.concurrency import in_thread
from app.errors import InDoubt, Malformed, Refused
from app.jobs.job import Buffer, Job
from app.mapreduce import volume
from app.mapreduce.records import Attempt, Done, Manifest, Offer, Plan
from app.mapreduce.reduced_value import ReducedValue
from app.mapreduce.tasks import MOST_MISSES, claimed, given_up, raised, shares
from app.mapreduce.volume import Damaged, Volume
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# Tasks at a time: while one is computed the next is claimed and the last one's result is stored.
_HANDS = 2
# A result up to this size stands in its znode, which saves a file: an 8-bit histogram does.
_MOST_INLINE_BYTES = 4096
# Seconds after trouble whose end no watch tells: too few hosts for a quorum read, a volume that is away.
_BREATH_S = 0.3
# Before helping with the others' tasks: usually they are quick themselves, and two that want one only cost.
_HELP_AFTER_S = 0.05
_NOT_NOW: tuple[type[Exception], ...] = (*zk.NO_REPLY, Refused, InDoubt, Damaged, NoNodeError, OSError)


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that is ours: until ``version`` is no longer its znode's."""

    index: int
    attempt: Attempt
    version: int


class TaskWorker:
    """One worker's work on one job, until the job leaves the board.

    Args:
        client: the worker's session.
        name: the worker's.
        share: the worker's number, from 0, and how many share the work: where to begin.
        on_end: called when the job has left the board.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        job_id: str,
        shared: Volume,
        share: Callable[[], tuple[int, int]],
        on_end: Callable[[str], None],
    ) -> None:
        self._client = client
        self._name = name
        self._job_id = job_id
        self._shared = shared
        self._share = share
        self._on_end = on_end
        self._job: Job
        self._plan: Plan
        self._given: tuple[str, Buffer] | None = None
        self._reduced_value = ReducedValue(client, job_id, shared)
        self._choose = random.Random()
        self._reconciler = Reconciler(
            client, f"{name}: {job_id}", self._take_part, not_now=_NOT_NOW, retry_s=_BREATH_S
        )
        self._in_hand: set[tuple[str, int]] = set()
        self._pool = eventlet.GreenPool(_HANDS)
        self._seen: tuple[str, int] | None = None  # (phase, round) of the offer that we have worked on
        self._careful = False  # something has gone wrong: tasks may have been claimed before

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        self._reconciler.stop()
        self._reduced_value.close()
        for thread in list(self._pool.coroutines_running):
            eventlet.kill(thread)

    def wake(self) -> None:
        """Look at all of it again, and trust nothing: something has gone wrong, or the connection is back."""
        self._seen, self._careful = None, True
        self._reconciler.wake()

    def _take_part(self) -> None:
        """Look at what is offered, and work on it; say so when the job has left the board."""
        try:
            offer = self._look()
            if offer is None:
                self._on_end(self._job_id)
            elif (offer.phase, offer.round) != self._seen:
                self._seen = (offer.phase, offer.round)
                self._work(offer)
        except (Malformed, KeyError) as error:
            log.error("%s: %s left alone: %s", self._name, self._job_id, error)
        except BaseException:
            self._seen, self._careful = None, True
            raise

    def _look(self) -> Offer | None:
        """What is offered now; None when the job is over. Leaves a watch."""
        found = zk.get(
            self._client, paths.board(self._job_id), zk.Deadline(zk.STEP_S), watch=self._reconciler.wake
        )
        if found is None:
            return None
        if self._seen is None:
            self._learn()
        return Offer.from_bytes(found[0])

    def _learn(self) -> None:
        """Read what doesn't change. Raises NoNodeError where a server lags, or the job has just ended."""
        deadline = zk.Deadline(zk.STEP_S)
        asked = [self._client.get_async(path) for path in (paths.job(self._job_id), paths.plan(self._job_id))]
        manifest = Manifest.from_bytes(zk.wait(asked[0], deadline)[0])
        self._plan = Plan.from_bytes(zk.wait(asked[1], deadline)[0])
        self._job = jobs.find(manifest.job)

    # -- one offer --

    def _work(self, offer: Offer) -> None:
        """Our own share, then help with the others', until another offer comes or little is left to do."""
        own, others = shares(offer.left, *self._share(), self._choose)
        given: Buffer | None = None
        for tasks, helping in ((own, False), (others, True)):
            if helping:
                eventlet.sleep(_HELP_AFTER_S)
            if self._reconciler.woken:
                return  # another offer: what is left is known better
            if given is None and tasks:
                given = b"" if offer.phase == self._job.phases[0] else self._reduced(offer.phase)
            # Our own tasks are tried to the last; misses tell that there is little to help with.
            order, chances = iter(tasks), [MOST_MISSES if helping else len(tasks)]
            for _ in range(min(_HANDS, len(tasks))):
                self._pool.spawn_n(self._hand, offer, order, given, chances)
            self._pool.waitall()

    def _reduced(self, phase: str) -> Buffer:
        if self._given is None or self._given[0] != phase:
            value = self._reduced_value.read()
            if value is None:
                raise InDoubt("the reduced value isn't there yet, though the phase is open")
            self._given = (phase, value)
        return self._given[1]

    def _hand(self, offer: Offer, order: Iterator[int], given: Buffer, chances: list[int]) -> None:
        for index in order:
            if self._reconciler.woken or not chances[0]:
                return
            try:
                busy = (offer.phase, index) in self._in_hand
                if busy or not self._do(offer, index, given):
                    chances[0] -= 1
            except (*zk.NO_REPLY, zk.TransactionFailed, NoNodeError, Malformed) as error:
                log.info("%s: task %d of %s: %r", self._name, index, self._job_id, error)
                eventlet.sleep(zk.jittered(_BREATH_S))
                self.wake()
                return

    def _do(self, offer: Offer, index: int, given: Buffer) -> bool:
        """Claim, compute, store. False if the task wasn't to be had."""
        claim = self._claim(offer, index)
        if claim is None:
            return False
        with self._holding(offer.phase, index):
            while (reason := given_up(claim.attempt)) is None:
                try:
                    done = in_thread(self._compute, offer, claim, given)
                except Damaged as error:
                    log.warning("%s: %s", self._name, error)
                    done = Done(by=self._name, attempt=claim.attempt.number, damaged=offer.input)
                    self._store(offer.phase, claim, done)
                    return True
                except Exception as error:
                    # A job is a student's own code: whatever it raises is its result.
                    log.exception("%s: task %d of %s raised", self._name, index, self._job_id)
                    claim = self._raised(offer.phase, claim, error)
                else:
                    self._store(offer.phase, claim, done)
                    return True
            self._store(offer.phase, claim, Done(by=self._name, attempt=claim.attempt.number, error=reason))
        return True

    @contextmanager
    def _holding(self, phase: str, index: int) -> Iterator[None]:
        self._in_hand.add((phase, index))
        try:
            yield
        finally:
            self._in_hand.discard((phase, index))

    # -- one task --

    def _claim(self, offer: Offer, index: int) -> Claim | None:
        """One transaction: the attempt's record, and the lock. None: somebody else has it, or it is done."""
        task, lock = (make(self._job_id, offer.phase, index) for make in (paths.task, paths.lock))
        attempt, version, orphan = Attempt(), 0, None
        deadline = zk.Deadline(zk.STEP_S)
        if offer.round > 0 or self._careful:
            # It may have been claimed before, by an earlier life of ours as well.
            asked = self._client.exists_async(paths.done(self._job_id, offer.phase, index))
            data, stat = zk.wait(self._client.get_async(task), deadline)
            orphan = zk.wait(self._client.exists_async(lock), deadline)
            if zk.wait(asked, deadline) or (
                orphan and orphan.ephemeralOwner != zk.session_id(self._client)
            ):  # fmt: skip
                return None
            attempt, version = Attempt.from_bytes(data), stat.version
        mine = claimed(attempt, self._name)
        claiming = self._client.transaction()
        claiming.set_data(task, mine.to_bytes(), version=version)
        if orphan:
            claiming.delete(lock)  # our own, of a claim whose answer was lost
        claiming.create(lock, self._name.encode(), ephemeral=True)
        try:
            zk.commit(claiming, deadline)
        except zk.TransactionFailed:
            return None
        return Claim(index, mine, version + 1)

    def _compute(self, offer: Offer, claim: Claim, given: Buffer) -> Done:
        """In a thread: no ZooKeeper here. Raises Damaged, OSError, or whatever the job's code raises."""
        piece = self._plan.piece(claim.index)
        source = self._shared.folder / offer.input
        data = volume.read(source, piece.offset, piece.length, piece.crc32)
        made = memoryview(self._job.map(offer.phase, data, given, self._plan.about)).cast("B")
        described = {"by": self._name, "attempt": claim.attempt.number, "size": len(made)}
        crc32 = zlib.crc32(made)
        if len(made) <= _MOST_INLINE_BYTES:
            return Done(**described, crc32=crc32, inline=b64encode(made).decode())
        name = f"{offer.phase}.{claim.index}.{claim.version}"
        volume.write(self._shared.scratch(self._job_id, name), made, synced=False)
        return Done(**described, crc32=crc32, file=name)

    def _store(self, phase: str, claim: Claim, done: Done) -> None:
        """The result, if the task is still ours: then it counts, and else it is dropped."""
        storing = self._client.transaction()
        storing.check(paths.task(self._job_id, phase, claim.index), claim.version)
        storing.create(paths.done(self._job_id, phase, claim.index), done.to_bytes())
        storing.delete(paths.lock(self._job_id, phase, claim.index))
        try:
            zk.commit(storing, zk.Deadline(zk.STEP_S))
        except zk.TransactionFailed as rejected:
            log.info("%s: task %d is no longer ours: %r", self._name, claim.index, rejected.cause)
            has_task = rejected.index > 0 or not isinstance(rejected.cause, NoNodeError)
            if not has_task:  # the job was cleaned up before our file came
                tpool.execute(self._shared.forget, self._job_id)
            elif done.file is not None:
                tpool.execute(self._shared.discard, self._job_id, done.file)

    def _raised(self, phase: str, claim: Claim, error: Exception) -> Claim:
        """Write down that the task's code has raised; the claim goes on, under a new token."""
        reason = f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0][:200]}"
        attempt = raised(claim.attempt, reason)
        noting = self._client.transaction()
        noting.set_data(
            paths.task(self._job_id, phase, claim.index), attempt.to_bytes(), version=claim.version
        )
        zk.commit(noting, zk.Deadline(zk.STEP_S))
        return Claim(claim.index, attempt, claim.version + 1)


class TaskWorkers:
    """Watches the board, and puts hands to every job on it.

    Args: as for :class:`TaskWorker`; ``on_end`` is called with the id of each job that has left the board.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        shared: Volume,
        share: Callable[[], tuple[int, int]],
        on_change: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._client = client
        self._name = name
        self._shared = shared
        self._share = share
        self._on_change = on_change
        self._on_end = on_end
        self._reconciler = Reconciler(client, "the board", self._look)
        self._at_work: dict[str, TaskWorker] = {}

    @property
    def doing(self) -> list[str]:
        """The jobs that it works on."""
        return sorted(self._at_work)

    def start(self) -> None:
        self._client.add_listener(self._on_state)
        self._reconciler.start()

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        self._reconciler.stop()
        for hands in self._at_work.values():
            hands.stop()

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            for hands in self._at_work.values():
                hands.wake()  # watches, claims and answers may have been lost with the connection

    def _look(self) -> None:
        asked = self._client.get_children_async(paths.BOARD, watch=self._reconciler.wake)
        self._put_to_work(paths.usable(zk.wait(asked, zk.Deadline(zk.STEP_S))))

    def _put_to_work(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            if job_id not in self._at_work:
                hands = TaskWorker(self._client, self._name, job_id, self._shared, self._share, self._ended)
                self._at_work[job_id] = hands
                hands.start()
                self._on_change()

    def _ended(self, job_id: str) -> None:
        ended = self._at_work.pop(job_id, None)
        if ended is None:
            return
        eventlet.spawn_n(ended.stop)  # not in the thread that it ends
        self._on_change()
        self._on_end(job_id)
