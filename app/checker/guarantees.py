"""The models of the chapter: what a recorded history kept of each.

    linearizable          ->  sequential  ->  causal
    linearizable          ->  each of the four for single clients, and convergent if it goes quiet
    sequential or causal  ->  nobody saw writes in the wrong order; and, as far as causality and not the clock
                              tells which value is older, monotonic reads and read your writes
    convergent            ->  neither monotonic writes nor writes follow reads is violated

None of the arrows can be turned round. The first two lines are per key; for several keys linearizable implies
sequential for all of them together too, as it is local (Herlihy & Wing, TOPLAS 1990), and sequential implies
causal together. The definitions stand with their sources in the modules: linearizability, sequential, causal,
convergence, sessions (the four for a single client), write_order (the last two of them).

Everywhere an unknown write may have happened or not, at any time after its invocation, so it precedes nothing
that its process did later; a refused one did not happen; a read that returned nothing counts for nothing.
What a process did is in the order of its invocations, also where the clock can't tell two of them apart: only
linearizability takes such operations for concurrent, so the first arrow needs a clock that can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

from app.checker import sessions, write_order
from app.checker.causal import not_causal
from app.checker.convergence import QUIET_S, Ending, convergence
from app.checker.history import Fault, History, Operation, answered_reads
from app.checker.linearizability import not_linearizable
from app.checker.register import Register, sessions_of, unwritten_reads
from app.checker.replicas import converged, monotonic_reads
from app.checker.sequential import BUDGET, not_sequential
from app.checker.verdict import Examined, Verdict
from app.checker.wording import Wording, counted, quoted

__all__ = ["GUARANTEES", "Finding", "Guarantee", "converged", "judge_all", "monotonic_reads"]

Guarantee: TypeAlias = Literal[
    "linearizable",
    "sequential",
    "causal",
    "eventually convergent",
    "monotonic reads",
    "monotonic writes",
    "read your writes",
    "writes follow reads",
]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)


# What "held" says, and why nobody can tell where nothing was asked.
_SENTENCES: Mapping[Guarantee, tuple[str, str]] = {
    "linearizable": ("every read returned the newest completed write", "nothing happened"),
    "sequential": ("a single order explains every read", "nothing happened"),
    "causal": ("every process saw causes before their effects", "nothing happened"),
    "eventually convergent": ("everybody ended with a last value", "nobody read"),
    "monotonic reads": ("no process went back to an older value", "no process read a key twice"),
    "monotonic writes": (
        "nobody saw the writes of a process in the wrong order",
        "nobody read a second write of a process",
    ),
    "read your writes": (
        "no process missed a write of its own",
        "no process read a key that it had written",
    ),
    "writes follow reads": (
        "nobody saw a write before what its writer had read",
        "nobody read what was written after a read",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a history says of one guarantee."""

    verdict: Literal["held", "violated", "undecided"]
    operations: int  # that it was asked of: "held" is not more than this
    sentence: str
    indexes: tuple[int, ...] = ()  # of the guilty operations in the history, for a timeline to mark

    def cell(self) -> dict[str, Any]:
        """As a table of findings in JSON has it."""
        witness = None if self.verdict == "held" else self.sentence
        return {
            "verdict": self.verdict,
            "operations": self.operations,
            "witness": witness,
            "indexes": list(self.indexes),
        }


def judge_all(
    history: History, *, together: bool = False, budget: int = BUDGET, quiet_s: float = QUIET_S
) -> dict[Guarantee, Finding]:
    """What a history says of every guarantee. HistoryError if it can't be judged.

    Args:
        history: with unique values, and processes that do one thing at a time.
        together: whether to ask of all keys together if they are sequential and causal. Neither is local.
        budget: steps of the search for one order of several keys, after which it's undecided.
        quiet_s: how long after the last change a read has to come to show where it all ended.
    """
    say = Wording(history.start_ns)
    groups = history.by_key()
    stores = {"all keys": list(history.operations)} if together else groups
    examined: dict[Guarantee, list[Examined]] = {guarantee: [] for guarantee in GUARANTEES}
    for key, operations in groups.items():
        for guarantee, one in _of_a_key(operations, history.faults, quiet_s, say).items():
            examined[guarantee].append(_named(one, key) if len(groups) > 1 else one)
    linearizable = not any(one.complaints for one in examined["linearizable"])
    ordered = together and linearizable and _told_apart(history)
    for name, operations in stores.items():
        for guarantee, one in _of_a_store(operations, budget, say, ordered=ordered).items():
            examined[guarantee].append(_named(one, name) if len(stores) > 1 else one)
    return {guarantee: _finding(guarantee, examined[guarantee], history) for guarantee in GUARANTEES}


