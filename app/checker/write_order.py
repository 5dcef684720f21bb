"""Monotonic writes and writes follow reads: the order in which the writes themselves were applied.

Of a write W2 both demand that another write W1 is at every server that has W2, and was applied there before
it (Terry et al., PDIS 1994; in Viotti & Vukolić, ACM Computing Surveys 2016, that it comes before it in the
order of all writes). W1 *leads* W2:

monotonic writes      if the process that wrote W2 had completed W1 before
writes follow reads   if the process that wrote W2 had read W1 before

As the order is what is asked for, it can't be taken from the clock (as app.checker.sessions does). And a
single read shows nothing of it: on one register W2 hides whether W1 is there. What is left to judge by is

the end          Terry et al. rely on it that in the end every server holds every write. So if, when all is
                 quiet, all who still look read W1, it was applied last: violated
the first sight  if some process saw W2 first and then W1, either the writes were applied in the wrong order
                 or this reader was sent to an old copy: undecided, nobody outside can tell

and where neither happened, it held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.checker.convergence import Ending
from app.checker.history import Operation, Value
from app.checker.register import Register, StaleRead
from app.checker.sessions import Sessions
from app.checker.verdict import Examined, Verdict, violated
from app.checker.wording import Wording

Leads: TypeAlias = Mapping[Value, tuple[int, Operation]]  # of each value, where in a session it was met first


def monotonic_writes(register: Register, sessions: Sessions, ending: Ending, say: Wording) -> Examined:
    """Writes of one process are applied in its order. Asked of all who read one that was led by another."""
    return _examined(register, sessions, ending, say, _written)


def writes_follow_reads(register: Register, sessions: Sessions, ending: Ending, say: Wording) -> Examined:
    """A write is applied after what its process had read. Asked of all who read one that followed a read."""
    return _examined(register, sessions, ending, say, _read)


def _written(session: Sequence[Operation]) -> Leads:
    """What was completed: an unknown write is followed by nothing, for it may come later."""
    done = [(n, step) for n, step in enumerate(session) if step.op == "write" and step.outcome == "ok"]
    return {step.value: (n, step) for n, step in done}


def _read(session: Sequence[Operation]) -> Leads:
    first: dict[Value, tuple[int, Operation]] = {}
    for number, step in enumerate(session):
        if step.op == "read" and step.value is not None:
            first.setdefault(step.value, (number, step))
    return first


def _examined(
    register: Register,
    sessions: Sessions,
    ending: Ending,
    say: Wording,
    leads: Callable[[Sequence[Operation]], Leads],
) -> Examined:
    order = _Order(
        {process: leads(session) for process, session in sessions.items()},
        {
            step.value: (process, number)
            for process, session in sessions.items()
            for number, step in enumerate(session)
            if step.op == "write"
        },
    )
    asked = sum(order.is_led(read.value) for read in register.reads)
    if impossible := tuple(register.impossible_reads(say)):
        return Examined(asked, impossible)
    wrong = [sight for session in sessions.values() for sight in _wrong_sights(register, session, order)]
    complaints = [*_wrong_ends(register, ending, order, say), *(_doubt(sight, say) for sight in wrong)]
    return Examined(asked, tuple(complaints))


@dataclass(frozen=True, slots=True)
class _Order:
    """Which writes lead which."""

    leads: Mapping[str, Leads]  # what leads the writes of a process that come after it
    places: Mapping[Value, tuple[str, int]]  # of each written value: who wrote it, and where in the session

    def why(self, one: Value, other: Value) -> Operation | None:
        """What the writer of the other value had done before with the one, if it leads the other."""
        writer, place = self.places[other]
        met, step = self.leads[writer].get(one, (place, None))
        return step if met < place else None

    def is_led(self, value: Value) -> bool:
        if value not in self.places:
            return False
        writer, place = self.places[value]
        return any(met < place for met, _ in self.leads[writer].values())


def _wrong_sights(register: Register, session: Sequence[Operation], order: _Order) -> Iterator[StaleRead]:
    """Where a process saw a write for the first time after one that it leads."""
    seen: set[Value] = {None}
    furthest: dict[str, Operation] = {}  # of each writer: its latest write that was seen, where it was seen
    for step in session:
        if step.value in seen or step.outcome != "ok":
            continue
        seen.add(step.value)
        for sight in furthest.values():
            lead = order.why(step.value, sight.value)
            if lead is not None:
                yield StaleRead(lead, register.sources[sight.value], sight, step)
        writer, place = order.places[step.value]
        if writer not in furthest or order.places[furthest[writer].value][1] < place:
            furthest[writer] = step


def _wrong_ends(register: Register, ending: Ending, order: _Order, say: Wording) -> Iterator[Verdict]:
    """Where everybody ended with a write that leads another."""
    end = ending.agreed
    if end is None:
        return
    for write in register.happened():
        lead = order.why(end.value, write.value)
        if lead is not None:
            stale = StaleRead(lead, write, register.proof(write), end)
            yield violated(f"in the end {stale.sentence(say)}", *stale.witness)


def _doubt(sight: StaleRead, say: Wording) -> Verdict:
    either = (
        f"either {sight.read.process} was sent to an old copy, or the two were written in the wrong order"
    )
    return Verdict("in doubt", f"{sight.sentence(say)}: {either}", sight.witness)
