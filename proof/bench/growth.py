"""How a time grows with its load: a series of points, the power law nearest to it, and what limits it.

All here are decisions over values: the fit is least squares in log-log, so an exponent of 1 means "twice the
load, twice the time", 0 "the load doesn't matter", and 2 would be a warning.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one load: a median, in the unit of its growth; and a rate, where there is one."""

    load: int
    value: float
    per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """``value = factor * load ** exponent``.

    ``off_by``: what the worst point must be multiplied or divided by to lie on the line (1.0: it does).
    """

    exponent: float
    factor: float
    off_by: float

    def at(self, load: float) -> float:
        return float(self.factor * load**self.exponent)


def fitted(points: Sequence[Point]) -> Fit:
    """The power law nearest to the points, all of which count the same, by the logarithms' squares.

    Raises ValueError where there is none: fewer than two loads, or something that isn't above zero.
    """
    if len({point.load for point in points}) < 2 or min(min(one.load, one.value) for one in points) <= 0:
        raise ValueError("a power law needs two loads or more, and everything above zero")
    xs = [math.log(point.load) for point in points]
    ys = [math.log(point.value) for point in points]
    x_mean, y_mean = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    exponent = math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / math.fsum(
        (x - x_mean) ** 2 for x in xs
    )
    start = y_mean - exponent * x_mean
    worst = max(abs(y - start - exponent * x) for x, y in zip(xs, ys, strict=True))
    return Fit(exponent, math.exp(start), math.exp(worst))


def last_step(points: Sequence[Point]) -> float:
    """The exponent between the last two points: where a curve is going, which a fit over all of it hides."""
    return fitted(points[-2:]).exponent


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. ``of``: what it is, as the table and the legend say it."""

    of: str
    points: tuple[Point, ...]

    @property
    def fit(self) -> Fit:
        return fitted(self.points)

    def as_dict(self) -> dict[str, object]:
        return {
            "of": self.of,
            "points": [asdict(point) for point in self.points],
            **asdict(self.fit),
            "last_step": last_step(self.points),
        }


@dataclass(frozen=True, slots=True)
class Growth:
    """Some series over the same load.

    Attributes:
        title: of its part of the chart.
        load: what is made more of, with its unit.
        value: what is measured, with its unit.
        rate: the unit of the points' ``per_s``, if they have it.
        limit: in a sentence or two, what limits it.
    """

    title: str
    load: str
    value: str
    series: tuple[Series, ...]
    limit: str
    rate: str = ""

    def as_dict(self) -> dict[str, object]:
        named = {"title": self.title, "load": self.load, "value": self.value, "rate": self.rate}
        return {**named, "limit": self.limit, "series": [one.as_dict() for one in self.series]}
