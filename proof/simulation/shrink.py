"""A run that broke something, made as small as it still breaks: fewer faults, operations and clients.

Each try is a run of its own, and counts if it breaks the same promise (the way of delta debugging: Zeller &
Hildebrandt, IEEE TSE 2002). Whatever is taken away changes the rest, so the smallest found is not the
smallest there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from proof.simulation.script import Played, Script

Play = Callable[[Script], Played]


def shrunk(found: Played, play: Play, enough: Callable[[], bool]) -> Played:
    """The smallest run found until ``enough()``."""
    smaller: Played | None = found
    while smaller is not None:
        found = smaller
        smaller = next(
            (tried for tried in _tries(found, play, enough) if _breaks_the_same(tried, found)), None
        )
    return found


def _breaks_the_same(tried: Played, found: Played) -> bool:
    return tried.outcome == "violated" and tried.judge == found.judge


def _tries(found: Played, play: Play, enough: Callable[[], bool]) -> Iterator[Played]:
    for script in _smaller(found):
        if enough():
            return
        yield play(script)


def _smaller(found: Played) -> Iterator[Script]:
    """Scripts with less in them, those with much less first."""
    script, done = found.script, sum(found.endings.values())
    for operations in _fewer(min(done, script.operations or done)):
        yield replace(script, operations=operations)
    if script.faults is None or script.faults:
        yield replace(script, faults=[])
    for faults in _parts(found.struck):
        yield replace(script, faults=faults)
    for clients in range(1, found.clients):
        yield replace(script, clients=clients)


def _fewer(count: int) -> Iterator[int]:
    for share in (2, 4, 8):
        if count // share:
            yield count - count // share if share > 2 else count // 2
    if count > 1:
        yield count - 1


def _parts(faults: Sequence[int]) -> Iterator[list[int]]:
    """Without a half, a quarter, ... one; each part in turn."""
    size = len(faults)
    while size > 1:
        size = (size + 1) // 2
        for start in range(0, len(faults), size):
            yield [*faults[:start], *faults[start + size :]]
