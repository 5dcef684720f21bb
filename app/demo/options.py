"""What can be said on a demo's command line; the five that one needs come first."""

import argparse
import json
import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import JsonValue

from app.consistency.quorum import N, Quorum, R, W
from app.errors import BadSettingError

Protocol = Literal["both", "full", "notes"]

# Short enough to wait for on a projector, long enough for a busy classroom machine.
SESSION_TIMEOUT_S = 2.0
# The notes wait ten seconds; the demo says aloud that it waits two.
ACK_TIMEOUT_S = 2.0

# Each has two sessions on a link of its own in the demo's process; more would measure the process.
MOST_REPLICAS = 51

STANDARD_OUTPUT = Path("-")
_QUORUM = ("n", "w", "r", "weak")  # the options that make one Quorum


@dataclass(frozen=True, slots=True)
class Options:
    """One run's options, checked.

    Attributes:
        operations, clients: size of the load, and how many clients share it.
        faults: whether the load runs under random faults.
        simulated: on the simulated ensemble, in virtual time.
        quorum: N, W and R of the hard demo.
        live: what to publish to the live workers, instead of a run.
        watch_s: how long to watch the live workers, instead of a run; until Ctrl-C if it is infinite.
        timeline: where the run's page is to be written.
    """

    step: bool
    simulated: bool
    protocol: Protocol
    participants: str
    seed: int
    json: bool
    history: Path | None
    operations: int
    clients: int
    faults: str
    ack_timeout_s: float
    session_timeout_s: float
    color: bool
    quorum: Quorum
    live: tuple[str, JsonValue] | None = None
    watch_s: float | None = None
    timeline: Path | None = None

    @property
    def shows(self) -> tuple[str, ...]:
        """The protocols to show, in their order."""
        return ("notes", "full") if self.protocol == "both" else (self.protocol,)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and status 2, instead of a page of usage."""
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


def _number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:,} and {most:,}")
        return value

    parse.__name__ = "whole number" if kind is int else "number of seconds"
    return parse


def _setting(text: str) -> tuple[str, JsonValue]:
    """KEY=VALUE; a value that is JSON is taken as such, anything else as text."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE; for example chunk_size=2048")
    try:
        parsed: JsonValue = json.loads(value)
    except ValueError:
        parsed = value
    return key, parsed


def parse(
    argv: Sequence[str] | None,
    *,
    program: str,
    claim: str,
    operations: int = 120,
    quorum: bool = False,
    live: bool = False,
) -> Options:
    """Parse ``argv`` (None: the process's own). Bad usage ends the process with one line and status 2."""
    usage = "%(prog)s [options]"
    parser = _Parser(prog=program, usage=usage, description=claim, allow_abbrev=False, add_help=False)
    add = parser.add_argument
    add("--step", action="store_true", help="wait for Enter after each act, and print how to see its znodes")
    add(
        "--protocol",
        choices=("both", "full", "notes"),
        default="both",
        help="both (default): the notes' listing breaks, then the full protocol holds; or one of them",
    )
    add(
        "--participants",
        choices=("auto", "local", "pods"),
        default="auto",
        help="who takes part: sessions of this process (local), live workers (pods), or (auto, the default) "
        "pods if this runs in one and there are enough of them, else local",
    )
    add("--seed", type=int, default=None, metavar="N", help="repeat a run's random choices")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    advanced = parser.add_argument_group("Advanced").add_argument
    advanced("-h", "--help", action="help", help="this list")
    advanced(
        "--history",
        type=Path,
        metavar="FILE",
        help="write what was done, one JSON object a line (- to stdout)",
    )
    advanced("--timeline", type=Path, metavar="FILE", help="draw what was done, as one HTML page")
    advanced(
        "--operations",
        type=_number(int, 1, 1_000_000),
        default=operations,
        metavar="K",
        help=f"size of the load (default {operations})",
    )
    advanced(
        "--clients",
        type=_number(int, 1, 64),
        default=4,
        metavar="C",
        help="clients that share it (default 4)",
    )
    advanced("--faults", choices=("none", "random"), default="random", help="what the load runs under")
    advanced("--simulated", action="store_true", help="on no servers: one process, in virtual time")
    patience = f"patience with the backup (default {ACK_TIMEOUT_S:g}; the notes have 10)"
    advanced(
        "--ack-timeout-s", type=_number(float, 0.1, 600), default=ACK_TIMEOUT_S, metavar="S", help=patience
    )
    session = f"every participant's ZooKeeper session timeout (default {SESSION_TIMEOUT_S:g})"
    timeout = _number(float, 1, 60)
    advanced("--session-timeout-s", type=timeout, default=SESSION_TIMEOUT_S, metavar="S", help=session)
    advanced("--no-color", dest="color", action="store_false", help="no colour, also on a terminal")
    if live:
        advanced(
            "--live",
            type=_setting,
            metavar="KEY=VALUE",
            help="publish to the live workers instead, for example chunk_size=2048, and show each one's lag",
        )
    else:
        parser.set_defaults(live=None)
    if quorum:
        advanced("--n", type=int, default=N, help=f"replicas (default {N})")
        advanced("--w", type=int, default=W, help=f"acknowledgements that a write needs (default {W})")
        advanced("--r", type=int, default=R, help=f"answers that a read needs (default {R})")
        advanced("--weak", action="store_true", help="admit R+W<=N, to see the stale reads that it costs")
        advanced(
            "--watch",
            dest="watch_s",
            type=_number(float, 1, 86_400),
            nargs="?",
            const=math.inf,
            metavar="SECONDS",
            help="a gentle load on the live workers' replicas and a table of them, while you delete pods; "
            "after this long, or Ctrl-C, all of it is checked",
        )
    else:
        parser.set_defaults(n=N, w=W, r=R, weak=False, watch_s=None)
    return _checked(parser, parser.parse_args(argv))


def _checked(parser: _Parser, given: argparse.Namespace) -> Options:
    if not 1 <= given.n <= MOST_REPLICAS:
        parser.error(f"n={given.n} is impossible: choose 1 to {MOST_REPLICAS} replicas")
    try:
        quorum = Quorum(given.n, given.w, given.r, given.weak)
    except BadSettingError as error:
        parser.error(str(error))
    if given.watch_s is not None and (quorum != Quorum() or given.protocol == "notes"):
        parser.error("--watch is about the live workers: five replicas, W=3, R=3, and the full protocol")
    if given.live is not None and given.history is not None:
        parser.error("--live records no history: leave out --history")
    if given.history == STANDARD_OUTPUT and given.json:
        parser.error("--history - and --json can't share standard output: name a file")
    _check_timeline(parser, given)
    if given.simulated and (given.live, given.watch_s, given.participants == "pods") != (None, None, False):
        parser.error("--simulated has no live workers: leave out --live, --watch and --participants pods")
    chosen = {
        "color": given.color and "NO_COLOR" not in os.environ and sys.stdout.isatty(),
        "protocol": "full" if given.watch_s is not None else given.protocol,
        "quorum": quorum,
        "seed": given.seed if given.seed is not None else random.SystemRandom().randrange(10_000),
    }
    return Options(**{name: value for name, value in vars(given).items() if name not in _QUORUM} | chosen)


def _check_timeline(parser: _Parser, given: argparse.Namespace) -> None:
    if given.timeline is None:
        return
    if given.live is not None:
        parser.error("--live records nothing to draw: leave out --timeline")
    if given.timeline == STANDARD_OUTPUT:
        parser.error("--timeline - is no file: name one, for example timeline.html")
    if given.history is not None and given.history.absolute() == given.timeline.absolute():
        parser.error("--history and --timeline can't share one file: name two")
