"""A `python -m lab` of its own for one test, and what it may leave behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab import docker_engine
from lab.ensemble import UnavailableError

TOP = Path(__file__).resolve().parents[2]
RUN_S = 120  # patience costs nothing


class Supervisor:
    """A `python -m lab` of its own, with a directory of its own for temporary files."""

    def __init__(self, directory: Path, module: str = "lab") -> None:
        self.directory = directory
        self._module = module
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("ZK_HOSTS", "LAB_CONTROL")
        }
        process = subprocess.Popen(
            [sys.executable, "-m", self._module, *arguments],
            cwd=TOP,
            env={**inherited, "TMPDIR": str(self.directory), "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=RUN_S)
        return process.returncode, output, errors

    def leftovers(self) -> list[str]:
        """Temporary files, processes and containers that are still there."""
        left = [str(path) for path in self.directory.iterdir()]
        processes = subprocess.run(
            ["ps", "-eo", "args"], capture_output=True, text=True, timeout=20, check=True
        )
        left += [line for line in processes.stdout.splitlines() if str(self.directory) in line]
        return left + [name for process in self._started for name in of_engine(process.pid)]

    def close(self) -> None:
        for process in self._started:
            process.terminate()
            process.communicate(timeout=RUN_S)
        shutil.rmtree(self.directory, ignore_errors=True)


def of_engine(pid: int) -> list[str]:
    """Containers and networks that a supervisor has made."""
    label = {"label": f"{docker_engine.LABEL}={pid}"}
    try:
        engine = docker_engine.connect()
    except UnavailableError:
        return []
    try:
        containers = [str(found.name) for found in engine.containers.list(all=True, filters=dict(label))]
        return containers + [str(found.name) for found in engine.networks.list(filters=dict(label))]
    finally:
        engine.close()
