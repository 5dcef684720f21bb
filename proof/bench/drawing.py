"""What a chart is made of: logarithmic axes, marks that differ in shape, text that is escaped."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

INK, PALE, PAPER = "#1a1a1a", "#d0d0d0", "#ffffff"
# Each differs from the others in shape, in dashes and in brightness, so that none is lost without colour.
# (Okabe & Ito's colours, which the colour-blind tell apart.)
COLOURS = (INK, "#d55e00", "#0072b2", "#009e73")
DASHES = ("", "6 4", "2 3", "9 3 2 3")
SMALL = 12

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels, logarithmically: ``values`` are least and most, ``pixels`` where these are."""

    values: Span
    pixels: Span

    def at(self, value: float) -> float:
        low, high = (math.log(end) for end in self.values)
        share = (math.log(value) - low) / (high - low)
        return round(self.pixels[0] + share * (self.pixels[1] - self.pixels[0]), 1)


def around(values: Iterable[float], air: float = 1.25, least: float = 10.0) -> Span:
    """Least and most, with some air, so that no mark lies on a border.

    At least a decade: what hardly changes shall look flat.
    """
    seen = list(values)
    low, high = min(seen) / air, max(seen) * air
    widen = max(1.0, (least * low / high) ** 0.5)
    return low / widen, high * widen


def ticks(span: Span) -> list[float]:
    """Round numbers within the span: 1, 2 and 5 of each decade, or fewer where these are many."""
    low, high = math.floor(math.log10(span[0])), math.ceil(math.log10(span[1]))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        marks = [digit * 10.0**power for power in range(low, high + 1) for digit in digits]
        inside = [mark for mark in marks if span[0] <= mark <= span[1]]
        if len(inside) <= 7:
            break
    return inside


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:.6f}".rstrip("0")


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = SMALL, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = PALE) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}"/>'


def mark(kind: int, x: float, y: float) -> str:
    """A disc, a ring, a cross or a square; the ring and the square are hollow."""
    colour = COLOURS[kind % len(COLOURS)]
    pen = f'stroke="{colour}" stroke-width="2"'
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{colour}"/>',
        f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{PAPER}" {pen}/>',
        f'<path d="M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8" fill="none" {pen}/>',
        f'<rect x="{x - 4:g}" y="{y - 4:g}" width="8" height="8" fill="{PAPER}" {pen}/>',
    )[kind % 4]


def path(kind: int, points: Sequence[tuple[float, float]]) -> str:
    steps = " ".join(f"{x:g},{y:g}" for x, y in points)
    dashes = f' stroke-dasharray="{DASHES[kind % len(DASHES)]}"' if DASHES[kind % len(DASHES)] else ""
    return (
        f'<polyline points="{steps}" fill="none" stroke="{COLOURS[kind % len(COLOURS)]}" '
        f'stroke-width="1.5"{dashes}/>'
    )


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A whole file, with a background of its own, so that it can be read on a dark page too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label={quoteattr(title)} font-family="sans-serif" fill="{INK}">'
    )
    paper = f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", paper, *parts, "</svg>"])
