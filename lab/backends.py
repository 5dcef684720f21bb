"""Where ZooKeeper comes from: ZK_HOSTS, else a Docker engine that answers, else Java; printed in one line."""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import docker_backend, java_backend
from lab.console import print_to_stderr
from lab.control import control_socket
from lab.ensemble import Ensemble, EnsembleError, Say, Sleep, UnavailableError
from lab.guard import GuardedDirectory
from lab.interrupts import Interrupted, Interrupts

BACKENDS = {
    "docker": docker_backend.start,
    "java": java_backend.start,
}  # in the order in which they are tried
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}
UNREACHABLE = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """--servers and --backend."""
    parser.add_argument("--servers", type=int, choices=range(1, 8), default=3, metavar="N", help="1 to 7 (3)")
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto")


def given_hosts() -> str | None:
    """The ZooKeeper that ZK_HOSTS names, and a line that says so; None: it names none."""
    if hosts := os.environ.get("ZK_HOSTS"):
        print_to_stderr(f"using the ZooKeeper that ZK_HOSTS names: {hosts}")
    return hosts or None


def status_of(interrupts: Interrupts, action: Callable[[], int]) -> int:
    """What ``action`` returns; or the status of the signal, or of the servers' trouble, that ended it."""
    try:
        return action()
    except Interrupted as exc:
        return exc.status
    except EnsembleError as exc:
        if interrupts.signum is not None:  # the signal has reached what it had started, too
            return Interrupted(interrupts.signum).status
        print_to_stderr(f"no ZooKeeper: {exc}")
        return UNREACHABLE


@contextmanager
def environment(arguments: argparse.Namespace, interrupts: Interrupts) -> Iterator[dict[str, str]]:
    """What leads a command to ZooKeeper: ZK_HOSTS as it is, or an ensemble of its own."""
    if given_hosts():
        yield dict(os.environ)
        return
    with laboratory(arguments, interrupts) as (ensemble, control):
        yield {**os.environ, "ZK_HOSTS": ensemble.hosts, "LAB_CONTROL": str(control)}


@contextmanager
def laboratory(arguments: argparse.Namespace, interrupts: Interrupts) -> Iterator[tuple[Ensemble, Path]]:
    """An ensemble and its control socket. No signal can cut the way out short: see lab/interrupts.py."""
    with GuardedDirectory() as den:
        ensemble = start_ensemble(arguments.servers, arguments.backend, sleep=interrupts.sleep)
        control = den.path / "control.sock"
        try:
            with control_socket(ensemble, control):
                yield ensemble, control
        finally:
            ensemble.close()


def start_ensemble(
    servers: int = 3, backend: str = "auto", say: Say = print_to_stderr, sleep: Sleep = time.sleep
) -> Ensemble:
    """Start an ensemble on the first backend that works, or say in one line why none does."""
    reasons: list[str] = []
    names = list(BACKENDS) if backend == "auto" else [backend]
    for name in names:
        try:
            ensemble = BACKENDS[name](servers, say, sleep)
        except (EnsembleError, OSError) as exc:
            reasons.append(f"{name}: {exc}")
            if name != names[-1]:
                say(f"no servers with {name}, trying the next way: {exc}")
            continue
        noun = "server" if servers == 1 else "servers"
        say(f"{NUMBERS.get(servers, servers)} ZooKeeper {noun} in {ensemble.place} on {ensemble.hosts}")
        return ensemble
    raise UnavailableError("; ".join(reasons))
