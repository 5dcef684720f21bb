"""The matrix on real servers, with real faults: each row is measured, and what is whole violates nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.whole

# Each row is a process that is busy all along: as many as two cores carry beside other tests.
ROWS = ("notes-quorum", "no-write-back", "quorum")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def measured(pages: Path) -> dict[str, Any]:
    """A run of its own ensemble, whose servers it harms."""
    options = ["--rows", ",".join(ROWS), "--seed", "1", "--json", "--html", str(pages)]
    done = subprocess.run(
        [sys.executable, "-m", "lab", "matrix", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    # "In doubt" is honest on a machine that is too busy to go quiet; what was violated is looked at below.
    assert done.returncode in (0, 4), done.stderr
    assert done.stdout, done.stderr
    told = dict(json.loads(done.stdout))
    assert told["verdict"] == ("in doubt" if done.returncode else "held"), told["sentence"]
    return told


def violated(measured: dict[str, Any], mechanism: str) -> dict[str, Any]:
    return {
        guarantee: cell
        for row in measured["rows"]
        if row["mechanism"] == mechanism
        for guarantee, cell in row["cells"].items()
        if cell["verdict"] == "violated"
    }


@pytest.mark.timeout(300)
def test_each_row_is_measured_without_faults_and_under_them(measured: dict[str, Any]) -> None:
    assert [(row["mechanism"], row["faults"]) for row in measured["rows"]] == [
        (name, faults) for name in ROWS for faults in ("none", "standard")
    ]
    assert all(row["operations"] > 0 for row in measured["rows"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mechanism", ROWS)
def test_what_is_violated_has_a_witness_and_what_is_whole_violates_nothing(
    measured: dict[str, Any], mechanism: str
) -> None:
    """That a weak one is convicted no storm can promise: tests/integration/test_matrix_systems.py does."""
    cells = violated(measured, mechanism)
    assert mechanism != "quorum" or cells == {}
    assert all(cell["witness"] and cell["indexes"] for cell in cells.values())


@pytest.mark.timeout(300)
def test_behind_each_witness_there_is_a_timeline(measured: dict[str, Any], pages: Path) -> None:
    index = (pages / "index.html").read_text(encoding="utf-8")
    timelines = {page.name for page in pages.glob("*.html")} - {"index.html"}
    assert bool(timelines) == any(violated(measured, mechanism) for mechanism in ROWS)
    assert all(f'href="{page}"' in index for page in timelines)
