"""`python -m lab demo`: from nothing to a verdict, and nothing is left."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.checker.parsing import read_history
from tests.demos.playing import ROOT, processes_of

pytestmark = pytest.mark.whole

LAB_DEMO = (sys.executable, "-m", "lab", "demo")


@pytest.mark.timeout(240)
def test_the_laboratory_starts_a_zookeeper_runs_a_demo_on_it_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    history = tmp_path / "history.jsonl"
    inherited = {name: value for name, value in os.environ.items() if name not in ("ZK_HOSTS", "LAB_CONTROL")}
    with tempfile.TemporaryDirectory(prefix="demos-test-") as folder:
        done = subprocess.run(
            [*LAB_DEMO, "easy", "--operations", "40", "--seed", "3", "--history", str(history)],
            cwd=ROOT,
            env={**inherited, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1].startswith("VERDICT held: "), done.stdout
        assert "three ZooKeeper servers" in done.stderr  # where they come from is said aloud
        assert "seed 3" in done.stdout
        with history.open(encoding="utf-8") as lines:
            done_to_servers = {fault.op for fault in read_history(lines).faults if "server" in fault.op}
        assert "mend servers" in done_to_servers, "its servers are the run's to harm"
        assert list(Path(folder).iterdir()) == []
        assert processes_of(folder) == []
