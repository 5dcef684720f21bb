"""What came of a chaos run."""

from collections import Counter
from dataclasses import dataclass, field

from app.checker.history import History
from app.checker.verdict import Verdict
from proof.chaos.audit import Upload, Violation


@dataclass
class Report:
    """What was done, which faults there were, and what was broken.

    Attributes:
        left_out: harms that this machine does not let us do, and what it would take.
    """

    seed: int
    seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)  # "kind ending" -> how many
    faults: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    stale_scenes: int = 0
    promises: list[tuple[str, Verdict]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        total = sum(self.operations.values())
        if self.violations:
            return Verdict("violated", "; ".join(str(one) for one in self.violations[:3]))
        doubts = [f"{promise}: {one.sentence}" for promise, one in self.promises if one.outcome == "in doubt"]
        doubts += [f"unknown whether {one.job_id} exists" for one in self.uploads if one.found == "unseen"]
        if not total:
            doubts.append("nothing was done, so nothing was shown")
        if doubts:
            return Verdict("in doubt", "; ".join(doubts))
        faults = sum(self.faults.values())
        return Verdict("held", f"nothing lost, nothing done twice ({total:,} operations, {faults} faults)")
