"""What a chaos run must have kept: pure functions over what was seen.

Each rule says which promise it checks. A violation is a sentence that names the guilty; what
stays unknown is not one.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal

from app.checker import replicas
from app.checker.durability import durable
from app.checker.history import History
from app.checker.linearizability import check_registers
from app.checker.verdict import Verdict

Ending = Literal["stored", "refused", "in doubt"]
ZnodeValue = Literal["right", "wrong", "failed", "unfinished", "absent", "unknown", "unseen"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: by name, and in a sentence."""

    promise: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, the reply that its client got, and what was found of it in the end.

    Attributes:
        found: ``right`` is the expected result to the byte; ``absent``: there is no such job;
            ``unknown``: the result was no longer kept when it was asked for.
    """

    job_id: str
    kind: str
    ending: Ending
    found: ZnodeValue


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task's record and its result, read together.

    Attributes:
        attempt, by: the last claim: its number, and who made it.
        claimed_zxid, done_zxid: of the last claim, and of the result.
        done_attempt, done_by: the claim that the result names.
    """

    task: str
    attempt: int
    by: str
    claimed_zxid: int
    done_zxid: int
    done_attempt: int
    done_by: str


@dataclass(frozen=True, slots=True)
class AckSeen:
    """A transaction that was acknowledged, and on how many disks its payload was at that moment."""

    transaction: str
    disks: int


def of_uploads(uploads: Iterable[Upload]) -> Iterator[Violation]:
    """An upload that was answered "stored" has the right result; a refused one leaves nothing."""
    for upload in uploads:
        name = f"{upload.kind} {upload.job_id[:8]}"
        if upload.ending == "stored" and upload.found not in ("right", "unknown"):
            yield Violation("nothing acknowledged is lost", f"{name} was answered 200, and is {upload.found}")
        elif upload.ending == "refused" and upload.found not in ("absent", "unseen"):
            yield Violation("what is refused never happens", f"{name} was refused, and is {upload.found}")
        elif upload.found in ("wrong", "failed"):
            yield Violation("results are right", f"{name} ({upload.ending}) is {upload.found}")


def of_tasks(seen: Iterable[TaskSeen]) -> Iterator[Violation]:
    """A result is its task's last claimant's: a fenced-off claimant counts for nothing.

    A claim that came after the result (its claimant had looked before) changes nothing any more.
    """
    for task in seen:
        if task.done_zxid > task.claimed_zxid and task.done_attempt != task.attempt:
            yield Violation(
                "a task counts for its last claimant alone",
                f"{task.task} is held by {task.by} (attempt {task.attempt}), "
                f"and {task.done_by} (attempt {task.done_attempt}) has stored its result after that",
            )


def of_acks(acks: Iterable[AckSeen]) -> Iterator[Violation]:
    """A payload that was answered "stored" is on two disks (Alsberg & Day 1976)."""
    for ack in acks:
        if ack.disks < 2:
            sentence = f"{ack.transaction} was acknowledged with {ack.disks} copies on disk"
            yield Violation("an acknowledged payload is on two disks", sentence)


def of_histories(
    registers: History, transactions: History, configuration: History
) -> Iterator[tuple[str, Verdict]]:
    """Each history by its promise: (the promise, the verdict)."""
    yield "the quorum object is linearizable", _asked(check_registers, registers)
    yield "primary-backup is linearizable", _asked(check_registers, transactions)
    yield "what the primary acknowledged is kept, what it aborted is not", _asked(durable, transactions)
    yield "no copy of the configuration goes back", _asked(replicas.monotonic_reads, configuration)
    yield (
        "all copies of the configuration converge, and no change is lost",
        _asked(replicas.converged, _without_lives(configuration)),
    )


def _without_lives(history: History) -> History:
    """Copies by their names alone: what an earlier life of one ("copy-1.1") held last is not its end."""
    named = [replace(one, process=one.process.partition(".")[0]) for one in history.operations]
    return History(tuple(named), history.faults)


def _asked(judge: Callable[[History], Verdict], history: History) -> Verdict:
    """The judge's verdict; "held" is in doubt where no write, or no read, ended ok."""
    verdict = judge(history)
    for op in ("write", "read") if verdict.outcome == "held" else ():
        if not any(one.op == op and one.outcome == "ok" for one in history.operations):
            return Verdict("in doubt", f"no {op} ended ok, so nothing was shown")
    return verdict


def of_leftovers(left: Mapping[str, Sequence[str]]) -> Iterator[Violation]:
    """When all is whole and quiet again, nothing is left but what has a reason."""
    for what, names in left.items():
        if names:
            some = ", ".join(sorted(names)[:3])
            yield Violation(
                "nothing leaks", f"{len(names)} {what}: {some}{', ...' if len(names) > 3 else ''}"
            )


def leftover(files: Iterable[str], records: Collection[str]) -> Iterator[str]:
    """The files that nothing explains.

    The results of the last jobs are kept. An upload on a worker's own disk without a record is
    left by a primary that died before it published any: its client may retry, and after an hour it goes.
    """
    for name in files:
        path = PurePath(name)
        own = path.parent.name == "uploads" and path.parent.parent.name != "shared"
        explained = own and not path.name.startswith(".") and path.name.partition(".")[0] not in records
        if path.parent.name != "results" and not explained:
            yield name
