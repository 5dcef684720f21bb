"""When each operation can have taken effect: a linearization of one register, found and not only promised.

app.checker.linearizability says that an order exists; here is one. In it the operations on a value stand
together, the write first (see there for zones). Of two values A stands before B if A's first end comes
before B's last beginning, for then some operation on A precedes one on B. Where zones don't contradict each
other there is always a value that may come next: of those left, the one whose last beginning comes first, if
that is not after the first of all first ends; else the one whose first end comes first. For if neither could
come next, the latter would have to stand before another, and this other before it: a contradiction.

Given the order, an operation can't take effect before anything that stands before it begins, nor after
anything that stands after it has ended. Every moment between is as good, so they are spread out, to be seen.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.checker.history import History, Operation, Value, answered_reads
from app.checker.linearizability import not_linearizable
from app.checker.register import Register, is_initial, sources_of
from app.checker.verdict import Verdict
from app.checker.wording import Wording

# So often is what can't be ordered looked for anew; who needs more is far from linearizable.
_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Effect:
    """An operation, and a moment between its two ends at which it can have taken effect."""

    operation: Operation
    at_ns: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an order explains of a register's history, and what it can't.

    Attributes:
        effects: in their order; empty if none was found.
        misfits: the reads that had to be left out, for no moment fits them.
        complaint: why not everything could be ordered.
    """

    effects: tuple[Effect, ...]
    misfits: tuple[Operation, ...] = ()
    complaint: Verdict | None = None


def linearization(operations: Iterable[Operation]) -> list[Effect] | None:
    """The operations on one key in an order that explains every read; None if there is none.

    What was refused did not happen, an unknown write that nobody read need not have, and a read that returned
    nothing tells nothing: these are left out. HistoryError if a value was written twice.
    """
    operations = History.of(operations).operations
    if not operations:
        return []
    zones = _zones(operations)
    if zones is None:
        return None
    ordered = [operation for zone in _in_order(zones) for operation in zone.operations]
    return _spread([operation for operation in ordered if not is_initial(operation)])


def explain(operations: Iterable[Operation], say: Wording) -> Explanation:
    """The order of one key's operations; where there is none, of all but the reads that spoil it."""
    left = list(History.of(operations).operations)
    complaint = not_linearizable(left, say)
    misfits: list[Operation] = []
    for _ in range(_ATTEMPTS):
        effects = linearization(left)
        if effects is not None:
            return Explanation(tuple(effects), tuple(misfits), complaint)
        spoilers = _spoilers(left, say)
        misfits += sorted(spoilers, key=lambda read: read.invoked_ns)
        left = [operation for operation in left if operation not in spoilers]
    return Explanation((), (), complaint)


@dataclass(frozen=True, slots=True)
class _Zone:
    operations: Sequence[Operation]  # on one value: its write, then its reads
    first_end: float
    last_beginning: float


def _zones(operations: Sequence[Operation]) -> list[_Zone] | None:
    """Of every value that was there for certain; None if a read returned what wasn't."""
    sources = sources_of(operations)
    zones: dict[Value, list[Operation]] = {
        value: [write] for value, write in sources.items() if write.outcome == "ok"
    }
    for read in answered_reads(operations):
        source = sources.get(read.value)
        if source is None or source.outcome == "refused":
            return None
        zones.setdefault(read.value, [source]).append(read)
    return [
        _Zone(zone, min(one.ended_ns for one in zone), max(one.invoked_ns for one in zone))
        for zone in zones.values()
    ]


def _in_order(zones: Sequence[_Zone]) -> list[_Zone]:
    """One that contradicts no two of them, if there is one."""
    by_end = iter(sorted(zones, key=lambda zone: zone.first_end))
    by_beginning = iter(sorted(zones, key=lambda zone: zone.last_beginning))
    ordered: list[_Zone] = []
    taken: set[int] = set()
    ending, beginning = next(by_end), next(by_beginning)
    while len(ordered) < len(zones):
        while id(ending) in taken:
            ending = next(by_end)
        while id(beginning) in taken:
            beginning = next(by_beginning)
        chosen = beginning if beginning.last_beginning <= ending.first_end else ending
        ordered.append(chosen)
        taken.add(id(chosen))
    return ordered


def _spread(ordered: Sequence[Operation]) -> list[Effect] | None:
    """A moment for each, in this order; None if one of them had ended before one further ahead began."""
    known = [operation.invoked_ns for operation in ordered]
    known += [int(operation.ended_ns) for operation in ordered if not math.isinf(operation.ended_ns)]
    end = max(known, default=0)
    earliest = list(accumulate((operation.invoked_ns for operation in ordered), max))
    ends = [min(operation.ended_ns, end) for operation in ordered]
    latest = [int(moment) for moment in accumulate(reversed(ends), min)][::-1]
    effects: list[Effect] = []
    now = 0
    for place, operation in enumerate(ordered):
        if earliest[place] > latest[place]:
            return None
        now = max(now, earliest[place]) if effects else earliest[place]
        # Those behind it that may have to share the same time get their part of it.
        sharing = bisect_left(earliest, latest[place], lo=place) - place
        now += (latest[place] - now) // (1 + max(sharing, 1))
        effects.append(Effect(operation, now))
    return effects


def _spoilers(operations: Sequence[Operation], say: Wording) -> set[Operation]:
    """Reads without which there may be an order: all that are plainly impossible or stale, else one."""
    register = Register.of(operations)
    plain = {read for read in register.reads if _is_impossible(read, register)} or _stale(register)
    if plain:
        return plain
    complaint = not_linearizable(operations, say)
    witness = complaint.witness if complaint else ()
    return set([one for one in witness if one.op == "read"][-1:])


def _is_impossible(read: Operation, register: Register) -> bool:
    source = register.sources.get(read.value)
    return source is None or source.outcome == "refused" or read.precedes(source)


def _stale(register: Register) -> set[Operation]:
    """The reads of a value that is older than one that was there before they began."""
    seen = sorted(
        (shown.ended_ns, register.sources[value].invoked_ns)
        for value, shown in register.shown.items()
        if register.sources[value].outcome != "refused"
    )
    ends = [end for end, _ in seen]
    newest = list(accumulate((began for _, began in seen), max))
    stale = set()
    for read in register.reads:
        known = bisect_left(ends, read.invoked_ns)
        if known and register.shown[read.value].ended_ns < newest[known - 1]:
            stale.add(read)
    return stale
