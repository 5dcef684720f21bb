"""What came of a chaos run, what is printed of it, and what is kept of one that broke something."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.checker.history import History, HistoryError
from app.checker.timeline import Chapter, page
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
        if self.uploads and not any(one.ending == "stored" for one in self.uploads):
            doubts.append("no upload was stored, so nothing was shown")
        if not total:
            doubts.append("nothing was done, so nothing was shown")
        if doubts:
            return Verdict("in doubt", "; ".join(doubts))
        faults = sum(self.faults.values())
        return Verdict("held", f"nothing lost, nothing done twice ({total:,} operations, {faults} faults)")


def as_text(report: Report) -> str:
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"seed {report.seed}, {report.seconds:.0f} s"
    yield ""
    yield f"operations: {sum(report.operations.values()):,}"
    yield from (f"  {count:7,}  {what}" for what, count in sorted(report.operations.items()))
    yield f"faults: {sum(report.faults.values())}"
    yield from (f"  {count:7,}  {what}" for what, count in sorted(report.faults.items()))
    yield f"  (a stopped claimant met its successor {report.stale_scenes} times)"
    yield from (f"  left out: {what}" for what in report.left_out)
    yield "promises:"
    yield from (f"  {verdict.outcome:9} {promise}" for promise, verdict in report.promises)
    yield f"violations: {len(report.violations)}"
    yield from (f"  {violation}" for violation in report.violations[:20])
    yield ""


def as_json(report: Report) -> dict[str, Any]:
    return {
        "seed": report.seed,
        "seconds": round(report.seconds, 1),
        "operations": dict(report.operations),
        "faults": dict(report.faults),
        "left_out": report.left_out,
        "stale_scenes": report.stale_scenes,
        "promises": {promise: verdict.outcome for promise, verdict in report.promises},
        "violations": [{"promise": one.promise, "sentence": one.sentence} for one in report.violations],
        "verdict": report.verdict.outcome,
        "sentence": report.verdict.sentence,
    }


def keep(report: Report, folder: Path, again: str) -> Path:
    """Histories, timelines, what was broken, and how to repeat the run, beside all logs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, history in report.histories.items():
        text = "".join(f"{line}\n" for line in history.lines())
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        if history.operations:
            (folder / f"{name}.html").write_text(_timeline(report, name), encoding="utf-8")
    uploads = "".join(f"{json.dumps(asdict(one))}\n" for one in report.uploads)
    (folder / "uploads.jsonl").write_text(uploads, encoding="utf-8")
    told = [f"{violation}\n" for violation in report.violations]
    (folder / "violations.txt").write_text("".join([*told, f"\nagain: {again}\n"]), encoding="utf-8")
    return folder


def _timeline(report: Report, name: str) -> str:
    words = {"register": "quorum", "trio": "primary", "configuration": "configuration"}
    judged = [verdict for promise, verdict in report.promises if words[name] in promise]
    worst = next(
        (one for one in judged if one.outcome == "violated"), Verdict("held", "nothing was broken here")
    )
    try:
        return page(f"chaos, seed {report.seed}", [Chapter(name, report.histories[name], worst, name)])
    except HistoryError as error:
        return f"<!doctype html><title>chaos</title><p>Not drawn: {error}"
