"""A seed or a scene in a process of its own; a seed also by a copy of the project's code with a patch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from proof.mutants import TOP
from proof.mutants.patching import apply, copy_of_the_tree

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
    said = _said(tree, 600, "-c", _PLAY, world, json.dumps(seeds))
    return [Ended(*json.loads(line)) for line in said.splitlines()]


def play_patched(patch: str, folder: Path, world: str, seed: int) -> Ended:
    """The seed, by a copy of the project's code in ``folder`` with the patch."""
    tree = copy_of_the_tree(folder, ("app", "proof"))
    apply(TOP / patch, tree)
    (ended,) = play(world, seed, tree=tree)
    return ended


def scene(module: ModuleType, *arguments: str) -> Any:
    """What a module of scenes prints."""
    return json.loads(_said(TOP, 100, "-m", module.__name__, *arguments))


def _said(tree: Path, timeout_s: float, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-W", "ignore", *arguments]
    ended = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout
