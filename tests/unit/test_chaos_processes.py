"""What a chaos run's workers hold of the machine is counted on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.guard import GuardedDirectory
from lab.workers import Worker
from proof.chaos.leftovers import MOST_DESCRIPTORS, hoards, strangers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells of others' descriptors")

# It opens as many as it is told, and says in a file that it has.
_OPENS = """
import os, pathlib, sys, time
held = [os.dup(0) for _ in range(int(sys.argv[1]))]
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)
"""


@contextmanager
def worker(descriptors: int = 0) -> Iterator[tuple[Worker, dict[str, str]]]:
    """A process of a run that has so many descriptors open, and a few; the run's environment."""
    with GuardedDirectory() as den:
        ready = den.path / "ready"
        environment = {**os.environ, "SHARED_DIR": str(den.path)}
        one = Worker(1, 8080, den, environment)
        one.start([sys.executable, "-c", _OPENS, str(descriptors), str(ready)])
        try:
            while not ready.exists():
                assert one.ended() is None
                time.sleep(0.01)
            yield one, environment
        finally:
            one.send(signal.SIGKILL)
            one.gone(time.monotonic() + 10)


def test_a_worker_that_keeps_descriptors_open_is_named() -> None:
    with worker(descriptors=MOST_DESCRIPTORS) as (one, _):
        (found,) = hoards([one])
    assert found.startswith("worker-1 has ")


def test_one_with_a_few_is_not() -> None:
    with worker() as (one, _):
        assert list(hoards([one])) == []


def test_a_process_that_is_none_of_the_workers_is_named() -> None:
    with worker() as (one, environment):
        shared_dir = Path(environment["SHARED_DIR"])
        assert list(strangers([one], shared_dir)) == []
        with subprocess.Popen(["sleep", "60"], env=environment) as left:
            found = list(strangers([one], shared_dir))
            left.kill()
        assert found == [f"process {left.pid}"]
