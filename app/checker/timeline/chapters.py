"""A history with what is said of it, as the page is told of it: lists and texts, times in milliseconds."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.checker.history import History, HistoryError, Operation, Value
from app.checker.points import Explanation, explain
from app.checker.timeline.spans import Span, spans, targets, within
from app.checker.verdict import Verdict
from app.checker.wording import Wording

_LONGEST = 200  # characters of any one text: a payload may have millions
_YEAR_NS = 365 * 24 * 3600 * 10**9
_NUMBER = re.compile(r"(\d{1,18})")
_CLIENT, _PARTICIPANT, _SERVER = range(3)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One history and what was decided of it.

    Attributes:
        name: what it is the history of.
        guarantee: what the verdict is about.
        participants: who took part and did nothing that was recorded; each gets a lane too.
    """

    name: str
    history: History
    verdict: Verdict
    guarantee: str = "linearizable"
    participants: tuple[str, ...] = ()


def told(chapter: Chapter) -> dict[str, Any]:
    """The chapter as the page's scripts read it. HistoryError if nobody could draw it."""
    history = chapter.history
    start, end = _extent(history)
    faults = within(spans(history.faults), start, end)
    lanes = _lanes(chapter, faults)
    place = {name: number for number, (name, _) in enumerate(lanes)}
    say = Wording(history.start_ns)
    explained = {key: _explained(operations, say) for key, operations in history.by_key().items()}
    numbers = {operation: number for number, operation in enumerate(history.operations)}
    return {
        "name": visible(chapter.name),
        "guarantee": visible(chapter.guarantee),
        "verdict": {"outcome": chapter.verdict.outcome, "sentence": visible(chapter.verdict.sentence, 2000)},
        "witness": _known(chapter.verdict.witness, numbers),
        "end": _ms(end, start),
        "lanes": [{"name": visible(name), "group": group} for name, group in lanes],
        "keys": [_told_key(key, found, numbers, chapter.verdict) for key, found in explained.items()],
        "operations": _told_operations(history, explained, place, start),
        "spans": [_told_span(span, place[span.target], start) for span in faults],
    }


def visible(text: str, longest: int = _LONGEST) -> str:
    """A text that shows what is in it: what a screen hides, or turns around, is written as \\u...."""
    shown = text if len(text) <= longest else f"{text[: longest * 2 // 3]}…{text[-longest // 4 :]}"
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        f"\\u{ord(letter):04x}" if unicodedata.category(letter) in hidden else letter for letter in shown
    )


def _extent(history: History) -> tuple[int, int]:
    """From the first moment to the last at which a client did anything."""
    moments = [operation.invoked_ns for operation in history.operations]
    moments += [one.returned_ns for one in history.operations if one.returned_ns is not None]
    moments = moments or [fault.at_ns for fault in history.faults]
    if not moments:
        raise HistoryError("there is nothing in it to draw")
    start, end = min(moments), max(moments)
    if end - start > 30 * _YEAR_NS:
        raise HistoryError(
            f"it lasts {(end - start) // _YEAR_NS} years: its times are not those of one clock"
        )
    return start, end


def _lanes(chapter: Chapter, faults: Sequence[Span]) -> list[tuple[str, int]]:
    """Who has one, and of which kind it is: those who ask first, then those who answer, then the servers."""
    hurt, servers = targets(faults)
    participants = hurt | set(chapter.participants)
    clients = {operation.process for operation in chapter.history.operations} - participants
    return [
        (name, kind)
        for kind, group in (
            (_CLIENT, clients),
            (_PARTICIPANT, participants),
            (_SERVER, servers - participants),
        )
        for name in sorted(group - clients if kind else group, key=_by_number)
    ]


def _by_number(name: str) -> list[tuple[bool, int, str]]:
    """client-2 before client-10."""
    parts = _NUMBER.split(name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _explained(operations: Sequence[Operation], say: Wording) -> Explanation | HistoryError:
    try:
        return explain(operations, say)
    except HistoryError as error:
        return error


def _told_key(
    key: str, found: Explanation | HistoryError, numbers: Mapping[Operation, int], verdict: Verdict
) -> dict[str, Any]:
    complaint = found.complaint if isinstance(found, Explanation) else None
    return {
        "name": visible(key),
        "ordered": isinstance(found, Explanation) and complaint is None,
        "why": visible(_why(found, verdict), 2000),
        "witness": _known(complaint.witness if complaint else (), numbers),
    }


def _why(found: Explanation | HistoryError, verdict: Verdict) -> str:
    """Whether there is an order, and what the marks mean; the verdict's sentence isn't said twice."""
    moments = "a diamond is a moment at which its operation can have taken effect"
    if isinstance(found, HistoryError):
        return f"It can't be read as one register, so no moments are marked: {found}."
    if found.complaint is None:
        return f"One order explains every read: {moments}."
    if found.complaint.sentence in verdict.sentence:
        why = "No order explains every read."
    else:
        beside = " Nor is that what the verdict is about." if verdict.outcome == "held" else ""
        why = f"Not linearizable: {found.complaint.sentence}.{beside}"
    if not found.misfits:
        return why
    without = "Without the read" if len(found.misfits) == 1 else f"Without the {len(found.misfits)} reads"
    return f"{why} {without} marked with a cross, one explains the rest: {moments}."


def _told_operations(
    history: History,
    explained: Mapping[str, Explanation | HistoryError],
    place: Mapping[str, int],
    start: int,
) -> list[dict[str, Any]]:
    keys = {key: number for number, key in enumerate(explained)}
    values: dict[tuple[str, Value], int] = {}
    effects: dict[Operation, tuple[int, int]] = {}
    misfits: set[Operation] = set()
    for found in explained.values():
        if isinstance(found, Explanation):
            misfits.update(found.misfits)
            effects |= {one.operation: (one.at_ns, nth) for nth, one in enumerate(found.effects, start=1)}
    drawn = []
    for one in history.operations:
        at_ns, nth = effects.get(one, (None, None))
        drawn.append(
            {
                "lane": place[one.process],
                "op": one.op,
                "key": keys[one.key],
                "value": visible(json.dumps(one.value, ensure_ascii=False)),
                "same": values.setdefault((one.key, one.value), len(values)),
                "version": visible(f"{one.version[0]} {one.version[1]}".strip()) if one.version else None,
                "from": _ms(one.invoked_ns, start),
                "to": None if one.returned_ns is None else _ms(one.returned_ns, start),
                "outcome": one.outcome,
                "at": None if at_ns is None else _ms(at_ns, start),
                "nth": nth,
                "fits": one not in misfits,
            }
        )
    return drawn


def _told_span(span: Span, lane: int, start: int) -> dict[str, Any]:
    return {
        "lane": lane,
        "kind": visible(span.kind, 40),
        "from": _ms(span.from_ns, start),
        "to": None if span.to_ns is None else _ms(span.to_ns, start),
    }


def _known(witness: Iterable[Operation], numbers: Mapping[Operation, int]) -> list[int]:
    """Where the guilty stand in the history; the write of the initial value stands nowhere."""
    return sorted(numbers[operation] for operation in witness if operation in numbers)


def _ms(moment_ns: int, start_ns: int) -> float:
    return round((moment_ns - start_ns) / 1e6, 6)
