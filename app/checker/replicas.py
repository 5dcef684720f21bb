"""What replicas of a configuration promise, judged by the versions that they name, once they have settled.

A replica tells with each value which version it is, so its own word convicts it. Who was there when the
replicas settled knows that what they were seen to hold last is what they ended with. Where nobody was,
app.checker.convergence judges by values and by the clock alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.checker.history import History, Operation, answered_reads, writes
from app.checker.register import impossible_read
from app.checker.verdict import Verdict, violated, worst
from app.checker.wording import Wording, counted, quoted


def monotonic_reads(history: History) -> Verdict:
    """Whether what a process reads never goes back in time.

    "Successive reads reflect a non-decreasing set of writes" (Terry et al., PDIS 1994, "Monotonic Reads").
    The version that a read returns stands for that set: from one read of a process to its next read of the
    same key it never decreases. A read of null without a version saw no write at all.
    """
    say = Wording(history.start_ns)
    sessions: dict[tuple[str, str], list[Operation]] = {}
    ageless = None
    for read in answered_reads(history.operations):
        if read.version is None and read.value is not None:
            ageless = ageless or read
            continue
        sessions.setdefault((read.process, read.key), []).append(read)
    steps = [step for reads in sessions.values() for step in pairwise(reads)]
    for earlier, later in steps:
        if earlier.version and (later.version is None or later.version < earlier.version):
            older = f"{say.began(later)}, an older version of {quoted(later.key)}"
            return violated(f"{older}, although {say.had_ended(earlier)}", earlier, later)
    if ageless:
        return Verdict("in doubt", f"{say.began(ageless)} without a version, so nobody can tell its age")
    if not steps:
        return Verdict("in doubt", "no process read the same key twice")
    size = counted(len(steps), "step")
    return Verdict("held", f"no process read an older version after a newer one ({size})")


def converged(history: History) -> Verdict:
    """Whether all replicas ended with the same value, that of a last write.

    Eventual consistency: every update reaches every replica in the end, and replicas that have delivered the
    same updates come to the same state (Shapiro et al., SSS 2011, section 2; among the other models: Viotti &
    Vukolić, ACM Computing Surveys 2016, section 3.2). "In the end" is no moment of a clock, so the history
    must have gone quiet: what counts is what each process read last, after the last acknowledged write.
    """
    say = Wording(history.start_ns)
    groups = history.by_key()
    readers = {read.process for read in answered_reads(history.operations)}
    size = f"{counted(len(readers), 'reader')}, {counted(len(groups), 'key')}"
    held = Verdict("held", f"every replica ended with the last value ({size})")
    complaints = [complaint for group in groups.values() for complaint in _divergences(group, say)]
    return worst([held, *complaints]) if groups else Verdict("in doubt", "nothing was recorded")


def _divergences(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    """The ways in which the processes that read one key did not end with its last value."""
    key = quoted(operations[0].key)
    ends = list({read.process: read for read in answered_reads(operations)}.values())
    if not ends:
        yield Verdict("in doubt", f"nobody read {key}")
        return
    acknowledged = max(writes(operations, "ok"), key=lambda write: write.ended_ns, default=None)
    for end in ends:
        if acknowledged and not acknowledged.precedes(end):
            never = f"{end.process} never read {key} after {say.had_ended(acknowledged)}"
            yield violated(f"{never}: it did not converge", acknowledged, end)
    for one, other in pairwise(ends):
        if one.value != other.value:
            apart = f"{quoted(one.value)}, but {other.process} with {quoted(other.value)}"
            yield violated(f"{one.process} ended {key} with {apart}", one, other)
    yield from _losses(operations, ends[0], say)


def _losses(operations: Sequence[Operation], end: Operation, say: Wording) -> Iterator[Verdict]:
    """The ways in which the value that one key ended with is not that of a last write.

    A last write is one that had not ended when an acknowledged write began: of concurrent writes any may win.
    Who has read a value knows that its only write has taken effect, even if nobody answered the writer.
    """
    sources = [write for write in writes(operations, "ok", "unknown") if write.value == end.value]
    refused = [write for write in writes(operations, "refused") if write.value == end.value]
    impossible = impossible_read(end, next(iter(sources or refused), None), say)
    if end.value is not None and impossible:
        yield impossible
        return
    known = [read for read in answered_reads(operations) if read.value == end.value]
    proofs = [min(sources + known, key=lambda one: one.ended_ns)] if len(sources) == 1 else sources
    for lost in reversed(writes(operations, "ok")):
        if lost not in sources and all(proof.precedes(lost) for proof in proofs):
            published = f"{say.was_told(lost)} that {quoted(lost.key)} = {quoted(lost.value)} was published"
            yield violated(f"{published}, but every replica ended with {quoted(end.value)}", lost, end)
