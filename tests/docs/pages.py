"""The lesson's pages as a test reads them: their commands, their links, the code that they name."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PYTHON = ".venv/bin/python"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the last heading above it."""

    page: str
    heading: str
    kind: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Its commands: without comments, blank lines and what comes after ``  #``."""
        stripped = [line.split("  #")[0].strip() for line in self.text.splitlines()]
        return [line for line in stripped if line and not line.startswith("#")]


def blocks(page: str) -> list[Block]:
    """Of a page, named from the top of the tree."""
    found: list[Block] = []
    heading = ""
    kind: str | None = None
    lines: list[str] = []
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if kind is None:
                kind, lines = line.removeprefix("```").strip(), []
            else:
                found.append(Block(page, heading, kind, "\n".join(lines)))
                kind = None
        elif kind is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert kind is None, f"{page}: a block is never closed"
    return found


def commands(page: str) -> list[str]:
    """The lines of its ``sh`` blocks."""
    return [line for block in blocks(page) if block.kind == "sh" for line in block.lines]


def typed(command: str, servers: dict[str, str]) -> str:
    """Run a command as a user types it, with these servers and no others; the last line that it says."""
    environ = {name: value for name, value in os.environ.items() if name != "LAB_CONTROL"}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**environ, **servers},
        input="\n" * 40,
        capture_output=True,
        text=True,
        timeout=280,  # one of them is a file of tests
        check=False,
    )
    convicted = "--weak" in command  # a quorum that is too small, and all else ends well
    assert done.returncode == int(convicted), done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.rstrip("\n").rpartition("\n")[2]


def prose(page: str) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.S | re.M)


def links(page: str) -> list[tuple[str, str]]:
    """(text, target) of its links into the tree; the target without its anchor, from the top of the tree."""
    found = re.findall(r"\[([^]]+)\]\(([^)]+)\)", prose(page))
    here = (ROOT / page).parent
    inside = [(text, target.partition("#")[0]) for text, target in found if "://" not in target]
    return [(text, str((here / target).resolve().relative_to(ROOT))) for text, target in inside if target]


def named(path: str) -> set[str]:
    """Every class, function, method, constant and attribute that a module defines."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return set(re.findall(r"^\s*(?:class|def) (\w+)", text, flags=re.M)) | set(
        re.findall(r"^\s*(?:self\.)?(\w+)(?:: [^=\n]+)? = ", text, flags=re.M)
    )


def exists(path: str) -> bool:
    return (ROOT / Path(path)).exists()
