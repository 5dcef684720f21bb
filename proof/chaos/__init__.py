"""``make chaos``: five workers and three servers under load, a nemesis out of a seed; then all is checked.

site        the workers behind links of their own, the servers, a disk that can be filled
loads       uploads with known results, changes of the configuration
groups      a register on the live workers' replicas; a primary-backup trio
nemesis     two lists of harms (harms, cluster_harms, group_harms); stale_task: one of them, with its scene
audit       what must have been kept: pure functions; leftovers: what may not stay
run         one run; report: what is said of it, and what is left of one that broke something
"""

import argparse
import json
import sys
import time
from pathlib import Path

SUMMARY = "Load and faults side by side; then: was anything lost, or done twice?"
MINUTES = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes", type=_minutes, default=MINUTES, metavar="M", help=f"how long ({MINUTES:g})"
    )
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, metavar="N", help="of all choices"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the report")


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.1 <= minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes: 0.1 to 1440")
    return minutes


def measure(hosts: str, options: argparse.Namespace) -> str:
    from proof.chaos import report
    from proof.chaos.run import chaos

    keep = Path(f"chaos-{options.seed}-{time.strftime('%H%M%S')}")
    print(f"chaos: {options.minutes:g} min, seed {options.seed}", file=sys.stderr, flush=True)
    found = chaos(hosts, 60 * options.minutes, options.seed, keep)
    print(json.dumps(report.as_json(found)) if options.json else report.as_text(found))
    if found.violations:
        again = f"make chaos OPTIONS='--minutes {options.minutes:g} --seed {options.seed}'"
        kept = report.keep(found, keep, again).resolve()
        print(f"{kept} has the histories, logs and timelines", file=sys.stderr)
    if not options.json:
        print(f"VERDICT {found.verdict.outcome}: {found.verdict.sentence}")
    return found.verdict.outcome
