"""The matrix in words: a table, its footnotes, the witnesses; and as JSON. Pure functions."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from app.checker.guarantees import GUARANTEES, Finding, Guarantee
from app.checker.verdict import Verdict
from app.checker.wording import counted
from proof.matrix.mechanisms import Mechanism
from proof.matrix.play import Measured

HEADS: dict[Guarantee, str] = {
    "linearizable": "linear.",
    "sequential": "sequent.",
    "real-time causal": "causal+clock",
    "causal": "causal",
    "monotonic reads": "mon. reads",
    "monotonic writes": "mon. writes",
    "read your writes": "own writes",
    "writes follow reads": "wr. f. reads",
    "eventually convergent": "converg.",
}
FAULTS = {"none": "no faults", "standard": "faults"}
_TITLE, _CELL = 36, 12
_WIDTH = _TITLE + len(HEADS) * (_CELL + 1)


# Mechanism, faults, and the sentence that convicts: several guarantees may fall by one witness.
Place: TypeAlias = tuple[str, str, str]


def cell(row: Measured, guarantee: Guarantee, numbers: Mapping[Place, int]) -> str:
    """``held 412``, starred where theory forbids otherwise; ``violated`` with its witness's number."""
    finding = row.findings[guarantee]
    if finding.verdict == "violated":
        return f"VIOLATED {numbers[row.mechanism.name, row.faults, finding.sentence]}"
    if finding.verdict == "undecided":
        return "undecided" if finding.operations else "not asked"
    return f"held {finding.operations}{'*' if guarantee in row.mechanism.promised else ''}"


def numbered(rows: Sequence[Measured]) -> dict[Place, int]:
    """A number for each witness, row by row."""
    witnesses = dict.fromkeys(place for row in rows for place in convicting(row))
    return {place: number for number, place in enumerate(witnesses, 1)}


def convicting(row: Measured) -> dict[Place, list[Guarantee]]:
    """What each of a row's witnesses shows to be violated."""
    found: dict[Place, list[Guarantee]] = {}
    for guarantee in GUARANTEES:
        finding = row.findings[guarantee]
        if finding.verdict == "violated":
            place = row.mechanism.name, row.faults, finding.sentence
            found.setdefault(place, []).append(guarantee)
    return found


def as_text(rows: Sequence[Measured], seed: int) -> str:
    numbers = numbered(rows)
    return "\n".join([*_table(rows, numbers), "", *_footnotes(seed), "", *_witnesses(rows, numbers)])


def _table(rows: Sequence[Measured], numbers: Mapping[Place, int]) -> Iterator[str]:
    yield " " * _TITLE + " ".join(f"{head:{_CELL}}" for head in HEADS.values()).rstrip()
    last: Mechanism | None = None
    for row in rows:
        if row.mechanism is not last:
            yield row.mechanism.title
            last = row.mechanism
        operations = f"{len(row.history.operations)} operations"
        label = f"  {FAULTS[row.faults]}, {operations}"
        cells = " ".join(f"{cell(row, guarantee, numbers):{_CELL}}" for guarantee in GUARANTEES)
        yield f"{label:{_TITLE}}{cells}".rstrip()


def _footnotes(seed: int) -> Iterator[str]:
    yield "held N     not broken in any of the N operations that it was asked of: seen no more than that"
    yield "held N*    and theory forbids that it be broken by any history, as long as the code is right"
    yield "VIOLATED n  witness n, below"
    yield "causal+clock  real-time causal: causal, and by the clock no newer write comes before an older one"
    yield "not asked  no operation could have shown it; undecided: the history shows neither"
    yield f"faults: the standard ones, one after the other, the same for all rows (seed {seed})"


def _witnesses(rows: Sequence[Measured], numbers: Mapping[Place, int]) -> Iterator[str]:
    for row in rows:
        for place, guarantees in convicting(row).items():
            what = f"{row.mechanism.title}, {FAULTS[row.faults]}"
            yield from _wrapped(f"{numbers[place]:2}. {what}: not {', not '.join(guarantees)}", "    ")
            yield from _wrapped(f"    {place[2]}", "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False)


def as_json(rows: Sequence[Measured], seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "rows": [
            {
                "mechanism": row.mechanism.name,
                "title": row.mechanism.title,
                "faults": row.faults,
                "operations": len(row.history.operations),
                "cells": {
                    guarantee: {**finding.cell(), "promised": guarantee in row.mechanism.promised}
                    for guarantee, finding in row.findings.items()
                },
            }
            for row in rows
        ],
    }


def verdict(rows: Sequence[Measured]) -> Verdict:
    """On what theory promises; that the others were caught is said beside it."""
    broken = [_broken(row, guarantee, finding) for row, guarantee, finding in _promised(rows, "violated")]
    if broken:
        return Verdict("violated", "; ".join(broken))
    undecided = [
        f"{row.mechanism.title} ({guarantee})"
        for row, guarantee, finding in _promised(rows, "undecided")
        if finding.operations
    ]
    if undecided:
        return Verdict("in doubt", f"not decided: {', '.join(undecided)}")
    silent = [
        f"{row.mechanism.title}, {FAULTS[row.faults]}"
        for row in rows
        if row.mechanism.promised and not any(finding.operations for finding in row.findings.values())
    ]
    if silent:
        return Verdict("in doubt", f"nothing happened, so nothing was shown: {'; '.join(silent)}")
    operations = sum(len(row.history.operations) for row in rows)
    unasked = sum(not finding.operations for _, _, finding in _promised(rows, "undecided"))
    size = f"{operations:,} operations in all"
    if unasked:
        size += f", {counted(unasked, 'promised cell')} not asked"
    return Verdict("held", f"nothing broke what theory promises of it ({size})")


def _promised(rows: Sequence[Measured], outcome: str) -> Iterator[tuple[Measured, Guarantee, Finding]]:
    for row in rows:
        for guarantee, finding in row.findings.items():
            if guarantee in row.mechanism.promised and finding.verdict == outcome:
                yield row, guarantee, finding


def _broken(row: Measured, guarantee: Guarantee, finding: Finding) -> str:
    return f"{row.mechanism.title} is not {guarantee}: {finding.sentence}"


def convictions(rows: Sequence[Measured]) -> str:
    """Of what promises nothing, or not everything: how much was seen to break."""
    seen: dict[str, set[Guarantee]] = {}
    for row in rows:
        if len(row.mechanism.promised) < len(GUARANTEES):
            caught = {one for one, finding in row.findings.items() if finding.verdict == "violated"}
            seen.setdefault(row.mechanism.title, set()).update(caught)
    told = [f"{title}: {len(caught)} of {len(GUARANTEES)}" for title, caught in seen.items() if caught]
    missed = [title for title, caught in seen.items() if not caught]
    parts = [f"convicted: {'; '.join(told)}"] if told else []
    parts += [f"not caught this time: {'; '.join(missed)}"] if missed else []
    return ". ".join(parts)
