"""One order for the reads of all processes on several keys: searched for, as no rule is known to find it.

Whether there is one is NP-complete, even if it is known which read read from which write (Gibbons & Korach,
SIAM J. Comput. 1997). What must come before what (app.checker.orders) refutes many histories without any
search, and where each key's order of writes is known the first attempt succeeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.checker.orders import Events


@dataclass(frozen=True, slots=True)
class _State:
    """How far an order has come: it is the same for all orders that came here, so one visit is enough."""

    done: int  # the events in it
    current: tuple[int, ...]  # of each key: the last write


class Search:
    """Looks for an order, depth first, what began first first: real systems seldom stray far from that.

    A write may come next if nothing that must come before it is missing, and if nobody still has to read
    what it replaces. So what a read must return is there as long as it waits, and since a read changes
    nothing, it is put in as soon as nothing is missing before it.
    """

    def __init__(self, events: Events, past: Sequence[int]) -> None:
        self._events = events
        self._past = past
        keys = list(dict.fromkeys(event.key for event in events.events))
        self._key = [keys.index(event.key) for event in events.events]
        self._lanes = list(_lanes(events))
        self._start = _State(0, (-1,) * len(keys))

    def decide(self, budget: int) -> Literal["held", "violated", "undecided"]:
        """In at most this many steps, each of which puts a write and the reads after it into the order."""
        everything = (1 << len(self._past)) - 1
        waiting, visited = [self._start], {self._start}
        for _ in range(budget):
            if not waiting:
                return "violated"
            state = waiting.pop()
            if state.done == everything:
                return "held"
            for write in sorted(self._next_writes(state), reverse=True):
                after = self._with(state, write)
                if after not in visited:
                    visited.add(after)
                    waiting.append(after)
        return "undecided"

    def _next_writes(self, state: _State) -> Iterator[int]:
        for event in self._heads(state.done):
            replaced = state.current[self._key[event]]
            missing = self._events.readers[replaced] & ~state.done if replaced >= 0 else 0
            if self._events.events[event].op == "write" and not missing:
                yield event

    def _with(self, state: _State, write: int) -> _State:
        current = list(state.current)
        current[self._key[write]] = write
        done = state.done | 1 << write
        while reads := [event for event in self._heads(done) if self._events.events[event].op == "read"]:
            for read in reads:
                done |= 1 << read
        return _State(done, tuple(current))

    def _heads(self, done: int) -> Iterator[int]:
        """Of each lane the first event that is left, if nothing that must come before it is missing."""
        for lane in self._lanes:
            left = lane & ~done
            head = (left & -left).bit_length() - 1
            if left and not self._past[head] & ~done:
                yield head


def _lanes(events: Events) -> Iterator[int]:
    """Sets of events of which each comes after those with a smaller number: a process's, or a single one."""
    alone = (1 << len(events.events)) - 1
    for session in events.sessions:
        lane = sum(1 << number for number in session if events.events[number].outcome == "ok")
        alone &= ~lane
        yield lane
    while alone:
        yield alone & -alone
        alone &= alone - 1
