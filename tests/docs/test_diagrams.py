"""The mermaid diagrams are of the simplest kind, and can be drawn: whoever speaks was introduced."""

import re

import pytest

from tests.conftest import ROOT
from tests.docs.pages import DOCS, Block, blocks

DIAGRAMS = [
    block
    for page in sorted(DOCS.rglob("*.md"))
    for block in blocks(str(page.relative_to(ROOT)))
    if block.kind == "mermaid"
]
_PARTICIPANT = re.compile(r"participant (\w+)(?: as (.+))?")
_MESSAGE = re.compile(r"(\w+)(?:->>|-->>|-x|--x)(\w+): (.+)")
_NOTE = re.compile(r"Note (?:over (\w+)(?:,(\w+))?|(?:left|right) of (\w+)): (.+)")
# What mermaid takes for something else: the end of a statement, an entity, a comment.
_FORBIDDEN = re.compile(r"[;#]|%%")


def faults(diagram: str) -> list[str]:
    """What mermaid would not draw."""
    first, *lines = diagram.splitlines()
    found = [] if first == "sequenceDiagram" else [first]
    known: set[str] = set()
    for line in (one.strip() for one in lines):
        if introduced := _PARTICIPANT.fullmatch(line):
            known.add(introduced[1])
            continue
        said = _MESSAGE.fullmatch(line) or _NOTE.fullmatch(line)
        speakers = {name for name in (said.groups()[:-1] if said else ()) if name}
        if said is None or _FORBIDDEN.search(line) or not speakers <= known:
            found.append(line)
    return found


def test_there_is_a_diagram_of_each_good_run_and_of_each_break() -> None:
    for page in ("eventual", "primary-backup", "quorum"):
        headings = [one.heading for one in DIAGRAMS if one.page == f"docs/protocols/{page}.md"]
        assert headings[:2] == ["The good run", "The notes' break"]


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda one: f"{one.page}: {one.heading}")
def test_a_diagram_can_be_drawn(diagram: Block) -> None:
    assert faults(diagram.text) == []


@pytest.mark.parametrize(
    "line", ["A->>C: who is C?", "A->B: one arrow", "A->>B: a; b", "A->>B:", "Note over A: 50 #percent"]
)
def test_what_can_not_be_drawn_is_found(line: str) -> None:
    assert faults(f"sequenceDiagram\nparticipant A\nparticipant B\n{line}") == [line]
