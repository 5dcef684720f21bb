"""The chart of a run: the operations beside their floors, then each growth, all axes logarithmic."""

import io
import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from proof.bench.growth import Growth, Series
from proof.bench.measuring import Row
from proof.bench.report import Report

TITLE = "How fast, beside what can't be done without; and how it grows"
_COLUMNS = 3
# Lines differ in shape, in dashes and in brightness, so that none is lost without colour.
# (Okabe & Ito's colours, which the colour-blind tell apart.)
_STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=("#1a1a1a", "#d55e00", "#0072b2", "#009e73"))
    + cycler(marker=("o", "D", "x", "s"))
    + cycler(linestyle=("-", "--", ":", "-.")),
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.fontsize": "small",
    "text.parse_math": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bench",  # the same figures give the same file
}


def as_svg(report: Report) -> str:
    """One self-contained file, with a background of its own, so that it can be read on a dark page too."""
    lines = [report.growths[begin : begin + _COLUMNS] for begin in range(0, len(report.growths), _COLUMNS)]
    heights = [*([0.8 + 0.28 * len(report.rows)] if report.rows else []), *[3.2] * len(lines)] or [1.0]
    about = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(13, 0.6 + sum(heights)), layout="constrained")
        figure.suptitle(f"{TITLE}\np50 of {report.samples} samples each; {about}")
        parts = iter(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights).flat)
        if report.rows:
            _operations(next(parts).subplots(), report.rows)
        for line in lines:
            for axes, growth in zip_longest(next(parts).subplots(1, _COLUMNS), line):
                _panel(axes, growth) if growth is not None else axes.remove()
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Title": TITLE})
    return written.getvalue()


def _operations(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for each, with its three marks, and the ratio in figures at its end."""
    lines = range(len(rows))
    axes.plot([row.ours_ms for row in rows], lines, linestyle="none", label="ours")
    axes.plot([row.floor_ms for row in rows], lines, linestyle="none", label="floor")
    notes = [math.nan if row.notes_ms is None else row.notes_ms for row in rows]
    axes.plot(notes, lines, linestyle="none", label="the notes' listing")
    axes.set(title="Operations", xlabel="milliseconds (p50)", xscale="log")
    axes.set_yticks(lines, [row.operation for row in rows])
    axes.invert_yaxis()
    ratios = axes.secondary_yaxis("right")
    over = [f"{row.ratio:.2f} ({row.target:g}){'  over' if row.over else ''}" for row in rows]
    ratios.set_yticks(lines, over)
    ratios.set_ylabel("ours / floor (at most)")
    _few_ticks(axes.xaxis)
    axes.legend()


def _panel(axes: Axes, growth: Growth) -> None:
    """Title, legend with the exponents, axes with their units, and the series."""
    for one in growth.series:
        loads, values = zip(*((point.load, point.value) for point in one.points), strict=True)
        axes.plot(loads, values, label=legend(one))
    axes.set(title=growth.title, xlabel=growth.load, ylabel=growth.value, xscale="log", yscale="log")
    low, high = axes.get_ylim()
    widen = max(1.0, math.sqrt(10 * low / high))  # at least a decade: what hardly changes shall look flat
    axes.set_ylim(low / widen, high * widen)
    _few_ticks(axes.yaxis)
    axes.set_xticks([point.load for point in growth.series[0].points], minor=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()


def legend(series: Series) -> str:
    return f"{series.of}: exponent {series.fit.exponent:.2f}"


def _few_ticks(axis: Axis) -> None:
    """1, 2 and 5 of each decade, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
