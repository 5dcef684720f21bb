"""Causal consistency: every process sees causes before their effects.

"Writes that are potentially causally related must be seen by all processes in the same order. Concurrent
writes may be seen in a different order on different machines" (van Steen & Tanenbaum, Distributed Systems,
section 7.2, after Hutto & Ahamad, ICDCS 1990). Made exact it is causal memory (Ahamad et al., "Causal
memory", Distributed Computing 1995): for each process there is an order of all writes and its own reads that
keeps causality and in which each read returns the last write before it. Two processes may have two orders.

Of the three models that go by this name this is CM of Bouajjani, Enea, Guerraoui & Hamza ("On verifying
causal consistency", POPL 2017). The weakest, CC, lets a process change its mind about the order of concurrent
writes from one read to the next; CCv wants one order of the writes for all processes, which the textbook
doesn't. For unique values the paper proves a history CM if and only if it shows none of these bad patterns:

ThinAirRead       a read of what nobody wrote
CyclicCO          an operation that would be its own cause
WriteCOInitRead   a read of the initial value, though a write of that key was among its causes
WriteCORead       a read of a write that another write had replaced, among its causes
WriteHBInitRead   the same two, where the process has to have seen more than causality tells: a write w that
CyclicHB          must come before its read of another write s of that key must come before s, and so on

Each but the first is an operation that would have to come before itself in some process's order, which
app.checker.relations finds in polynomial time.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.checker.history import Operation
from app.checker.relations import Relations
from app.checker.verdict import Verdict, violated
from app.checker.witness import fewest
from app.checker.wording import Wording


def not_causal(operations: Sequence[Operation], say: Wording) -> Verdict | None:
    """Why the operations, in the order of their invocation, are not causal; None if they are."""
    if _misled(operations) is None:
        return None
    guilty = fewest(operations, lambda part: _misled(part) is not None)
    explains = f"no order that keeps causes before effects explains what {_misled(guilty)} read"
    return violated(f"{say.told(guilty)}: {explains}", *guilty)


def _misled(operations: Sequence[Operation]) -> str | None:
    """A process whose reads no order explains; every read must have been written by somebody."""
    relations = Relations.of(operations)
    if relations.forced_order(relations.reads_of()) is not None:
        return None  # what doesn't refute all reads together refutes none of them alone
    for process in dict.fromkeys(operation.process for operation in operations):
        if relations.forced_order(relations.reads_of(process)) is None:
            return process
    return None
