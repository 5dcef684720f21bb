"""Whoever follows a path that a page, a docstring or a comment names finds a file there."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

ROOMS = ("app", "docs", "k8s", "lab", "proof", "tests")
KINDS = {".css", ".html", ".js", ".md", ".patch", ".py", ".toml", ".txt", ".yaml"}
_PATH = re.compile(rf"(?<![\w./{{}}-])(?:{'|'.join(ROOMS)})/[\w./-]++(?!\\)")
_NAME = re.compile(r"(?<![\w./{}*-])[\w-]+\.(?:md|patch|py)\b")
# What a reader makes, or a test.
MADE = {
    "app/jobs/letters.py",
    "letters.py",
    "demo.py",
    "my_demo.py",
    "test_my_demo.py",
    "unfinished.py",
    "mutant.patch",
    "one.patch",
    "x.patch",
}


def files() -> Iterator[Path]:
    yield from (
        path for path in ROOT.iterdir() if path.suffix in KINDS or path.name in ("Makefile", "Dockerfile")
    )
    for room in ROOMS:
        yield from (path for path in (ROOT / room).rglob("*") if path.suffix in KINDS)


def test_every_file_that_is_cited_exists() -> None:
    names = {path.name for path in files()}
    missing = [
        f"{path.relative_to(ROOT)}: {cited}"
        for path in files()
        for text in [path.read_text(encoding="utf-8")]
        for cited in {*_PATH.findall(text), *_NAME.findall(text)} - MADE
        if cited not in names and not (ROOT / cited.rstrip(".")).exists()
    ]
    assert missing == [], "\n".join(missing)
