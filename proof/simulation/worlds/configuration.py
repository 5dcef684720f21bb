"""What became of a configuration, judged by the store's own log: pure values and functions.

The log has every value in its order, so that nothing that happens in between is hidden by a later write.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.checker.history import History
from app.checker.verdict import Verdict, violated
from app.consistency.eventual import INITIAL, Copy
from app.zookeeper import paths
from proof.simulation import tree
from proof.simulation.ensemble import Entry

Change = tuple[str, int]  # a key, and a value that was never published before

_LARGEST_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """One write of the configuration. ``era``: how often the store had lost its history before."""

    era: int
    zxid: int
    before: bytes | None
    data: bytes

    @property
    def change(self) -> Change | None:
        """The one key that it changes, and nothing else; None if that isn't what it does."""
        base, new = _object(self.before), _object(self.data) or {}
        base = INITIAL if base is None else base
        changed = [(key, value) for key, value in new.items() if base.get(key) != value]
        return changed[0] if len(changed) == 1 and base.keys() <= new.keys() else None


@dataclass
class Log:
    """Listens to the ensemble."""

    stored: list[Stored] = field(default_factory=list)
    era: int = 0
    gone: set[tuple[Change | None, int]] = field(default_factory=set)
    _now: bytes | None = None

    def heard(self, entry: Entry) -> None:
        for change in entry.changes:
            if change.path == paths.CONFIG and change.kind in ("created", "changed") and change.node:
                self.stored.append(Stored(self.era, entry.zxid, self._now, change.node.data))
                self._now = change.node.data

    def lost(self, nodes: tree.Nodes, kept: int) -> None:
        """The store goes on with these znodes, of zxids up to ``kept``."""
        self.era += 1
        self.gone = {(one.change, one.zxid) for one in self.stored if one.zxid > kept}
        found = nodes.get(paths.CONFIG)
        self._now = found.data if found else None


@dataclass
class Asked:
    """What was asked of the store, and how it ended: the zxid, "refused", or "unknown"."""

    changes: dict[Change, int | str] = field(default_factory=dict)
    rogue: set[bytes] = field(default_factory=set)


@dataclass
class Seen:
    """What one life of a copy held, in its order. ``era``: of the store, when it began."""

    resets: int
    era: int
    copies: list[Copy] = field(default_factory=list)


def valid(data: bytes) -> dict[str, Any] | None:
    """The configuration in it, by the chapter's rule and not by the code under test."""
    value = _object(data)
    size = value.get("chunk_size") if value else None
    return value if type(size) is int and 1 <= size <= _LARGEST_CHUNK else None


def without_the_lost(history: History, log: Log) -> History:
    """What was acknowledged, and went with the store, is nobody's fault."""
    operations = [
        replace(one, outcome="unknown")
        if one.version and ((one.key, one.value), one.version[0]) in log.gone and one.op == "write"
        else one
        for one in history.operations
    ]
    return History(tuple(operations), history.faults)


def updates(log: Log, asked: Asked) -> Iterator[Verdict]:
    """Each value is the one before it and one change that somebody asked for; each change happens once."""
    times: Counter[tuple[int, Change]] = Counter()
    for stored in log.stored:
        change = stored.change
        if stored.data in asked.rogue or _is_first(stored):
            continue
        if change not in asked.changes:
            yield violated(
                f"zxid {stored.zxid} replaces {_shown(stored.before)} by {_shown(stored.data)}: "
                "that is more, or less, than the one change that somebody asked for"
            )
            continue
        times[stored.era, change] += 1
        if times[stored.era, change] > 1:
            yield violated(f"{change} was published twice, the second time by zxid {stored.zxid}")
        if asked.changes[change] == "refused":
            yield violated(f"{change} was refused, and zxid {stored.zxid} publishes it")
    happened = {(stored.change, stored.zxid) for stored in log.stored}
    for change, ending in asked.changes.items():
        if isinstance(ending, int) and (change, ending) not in happened:
            yield violated(f"{change} was acknowledged with zxid {ending}, which is no write of it")


def copies(log: Log, seen: Mapping[str, Seen]) -> Iterator[Verdict]:
    """What a copy holds is a valid value of the store, with its zxid; it tells of no loss that wasn't."""
    known = {(stored.zxid, _canonical(valid(stored.data))) for stored in log.stored}
    for life, one in seen.items():
        if one.resets > one.era:
            yield violated(f"{life} reports that the store was reset, and it was not")
        for copy in one.copies:
            if copy.value is None or (copy.mzxid, _canonical(copy.value)) not in known:
                served = f"{life} serves {_canonical(copy.value)} with zxid {copy.mzxid}"
                yield violated(f"{served}: no such value was stored, or it is invalid")


def _is_first(stored: Stored) -> bool:
    return stored.before is None and _object(stored.data) == INITIAL


def _object(data: bytes | None) -> dict[str, Any] | None:
    try:
        value = json.loads(data or b"")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def _shown(data: bytes | None) -> str:
    return "nothing" if data is None else data.decode(errors="replace")
