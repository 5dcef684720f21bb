"""A guarded directory is gone with its supervisor, whatever reaches that one meanwhile."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

# Signals to the whole process group, as an impatient user's, while one guard after the other is born.
IMPATIENT = """
import os, signal, threading
from lab.guard import GuardedDirectory
from lab.interrupts import Interrupts

born = threading.Event()

def hammer():
    while not born.wait(0.0005):
        os.killpg(0, signal.SIGINT)

with Interrupts():
    user = threading.Thread(target=hammer)
    user.start()
    for _ in range(40):
        with GuardedDirectory():
            pass
    born.set()
    user.join()
"""


def test_a_guard_outlives_the_ctrl_c_that_comes_while_it_is_born(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, start_new_session=True,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
