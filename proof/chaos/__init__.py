"""``make chaos``: five workers and three servers under load, a nemesis out of a seed; then all is checked.

site        the workers behind links of their own, the servers, a disk that can be filled
loads       uploads with known results, changes of the configuration
groups      a register on the live workers' replicas; a primary-backup trio
nemesis     two lists of harms (harms, cluster_harms, group_harms); stale_task: one of them, with its scene
audit       what must have been kept: pure functions; leftovers, processes: what may not stay
run         one run; report: what is said of it, and what is left of one that broke something
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.errors import BadSettingError, LessonError, Unreachable
from lab.usage import BAD_USAGE, Parser

UNREACHABLE, IN_DOUBT, INTERRUPTED = 3, 4, 130
_STATUS = {"held": 0, "violated": 1, "in doubt": IN_DOUBT}
MINUTES = 2.0


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m lab chaos",
        description="Load and faults side by side; then: was anything lost, or done twice?",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--minutes", type=_minutes, default=MINUTES, metavar="M", help=f"how long ({MINUTES:g})"
    )
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, metavar="N", help="of all choices"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the report")
    return parser.parse_args(argv)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.1 <= minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes: 0.1 to 1440")
    return minutes


def main(argv: Sequence[str] = ()) -> int:
    """0 held, 1 violated, 2 bad usage, 3 no ZooKeeper, 4 in doubt, 130 interrupted."""
    options = parsed(argv)
    hosts = os.environ.get("ZK_HOSTS")
    if not hosts:
        print("chaos: which ZooKeeper? `python -m lab chaos` starts one", file=sys.stderr)
        return UNREACHABLE
    try:
        return _run(hosts, options)
    except BadSettingError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return BAD_USAGE
    except LessonError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, Unreachable) else IN_DOUBT
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(hosts: str, options: argparse.Namespace) -> int:
    from proof.chaos import report  # eventlet and kazoo: not for a usage error
    from proof.chaos.run import chaos

    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    keep = Path(f"chaos-{options.seed}-{time.strftime('%H%M%S')}")
    print(f"chaos: {options.minutes:g} min, seed {options.seed}", file=sys.stderr, flush=True)
    found = chaos(hosts, 60 * options.minutes, options.seed, keep)
    if options.json:
        print(json.dumps(report.as_json(found)))
    else:
        print(report.as_text(found))
    if found.violations:
        again = f"make chaos OPTIONS='--minutes {options.minutes:g} --seed {options.seed}'"
        print(
            f"{report.keep(found, keep, again).resolve()} has the histories, logs and timelines",
            file=sys.stderr,
        )
    if not options.json:
        print(f"VERDICT {found.verdict.outcome}: {found.verdict.sentence}")
    return _STATUS[found.verdict.outcome]
