"""``make matrix``: mechanisms in rows, guarantees in columns, measured and not asserted.

mechanisms   the rows, and what theory promises of each
schedule     one nemesis for all of them, out of a seed
casts        who plays a row
row          one row's process: clients, their operations, its part of the faults
play         all rows side by side, and the judgement
table, html  what came out
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.errors import LessonError, Unreachable
from lab.usage import Parser

HELD, VIOLATED, UNREACHABLE, IN_DOUBT, INTERRUPTED = 0, 1, 3, 4, 130
_STATUS = {"held": HELD, "violated": VIOLATED, "in doubt": IN_DOUBT}


def main(argv: Sequence[str] = ()) -> int:
    """Measure, tell, judge: 0 held, 1 violated, 2 bad usage, 3 no ZooKeeper, 4 in doubt, 130 interrupted."""
    options = _parser().parse_args(argv)
    hosts = os.environ.get("ZK_HOSTS")
    if not hosts:
        print(
            "matrix: which ZooKeeper? `python -m lab matrix` starts one, ZK_HOSTS names one", file=sys.stderr
        )
        return UNREACHABLE
    try:
        return _measure(hosts, options)
    except LessonError as error:
        print(f"matrix: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, Unreachable) else IN_DOUBT
    except KeyboardInterrupt:
        return INTERRUPTED


def _measure(hosts: str, options: argparse.Namespace) -> int:
    from proof.matrix import html, play, table  # eventlet and kazoo: not for a usage error

    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
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
    return _STATUS[verdict.outcome]


def _parser() -> argparse.ArgumentParser:
    from proof.matrix.mechanisms import NAMES

    def rows(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := [name for name in chosen if name not in NAMES]:
            message = f"there is no row {unknown[0]!r}, there are {', '.join(NAMES)}"
            raise argparse.ArgumentTypeError(message)
        return [name for name in NAMES if name in chosen]

    def folder(text: str) -> Path:
        path = Path(text)
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a file: name a folder for the pages")
        return path

    parser = Parser(
        prog="python -m lab matrix",
        description="Which mechanism keeps which guarantee, without faults and under them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--rows",
        type=rows,
        default=list(NAMES),
        metavar="NAME[,NAME]",
        help=f"only these of {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, metavar="N", help="repeats a run's choices"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    pages = "write the table as pages, with timelines"
    parser.add_argument("--html", type=folder, metavar="DIR", help=pages)
    return parser
