"""One register as its history shows it: which value was whose, and which value is known to be older.

Written values are unique, so each read tells which write it read from. The value before any write is null,
written by nobody before everything.

Of two values one is *older* if it was there before the other: an operation on it, its write or a read that
returned it, had ended before the other's write began. That is all that a clock outside can prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.checker.history import HistoryError, Operation, Value, answered_reads, writes
from app.checker.verdict import Verdict, violated
from app.checker.wording import Wording, quoted


@dataclass(frozen=True, slots=True)
class Register:
    """The operations on one key, in the order of their invocation."""

    sources: Mapping[Value, Operation]  # the write of each value, the initial one's too
    reads: Sequence[Operation]  # that returned something
    shown: Mapping[Value, Operation]  # of all operations on a value, which ended first

    @classmethod
    def of(cls, operations: Sequence[Operation]) -> Register:
        """HistoryError if a value was written twice."""
        sources = sources_of(operations)
        reads = answered_reads(operations)
        shown = dict(sources)
        for read in reads:
            if read.value not in shown or read.ended_ns < shown[read.value].ended_ns:
                shown[read.value] = read
        return cls(sources, reads, shown)

    @property
    def key(self) -> str:
        return self.sources[None].key

    def older(self, one: Value, other: Value) -> bool:
        """Whether the clock proves that the one value was there before the other."""
        return self.shown[one].precedes(self.sources[other])

    def happened(self) -> Iterator[Operation]:
        """The writes that took effect for certain: acknowledged, or read by somebody."""
        for value, write in self.sources.items():
            if value is not None and (write.outcome == "ok" or self.shown[value].op == "read"):
                yield write

    def proof(self, write: Operation) -> Operation:
        """What shows that a write happened: its acknowledgement, or else the first to have read it."""
        return write if write.outcome == "ok" else self.shown[write.value]

    def stale(self, read: Operation, seen: Operation) -> StaleRead:
        """A read of a value that is older than the one that was seen, with the plainest evidence."""
        newer = self.sources[seen.value]
        written = self.sources[read.value]
        return StaleRead(written if written.precedes(newer) else self.shown[read.value], newer, seen, read)

    def impossible_reads(self, say: Wording) -> Iterator[Verdict]:
        """The reads that break every promise for which the clock counts."""
        for read in self.reads:
            if impossible := impossible_read(read, self.sources.get(read.value), say):
                yield impossible


def sources_of(operations: Sequence[Operation]) -> dict[Value, Operation]:
    """The write of each value, that of the initial value too."""
    dawn = operations[0].invoked_ns - 1
    sources: dict[Value, Operation] = {
        None: Operation("nobody", "write", operations[0].key, None, dawn, dawn, "ok"),
    }
    for write in writes(operations):
        if write.value in sources:
            what = f"the write of {quoted(write.value)} to {quoted(write.key)} by {write.process}"
            raise HistoryError(f"{what} brings no new value: the values written must be unique, and not null")
        sources[write.value] = write
    return sources


def one_at_a_time(operations: Iterable[Operation]) -> None:
    """HistoryError if a process did two things at once: then nobody can tell which came first.

    Nothing comes after an unknown write: its process went on while it was under way.
    """
    latest: dict[str, Operation] = {}
    for operation in operations:
        if operation.outcome != "ok" and (operation.op, operation.outcome) != ("write", "unknown"):
            continue
        before = latest.get(operation.process)
        if before is not None and operation.invoked_ns <= before.ended_ns:
            twice = f"{quoted(before.value)} and {quoted(operation.value)}"
            what = f"{operation.process} did two things at once, with {twice}"
            raise HistoryError(f"{what}: what does two things at once needs two names")
        if operation.outcome == "ok":
            latest[operation.process] = operation


def is_initial(operation: Operation) -> bool:
    return operation.op == "write" and operation.value is None


def unwritten_read(read: Operation, source: Operation | None, say: Wording) -> Verdict | None:
    """What no order of the operations could explain: a read of what nobody wrote."""
    if source is None:
        return violated(f"{say.began(read)}, which nobody ever wrote", read)
    if source.outcome == "refused":
        refusal = f"{say.was_told(source)} that the write of it was refused"
        return violated(f"{say.began(read)}, yet {refusal}", source, read)
    return None


def unwritten_reads(operations: Iterable[Operation], say: Wording) -> Iterator[Verdict]:
    """The reads, of whatever keys, that break every promise at all."""
    operations = list(operations)
    sources = {(write.key, write.value): write for write in writes(operations)}
    for read in answered_reads(operations):
        if read.value is not None and (
            unwritten := unwritten_read(read, sources.get((read.key, read.value)), say)
        ):
            yield unwritten


def impossible_read(read: Operation, source: Operation | None, say: Wording) -> Verdict | None:
    """The same, or a read of what was written only later: impossible wherever the clock counts."""
    if source is not None and source.outcome != "refused" and read.precedes(source):
        return violated(f"{say.had_ended(read)} before {say.began(source)}", read, source)
    return unwritten_read(read, source, say)


@dataclass(frozen=True, slots=True)
class StaleRead:
    """A read of an older value after a newer one was there, and why the one is older than the other."""

    older: Operation  # ended
    newer: Operation  # before this began,
    seen: Operation  # and this, of the newer value too, ended
    read: Operation  # before the older value was read

    @property
    def witness(self) -> tuple[Operation, ...]:
        """Before the initial value there was nothing, so that it's older needs no evidence."""
        operations = {self.seen, self.read}
        if not is_initial(self.older):
            operations |= {self.older, self.newer}
        return tuple(sorted(operations, key=lambda operation: operation.invoked_ns))

    def effort(self) -> tuple[bool, bool, int, int]:
        """What it takes to follow: easiest with completed writes as evidence, few operations, early ones."""
        return self.newer.op == "read", self.seen.op == "read", len(self.witness), self.read.invoked_ns

    def sentence(self, say: Wording) -> str:
        value = quoted(self.read.value)
        if is_initial(self.older):
            why = f"{value} is the value before any write"
        else:
            why = f"{value} was older: {say.had_ended(self.older)}, before {say.began(self.newer)}"
        return f"{say.began(self.read)} although {say.had_ended(self.seen)} ({why})"

    def verdict(self, say: Wording) -> Verdict:
        return violated(self.sentence(say), *self.witness)
