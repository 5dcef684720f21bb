"""``--timeline``: the run as one HTML page, written at its end whatever the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.checker.history import HistoryError
from app.checker.timeline import Chapter, page
from app.checker.verdict import Verdict
from app.demo.stage import Stage
from app.errors import BadSettingError

_TITLES = {"notes": "The notes' listing", "full": "The full protocol"}


@contextmanager
def writable(file: Path | None) -> Iterator[None]:
    """Refuse at the start what can't be written at the end. Raises BadSettingError.

    A page of an earlier run stays until there is a new one; a run that writes none leaves none.
    """
    if file is None:
        yield
        return
    was_there = file.exists()
    try:
        file.open("a", encoding="utf-8").close()
    except OSError as error:
        message = f"--timeline: can't write {file}: {error.strerror}; choose another file"
        raise BadSettingError(message) from error
    try:
        yield
    finally:
        if not was_there and file.is_file() and not file.stat().st_size:
            file.unlink()


def chapters_of(
    stage: Stage, guarantee: str, verdicts: Mapping[str, Verdict], otherwise: Verdict
) -> list[Chapter]:
    """One for each protocol that was played; ``otherwise``: the verdict where the run broke off."""
    participants = tuple(one.name for one in stage.participants)
    histories = {protocol: stage.history(protocol) for protocol in stage.options.shows}
    return [
        Chapter(_TITLES[protocol], history, verdicts.get(protocol, otherwise), guarantee, participants)
        for protocol, history in histories.items()
        if history.operations
    ]


def draw(file: Path, title: str, chapters: Sequence[Chapter]) -> str:
    """Write the page; returns the line that says where it is, or why there is none."""
    if not chapters:
        return f"timeline: nothing was recorded, so there is nothing to draw in {file}"
    try:
        file.write_text(page(title, chapters), encoding="utf-8", newline="\n")
    except (OSError, HistoryError) as error:
        return f"timeline: {file} could not be written: {error}"
    return f"timeline: {file.resolve()} (open it in a browser)"
