"""Sequential consistency: one order of everything, in which each process's own order is kept.

"The result of any execution is the same as if the (read and write) operations by all processes on the data
store were executed in some sequential order and the operations of each individual process appear in this
sequence in the order specified by its program" (Lamport, IEEE Trans. Computers 1979; van Steen & Tanenbaum,
section 7.2). No clock counts, and that is the difference to linearizability: what it costs to keep the clock
is in Attiya & Welch (ACM TOCS 1994).

To decide it is NP-complete, even if it is known which read read from which write (Gibbons & Korach, SIAM J.
Comput. 1997). But that takes several keys. What must come before what (app.checker.relations) refutes many
histories in polynomial time, and of one key it refutes all that are to be refuted: all operations on one
value must stand together there, and where nothing has to come before itself the values can be put in an
order. Of several keys an order is looked for, and after so many steps it's undecided.

Unlike linearizability it isn't local: two keys may each be sequential, but not the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.checker.history import Operation
from app.checker.relations import Relations
from app.checker.verdict import Verdict, violated
from app.checker.witness import fewest
from app.checker.wording import Wording, counted

BUDGET = 20_000  # steps: about a second
_LESS = 1_000  # steps for each part of a history that is tried as the witness


def not_sequential(operations: Sequence[Operation], say: Wording, budget: int = BUDGET) -> Verdict | None:
    """Why operations, in the order of invocation, are not sequential, or undecided; None if they are."""
    outcome = _decide(operations, budget)
    if outcome == "undecided":
        steps = counted(budget, "step")
        return Verdict("in doubt", f"in {steps} no order was found that explains what was read")
    if outcome == "held":
        return None
    needed = 0 if _decide(operations, 0) == "violated" else min(budget, _LESS)
    guilty = fewest(operations, lambda part: _decide(part, needed) == "violated")
    return violated(f"{say.told(guilty)}: no single order explains what was read", *guilty)


def _decide(operations: Sequence[Operation], budget: int) -> Literal["held", "violated", "undecided"]:
    """Refuted by what must come before what, which takes no step, or searched."""
    relations = Relations.of(operations)
    past = relations.forced_order(relations.reads_of())
    if past is None:
        return "violated"
    if len({event.key for event in relations.events}) <= 1:
        return "held"
    return _Search(relations, past).decide(budget)


@dataclass(frozen=True, slots=True)
class _State:
    """How far an order has come: it is the same for all orders that came here, so one visit is enough."""

    done: int  # the events in it
    current: tuple[int, ...]  # of each key: the last write


class _Search:
    """Looks for an order, depth first, what began first first: real systems seldom stray far from that.

    A write may come next if nothing that must come before it is missing, and if nobody still has to read
    what it replaces. So what a read must return is there as long as it waits, and since a read changes
    nothing, it is put in as soon as nothing is missing before it.
    """

    def __init__(self, relations: Relations, past: Sequence[int]) -> None:
        self._relations = relations
        self._past = past
        keys = list(dict.fromkeys(event.key for event in relations.events))
        self._key = [keys.index(event.key) for event in relations.events]
        self._lanes = list(_lanes(relations))
        self._start = _State(0, (-1,) * len(keys))

    def decide(self, budget: int) -> Literal["held", "violated", "undecided"]:
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
            missing = self._relations.readers[replaced] & ~state.done if replaced >= 0 else 0
            if self._relations.events[event].op == "write" and not missing:
                yield event

    def _with(self, state: _State, write: int) -> _State:
        current = list(state.current)
        current[self._key[write]] = write
        done = state.done | 1 << write
        while reads := [event for event in self._heads(done) if self._relations.events[event].op == "read"]:
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


def _lanes(relations: Relations) -> Iterator[int]:
    """Sets of events of which each comes after those with a smaller number."""
    lanes: dict[str, int] = {}
    for number, event in enumerate(relations.events):
        if number < relations.recorded or event.outcome != "ok":
            yield 1 << number  # nothing of its process has to come after it
        else:
            lanes[event.process] = lanes.get(event.process, 0) | 1 << number
    yield from lanes.values()
