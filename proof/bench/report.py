"""What came out, as a table for people and as one JSON object for programs."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from proof.bench.growth import Growth, Series, last_step
from proof.bench.measuring import Figure, Row

_WIDTH = 100


@dataclass(slots=True)
class Report:
    """Everything of one run.

    Attributes:
        samples: of each operation.
        machine: what it was measured on, and how busy that was; name -> value.
        left_out: what could not be measured, and why.
    """

    samples: int
    machine: dict[str, object]
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def take(self, measured: Sequence[Row | Figure | Growth]) -> None:
        self.rows += [one for one in measured if isinstance(one, Row)]
        self.figures += [one for one in measured if isinstance(one, Figure)]
        self.growths += [one for one in measured if isinstance(one, Growth)]

    def as_json(self) -> str:
        told = {
            "samples": self.samples,
            "machine": self.machine,
            "rows": [row.as_dict() for row in self.rows],
            "worker": [figure.as_dict() for figure in self.figures],
            "growth": [growth.as_dict() for growth in self.growths],
            "left_out": self.left_out,
        }
        return json.dumps(told)

    def as_text(self) -> str:
        parts = [
            _rows(self.rows, self.samples) if self.rows else "",
            _figures(self.figures) if self.figures else "",
            *map(_growth, self.growths),
            "\n".join(f"left out: {reason}" for reason in self.left_out),
            "measured on: " + ", ".join(f"{name} {value}" for name, value in self.machine.items()),
        ]
        return "\n\n".join(part for part in parts if part)


def _rows(rows: Sequence[Row], samples: int) -> str:
    width = max(len(row.operation) for row in rows)
    lines = [
        f"p50 of {samples} samples each: ours, its floor and the notes' listing in turn, on one ensemble",
        "(with one replica slow: half as many, and of the notes' listing, which takes seconds, a few)",
        "",
        f"{'operation':{width}}  ours ms  floor ms  ratio  target  notes ms",
    ]
    lines += [_row(row, width) for row in rows]
    lines += ["", "What the notes' listing leaves out, and thereby loses:"]
    footnotes: dict[str, str] = {}
    for row in rows:
        footnotes.setdefault(row.notes, row.operation)  # the same words once, where they come first
    for notes, operation in footnotes.items():
        lines += _wrapped(f"{operation}: {notes}.") if notes else []
    return "\n".join(lines)


def _row(row: Row, width: int) -> str:
    ours = f"{row.operation:{width}}  {row.ours_ms:7.2f}  {row.floor_ms:8.2f}  {row.ratio:5.2f}"
    notes = "-" if row.notes_ms is None else f"{row.notes_ms:.2f}"
    return f"{ours}  {row.target:6.1f}  {notes:>8}{'  over' if row.over else ''}"


def _figures(figures: Sequence[Figure]) -> str:
    width = max(len(figure.what) for figure in figures)
    lines = [f"{'the worker: five processes':{width}}     measured   at most"]
    lines += [
        f"{figure.what:{width}}  {figure.value:9.2f} {figure.unit:3}  {figure.target:7.2f}"
        f"{'  over' if figure.over else ''}"
        for figure in figures
    ]
    return "\n".join(lines)


def _growth(growth: Growth) -> str:
    lines = [f"{growth.title}: {growth.value}, by {growth.load}"]
    width = max(len(one.of) for one in growth.series)
    lines.append(" " * (width + 2) + "".join(f"{point.load:>9,}" for point in growth.series[0].points))
    for one in growth.series:
        lines.append(f"  {one.of:{width}}" + "".join(f"{_short(point.value):>9}" for point in one.points))
        if growth.rate:
            rates = (_short(point.per_s) if point.per_s is not None else "-" for point in one.points)
            lines.append(f"  {growth.rate:>{width}}" + "".join(f"{rate:>9}" for rate in rates))
    lines += [f"  {one.of:{width}}  {in_words(one)}" for one in growth.series]
    return "\n".join([*lines, *_wrapped(f"Limited by: {growth.limit}")])


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def in_words(series: Series) -> str:
    """The exponent, over which loads, how well it fits, and where the curve is going."""
    fit, loads = series.fit, [point.load for point in series.points]
    return (
        f"exponent {fit.exponent:.2f} over {min(loads):,} to {max(loads):,} "
        f"(worst point {fit.off_by:.2f} times off; last step {last_step(series.points):.2f})"
    )


def _short(value: float) -> str:
    """Three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
