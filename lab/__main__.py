"""python -m lab up | demo | run | servers | matrix | chaos | bench | deploy | undeploy | page"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path

from lab import deploy as deployment, page as entrance, up as cluster
from lab.backends import UNREACHABLE, add_options, environment, given_hosts, laboratory, status_of
from lab.console import Parser, print_to_stderr
from lab.ensemble import Ensemble, UnavailableError
from lab.interrupts import Interrupted, Interrupts
from lab.kubectl import ClusterError, context_of
from lab.up import Place
from lab.workers import WorkersError

# The instruments of proof, which lab doesn't import: ``python -m proof`` runs them.
PROOF = {
    "matrix": "measure which mechanism keeps which guarantee, under faults too",
    "chaos": "load and faults side by side on five workers and three servers, then check everything",
    "bench": "measure speed beside raw ZooKeeper calls, and its growth with load",
}
WORST_FIRST = (130, 1, 2, 3, 4)  # interrupted, violated, bad usage, no ZooKeeper, in doubt
TOP = Path(__file__).resolve().parent.parent
DEMOS = {
    "easy": "demo_easy_eventual.py",
    "medium": "demo_medium_primary_backup.py",
    "hard": "demo_hard_quorum.py",
}
# What each demo claims, and about how long it takes with its default options.
CLAIMS = {
    "easy": "eventual consistency: all copies converge, none goes back, no update is lost (about 10 s)",
    "medium": "primary-backup: what was acknowledged is on two disks, what was refused on none (about 15 s)",
    "hard": "quorums, N-W-R = 5-3-3: every read returns the newest completed write (about 15 s)",
}

Command = Callable[[argparse.Namespace, Interrupts], int]


def main(argv: Sequence[str]) -> int:
    if argv and argv[0] in PROOF:  # in our place: signals reach it as they would reach us
        os.execv(sys.executable, [sys.executable, "-m", "proof", *argv])
    arguments, rest = _parser().parse_known_args(argv)
    arguments.rest = rest
    if rest and arguments.command is not demo:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    with Interrupts() as interrupts:
        try:
            return status_of(interrupts, lambda: int(arguments.command(arguments, interrupts)))
        except WorkersError as exc:
            print_to_stderr(f"no workers: {exc}")
            return UNREACHABLE
        except ClusterError as exc:
            print_to_stderr(str(exc))
            return UNREACHABLE


def run(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """run a command on an ensemble (ZK_HOSTS and LAB_CONTROL in its environment); its status is ours"""
    command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not command:
        _parser().error("run what? python -m lab run -- COMMAND...")
    with environment(arguments, interrupts) as surroundings:
        return interrupts.run(command, surroundings)


def demo(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """run the demos, or those named, one after another on one ensemble; the worst status is ours"""
    names = list(takewhile(lambda word: not word.startswith("-"), arguments.rest))
    given = arguments.rest[len(names) :]
    if unknown := [name for name in names if name not in DEMOS]:
        _parser().error(f"there is no demo {unknown[0]!r}, there are {', '.join(DEMOS)}")
    statuses = set()
    with _real_or_simulated(arguments, interrupts) as (surroundings, more):
        for name in names or DEMOS:
            print_to_stderr(f"demo {name}: {CLAIMS[name]}")
            command = [sys.executable, str(TOP / DEMOS[name]), *given, *more]
            statuses.add(interrupts.run(command, surroundings))
            if interrupts.signum is not None:
                raise Interrupted(interrupts.signum)
    return next((status for status in WORST_FIRST if status in statuses), max(statuses))


@contextmanager
def _real_or_simulated(
    arguments: argparse.Namespace, interrupts: Interrupts
) -> Iterator[tuple[dict[str, str], list[str]]]:
    """What leads the demos to ZooKeeper, and the option that does without where this machine has none."""
    without = dict(os.environ), ["--simulated"]
    if arguments.simulated:
        yield without
        return
    with ExitStack() as stack:
        try:
            ground = stack.enter_context(environment(arguments, interrupts)), list[str]()
        except UnavailableError as exc:
            if arguments.backend != "auto":
                raise
            print_to_stderr(f"simulated, since there is no ZooKeeper: {exc}")
            ground = without
        yield ground


def servers(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """start an ensemble, print where it is, keep it until a signal ends it"""
    if arguments.until_stdin_closes:
        interrupts.end_with_stdin()
    with laboratory(arguments, interrupts) as (ensemble, control):
        print(_as_json(ensemble, control) if arguments.json else _as_shell(ensemble, control), flush=True)
        try:
            while True:
                interrupts.sleep(3600)
        except Interrupted:
            return 0


def up(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """start an ensemble and workers, print where the page is, keep them until a signal ends them"""
    if hosts := given_hosts():
        place = Place(hosts, os.environ.get("LAB_CONTROL") or None, ensemble=None)
        return cluster.run(place, arguments, interrupts)
    with laboratory(arguments, interrupts) as (ensemble, control):
        return cluster.run(Place(ensemble.hosts, str(control), ensemble), arguments, interrupts)


def deploy(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """build the image and run it on minikube: three ZooKeeper servers and five workers"""
    return deployment.deploy(arguments, interrupts)


def undeploy(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """remove from minikube what deploy has put there"""
    return deployment.undeploy(arguments, interrupts)


def page(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """lead a local port to the master's pod, and to the next one when it changes"""
    return entrance.page(arguments, interrupts)


