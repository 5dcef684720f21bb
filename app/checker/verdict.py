"""What a checker says: held, violated or in doubt, with a sentence and the operations that show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.checker.history import Operation


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, one sentence for it, and for a violation the few operations that prove it."""

    outcome: Literal["held", "violated", "in doubt"]
    sentence: str
    witness: tuple[Operation, ...] = ()


def violated(sentence: str, *witness: Operation) -> Verdict:
    """A violation never comes without the operations that prove it."""
    return Verdict("violated", sentence, witness)


_FROM_BEST_TO_WORST = ("held", "in doubt", "violated")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; among equals, the first."""
    return max(verdicts, key=lambda verdict: _FROM_BEST_TO_WORST.index(verdict.outcome))


def substance(operations: Sequence[Operation], verdict: Verdict, least: float = 0.6) -> Verdict:
    """The verdict, or "in doubt" where it held only because little happened: a refusal breaks no promise.

    A violation stays one: it needs no more than its witness.
    """
    done = sum(operation.outcome == "ok" for operation in operations)
    if verdict.outcome != "held" or (operations and done >= least * len(operations)):
        return verdict
    return Verdict(
        "in doubt",
        f'only {done} of {len(operations)} operations ended ok, and "held" needs {least:.0%} of them',
    )


@dataclass(frozen=True, slots=True)
class Examined:
    """Of how many operations a promise was asked, and what speaks against it."""

    operations: int
    complaints: tuple[Verdict, ...] = ()
