"""Faults that last, out of entries that say only that one began or ended.

The words are those of the demos' nemesis and of the laboratory (cut, slow, crash, gone; "pause server", with
its number). A word that isn't known is still drawn: what begins something is whatever doesn't end anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.checker.history import Fault

# What each ending ends; None: whatever ails the one it is said of. Who is healed isn't back from the dead.
_ENDINGS: dict[str, frozenset[str] | None] = {
    "back": frozenset({"gone"}),
    "resume": frozenset({"pause"}),
    "heal": None,
    "restart": None,
    "mend": None,
}
_SPARED = {"heal": frozenset({"gone", "crash", "outage", "lost"}), "restart": frozenset({"gone"})}
# What lasts until somebody ends it. Of any other word it isn't known, so without an end it is one moment.
_LASTING = frozenset(
    {"cut", "slow", "crash", "outage", "lost", "full", "gone", "pause", "partition", "kill", "stop"}
)
_SERVER = "server"


@dataclass(frozen=True, slots=True)
class Span:
    """Something ailed somebody from one moment to another; None if it never ended."""

    target: str
    kind: str
    from_ns: int
    to_ns: int | None
    is_server: bool = False


def spans(faults: Iterable[Fault]) -> list[Span]:
    """In the order of their beginnings."""
    finished: list[Span] = []
    open_ones: list[Span] = []
    for fault in sorted(faults, key=lambda fault: fault.at_ns):
        word, _, about = fault.op.partition(" ")
        target, is_server = _target(fault, about)
        if word not in _ENDINGS:
            begun = Span(target, fault.op.removesuffix(f" {_SERVER}"), fault.at_ns, None, is_server)
            if not any((one.target, one.kind) == (begun.target, begun.kind) for one in open_ones):
                open_ones.append(begun)
            continue
        for one in [one for one in open_ones if _ends(word, fault, one, (target, is_server))]:
            open_ones.remove(one)
            finished.append(replace(one, to_ns=fault.at_ns))
    finished += [one if _lasts(one) else replace(one, to_ns=one.from_ns) for one in open_ones]
    return sorted(finished, key=lambda span: span.from_ns)


def within(found: Iterable[Span], from_ns: int, to_ns: int) -> list[Span]:
    """Those that were there at some time between the two moments."""
    return [one for one in found if one.from_ns <= to_ns and (one.to_ns is None or one.to_ns >= from_ns)]


def targets(found: Sequence[Span]) -> tuple[set[str], set[str]]:
    """Who was hurt: participants, and servers."""
    return {one.target for one in found if not one.is_server}, {one.target for one in found if one.is_server}


def _target(fault: Fault, about: str) -> tuple[str, bool]:
    """Whom it was done to, and whether that is a server."""
    whom = fault.value if isinstance(fault.value, str) else json.dumps(fault.value)
    if about.rstrip("s") == _SERVER:
        return f"{_SERVER} {whom}", True
    return ("everybody", False) if fault.value is None else (whom, False)


def _ends(word: str, fault: Fault, one: Span, target: tuple[str, bool]) -> bool:
    everyone = fault.value is None and one.is_server == target[1]
    if not everyone and (one.target, one.is_server) != target:
        return False
    if not one.is_server and one.kind in _SPARED.get(word, frozenset()):
        return False
    ended = _ENDINGS[word]
    return ended is None or one.kind in ended


def _lasts(one: Span) -> bool:
    return one.kind.partition(" ")[0] in _LASTING
