"""Each model by its definition: try every order, every visible set, every choice of the unknown writes.

Exponential, for small histories, and as different from app.checker as it can be: it shares no rule with it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, permutations

from app.checker.history import Operation, Value, Version

Operations = Sequence[Operation]
Before = Callable[[int, int], bool]


def outcomes(operations: Operations) -> Iterator[list[Operation]]:
    """What may have happened: each unknown write did or didn't; what was refused or not answered did not."""
    sure = [one for one in operations if one.outcome == "ok"]
    unknown = [one for one in operations if (one.op, one.outcome) == ("write", "unknown")]
    for chosen in subsets(unknown):
        yield [one for one in operations if one in sure or one in chosen]


def subsets(items: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def in_process_order(happened: Operations, one: int, other: int) -> bool:
    """An unknown write never ended for its process, so nothing comes after it."""
    a, b = happened[one], happened[other]
    return a.process == b.process and one < other and a.outcome == "ok"


def recorded(happened: Operations, one: int, other: int) -> bool:
    """Whether the system itself put the one write before the other."""
    a, b = happened[one], happened[other]
    if (a.op, b.op) != ("write", "write") or a.key != b.key:
        return False
    first, second = (_version(happened, write) for write in (a, b))
    return first is not None and second is not None and first < second


def _version(happened: Operations, write: Operation) -> Version | None:
    """The least that the write or a read of its value was given."""
    same = [event for event in happened if (event.key, event.value) == (write.key, write.value)]
    return min((event.version for event in same if event.version), default=None)


# --- one order for all: linearizable and sequential ------------------------------------------------------


def is_linearizable(operations: Operations) -> bool:
    def before(happened: Operations, a: int, b: int) -> bool:
        return happened[a].precedes(happened[b])

    return any(_one_order(happened, before) for happened in outcomes(operations))


def is_sequential(operations: Operations) -> bool:
    return any(_one_order(happened, in_process_order) for happened in outcomes(operations))


def _one_order(happened: Operations, keeps: Callable[[Operations, int, int], bool]) -> bool:
    everything = frozenset(range(len(happened)))
    return explained(happened, everything, lambda a, b: keeps(happened, a, b) or recorded(happened, a, b), {})


def explained(happened: Operations, left: frozenset[int], before: Before, store: dict[str, Value]) -> bool:
    """Whether what is left can go on, one by one, so that each read returns what was written last."""
    if not left:
        return True
    for one in left:
        if any(before(other, one) for other in left if other != one) or before(one, one):
            continue
        event = happened[one]
        if event.op == "write" and explained(
            happened, left - {one}, before, {**store, event.key: event.value}
        ):
            return True
        if event.op == "read" and store.get(event.key) == event.value:
            # taking a read when it can be taken never hurts
            return explained(happened, left - {one}, before, store)
    return False


# --- an order for each process: causal memory (Ahamad et al. 1995) --------------------------------------


def is_causal(operations: Operations) -> bool:
    return any(_is_causal(happened) for happened in outcomes(operations))


def _is_causal(happened: Operations) -> bool:
    causes = causality(happened)
    for process in {event.process for event in happened}:
        seen = frozenset(n for n, one in enumerate(happened) if one.op == "write" or one.process == process)
        if not explained(happened, seen, lambda a, b: (a, b) in causes, {}):
            return False
    return all((one, one) not in causes for one in range(len(happened)))


def causality(happened: Operations) -> set[tuple[int, int]]:
    """The pairs of operations of which the first may be a cause of the second."""
    numbers = range(len(happened))
    pairs = {
        (a, b)
        for a in numbers
        for b in numbers
        if in_process_order(happened, a, b) or recorded(happened, a, b)
    }
    for a in numbers:
        for b in numbers:
            one, other = happened[a], happened[b]
            same = (one.key, one.value) == (other.key, other.value)
            if one.op == "write" and other.op == "read" and same:
                pairs.add((a, b))
    for via in numbers:
        pairs |= {(a, b) for a in numbers for b in numbers if (a, via) in pairs and (via, b) in pairs}
    return pairs


# --- by visibility and arbitration, one key (Viotti & Vukolić 2016) --------------------------------------


@dataclass(frozen=True)
class Axioms:
    """What the order of the writes, and the set of writes that each read of a client sees, must keep."""

    monotonic_reads: bool = False  # vis; so(read, read) in vis
    monotonic_writes: bool = False  # so(write, write) in ar
    own_writes: bool = False  # so(write, read) in vis
    writes_follow_reads: bool = False  # vis; so(read, write) in ar
    clock: bool = False  # what the clock shows to be older is so in ar, and nobody sees what is yet to begin


AXIOMS = {
    "monotonic reads": Axioms(monotonic_reads=True),
    "monotonic writes": Axioms(monotonic_writes=True),
    "read your writes": Axioms(own_writes=True),
    "writes follow reads": Axioms(writes_follow_reads=True),
    "causal": Axioms(True, True, True, True),
    "real-time causal": Axioms(True, True, True, True, True),
}


def keeps(operations: Operations, axioms: Axioms) -> bool:
    """Whether each client has a visibility and an arbitration that keep all of these."""
    return any(
        all(_is_explained(happened, client, axioms) for client in {event.process for event in operations})
        for happened in outcomes(operations)
    )


def _is_explained(happened: Operations, client: str, axioms: Axioms) -> bool:
    def first(one: Operation, other: Operation) -> bool:
        return (
            recorded(happened, happened.index(one), happened.index(other))
            or (axioms.clock and by_clock(happened, one, other))
            or (axioms.monotonic_writes and led(happened, "write", one, other))
            or (axioms.writes_follow_reads and led(happened, "read", one, other))
        )

    writes = [event for event in happened if event.op == "write"]
    session = [event for event in happened if event.process == client]
    return not any(first(one, one) for one in writes) and any(
        _sees(session, order, axioms, frozenset())
        for order in permutations(writes)
        if not any(first(later, earlier) for earlier, later in combinations(order, 2))
    )


def by_clock(happened: Operations, one: Operation, other: Operation) -> bool:
    """Whether the write had ended, or had been read, before the other began."""
    return any(event.ended_ns < other.invoked_ns for event in happened if event.value == one.value)


def led(happened: Operations, by: str, one: Operation, other: Operation) -> bool:
    """Whether the writer of the other had written the one before, or had read it, and so seen it."""
    place = happened.index(other)
    return any(
        event.op == by and in_process_order(happened, number, place)
        for number, event in enumerate(happened)
        if event.value == one.value
    )


def _sees(session: Operations, order: Operations, axioms: Axioms, must: frozenset[Operation]) -> bool:
    """Whether each read of the session can see writes of which the last in this order is what it returned."""
    if not session:
        return True
    step, *rest = session
    if step.op == "write":
        own = {step} if axioms.own_writes and step.outcome == "ok" else set()
        return _sees(rest, order, axioms, must | own)
    there = [write for write in order if not axioms.clock or write.invoked_ns <= step.ended_ns]
    for visible in subsets(there):
        returned = visible[-1].value if visible else None
        if must <= set(visible) and returned == step.value:
            kept = must | set(visible) if axioms.monotonic_reads else must
            if _sees(rest, order, axioms, kept):
                return True
    return False


def _is_impossible(read: Operation, operations: Operations) -> bool:
    sources = [event for event in operations if event.op == "write" and event.value == read.value]
    return read.value is not None and not any(
        source.outcome != "refused" and source.invoked_ns <= read.ended_ns for source in sources
    )


# --- the end --------------------------------------------------------------------------------------------


def late_reads(operations: Operations, quiet_s: float) -> tuple[list[Operation], list[Operation]]:
    """The last read of each process: those after the quiet time, and the others."""
    reads = [event for event in operations if event.op == "read" and event.outcome == "ok"]
    ends = [read for n, read in enumerate(reads) if all(r.process != read.process for r in reads[n + 1 :])]
    changes = [-math.inf]
    for write in operations:
        returned = [read.ended_ns for read in reads if read.value == write.value]
        if (write.op, write.outcome) == ("write", "ok"):
            changes.append(write.ended_ns)
        elif (write.op, write.outcome) == ("write", "unknown") and returned:
            changes.append(min(returned))
    late = [end for end in ends if end.invoked_ns >= max(changes) + quiet_s * 1e9]
    return late, [end for end in ends if end not in late]


def convergence(operations: Operations, quiet_s: float) -> str:
    reads = [event for event in operations if event.op == "read" and event.outcome == "ok"]
    late, early = late_reads(operations, quiet_s)
    if any(_is_impossible(read, operations) for read in reads) or len({end.value for end in late}) > 1:
        return "violated"
    if late:
        seen = {read.value for read in reads}
        happened = [
            write
            for write in operations
            if write.op == "write"
            and (write.outcome == "ok" or (write.outcome == "unknown" and write.value in seen))
        ]
        final = [write for write in happened if write.value == late[0].value]
        if not final and happened:
            return "violated"
        if any(by_clock([*happened, *reads], last, write) for last in final for write in happened):
            return "violated"
    return "undecided" if early or not reads else "held"
