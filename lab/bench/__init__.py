"""How fast are the protocols, as ratios to the raw ZooKeeper calls that they can't do without?

Milliseconds say more about a machine than about a program. So every operation is timed beside its *floor*:
the same calls, made bare, with the same sessions and the same handler, sample by sample in turn. The ratio
is what the protocol itself costs. Each floor is described beside its code:

    primary_backup.py   write until the user is answered
    quorum.py           a register's read and write, all well and with one replica slow
    configuration.py    publish until five copies have it
    worker.py           uploads, taking over, a long day: five processes, against one process and no cluster
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.errors import LessonError, Unreachable
from lab.bench import configuration, primary_backup, quorum, worker
from lab.bench.measuring import SAMPLES, Row, as_table
from lab.bench.sessions import Sessions

UNREACHABLE, IN_DOUBT, INTERRUPTED = 3, 4, 130


def main(argv: Sequence[str] = ()) -> int:
    """Measure and print; 0 also where a target is missed, since a busy machine misses some."""
    options = _parser().parse_args(argv)
    hosts = os.environ.get("ZK_HOSTS")
    if not hosts:
        # The servers' supervisor waits without eventlet, so it can't live in this process.
        print("bench: which ZooKeeper? `python -m lab bench` starts one, ZK_HOSTS names one", file=sys.stderr)
        return UNREACHABLE
    try:
        rows = measure(hosts, options.samples)
        figures = worker.measure(hosts, quick=options.samples < SAMPLES)
    except LessonError as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, Unreachable) else IN_DOUBT
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        told = {"rows": [row.as_dict() for row in rows], "worker": [one.as_dict() for one in figures]}
        print(json.dumps({"samples": options.samples, **told}))
    else:
        print(as_table(rows, options.samples), worker.as_table(figures), sep="\n\n")
    return 0


def measure(hosts: str, samples: int) -> list[Row]:
    """All rows, on the servers ``hosts``, in a root that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Sessions(hosts) as sessions:
        return [
            primary_backup.measure(sessions, Path(folder), samples),
            *quorum.measure(sessions, samples),
            *configuration.measure(sessions, samples),
        ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--samples", type=_at_least_one, default=SAMPLES, metavar="N", help=f"of each kind ({SAMPLES})"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is no number of samples: 1 or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)
