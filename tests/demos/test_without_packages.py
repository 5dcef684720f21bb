"""Whatever is started by a Python that lacks its packages says in one line how to get them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
from tests.demos.playing import ROOT, SCRIPTS, assert_one_line

USAGE = 2
STARTED = (
    *((script,) for script in SCRIPTS.values()),
    ("-m", "app"),
    ("-m", "lab", "demo"),
    ("-m", "proof", "chaos"),
)
# What an older Python reads before it gets to the version's check.
READ_FIRST = ("app/__init__.py", "lab/__init__.py", "proof/__main__.py", *SCRIPTS.values())


def without_packages(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As by a fresh Python: -S leaves out what is installed beside the standard library."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", STARTED, ids=" ".join)
def test_without_its_packages_it_says_how_to_get_them(arguments: tuple[str, ...]) -> None:
    done = without_packages(*arguments)

    assert (done.returncode, done.stdout) == (USAGE, "")
    assert_one_line(done.stderr, "eventlet", "kazoo", "pip install -r requirements.txt", "make demo")


def test_an_older_python_is_told_which_one_is_needed() -> None:
    done = without_packages("-c", "import sys; sys.version_info = (3, 9, 2); import demo_hard_quorum")

    assert (done.returncode, done.stdout) == (USAGE, "")
    assert_one_line(done.stderr, "Python 3.11 or newer is needed, this is 3.9", "make demo PYTHON=")


@pytest.mark.parametrize("path", READ_FIRST)
def test_an_older_python_can_read_what_tells_it_so(path: str) -> None:
    ast.parse((ROOT / path).read_text(encoding="utf-8"), path, feature_version=(3, 9))


def test_every_package_that_app_imports_is_looked_for() -> None:
    imported = {name for path in (ROOT / "app").rglob("*.py") for name in imported_by(path)}
    assert imported - sys.stdlib_module_names - {"app"} == set(app._PACKAGES)


def imported_by(path: Path) -> Iterator[str]:
    """The top names of what it imports at once; what a function imports may be missing."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
