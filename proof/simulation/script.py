"""What is played, and what came of it: values, which go from one process to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.checker.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Script:
    """A seed decides everything; shrinking takes away from it.

    Attributes:
        clients, operations: at most so many; None: as the seed says.
        faults: the numbers of the faults that happen; None: all of them.
    """

    world: str
    seed: int
    clients: int | None = None
    operations: int | None = None
    faults: Sequence[int] | None = None

    def happens(self, number: int) -> bool:
        """Whether the nemesis' fault of this number is part of it."""
        return self.faults is None or number in self.faults


@dataclass(frozen=True, slots=True)
class Played:
    """One run.

    Attributes:
        judge: what was asked, in a word or two; of the verdict that counts.
        history: its lines, as ``app.checker.history`` writes them.
        endings: operations by ending.
        faults: by kind; ``struck``: the numbers of those that happened.
        simulated_s: how long it lasted in its own time.
    """

    script: Script
    verdict: Verdict
    judge: str
    history: Sequence[str]
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    struck: Sequence[int] = ()
    clients: int = 0
    simulated_s: float = 0.0

    @property
    def outcome(self) -> Literal["held", "violated", "in doubt"]:
        return self.verdict.outcome
