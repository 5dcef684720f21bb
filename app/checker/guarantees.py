"""What a recorded history kept of each model: those of app.checker.models, and eventual convergence.

Where a model's definition stands there, so does what implies what; linearizable implies convergent too, if it
goes quiet. None of the arrows can be turned round. Linearizability is a matter of each key (Herlihy & Wing,
TOPLAS 1990, theorem 1), so keys that are linearizable are sequential together. Sequential, causal and
real-time causal are not, and are asked of all keys together if one wishes; the guarantees for one client are
asked of each key. A refused write did not happen; a read that returned nothing counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from app.checker.convergence import QUIET_S, Ending, convergence
from app.checker.history import Fault, History, Operation, answered_reads
from app.checker.linearizability import not_linearizable
from app.checker.models import BUDGET, Name, Versions, asked, broken, recorded_versions
from app.checker.register import Register, one_at_a_time, unwritten_reads
from app.checker.replicas import converged, monotonic_reads
from app.checker.verdict import Examined, Verdict
from app.checker.wording import Wording, counted, quoted

__all__ = ["GUARANTEES", "Finding", "Guarantee", "converged", "judge_all", "monotonic_reads"]

Guarantee: TypeAlias = Literal[Name, "eventually convergent"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
_FOR_ONE_CLIENT: tuple[Name, ...] = (
    "monotonic reads",
    "monotonic writes",
    "read your writes",
    "writes follow reads",
)
_FOR_A_STORE: tuple[Name, ...] = ("sequential", "real-time causal", "causal")

# What "held" says, and why nobody can tell where nothing was asked.
_SENTENCES: Mapping[Guarantee, tuple[str, str]] = {
    "linearizable": ("every read returned the newest completed write", "nothing happened"),
    "sequential": ("a single order explains every read", "nothing happened"),
    "real-time causal": (
        "every process saw causes before their effects, and writes as the clock has them",
        "nothing happened",
    ),
    "causal": ("every process saw causes before their effects", "nothing happened"),
    "eventually convergent": ("everybody ended with a last value", "nobody read"),
    "monotonic reads": ("no process went back to an older value", "no process read a key twice"),
    "monotonic writes": (
        "the writes of each process are in its order",
        "the order of a process's writes was not recorded",
    ),
    "read your writes": (
        "no process missed a write of its own",
        "no process read a key that it had written",
    ),
    "writes follow reads": (
        "each write comes after what its process had read",
        "the order of a write and of what its process had read was not recorded",
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
    versions = recorded_versions(history.operations)
    groups = history.by_key()
    stores = {"all keys": list(history.operations)} if together else groups
    examined: dict[Guarantee, list[Examined]] = {guarantee: [] for guarantee in GUARANTEES}
    for key, operations in groups.items():
        one_at_a_time(operations)
        for guarantee, one in _of_a_key(operations, history.faults, quiet_s, versions, say).items():
            examined[guarantee].append(_named(one, key) if len(groups) > 1 else one)
    linearizable = not any(one.complaints for one in examined["linearizable"])
    for name, operations in stores.items():
        one_at_a_time(operations)
        if together and linearizable:  # then so are all keys together, and no other order is looked for
            asked_of = dict.fromkeys(_FOR_A_STORE, Examined(_shown(operations)))
        else:
            asked_of = _of_a_store(operations, versions, say, budget)
        for guarantee, one in asked_of.items():
            examined[guarantee].append(_named(one, name) if len(stores) > 1 else one)
    return {guarantee: _finding(guarantee, examined[guarantee], history) for guarantee in GUARANTEES}


def _of_a_key(
    operations: Sequence[Operation], faults: Sequence[Fault], quiet_s: float, versions: Versions, say: Wording
) -> dict[Guarantee, Examined]:
    register = Register.of(operations)
    ending = Ending.of(register, faults, quiet_s)
    # by zones first, whose witness is a stale read; then by what the system recorded, too
    stale = not_linearizable(operations, say)
    linearizable = stale or _complaint("linearizable", operations, versions, say)
    found: dict[Guarantee, Examined] = {
        "linearizable": _examined(_shown(operations), linearizable),
        "eventually convergent": convergence(register, ending, say),
    }
    for guarantee in _FOR_ONE_CLIENT:
        complaint = _complaint(guarantee, operations, versions, say)
        found[guarantee] = _examined(asked(guarantee, operations, versions), complaint)
    return found


def _of_a_store(
    operations: Sequence[Operation], versions: Versions, say: Wording, budget: int
) -> dict[Name, Examined]:
    """The models that speak of all processes, and of several keys together if they are given."""
    shown = _shown(operations)
    return {
        guarantee: _examined(shown, _complaint(guarantee, operations, versions, say, budget))
        for guarantee in _FOR_A_STORE
    }


def _examined(operations: int, complaint: Verdict | None) -> Examined:
    return Examined(operations, (complaint,) if complaint else ())


def _complaint(
    guarantee: Name,
    operations: Sequence[Operation],
    versions: Versions,
    say: Wording,
    budget: int = BUDGET,
) -> Verdict | None:
    """A read of what nobody wrote breaks every promise."""
    invented = next(unwritten_reads(operations, say), None)
    return invented or broken(guarantee, operations, versions, say, budget)


def _shown(operations: Sequence[Operation]) -> int:
    """How many of them are known to have happened: the others, refused or never heard of, show nothing."""
    seen = {(read.key, read.value) for read in answered_reads(operations)}
    return sum(
        one.outcome == "ok"
        or (one.op == "write" and one.outcome == "unknown" and (one.key, one.value) in seen)
        for one in operations
    )


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
