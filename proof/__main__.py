"""python -m proof matrix | chaos | bench | simulate | power

simulate and power need no servers. For the others, without ZK_HOSTS, it starts an ensemble, and itself again
beside it: the process that supervises servers must not run eventlet, and the one that measures does.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from app.errors import BadSettingError, LessonError, Unreachable
from lab.backends import UNREACHABLE, add_options, environment, given_hosts, status_of
from lab.console import BAD_USAGE, Parser
from lab.interrupts import Interrupts
from proof import bench, chaos, matrix, power, simulation

STATUS = {"held": 0, "violated": 1, "in doubt": 4}
INTERRUPTED = 130
# Each has SUMMARY, add_options(parser) and measure(hosts, options), which imports late what it needs: a wrong
# option is refused at once.
INSTRUMENTS = {"matrix": matrix, "chaos": chaos, "bench": bench}
# These need no servers: they have run(options) instead.
WITHOUT_SERVERS = {"simulate": simulation, "power": power}


def main(argv: Sequence[str]) -> int:
    """0 held, 1 violated, 2 bad usage, 3 no ZooKeeper, 4 in doubt, 130 interrupted."""
    options = _parser().parse_args(argv)
    if options.name in WITHOUT_SERVERS:
        return _alone(options)
    if not os.environ.get("ZK_HOSTS"):
        return _beside_servers(options, argv)
    if "LAB_CONTROL" not in os.environ:  # else the laboratory has said which servers these are
        given_hosts()
    return _measured(options.instrument, options)


def _beside_servers(options: argparse.Namespace, argv: Sequence[str]) -> int:
    with Interrupts() as interrupts:

        def action() -> int:
            with environment(options, interrupts) as leading:
                return interrupts.run([sys.executable, "-m", "proof", *argv], leading)

        return status_of(interrupts, action)


def _alone(options: argparse.Namespace) -> int:
    return _status(options, lambda: str(WITHOUT_SERVERS[options.name].run(options)))


def _measured(instrument: ModuleType, options: argparse.Namespace) -> int:
    return _status(options, lambda: str(instrument.measure(os.environ["ZK_HOSTS"], options)))


def _status(options: argparse.Namespace, outcome: Callable[[], str]) -> int:
    """The outcome's, or that of the error that came in its place."""
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    # A signal to end is an exception here: what was harmed is healed, and nothing is left.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return STATUS[outcome()]
    except LessonError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        if isinstance(error, BadSettingError):
            return BAD_USAGE
        return UNREACHABLE if isinstance(error, Unreachable) else STATUS["in doubt"]
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m proof", description="The project, judged.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="INSTRUMENT", required=True, dest="name")
    for name, instrument in INSTRUMENTS.items():
        sub = commands.add_parser(
            name, help=instrument.SUMMARY, description=instrument.SUMMARY, allow_abbrev=False
        )
        add_options(sub)
        instrument.add_options(sub)
        sub.set_defaults(instrument=instrument)
    for name, alone in WITHOUT_SERVERS.items():
        sub = commands.add_parser(name, help=alone.SUMMARY, description=alone.SUMMARY, allow_abbrev=False)
        alone.add_options(sub)
    return parser


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of kazoo and eventlet would hold the exit
