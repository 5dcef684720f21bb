"""What is said of a chaos run, and what is kept of one that broke something."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.checker.history import HistoryError
from app.checker.timeline import Chapter, page
from app.checker.verdict import Verdict
from proof.chaos.outcome import Report


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
