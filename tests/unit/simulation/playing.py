"""A seed played in a process of its own, by the project's code or by a copy of it with a patch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.mutants import TOP

_PLAY = """
import hashlib, json, sys
from importlib import import_module
from proof.simulation.script import Script
world, seeds = sys.argv[1], json.loads(sys.argv[2])
play = import_module(f"proof.simulation.worlds.{world}").play
from proof.simulation.processes import play_one
for seed in seeds:
    played = play_one(Script(world, seed))
    history = hashlib.sha256("\\n".join(played.history).encode()).hexdigest()
    print(json.dumps([played.outcome, played.judge, played.verdict.sentence, len(played.history), history]))
"""


@dataclass(frozen=True)
class Ended:
    """What came of a seed; ``history``: its digest."""

    outcome: str
    judge: str
    sentence: str
    entries: int
    history: str


def play(world: str, *seeds: int, tree: Path = TOP) -> list[Ended]:
    """Each seed in a process of its own, in this order."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    command: list[Any] = [sys.executable, "-W", "ignore", "-c", _PLAY, world, json.dumps(seeds)]
    ended = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return [Ended(*json.loads(line)) for line in ended.stdout.splitlines()]
