"""The chart of a run: the operations beside their floors, then each growth, all axes logarithmic."""

from collections.abc import Sequence

from proof.bench.drawing import SMALL, Axis, around, document, line, mark, number, path, text, ticks
from proof.bench.growth import Growth, Series
from proof.bench.measuring import Row
from proof.bench.report import Report

WIDTH = 1200
_TITLE = "How fast, beside what can't be done without; and how it grows"
_MARGIN = 24
_HEAD = 70
# The operations: a line each.
_LINE = 24
_NAMES = 360
# The growths: three in a row.
_COLUMNS = 3
_PANEL = (WIDTH - 2 * _MARGIN) // _COLUMNS
_PLOT = 210
_LEGEND = 17
_LEFT = 62
KINDS = ("ours", "floor", "the notes' listing")


def as_svg(report: Report) -> str:
    """One self-contained file."""
    top, parts = _HEAD, [text(_MARGIN, 34, _TITLE, size=20, more=' font-weight="bold"')]
    about = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    parts.append(text(_MARGIN, 54, f"p50 of {report.samples} samples each; {about}"))
    if report.rows:
        parts += _operations(report.rows, top)
        top += _height_of_operations(report.rows)
    for begin in range(0, len(report.growths), _COLUMNS):
        row = report.growths[begin : begin + _COLUMNS]
        legends = max(len(growth.series) for growth in row)
        for column, growth in enumerate(row):
            parts += _panel(growth, _MARGIN + column * _PANEL, top, legends)
        top += 30 + _LEGEND * legends + _PLOT + 62
    return document(WIDTH, top, _TITLE, parts)


def _height_of_operations(rows: Sequence[Row]) -> int:
    return 40 + _LINE * len(rows) + 60


def _operations(rows: Sequence[Row], top: int) -> list[str]:
    """A line for each, with its three marks, and the ratio in figures at its end."""
    values = [value for row in rows for value in _times(row) if value is not None]
    axis = Axis(around(values), (_NAMES, WIDTH - 190))
    end = top + 40 + _LINE * len(rows)
    parts = [_heading(_MARGIN, top + 14, "Operations")]
    for kind, name in enumerate(KINDS):
        parts += [
            mark(kind, _NAMES + 10 + 160 * kind, top + 10),
            text(_NAMES + 22 + 160 * kind, top + 14, name),
        ]
    parts.append(text(WIDTH - _MARGIN, top + 14, "ours / floor (at most)", anchor="end"))
    for value in ticks(axis.values):
        parts.append(line(axis.at(value), top + 26, axis.at(value), end))
        parts.append(text(axis.at(value), end + 16, number(value), anchor="middle"))
    parts.append(text((_NAMES + WIDTH - 190) / 2, end + 34, "milliseconds (p50)", anchor="middle"))
    for index, row in enumerate(rows):
        y = top + 42 + _LINE * index
        parts.append(text(_NAMES - 12, y + 4, row.operation, anchor="end"))
        parts.append(line(axis.pixels[0], y, axis.pixels[1], y, "#ececec"))
        marks = [(kind, value) for kind, value in enumerate(_times(row)) if value is not None]
        parts += [mark(kind, axis.at(value), y) for kind, value in reversed(marks)]
        over = "  over" if row.over else ""
        parts.append(text(WIDTH - _MARGIN, y + 4, f"{row.ratio:.2f} ({row.target:g}){over}", anchor="end"))
    return parts


def _times(row: Row) -> tuple[float, float, float | None]:
    return row.ours_ms, row.floor_ms, row.notes_ms


def _panel(growth: Growth, left: int, top: int, legends: int) -> list[str]:
    """Title, legend with the exponents, axes with their units, and the series."""
    plot_top = top + 30 + _LEGEND * legends
    bottom, right = plot_top + _PLOT, left + _PANEL - 24
    points = [point for one in growth.series for point in one.points]
    xs = Axis(around(point.load for point in points), (left + _LEFT, right))
    ys = Axis(around(point.value for point in points), (bottom, plot_top))
    parts = [_heading(left, top + 14, growth.title)]
    for value in ticks(ys.values):
        parts.append(line(left + _LEFT, ys.at(value), right, ys.at(value)))
        parts.append(text(left + _LEFT - 6, ys.at(value) + 4, number(value), anchor="end"))
    for load in _apart(sorted({point.load for point in points}), xs):
        parts.append(line(xs.at(load), plot_top, xs.at(load), bottom))
        parts.append(text(xs.at(load), bottom + 16, number(load), anchor="middle"))
    middle = (plot_top + bottom) / 2
    parts.append(text((left + _LEFT + right) / 2, bottom + 34, growth.load, anchor="middle"))
    turned = f' transform="rotate(-90 {left + 12} {middle:g})"'
    parts.append(text(left + 12, middle, growth.value, anchor="middle", more=turned))
    for kind, one in enumerate(growth.series):
        parts += _series(one, kind, xs, ys)
        y = top + 32 + _LEGEND * kind
        parts += [mark(kind, left + _LEFT + 6, y - 4), text(left + _LEFT + 18, y, legend(one))]
    return parts


def legend(series: Series) -> str:
    return f"{series.of}: exponent {series.fit.exponent:.2f}"


def _series(series: Series, kind: int, xs: Axis, ys: Axis) -> list[str]:
    places = [(xs.at(point.load), ys.at(point.value)) for point in series.points]
    return [path(kind, places), *(mark(kind, x, y) for x, y in places)]


def _apart(loads: Sequence[int], axis: Axis) -> list[int]:
    """Those whose labels have room."""
    shown: list[int] = []
    for load in loads:
        if not shown or axis.at(load) - axis.at(shown[-1]) > 2.5 * SMALL:
            shown.append(load)
    return shown


def _heading(x: float, y: float, words: str) -> str:
    return text(x, y, words, size=15, more=' font-weight="bold"')
