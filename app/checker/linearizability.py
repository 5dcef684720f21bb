"""Linearizability of a register: every operation seems to happen at one moment between its two ends.

Defined by Herlihy & Wing (TOPLAS 1990). To decide it is NP-complete in general, but easy where every written
value is unique, for then each read tells which write it read from (Gibbons & Korach, SIAM J. Comput. 1997:
with a reads-from mapping). All operations on one value form its zone. What counts of a zone is which of them
ended first and which began last; the initial value is a write that precedes everything:

    write of 1   |------|
    write of 2              |------|
    read of 1                          |------|
                        ^              ^
          first end of 1's zone        last beginning of 1's zone

In an order that explains the history, the operations of a zone stand together. If one of zone A ended before
one of zone B began, all of A stands before all of B. So the history is linearizable only if no two zones
contradict each other:

    A's first end comes before B's last beginning, and B's first end before A's last beginning.

The paper calls a zone forward if its first end comes before its last beginning, else backward, and proves
that this is enough: a history is linearizable if and only if no two forward zones overlap and no backward
zone lies within a forward one. For either pair of kinds that is the line above; two backward zones never
contradict each other.

An unknown write never ended. If nobody read it, its zone has no first end and contradicts nothing, as if it
had been left out; if somebody did, the first end of its zone is that of the first read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.checker.history import History, Operation, Value, answered_reads
from app.checker.register import StaleRead, impossible_read, sources_of
from app.checker.verdict import Verdict, violated, worst
from app.checker.wording import Wording, counted, quoted


def check_registers(history: History) -> Verdict:
    """Whether every key is linearizable; then all are together (Herlihy & Wing, section 3.1, "Locality")."""
    say = Wording(history.start_ns)
    groups = history.by_key()
    verdicts = [_held(len(history.operations))]
    for key, operations in groups.items():
        if found := not_linearizable(operations, say):
            sentence = found.sentence if len(groups) == 1 else f"{quoted(key)}: {found.sentence}"
            verdicts.append(violated(sentence, *found.witness))
    return worst(verdicts)


def check_register(operations: Iterable[Operation]) -> Verdict:
    """Whether the operations on one key are linearizable. HistoryError if a value was written twice."""
    history = History.of(operations)
    say = Wording(history.start_ns)
    return not_linearizable(history.operations, say) or _held(len(history.operations))


def _held(operations: int) -> Verdict:
    size = counted(operations, "operation")
    return Verdict("held", f"every read returned the newest completed write ({size}, linearizable)")


def not_linearizable(operations: Sequence[Operation], say: Wording) -> Verdict | None:
    """What is wrong with one key's operations, in the order of their invocation; None if nothing is."""
    if not operations:
        return None
    sources = sources_of(operations)
    reads = answered_reads(operations)
    for read in reads:
        if impossible := impossible_read(read, sources.get(read.value), say):
            return impossible
    stale_reads = [
        stale
        for one, other in _contradictions(_zones(sources, reads))
        for stale in (_stale_read(one, other), _stale_read(other, one))
        if stale is not None
    ]
    return min(stale_reads, key=StaleRead.effort).verdict(say) if stale_reads else None


@dataclass(frozen=True, slots=True)
class _Zone:
    """All operations on one value."""

    write: Operation
    reads: Sequence[Operation]
    first: Operation  # to end
    last: Operation  # to begin


def _zones(sources: Mapping[Value, Operation], reads: Iterable[Operation]) -> list[_Zone]:
    """Of every value that was ever there, in the order of their first ends."""
    readers: dict[Value, list[Operation]] = {value: [] for value in sources}
    for read in reads:
        readers[read.value].append(read)
    zones = []
    for value, write in sources.items():
        if write.outcome == "refused":
            continue
        operations = [write, *readers[value]]
        first = min(operations, key=lambda operation: operation.ended_ns)
        last = max(operations, key=lambda operation: operation.invoked_ns)
        zones.append(_Zone(write, readers[value], first, last))
    return sorted(zones, key=lambda zone: zone.first.ended_ns)


def _contradictions(zones: Sequence[_Zone]) -> Iterator[tuple[_Zone, _Zone]]:
    """Pairs of zones that contradict each other: one at least, if there are any.

    Of the zones before it, only the one that reaches furthest need be compared with the next: if two of them
    reached beyond its first end they would overlap there, and have been found already.
    """
    furthest = zones[0]
    for zone in zones[1:]:
        if furthest.first.precedes(zone.last) and zone.first.precedes(furthest.last):
            yield furthest, zone
        furthest = max(furthest, zone, key=lambda zone: zone.last.invoked_ns)


def _stale_read(old: _Zone, new: _Zone) -> StaleRead | None:
    """The contradiction of two zones as a read of the old one's value; writes make the plainest evidence.

    None if it was the old value's write that began too late: then the other way round there is a stale read.
    Both ways there may be one, of which `effort` chooses: never one where the initial value is the new one.
    """
    newer = new.write if old.first.precedes(new.write) else new.last
    older = old.write if old.write.precedes(newer) else old.first
    seen = new.write if new.write.precedes(old.last) else new.first
    first = bisect_right(old.reads, seen.ended_ns, key=lambda read: read.invoked_ns)
    return StaleRead(older, newer, seen, old.reads[first]) if first < len(old.reads) else None
