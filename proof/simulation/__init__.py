"""``make simulate``: one seed, one run. The project's own code on a simulated ensemble, in virtual time.

clock       nothing waits: the clock is set to what is due next; all chance is the seed's
tree        znodes, and what a request does to them
ensemble    the log, the sessions, the leader; server: its copy, its watches, its clients; network: the ways
client      kazoo's own, but for its loop over a socket; connection: what takes that place
stage       what every world stands on; pod: a process that can crash; nemesis: faults
worlds      quorum, pair, eventual, worker
play        a demo on all this, unchanged; edges: what it meets in the place of the real
script      what is played, and what came of it; processes: one for each run; shrink, report, command

docs/simulation.md says what ZooKeeper promises and this keeps, and what it can't show.
"""

import argparse
import os
from pathlib import Path

SUMMARY = "Seed after seed on a simulated ensemble, in virtual time; then: was a promise broken?"
WORLDS = ("quorum", "pair", "eventual", "worker")
SECONDS = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--world", action="append", choices=WORLDS, dest="worlds", help="only this one; may be given again")
    add("--seconds", type=_positive, default=SECONDS, metavar="S", help=f"for how long ({SECONDS:g})")
    add("--seeds", type=int, metavar="K", help="so many of each world, however long that takes")
    add("--from", type=int, default=1, dest="first", metavar="N", help="the first seed (1)")
    add("--seed", type=int, metavar="N", help="this one only")
    add("--timeline", type=Path, metavar="FILE", help="where to draw what broke, as a page for a browser")
    add("--export", type=Path, metavar="FOLDER", help="write every history there, one file each")
    add("--processes", type=int, default=os.cpu_count() or 1, metavar="K", help="at once (all cores)")
    add("--json", action="store_true", help="one JSON object instead of the report")
    add("--no-shrink", action="store_false", dest="shrink", help="leave what broke as it was")
    small = parser.add_argument_group("with --seed, what shrinking has left of it")
    small.add_argument("--clients", type=int, metavar="K", help="at most so many")
    small.add_argument("--operations", type=int, metavar="K", help="at most so many")
    small.add_argument("--faults", type=_numbers, metavar="N,N", help="these alone happen; or none")


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 24 * 3600:
        message = f"{text!r} is no number of seconds: more than 0, at most a day"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _numbers(text: str) -> list[int]:
    try:
        return [] if text == "none" else [int(number) for number in text.split(",")]
    except ValueError:
        message = f"{text!r} is no list of numbers such as 3,17; or none"
        raise argparse.ArgumentTypeError(message) from None


def run(options: argparse.Namespace) -> str:
    """The outcome: held, violated, in doubt."""
    from proof.simulation.command import begin_again_with_fixed_hashes, simulate

    begin_again_with_fixed_hashes()
    options.worlds = options.worlds or list(WORLDS)
    return simulate(options)
