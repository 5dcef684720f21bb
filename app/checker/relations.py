"""What must come before what, where no clock counts: the order of each process, and reads after their writes.

Together the two are causality (Ahamad et al., Distributed Computing 1995, after Lamport, CACM 1978): what a
process did before, or what it read, may be a cause of what it does. An order of the operations explains what
some processes read if it keeps causality and each of their reads comes after the write that it read from with
no other write of that key between. So from what must come before what, more follows. For a read r of the
write s, and another write w of the same key:

- if w must come before r, it must come before s, or r would have read it (`w -> s`)
- if w must come after s, it must come after r, for the same reason (`r -> w`)

Followed until nothing new turns up, this is either a partial order, or some operation would have to come
before itself, and then no order explains the reads. (Rules of this kind are as old as the question: Gibbons
& Korach, SIAM J. Comput. 1997. How far they carry: Zennou et al., "Gradual consistency checking", CAV 2019.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from app.checker.history import Operation, Value, answered_reads, writes


@dataclass(frozen=True, slots=True)
class Relations:
    """What happened, numbered, and what follows from it. A set of events is an int with a bit for each.

    A read whose write isn't among the operations still has one: an event that nobody recorded, before which
    comes nothing. So a part of a history can be judged, and the initial values are writes like any others.
    """

    events: tuple[Operation, ...]  # those that nobody recorded first
    recorded: int  # the number of the first that somebody did
    causes: tuple[tuple[int, ...], ...]  # of each event: what came directly before it
    source: tuple[int, ...]  # of each event: the write of its value, of a write itself
    rivals: tuple[int, ...]  # of each event: all writes of its key
    readers: tuple[int, ...]  # of each event: all reads of what it wrote

    @classmethod
    def of(cls, operations: Sequence[Operation]) -> Relations:
        """Of operations in the order of their invocation, without those that didn't happen."""
        recorded = list(_happened(operations))
        events = [*_unrecorded(recorded), *recorded]
        places = {(event.key, event.value): n for n, event in enumerate(events) if event.op == "write"}
        source = [places[event.key, event.value] for event in events]
        rivals: dict[str, int] = {}
        for (key, _), number in places.items():
            rivals[key] = rivals.get(key, 0) | 1 << number
        readers = [0] * len(events)
        for number, written in enumerate(source):
            if number != written:
                readers[written] |= 1 << number
        return cls(
            events=tuple(events),
            recorded=len(events) - len(recorded),
            causes=tuple(_causes(events, len(events) - len(recorded), source, places)),
            source=tuple(source),
            rivals=tuple(rivals[event.key] for event in events),
            readers=tuple(readers),
        )

    def reads_of(self, process: str | None = None) -> int:
        """The reads of a process, or of all."""
        chosen = 0
        for number, event in enumerate(self.events):
            if event.op == "read" and process in (None, event.process):
                chosen |= 1 << number
        return chosen

    def forced_order(self, views: int) -> list[int] | None:
        """For each event all that must come before it in an order that explains these reads.

        None if an event would have to come before itself.
        """
        before = [list(causes) for causes in self.causes]
        while True:
            try:
                order = list(TopologicalSorter(dict(enumerate(before))).static_order())
            except CycleError:
                return None
            past = [0] * len(order)
            known = sum(map(len, before))
            for event in order:
                for cause in before[event]:
                    past[event] |= past[cause] | 1 << cause
                self._follow(event, past, views, before)
            if sum(map(len, before)) == known:
                return past

    def _follow(self, event: int, past: Sequence[int], views: int, before: Sequence[list[int]]) -> None:
        """What follows from what must come before this event is added to `before`.

        Only the latest writes need be looked at: what follows from the others follows from these.
        """
        source = self.source[event]
        if views >> event & 1:
            overwritten = self.rivals[event] & past[event] & ~past[source] & ~(1 << source)
            before[source].extend(_latest(overwritten, past))
        elif source == event:
            for older in _latest(self.rivals[event] & past[event], past):
                before[event].extend(_members(self.readers[older] & views & ~past[event]))


def _members(events: int) -> Iterator[int]:
    """The numbers of the events of a set, the last first."""
    while events:
        last = events.bit_length() - 1
        yield last
        events &= ~(1 << last)


def _latest(events: int, past: Sequence[int]) -> Iterator[int]:
    """Some events of a set such that all others come before them."""
    while events:
        last = events.bit_length() - 1
        yield last
        events &= ~(past[last] | 1 << last)


def _happened(operations: Sequence[Operation]) -> Iterator[Operation]:
    """With the unknown writes: one that nobody read can always come last, as if it hadn't happened."""
    for operation in operations:
        if operation.outcome == "ok" or (operation.op, operation.outcome) == ("write", "unknown"):
            yield operation


def _unrecorded(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The writes of the initial values, and of what was read but is not among the operations."""
    written = {(write.key, write.value) for write in writes(operations)}
    initial = [(operation.key, None) for operation in operations]
    read = [(read.key, read.value) for read in answered_reads(operations)]
    for key, value in dict.fromkeys([*initial, *read]):
        if (key, value) not in written:
            yield Operation("nobody", "write", key, value, 0, 0, "ok")


def _causes(
    events: Sequence[Operation],
    recorded: int,
    source: Sequence[int],
    places: Mapping[tuple[str, Value], int],
) -> Iterator[tuple[int, ...]]:
    """Of each event: what its process had done before, and what it read. Initial values come first."""
    latest: dict[str, int] = {}
    for number, event in enumerate(events):
        first = source[number] if event.op == "read" else places[event.key, None]
        causes = [first] if first != number else []
        if number >= recorded and event.process in latest:
            causes.append(latest[event.process])
        if number >= recorded and event.outcome == "ok":
            latest[event.process] = number
        yield tuple(causes)
