"""``make simulate``: seed after seed of every world, until the time is over or a promise is broken."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from proof.simulation import report
from proof.simulation.processes import play_all, play_one
from proof.simulation.report import Tally
from proof.simulation.script import Played, Script
from proof.simulation.shrink import shrunk

# What shrinking may take, in seconds: for most it is enough, and a person waits.
_SHRINKING_S = 45.0
# Between two lines of progress: on a terminal, where each takes the place of the last; and in a log.
_PROGRESS_S, _LOGGED_S = 0.5, 10.0


def simulate(options: argparse.Namespace) -> str:
    """Play, print the table, keep what broke; returns the verdict's outcome."""
    progress = _Progress(options)
    tallies = {world: Tally(world) for world in options.worlds}
    began_s = time.monotonic()

    def enough() -> bool:
        late = options.seeds is None and time.monotonic() - began_s >= options.seconds
        return late or any(one.broken for one in tallies.values())

    for played, seconds in play_all(_scripts(options, tallies), options.processes, enough):
        tallies[played.script.world].add(played, seconds)
        if options.export:
            report.keep(played, options.export)
        progress.show(tallies, time.monotonic() - began_s)
    progress.end()
    for one in tallies.values():
        if one.broken is not None:
            one.broken = _kept(one.broken, options)
    said = report.verdict(list(tallies.values()))
    if options.json:
        print(json.dumps(report.as_json(list(tallies.values()), said)))
        return said.outcome
    print("\n".join(report.lines(list(tallies.values()))))
    for doubtful in [played for one in tallies.values() for played in one.doubtful][:5]:
        print(f"in doubt: {report.command(doubtful.script)}")
    print(f"VERDICT {said.outcome}: {said.sentence}", flush=True)
    return said.outcome


def _scripts(options: argparse.Namespace, tallies: dict[str, Tally]) -> Iterator[Script]:
    """One after another, of the world that has had the least time; or the one that was asked for."""
    if options.seed is not None:
        limits = {"clients": options.clients, "operations": options.operations, "faults": options.faults}
        yield from (Script(world, options.seed, **limits) for world in options.worlds)
        return
    given = dict.fromkeys(options.worlds, 0)
    costs = dict.fromkeys(options.worlds, 0.0)
    for _ in count():
        open_to = [world for world in given if options.seeds is None or given[world] < options.seeds]
        if not open_to:
            return
        for world in open_to:
            # Those under way count as well, at the price of the others.
            tally = tallies[world]
            costs[world] = tally.seconds / max(tally.seeds, 1) * given[world]
        chosen = min(open_to, key=lambda world: (costs[world], given[world]))
        yield Script(chosen, options.first + given[chosen])
        given[chosen] += 1


def _kept(found: Played, options: argparse.Namespace) -> Played:
    """Make it small, write it down, and say how to repeat it."""
    if options.shrink and options.seed is None:
        print(f"{found.script.world}, seed {found.script.seed}: violated; making it smaller", file=sys.stderr)
        until_s = time.monotonic() + _SHRINKING_S
        found = shrunk(found, play_one, lambda: time.monotonic() > until_s)
    path = report.keep(found, Path("simulate-results"))
    timeline = options.timeline or path.with_suffix(".html")
    report.draw(found, timeline)
    done = f"{sum(found.endings.values())} operations, {len(found.struck)} faults"
    if options.json:
        return found
    print(f"{found.judge} violated: {found.verdict.sentence}")
    print(f"history   {path} ({done})\ntimeline  {timeline}\nagain     {report.command(found.script)}")
    return found


class _Progress:
    """A line that says where it stands."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._seconds = options.seconds if options.seeds is None and options.seed is None else None
        self._next_s = 0.0

    def show(self, tallies: dict[str, Tally], now_s: float) -> None:
        if now_s < self._next_s:
            return
        self._next_s = now_s + (_PROGRESS_S if self._on_terminal else _LOGGED_S)
        seeds = ", ".join(f"{one.world} {one.seeds:,}" for one in tallies.values())
        operations = sum(one.operations for one in tallies.values())
        of = f" of {self._seconds:g}" if self._seconds else ""
        line = f"simulate: {now_s:.0f}{of} s; seeds: {seeds}; {operations:,} operations"
        sys.stderr.write(f"\r\033[K{line}" if self._on_terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._on_terminal:
            sys.stderr.write("\r\033[K")


def begin_again_with_fixed_hashes() -> None:
    """The order of a set of texts depends on a secret of the process, unless that is given."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, *(f"-W{given}" for given in sys.warnoptions), "-m", "proof", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
