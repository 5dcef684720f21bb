"""A copy of the tree for a patch, and a patch applied without forgiving anything."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT

PATCHES = ROOT / "docs" / "exercises"
_PARTS = ("app", "lab", "docs/exercises")


class DoesNotApply(Exception):
    """The tree has moved on: make the patch again."""


def copy_of_the_tree(to: Path) -> Path:
    """What the demos and the scenes are made of."""
    for part in _PARTS:
        shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("demo_*.py"):
        shutil.copy(script, to)
    return to


def apply(patch: Path, tree: Path) -> list[str]:
    """Apply a unified diff; returns the files that it changed. Raises DoesNotApply.

    By hand, since a machine may have neither `patch` nor git. Lines may have been added above a place that is
    changed; the place itself must be as it was, and the only one of its kind.
    """
    changed = []
    for part in re.split(r"^(?=--- a/)", patch.read_text(encoding="utf-8"), flags=re.M)[1:]:
        name = part.splitlines()[0].removeprefix("--- a/")
        target = tree / name
        text = target.read_text(encoding="utf-8")
        for hunk in _hunks(part):
            old, new = ("".join(line[1:] for line in hunk if line[0] in signs) for signs in (" -", " +"))
            if text.count(old) != 1:
                raise DoesNotApply(f"{patch.name}: {name} has {text.count(old)} places like this:\n{old}")
            text = text.replace(old, new)
        target.write_text(text, encoding="utf-8")
        changed.append(name)
    return changed


def _hunks(part: str) -> list[list[str]]:
    """The lines of each hunk of one file's part, with their signs; a blank line is one of the context."""
    bodies = re.split(r"^@@ .*\n", part, flags=re.M)[1:]
    return [[line if line.strip() else " \n" for line in body.splitlines(keepends=True)] for body in bodies]


def tools() -> list[list[str]]:
    """The commands that a student may have for it, as dry runs."""
    known = {"patch": ["patch", "-p1", "--dry-run", "--fuzz=0"], "git": ["git", "apply", "--check", "-"]}
    return [command for name, command in known.items() if shutil.which(name)]


def is_accepted(command: list[str], patch: Path, tree: Path) -> bool:
    """Whether a tool would apply the patch to the tree."""
    with patch.open("rb") as stdin:
        done = subprocess.run(command, cwd=tree, stdin=stdin, capture_output=True, timeout=100, check=False)
    return done.returncode == 0
