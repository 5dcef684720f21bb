"""A patch applied to a copy of the tree, by hand: a machine may have neither `patch` nor git."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from proof.mutants import TOP


class DoesNotApply(Exception):
    """The tree has moved on: make the patch again."""


def copy_of_the_tree(to: Path, parts: Iterable[str]) -> Path:
    """These folders of the tree, without what Python has compiled; symbolic links as what they name."""
    for part in parts:
        shutil.copytree(TOP / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def apply(patch: Path, tree: Path) -> list[str]:
    """Apply a unified diff; returns the files that it changed. Raises DoesNotApply.

    Lines may have been added above a place that is changed; the place itself must be as it was, and the only
    one of its kind.
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