def _of_a_key(
    operations: Sequence[Operation], faults: Sequence[Fault], quiet_s: float, say: Wording
) -> dict[Guarantee, Examined]:
    register = Register.of(operations)
    steps = sessions_of(operations)
    ending = Ending.of(register, faults, quiet_s)
    return {
        "linearizable": Examined(_shown(operations), _complaints(not_linearizable(operations, say))),
        "eventually convergent": convergence(register, ending, say),
        "monotonic reads": sessions.monotonic_reads(register, steps, say),
        "monotonic writes": write_order.monotonic_writes(register, steps, ending, say),
        "read your writes": sessions.read_your_writes(register, steps, say),
        "writes follow reads": write_order.writes_follow_reads(register, steps, ending, say),
    }


def _of_a_store(
    operations: Sequence[Operation], budget: int, say: Wording, *, ordered: bool
) -> dict[Guarantee, Examined]:
    """The models that speak of all processes and, if several keys are given, of these together.

    Args:
        ordered: whether the operations of every key are linearizable, by a clock that tells one process's
            apart. Then so are all together (Herlihy & Wing, theorem 1), and no other order is looked for.
    """
    sessions_of(operations)
    asked = _shown(operations)
    if ordered:
        return {"sequential": Examined(asked), "causal": Examined(asked)}
    invented = next(unwritten_reads(operations, say), None)
    return {
        "sequential": Examined(asked, _complaints(invented or not_sequential(operations, say, budget))),
        "causal": Examined(asked, _complaints(invented or not_causal(operations, say))),
    }


def _shown(operations: Sequence[Operation]) -> int:
    """How many of them are known to have happened: the others, refused or never heard of, show nothing."""
    seen = {(read.key, read.value) for read in answered_reads(operations)}
    return sum(
        one.outcome == "ok"
        or (one.op == "write" and one.outcome == "unknown" and (one.key, one.value) in seen)
        for one in operations
    )


def _told_apart(history: History) -> bool:
    """Whether every process's operations follow one another by the clock as well."""
    return all(
        before.ended_ns < after.invoked_ns
        for session in sessions_of(history.operations).values()
        for before, after in pairwise(session)
        if before.outcome == "ok"
    )


def _complaints(complaint: Verdict | None) -> tuple[Verdict, ...]:
    return (complaint,) if complaint else ()


def _named(examined: Examined, key: str) -> Examined:
    """With the key before every complaint."""
    return replace(
        examined,
        complaints=tuple(
            replace(complaint, sentence=f"{quoted(key)}: {complaint.sentence}")
            for complaint in examined.complaints
        ),
    )


def _finding(guarantee: Guarantee, examined: Sequence[Examined], history: History) -> Finding:
    """The shortest witness of a violation, or else why it is undecided, or else that it held."""
    asked = sum(one.operations for one in examined)
    complaints = [complaint for one in examined for complaint in one.complaints]
    held, nothing = _SENTENCES[guarantee]
    if complaints:
        worst = min(complaints, key=_weight)
        place = {operation: number for number, operation in enumerate(history.operations)}
        indexes = tuple(sorted(place[operation] for operation in worst.witness))
        verdict: Literal["violated", "undecided"] = "violated" if worst.outcome == "violated" else "undecided"
        return Finding(verdict, asked, worst.sentence, indexes)
    if not asked:
        return Finding("undecided", 0, nothing)
    return Finding("held", asked, f"{held} ({counted(asked, 'operation')})")


def _weight(complaint: Verdict) -> tuple[bool, int, int]:
    """Violations first, then the fewest guilty operations, then the earliest."""
    latest = max((operation.invoked_ns for operation in complaint.witness), default=0)
    return complaint.outcome != "violated", len(complaint.witness), latest
