"""``make matrix``: mechanisms in rows, guarantees in columns, measured and not asserted.

mechanisms   the rows, and what theory promises of each
schedule     one nemesis for all of them, out of a seed
systems      the system under test in each row
row          one row's process: clients, their operations, its part of the faults
play         all rows side by side, and the judgement
table, html  what came out
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from proof.matrix.mechanisms import NAMES

SUMMARY = "Which mechanism keeps which guarantee, without faults and under them."


def add_options(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(NAMES)
    parser.add_argument(
        "--rows", type=_rows, default=list(NAMES), metavar="NAME[,NAME]", help=f"only these of {names}"
    )
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, metavar="N", help="repeats a run's choices"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    pages = "write the table as pages, with timelines"
    parser.add_argument("--html", type=_folder, metavar="DIR", help=pages)


def _rows(text: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",")]
    if unknown := [name for name in chosen if name not in NAMES]:
        message = f"there is no row {unknown[0]!r}, there are {', '.join(NAMES)}"
        raise argparse.ArgumentTypeError(message)
    return [name for name in NAMES if name in chosen]


def _folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file: name a folder for the pages")
    return path


def measure(hosts: str, options: argparse.Namespace) -> str:
    from proof.matrix import html, play, table

    if "LAB_CONTROL" not in os.environ:
        print("matrix: the servers are not ours to harm, so their faults are left out", file=sys.stderr)
    rows = play.measure(hosts, options.rows, options.seed)
    verdict = table.verdict(rows)
    if options.json:
        said = {"verdict": verdict.outcome, "sentence": verdict.sentence}
        print(json.dumps({**table.as_json(rows, options.seed), **said}))
    else:
        print(table.as_text(rows, options.seed), "", table.convictions(rows), sep="\n")
    if options.html is not None:
        written = html.write(options.html, rows, options.seed)
        print(f"html: {written.resolve()} (open it in a browser)", file=sys.stderr)
    if not options.json:
        print(f"VERDICT {verdict.outcome}: {verdict.sentence}")
    return verdict.outcome
