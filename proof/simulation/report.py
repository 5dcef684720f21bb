"""What came of many runs, and what is left of one that broke something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.checker.history import HistoryError
from app.checker.parsing import read_history
from app.checker.timeline import Chapter, page
from app.checker.verdict import Verdict
from proof.simulation.script import Played, Script


@dataclass
class Tally:
    """All runs of one world.

    Attributes:
        seconds: of all processes that played it.
        broken: the first run that broke something, shrunk; ``doubtful``: those that came to no end.
    """

    world: str
    seeds: int = 0
    seconds: float = 0.0
    simulated_s: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: Played | None = None
    doubtful: list[Played] = field(default_factory=list)

    def add(self, played: Played, seconds: float) -> None:
        self.seeds += 1
        self.seconds += seconds
        self.simulated_s += played.simulated_s
        self.endings += played.endings
        self.faults += played.faults
        if played.outcome == "violated":
            self.broken = self.broken or played
        elif played.outcome == "in doubt":
            self.doubtful.append(played)

    @property
    def operations(self) -> int:
        return sum(self.endings.values())


_HEADINGS = ("ok", "refused", "unknown", "simulated")


def lines(tallies: list[Tally]) -> Iterator[str]:
    """The table: a line for each world, then the faults."""
    yield f"{'world':10}{'seeds':>8}{'operations':>12}" + "{:>10}{:>10}{:>10}{:>12}".format(*_HEADINGS)
    for one in tallies:
        ended = "".join(f"{one.endings[word]:10,}" for word in ("ok", "refused", "unknown"))
        yield f"{one.world:10}{one.seeds:8,}{one.operations:12,}{ended}{one.simulated_s / 3600:10.1f} h"
    faults = sum((one.faults for one in tallies), Counter[str]())
    yield f"faults: {', '.join(f'{count:,} {kind}' for kind, count in sorted(faults.items())) or 'none'}"


def as_json(tallies: list[Tally], said: Verdict) -> dict[str, Any]:
    """The same for a program; ``judge`` and ``again``: of the first run that broke something."""
    broken = next((one.broken for one in tallies if one.broken is not None), None)
    return {
        "verdict": said.outcome,
        "sentence": said.sentence,
        "judge": broken.judge if broken else None,
        "again": command(broken.script) if broken else None,
        "worlds": {
            one.world: {
                "seeds": one.seeds,
                "operations": one.operations,
                "endings": dict(one.endings),
                "faults": dict(one.faults),
                "simulated_s": round(one.simulated_s, 3),
            }
            for one in tallies
        },
    }


def verdict(tallies: list[Tally]) -> Verdict:
    """Of all worlds; a violation first, then what came to no end."""
    for one in tallies:
        if one.broken is not None:
            seed = f"{one.world}, seed {one.broken.script.seed}"
            return Verdict("violated", f"{one.broken.judge}: {one.broken.verdict.sentence} ({seed})")
    doubtful = [played for one in tallies for played in one.doubtful]
    if doubtful:
        return Verdict("in doubt", f"{len(doubtful)} runs, the first: {doubtful[0].verdict.sentence}")
    seeds, operations = sum(one.seeds for one in tallies), sum(one.operations for one in tallies)
    hours = sum(one.simulated_s for one in tallies) / 3600
    faults = sum(sum(one.faults.values()) for one in tallies)
    if not operations:
        return Verdict("in doubt", "nothing was done, so nothing was shown")
    what = f"{operations:,} operations, {faults:,} faults, {hours:.1f} simulated hours"
    return Verdict("held", f"no promise was broken in {seeds:,} seeds ({what})")


def command(script: Script) -> str:
    """What repeats a run, byte for byte."""
    given = f"--world {script.world} --seed {script.seed}"
    for name, value in (("clients", script.clients), ("operations", script.operations)):
        given += "" if value is None else f" --{name} {value}"
    if script.faults is not None:
        given += f" --faults {','.join(map(str, script.faults)) or 'none'}"
    return f"make simulate OPTIONS='{given}'"


def keep(played: Played, folder: Path) -> Path:
    """Its history, as any checker can read it; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{played.script.world}-{played.script.seed}.jsonl"
    path.write_text("".join(f"{line}\n" for line in played.history), encoding="utf-8")
    return path


def draw(played: Played, path: Path) -> None:
    """Its timeline, a page for a browser."""
    title = f"{played.script.world}, seed {played.script.seed}"
    try:
        chapter = Chapter(played.script.world, read_history(played.history), played.verdict, played.judge)
        text = page(title, [chapter])
    except HistoryError as error:
        text = f"<!doctype html><title>{title}</title><p>Not drawn: {error}"
    path.write_text(text, encoding="utf-8")
