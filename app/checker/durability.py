"""Durability of transactions: what was acknowledged is kept, and nothing that was aborted.

The promise that a primary makes with its backup (Alsberg & Day, ICSE 1976; Budhiraja et al., "The
Primary-Backup Approach", 1993). A key is a transaction's id. It is written once, but the same request may be
sent again: writes of one value to one key are attempts of one transaction. A read returns what is stored, or
null where nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.checker.history import History, Operation, answered_reads, writes
from app.checker.verdict import Verdict, violated, worst
from app.checker.wording import Wording, counted, quoted


def durable(history: History) -> Verdict:
    """Whether all that was acknowledged is stored, once, and nothing that was aborted or never submitted.

    An acknowledged key that nobody read afterwards leaves it in doubt: nobody looked.
    """
    say = Wording(history.start_ns)
    groups = history.by_key()
    rules = (_lost, _aborted_but_stored, _invented, _two_values, _never_looked)
    complaints = [complaint for group in groups.values() for rule in rules for complaint in rule(group, say)]
    complaints += _stored_twice(history, say)
    kept = sum(1 for group in groups.values() if writes(group, "ok"))
    size = counted(kept, "acknowledged transaction")
    held = Verdict("held", f"all that was acknowledged is stored, and nothing that was aborted ({size})")
    return worst([held, *complaints]) if groups else Verdict("in doubt", "nothing was recorded")


def _lost(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    for write in writes(operations, "ok"):
        for read in answered_reads(operations):
            if write.precedes(read) and read.value != write.value:
                found = "nothing" if read.value is None else quoted(read.value)
                told = f"{say.was_told(write)} that {quoted(write.key)} is stored"
                late = say.at(read.invoked_ns)
                yield violated(f"{told}, yet {read.process} found {found} there {late}", write, read)


def _aborted_but_stored(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    """A refusal is for ever, unless a later attempt of the same transaction may have succeeded."""
    for refused in writes(operations, "refused"):
        attempts = [write for write in writes(operations, "ok", "unknown") if write.value == refused.value]
        if any(attempt.outcome == "ok" or refused.precedes(attempt) for attempt in attempts):
            continue
        for read in answered_reads(operations):
            if refused.precedes(read) and read.value == refused.value:
                told = f"{say.was_told(refused)} that {quoted(refused.key)} was aborted"
                late = say.at(read.invoked_ns)
                yield violated(f"{told}, yet {read.process} read it {late}", refused, read)


def _invented(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    for read in answered_reads(operations):
        attempts = [write for write in writes(operations) if write.value == read.value]
        if read.value is not None and all(read.precedes(attempt) for attempt in attempts):
            yield violated(f"{say.began(read)}, which nobody had submitted as {quoted(read.key)}", read)


def _two_values(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    """One id stands for one value, in what is acknowledged and in what is read."""
    key = quoted(operations[0].key)
    for one, other in pairwise(writes(operations, "ok")):
        if one.value != other.value:
            both = f"{quoted(one.value)} and {quoted(other.value)} were both acknowledged as {key}"
            yield violated(f"{both}: {say.was_told(one)} and {say.was_told(other)}", one, other)
    for one, other in pairwise(read for read in answered_reads(operations) if read.value is not None):
        if one.value != other.value:
            yield violated(f"{key} has two values: {say.began(one)}, {say.began(other)}", one, other)


def _never_looked(operations: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    acknowledged = writes(operations, "ok")
    reads = answered_reads(operations)
    if acknowledged and not any(write.precedes(read) for write in acknowledged for read in reads):
        told = f"{say.was_told(acknowledged[0])} that {quoted(acknowledged[0].key)} is stored"
        yield Verdict("in doubt", f"{told}, but nobody read it afterwards")


def _stored_twice(history: History, say: Wording) -> Iterator[Verdict]:
    found: dict[object, Operation] = {}
    for read in answered_reads(history.operations):
        first = found.setdefault(read.value, read)
        if read.value is not None and first.key != read.key:
            twice = f"{say.began(first)} as {quoted(first.key)} and {say.began(read)} as {quoted(read.key)}"
            yield violated(f"stored twice: {twice}", first, read)
