"""Is there an order that explains what was read? The question behind every model, asked of numbered events.

An order puts the writes one after the other (their *arbitration*) and each read somewhere among them: the
writes before it are those that the read *sees*. It must return the last of these that concerns its key. A
model (app.checker.models) says what must come before what, and whose reads the order has to explain. From
that more follows. For a read r of the write s, and another write w of the same key:

- if w comes before r, it comes before s, or r would have returned it (`w -> s`)
- if w comes after s, it comes after r, for the same reason (`r -> w`)

`closure` follows this until nothing new turns up (Gibbons & Korach, SIAM J. Comput. 1997; Zennou et al.,
"Gradual consistency checking", CAV 2019). If some event would have to come before itself, there is no order.
If none would, there is one whenever

there is one key              all events on one value can stand together, and the values one after the other
the reads are one process's   which has them in its order: put before each read what has to be there, and no
                              more, in an order that agrees with the closure (Bouajjani et al., POPL 2017)
each key's writes are ordered by what must come before what: then so is every read between two of them

and else it must be searched for (app.checker.search), which is NP-complete. A pass takes O(e n / 64) steps
for n events and e pairs of them, and few passes are needed: of 6,000 operations a model takes a second.
The second rule refutes no more than the first but where several processes read several keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from app.checker.history import Operation, Value, answered_reads, writes


@dataclass(frozen=True, slots=True)
class Events:
    """Operations that happened, numbered. A set of events is an int with a bit for each.

    A read whose write isn't among the operations still has one: an event that nobody recorded, and that no
    process did. So a part of a history can be judged, and the initial values are writes like any others.
    """

    events: tuple[Operation, ...]
    sessions: tuple[tuple[int, ...], ...]  # what each process did, one thing after the other
    places: Mapping[tuple[str, Value], int]  # the write of each value of a key
    source: tuple[int, ...]  # of each event: the write of its value, of a write itself
    rivals: tuple[int, ...]  # of each event: all writes of its key
    readers: tuple[int, ...]  # of each event: all reads of what it wrote

    @classmethod
    def of(cls, operations: Sequence[Operation]) -> Events:
        """Of operations in the order of their invocation, without those that didn't happen."""
        happened = list(_happened(operations))
        events = [*_unrecorded(happened), *happened]
        sessions: dict[str, list[int]] = {}
        for number, event in enumerate(happened, len(events) - len(happened)):
            sessions.setdefault(event.process, []).append(number)
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
            sessions=tuple(map(tuple, sessions.values())),
            places=places,
            source=tuple(source),
            rivals=tuple(rivals[event.key] for event in events),
            readers=tuple(readers),
        )

    def __getitem__(self, number: int) -> Operation:
        return self.events[number]

    def reads_of(self, process: str | None = None) -> int:
        """The reads of a process, or of all."""
        chosen = 0
        for number, event in enumerate(self.events):
            if event.op == "read" and process in (None, event.process):
                chosen |= 1 << number
        return chosen

    def given(self) -> Iterator[tuple[int, int]]:
        """What comes before what in any order: a write before its reads, the initial value before all."""
        for number, event in enumerate(self.events):
            first = self.source[number] if event.op == "read" else self.places[event.key, None]
            if first != number:
                yield first, number

    def closure(self, pairs: Iterable[tuple[int, int]], explained: int) -> list[int] | None:
        """For each event all that must come before it, if these pairs do, and these reads are explained.

        None if an event would have to come before itself.
        """
        before: list[list[int]] = [[] for _ in self.events]
        for earlier, later in pairs:
            before[later].append(earlier)
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
                self._follow(event, past, explained, before)
            if sum(map(len, before)) == known:
                return past

    def _follow(self, event: int, past: Sequence[int], explained: int, before: Sequence[list[int]]) -> None:
        """What follows from what must come before this event is added to `before`.

        Only the latest writes need be looked at: what follows from the others follows from these.
        """
        source = self.source[event]
        if explained >> event & 1:
            overwritten = self.rivals[event] & past[event] & ~past[source] & ~(1 << source)
            before[source].extend(_latest(overwritten, past))
        elif source == event:
            for older in _latest(self.rivals[event] & past[event], past):
                before[event].extend(_members(self.readers[older] & explained & ~past[event]))


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
