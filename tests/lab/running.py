"""A `lab up` that runs, and questions to it."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.conftest import until
from tests.lab.supervisor import RUN_S, Supervisor

STAND_INS = "tests.lab.with_stand_ins"
NEW_MASTER_S = 60.0


class Running:
    """A `lab up --json` that is ready: its announcement, and what it says on standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.line = process.stdout.readline()
        if not self.line:
            self._listener.join(RUN_S)
            pytest.fail(f"it did not start: {self.said}")
        self.announced: dict[str, Any] = json.loads(self.line)
        self.url = str(self.announced["url"])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def until_said(self, words: str) -> str:
        until(lambda: any(words in line for line in self.said), lambda: self.said)
        return next(line for line in self.said if words in line)

    @property
    def pids(self) -> list[int]:
        return [int(worker["pid"]) for worker in self.announced["workers"]]

    def who(self, url: str = "") -> dict[str, Any]:
        """Who answers; tried again only where there is no answer at all."""
        return dict(answer(f"{url or self.url}/who").json())

    def wait_whole(self) -> None:
        """Until every worker is ready, in case that a test before has ended one."""
        urls = [f"{worker['url']}/readyz" for worker in self.announced["workers"]]
        until(lambda: all(answer(url).status_code == 200 for url in urls), lambda: self.said)

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Its status."""
        self.process.send_signal(signum)
        status = self.process.wait(RUN_S)
        self._listener.join(RUN_S)
        return status


def answer(url: str) -> httpx.Response:
    deadline = time.monotonic() + NEW_MASTER_S
    while True:
        try:
            # Without verify=False each call reads every certificate of this machine, for plain http as well.
            return httpx.get(url, timeout=deadline + 1 - time.monotonic(), trust_env=False, verify=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def supervisor(module: str = STAND_INS) -> Iterator[Supervisor]:
    # Not tmp_path: the path of a Unix socket must be short.
    opened = Supervisor(Path(tempfile.mkdtemp(prefix="lab-u-")), module)
    try:
        yield opened
    finally:
        opened.close()
