"""What a killed run leaves on this machine, the next one removes; and nothing else."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.demo.run import sweep_folders


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_of_a_run_that_is_no_more_is_removed(temporary: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as run:
        run.wait()
    left = temporary / f"k8s-zk-demo-{run.pid}-abc"
    (left / "node-1").mkdir(parents=True)

    sweep_folders()

    assert not left.exists()


@pytest.mark.parametrize(
    "name",
    [f"k8s-zk-demo-{os.getpid()}-abc", "k8s-zk-demo-mine-abc", "other"],
    ids=["a live one's", "nobody's", "another program's"],
)
def test_nobody_elses_folder_is_touched(temporary: Path, name: str) -> None:
    (temporary / name).mkdir()

    sweep_folders()

    assert (temporary / name).exists()
