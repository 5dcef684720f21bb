"""``make power``: can the simulation convict a wrong protocol? Each mutant of proof/mutants is to be.

trial       one mutant: a copy of the tree, the patch, ``make simulate`` within a limit
trials      all of them; table: what is said of them, in a terminal and in docs/power.md
"""

import argparse
import sys
from pathlib import Path

SUMMARY = "Mutants of the protocols: does the simulation convict each, how soon, by which judge?"
SECONDS = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="these mutants, or all of these worlds")
    add("--seconds", type=_seconds, default=SECONDS, metavar="S", help=f"for each, at most ({SECONDS:g})")
    add("--from", type=int, default=1, dest="first", metavar="N", help="the first seed (1)")
    add("--into", type=Path, metavar="PAGE", help="write the tables into this page, too (docs/power.md)")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        message = f"{text!r} is no number of seconds: 1 to 3600"
        raise argparse.ArgumentTypeError(message)
    return seconds


def run(options: argparse.Namespace) -> str:
    """``held``: each mutant was convicted by a judge, and the code as it is by none."""
    from app.errors import BadSettingError
    from proof.mutants import WORLDS
    from proof.power import table
    from proof.power.trials import all_of, chosen

    if options.into and not {*(options.only or WORLDS)} <= {*WORLDS}:
        message = "--into writes the tables of whole worlds: name worlds alone"
        raise BadSettingError(message)
    trials = all_of(chosen(options.only), options.seconds, options.first, table.tell)
    if options.into:
        page = options.into.read_text(encoding="utf-8")
        options.into.write_text(table.into(page, trials, options.seconds), encoding="utf-8")
        print(f"power: {options.into} has the tables", file=sys.stderr)
    verdict = table.verdict(trials)
    print(f"VERDICT {verdict.outcome}: {verdict.sentence}")
    return verdict.outcome
