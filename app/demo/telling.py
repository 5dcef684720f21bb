"""How a run ends: the verdict on the screen or as JSON, and the exit status."""

import json
from collections.abc import Sequence

from app.checker.history import History, Operation
from app.checker.verdict import Verdict
from app.demo.options import Options
from app.demo.story import Story

HELD, VIOLATED, USAGE, UNREACHABLE, IN_DOUBT, INTERRUPTED = 0, 1, 2, 3, 4, 130
_STATUS = {"held": HELD, "violated": VIOLATED, "in doubt": IN_DOUBT}


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def tell(
    story: Story,
    options: Options,
    demo: tuple[str, str],
    verdicts: tuple[Verdict, Verdict | None],
    judged: History,
    participants: Sequence[str],
    **more: object,
) -> int:
    """Tell the verdict, as the last line or as one JSON object; returns the exit status.

    Args:
        demo: its name, and what it guarantees.
        verdicts: on the protocol that the run is about, and on the notes' if there were two.
        more: further fields of the JSON object.
    """
    verdict, notes = verdicts
    if options.json:
        plain = {
            "demo": demo[0],
            "protocol": options.protocol,
            "verdict": verdict.outcome,
            "guarantee": demo[1],
            "operations": len(judged.operations),
            "faults": len(judged.faults),
            "witness": verdict.sentence if not verdict.witness else [_plain(op) for op in verdict.witness],
            "seed": options.seed,
            "participants": list(participants),
            "notes_verdict": notes.outcome if notes else None,
        }
        story.report(plain | more)
    else:
        if notes is not None:
            caught = f"violated: {notes.sentence}" if notes.outcome == "violated" else "not caught this time"
            story.note(f"NOTES {caught}")
        story.verdict(f"VERDICT {verdict.outcome}: {verdict.sentence}", verdict.outcome)
    return _STATUS[verdict.outcome]


def _plain(operation: Operation) -> dict[str, object]:
    plain: dict[str, object] = json.loads(operation.to_json())
    return plain