def _as_json(ensemble: Ensemble, control: Path) -> str:
    servers = [server.row() for server in ensemble.servers]
    whole = {"zk_hosts": ensemble.hosts, "control": str(control), "backend": ensemble.backend}
    return json.dumps({**whole, "servers": servers})


def _as_shell(ensemble: Ensemble, control: Path) -> str:
    return f"export ZK_HOSTS={ensemble.hosts} LAB_CONTROL={control}  # until Ctrl-C here"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        message = f"{text!r} is not a port; 0 is any that is free"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m lab", description="One machine as a laboratory.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(command: Command, epilog: str | None = None) -> argparse.ArgumentParser:
        name, text = command.__name__, command.__doc__
        sub = commands.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)
        sub.set_defaults(command=command)
        return sub

    def add_with_ensemble(command: Command, epilog: str | None = None) -> argparse.ArgumentParser:
        sub = add(command, epilog)
        add_options(sub)
        return sub

    ups = add_with_ensemble(up)
    ups.add_argument("--workers", type=int, choices=range(1, 21), default=5, metavar="N", help="1 to 20 (5)")
    ups.add_argument("--port", type=_port, default=8080, help="of the page, or the next free one (8080)")
    ups.add_argument("--restart", action="store_true", help="start a worker that has ended again")
    ups.add_argument("--json", action="store_true", help="say what runs where as one line of JSON")
    runs = add_with_ensemble(run)
    runs.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    lists = add_with_ensemble(servers)
    lists.add_argument("--json", action="store_true", help="say where it is as one line of JSON")
    lists.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does, too")
    demos = add_with_ensemble(
        demo, f"Arguments: any of {', '.join(DEMOS)}, then options, which go to every demo."
    )
    demos.add_argument("--simulated", action="store_true", help="on no servers, also where there are some")
    for name, text in PROOF.items():
        commands.add_parser(name, help=text, add_help=False)
    on_kubernetes = (add(deploy), add(undeploy), add(page))
    for sub in on_kubernetes:
        context = context_of(os.environ)
        sub.add_argument("--context", default=context, metavar="NAME", help=f"which cluster ({context})")
    deploys, _, pages = on_kubernetes
    deploys.add_argument("--small", action="store_true", help="one ZooKeeper server, for a laptop with 8 GB")
    deploys.add_argument("--memory", type=int, metavar="MIB", help="for minikube, when it is started (4096)")
    pages.add_argument("--port", type=_port, default=8080, help="or the next free one (8080)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
