"""Each model by its definition: try every order, every visible set, every choice of the unknown writes.

Exponential, for small histories, and as different from app.checker as it can be: it shares no rule with it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, permutations

from app.checker.history import Operation, Value

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


# --- one order for all: sequential ----------------------------------------------------------------------


def is_sequential(operations: Operations) -> bool:
    def possible(happened: Operations) -> bool:
        everything = frozenset(range(len(happened)))
        return explained(happened, everything, lambda a, b: in_process_order(happened, a, b), {})

    return any(possible(happened) for happened in outcomes(operations))


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
    pairs = {(a, b) for a in numbers for b in numbers if in_process_order(happened, a, b)}
    for a in numbers:
        for b in numbers:
            one, other = happened[a], happened[b]
            same = (one.key, one.value) == (other.key, other.value)
            if one.op == "write" and other.op == "read" and same:
                pairs.add((a, b))
    for via in numbers:
        pairs |= {(a, b) for a in numbers for b in numbers if (a, via) in pairs and (via, b) in pairs}
    return pairs


# --- an order and visible writes for each client: the session guarantees (Viotti & Vukolić 2016) ---------


@dataclass(frozen=True)
class Axioms:
    """What an explanation of one client's reads must keep."""

    monotonic_reads: bool
    own_writes: bool
    clock: bool  # the order of the writes agrees with the clock, and nobody sees what is still to begin
    causes: bool  # the order of the writes keeps monotonic writes and writes follow reads


def keeps_monotonic_reads(operations: Operations) -> bool:
    """Of one key."""
    return each_client_is_explained(operations, Axioms(True, False, True, False))


def keeps_read_your_writes(operations: Operations) -> bool:
    """Of one key."""
    return each_client_is_explained(operations, Axioms(False, True, True, False))


def keeps_all_four_without_a_clock(operations: Operations) -> bool:
    """Of one key: one explanation for each client, that keeps all four."""
    return each_client_is_explained(operations, Axioms(True, True, False, True))


def each_client_is_explained(operations: Operations, axioms: Axioms) -> bool:
    return any(
        all(_is_explained(happened, client, axioms) for client in {event.process for event in operations})
        for happened in outcomes(operations)
    )


def _is_explained(happened: Operations, client: str, axioms: Axioms) -> bool:
    def first(one: Operation, other: Operation) -> bool:
        by = (axioms.clock and by_clock, axioms.causes and by_cause)
        return any(known and known(happened, one, other) for known in by)

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


def by_cause(happened: Operations, one: Operation, other: Operation) -> bool:
    """Whether the writer of the other had written the one before (MW), or had read it before (WFR)."""
    place = happened.index(other)
    return any(
        in_process_order(happened, number, place)
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


# --- the order of the writes: MW and WFR ------------------------------------------------------------------


def monotonic_writes(operations: Operations, late: Operations) -> str:
    """What can be said of them, if these reads came late enough to see every write."""
    return _write_order(operations, late, "write")


def writes_follow_reads(operations: Operations, late: Operations) -> str:
    return _write_order(operations, late, "read")


def _write_order(operations: Operations, late: Operations, lead: str) -> str:
    values = {event.value for event in operations if event.op == "read" and event.outcome == "ok"}
    happened = [
        event
        for event in operations
        if event.outcome == "ok"
        or ((event.op, event.outcome) == ("write", "unknown") and event.value in values)
    ]
    if any(_is_impossible(read, operations) for read in happened if read.op == "read"):
        return "violated"

    def leads(one: Value, other: Operation) -> bool:
        place = happened.index(other)
        return any(
            event.op == lead and event.value == one and in_process_order(happened, number, place)
            for number, event in enumerate(happened)
        )

    writes = [event for event in happened if event.op == "write"]
    ends = {read.value for read in late}
    if len(ends) == 1 and None not in ends:
        orders = [order for order in permutations(writes) if {order[-1].value} == ends]
        if all(any(leads(b.value, a) for a, b in combinations(order, 2)) for order in orders):
            return "violated"
    for client in {event.process for event in happened}:
        session = [event for event in happened if event.process == client and event.outcome == "ok"]
        sights = list(dict.fromkeys(event.value for event in session if event.value is not None))
        for first, second in combinations(sights, 2):
            write = next(write for write in writes if write.value == first)
            if leads(second, write):
                return "undecided"
    return "held"


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
