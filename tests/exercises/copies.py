"""A copy of the tree for a patch, and the tools that a student has for it."""

import shutil
import subprocess
from pathlib import Path

from proof.mutants import patching
from tests.conftest import ROOT

PATCHES = ROOT / "docs" / "exercises"
_PARTS = ("app", "lab", "docs/exercises")


def copy_of_the_tree(to: Path) -> Path:
    """What the demos and the scenes are made of."""
    patching.copy_of_the_tree(to, _PARTS)
    for script in ROOT.glob("demo_*.py"):
        shutil.copy(script, to)
    return to


def tools() -> list[list[str]]:
    """The commands that a student may have for it, as dry runs."""
    known = {"patch": ["patch", "-p1", "--dry-run", "--fuzz=0"], "git": ["git", "apply", "--check", "-"]}
    return [command for name, command in known.items() if shutil.which(name)]


def is_accepted(command: list[str], patch: Path, tree: Path) -> bool:
    """Whether a tool would apply the patch to the tree."""
    with patch.open("rb") as stdin:
        done = subprocess.run(command, cwd=tree, stdin=stdin, capture_output=True, timeout=100, check=False)
    return done.returncode == 0
