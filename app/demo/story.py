"""What the class sees: acts of a few lines, and at the end one verdict, with an exit status.

Nothing else of ``app`` prints.
"""

import contextlib
import json
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from eventlet import hubs
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.checker.history import History, Operation
from app.checker.verdict import Verdict
from app.demo.options import Options

# A projector's terminal; an act stays under twenty lines of this.
WIDTH = 80
_STYLE = {"held": "bold green", "violated": "bold red", "in doubt": "bold yellow"}


HELD, VIOLATED, USAGE, UNREACHABLE, IN_DOUBT, INTERRUPTED = 0, 1, 2, 3, 4, 130
_STATUS = {"held": HELD, "violated": VIOLATED, "in doubt": IN_DOUBT}


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


class Story:
    """A run as a text: on a terminal, plainly into a pipe, or not at all (``--json``).

    Args:
        out: where to; standard error if standard output carries the history.
        silent: print nothing; the one JSON object comes nevertheless.
        color: use colour and tables.
        step: wait for Enter after each act, and print ``look`` first.
        simulated: say so in the first line and in the verdict; there is nothing to ``look`` at.
    """

    def __init__(
        self, out: TextIO, *, silent: bool, color: bool, step: bool, simulated: bool = False
    ) -> None:
        self._out = out
        self._silent = silent
        self._step = step and not silent
        self._simulated = simulated
        self._look: str | None = None
        self._console = Console(
            file=out, width=WIDTH, highlight=False, soft_wrap=False, no_color=not color, force_terminal=color
        )
        self._acts = 0

    def begin(self) -> None:
        """The first line, where one is needed."""
        if self._simulated:
            self._print("simulated: no servers, one process, virtual time")

    def act(self, title: str) -> None:
        """Begin an act; ends the one before."""
        self.pause()
        self._acts += 1
        self._print("")
        self._print(f"Act {self._acts}: {title}", "bold")

    def say(self, line: str, style: str = "") -> None:
        """One statement, wrapped to the width."""
        for part in textwrap.wrap(
            line, WIDTH - 1, initial_indent="  ", subsequent_indent="    ", break_long_words=False
        ):
            self._print(part, style)

    def verdict_of(self, verdict: Verdict) -> None:
        """What the checker says about one act."""
        self.say(f"checker: {verdict.outcome}: {verdict.sentence}", _STYLE[verdict.outcome])

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns, aligned; with rules and colour on a terminal."""
        if self._silent:
            return
        if self._console.is_terminal:
            self._console.print(_drawn(header, rows))
            return
        widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
        for line in [header, *rows]:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._print(f"    {'  '.join(cells)}".rstrip())

    @contextlib.contextmanager
    def moving_table(self, header: Sequence[str]) -> Iterator[Callable[[Sequence[Sequence[str]], str], None]]:
        """A table that is drawn again and again in its place, with a line below; what is said stands above.

        Yields the function that draws it. Into a pipe it is printed once, at the end.
        """
        if self._silent or not self._console.is_terminal:
            last: deque[Sequence[Sequence[str]]] = deque(maxlen=1)
            try:
                yield lambda rows, below: last.append(rows)
            finally:
                if last:
                    self.table(header, last[-1])
            return
        with Live(console=self._console, auto_refresh=False) as live:

            def draw(rows: Sequence[Sequence[str]], below: str) -> None:
                live.update(Group(_drawn(header, rows), Text(below)), refresh=True)

            yield draw

    def look_with(self, command: str) -> None:
        """The command that shows this act's znodes, printed with ``--step``."""
        self._look = command

    def pause(self) -> None:
        """With ``--step``, wait for Enter; the green threads go on meanwhile."""
        look, self._look = self._look, None
        if not self._step or self._acts == 0:
            return
        if look and not self._simulated:
            self._print(f"  look: {look}")
        self._print("  [Enter]", end="")
        # A terminal or a pipe can be waited for; a file or /dev/null is always ready.
        with contextlib.suppress(OSError, ValueError):
            hubs.trampoline(sys.stdin.fileno(), read=True)
        sys.stdin.readline()
        if not sys.stdin.isatty():
            self._print("")  # no user's Enter has ended the line on screen

    def note(self, line: str) -> None:
        """The line about the notes' listing, before the verdict."""
        self._print("")
        self._print(line)

    def verdict(self, verdict: Verdict) -> None:
        """The last line."""
        where = "; simulated" if self._simulated else ""
        self._print(f"VERDICT {verdict.outcome}: {verdict.sentence}{where}", _STYLE[verdict.outcome])

    def _print(self, text: str, style: str = "", end: str = "\n") -> None:
        if self._silent:
            return
        if self._console.is_terminal:
            self._console.print(Text(text, style), end=end, soft_wrap=True)
        else:
            print(text, end=end, file=self._out)
        self._out.flush()


def _drawn(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    drawn = Table(*header, header_style="bold", padding=(0, 1))
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


# --- the end of a run ---


def conclude(
    story: Story,
    options: Options,
    demo: tuple[str, str],
    verdicts: tuple[Verdict, Verdict | None],
    judged: History,
    participants: Sequence[str],
    **more: object,
) -> int:
    """Print the verdict, as the last line or as one JSON object; returns the exit status.

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
            "simulated": options.simulated,
            "participants": list(participants),
            "notes_verdict": notes.outcome if notes else None,
        }
        print(json.dumps(plain | more), flush=True)
    else:
        if notes is not None:
            caught = f"violated: {notes.sentence}" if notes.outcome == "violated" else "not caught this time"
            story.note(f"NOTES {caught}")
        story.verdict(verdict)
    return _STATUS[verdict.outcome]


def _plain(operation: Operation) -> dict[str, object]:
    plain: dict[str, object] = json.loads(operation.to_json())
    return plain
