"""python -m app.checker.timeline HISTORY.jsonl OUT.html: a history's page, without running anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from app.checker.history import History, HistoryError
from app.checker.linearizability import check_registers
from app.checker.parsing import read_history
from app.checker.timeline.chapters import Chapter
from app.checker.timeline.page import page
from app.checker.verdict import Verdict
from app.checker.wording import counted

USAGE = 2
_STANDARD_INPUT = "-"
# More folders than this are no chapters: too many tabs to find anything.
_MOST_CHAPTERS = 6


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and status 2, instead of a page of usage."""
        self.exit(USAGE, f"timeline: {message} (--help says how)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit status: 0, or 2 with one line for what can't be read or written."""
    parser = _Parser(prog="python -m app.checker.timeline", description="A history as one HTML page.")
    parser.add_argument("history", metavar="HISTORY.jsonl", help="what a demo's --history wrote; - for stdin")
    parser.add_argument("out", metavar="OUT.html", type=Path)
    given = parser.parse_args(argv)
    if given.out.exists() and Path(given.history).exists() and given.out.samefile(given.history):
        return _refused(f"{given.out} is the history itself: name another file for the page")
    try:
        history = _read(given.history)
        chapters = chapters_of(history)
        text = page(
            "standard input" if given.history == _STANDARD_INPUT else Path(given.history).name, chapters
        )
        given.out.write_text(text, encoding="utf-8", newline="\n")
    except (HistoryError, UnicodeDecodeError) as error:
        return _refused(f"{given.history}: {error}")
    except OSError as error:
        return _refused(f"{error.filename or given.out}: {error.strerror or error}")
    size = counted(len(history.operations), "operation")
    sys.stdout.write(f"{given.out}: {size}; open it in a browser\n")
    return 0


def chapters_of(history: History) -> list[Chapter]:
    """One for each folder of keys (a/x and a/y are in a), judged as registers; without folders, one."""
    folders = dict.fromkeys(key.partition("/")[0] for key in history.by_key() if "/" in key)
    everything = all("/" in key for key in history.by_key())
    if not everything or not 1 < len(folders) <= _MOST_CHAPTERS:
        return [Chapter("history", history, _judged(history))]
    parts = [(folder, _part(history, f"{folder}/")) for folder in folders]
    return [Chapter(folder, part, _judged(part)) for folder, part in parts]


def _part(history: History, prefix: str) -> History:
    chosen = [operation for operation in history.operations if operation.key.startswith(prefix)]
    return History.of([*chosen, *history.faults])


def _judged(history: History) -> Verdict:
    try:
        return check_registers(history)
    except HistoryError as error:
        return Verdict("in doubt", f"this is not a history of registers: {error}")


def _read(name: str) -> History:
    if name == _STANDARD_INPUT:
        return read_history(sys.stdin)
    with Path(name).open(encoding="utf-8") as lines:
        return read_history(lines)


def _refused(line: str) -> int:
    sys.stderr.write(f"timeline: {' '.join(line.split())}\n")
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
