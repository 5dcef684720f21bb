"""The bench runs to its end and fills every row. How fast it is, is not for a test to say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
# `lab run` takes ZK_HOSTS where it is set, and else starts servers of its own.
BENCH = [sys.executable, "-m", "lab", "run", "--", sys.executable, "-m", "lab.bench"]
ROWS = {
    "primary-backup: write to answer",
    "quorum write",
    "quorum read",
    "quorum write, one replica slow",
    "quorum read, one replica slow",
    "configuration: five copies / heard by one",
    "configuration: five copies / heard by five",
}


@pytest.mark.timeout(600)
def test_the_bench_fills_every_row_with_positive_figures() -> None:
    ran = subprocess.run([*BENCH, "--samples", "5", "--json"], cwd=TOP, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    rows = {row["operation"]: row for row in json.loads(ran.stdout)["rows"]}
    assert set(rows) == ROWS
    for row in rows.values():
        assert min(row["ours_ms"], row["floor_ms"], row["ratio"], row["target"]) > 0
        assert row["over"] == (round(row["ratio"], 2) > row["target"])
    figures = json.loads(ran.stdout)["worker"]
    assert {figure["unit"] for figure in figures} == {"s", "x", "MiB", "%", ""}
    assert all(figure["over"] == (round(figure["value"], 2) > figure["target"]) for figure in figures)


def test_the_bench_says_so_where_nobody_answers() -> None:
    alone = {"ZK_HOSTS": "127.0.0.1:1", "PATH": "/usr/bin:/bin"}

    ran = subprocess.run(BENCH[-3:], cwd=TOP, env=alone, capture_output=True, text=True)

    assert ran.returncode == 3
    assert "did not answer" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_impossible_number_of_samples_is_bad_usage() -> None:
    ran = subprocess.run([*BENCH[-3:], "--samples", "0"], cwd=TOP, capture_output=True, text=True)

    assert ran.returncode == 2
