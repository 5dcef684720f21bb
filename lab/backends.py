"""Where ZooKeeper comes from: a Docker engine that answers, else Java on this machine; said aloud."""

import sys
import time

from lab import docker_backend, java_backend
from lab.ensemble import Ensemble, EnsembleError, Say, Sleep, UnavailableError

BACKENDS = {"docker": docker_backend.start, "java": java_backend.start}  # the rungs, from the top
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}


def print_to_stderr(line: str) -> None:
    print(f"lab: {line}", file=sys.stderr, flush=True)


def start_ensemble(
    servers: int = 3, backend: str = "auto", say: Say = print_to_stderr, sleep: Sleep = time.sleep
) -> Ensemble:
    """Start an ensemble on the first rung that holds, or say in one line why none does."""
    reasons: list[str] = []
    rungs = list(BACKENDS) if backend == "auto" else [backend]
    for rung in rungs:
        try:
            ensemble = BACKENDS[rung](servers, say, sleep)
        except EnsembleError as exc:
            reasons.append(f"{rung}: {exc}")
            if rung != rungs[-1]:
                say(f"no servers with {rung}, trying the next way: {exc}")
            continue
        noun = "server" if servers == 1 else "servers"
        say(f"{NUMBERS.get(servers, servers)} ZooKeeper {noun} in {ensemble.place} on {ensemble.hosts}")
        return ensemble
    raise UnavailableError("; ".join(reasons))
