"""Running a demo as a user does: a process of its own, watched line by line, with a hard end.

Each gets a directory of its own for temporary files. Its path stands in the environment of the demo and of
whatever the demo starts, so what is left behind, in processes or in files, can be told from everybody else's.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

from app.zookeeper import client as zk, paths

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "easy": "demo_easy_eventual.py",
    "medium": "demo_medium_primary_backup.py",
    "hard": "demo_hard_quorum.py",
}
DEMOS = tuple(SCRIPTS)
# A default run takes half a minute; this is for a machine that is busy elsewhere.
RUN_S = 110.0

_ACT = re.compile(r"Act \d+: ")


@dataclass(frozen=True)
class Played:
    """A run that has ended.

    Attributes:
        left: its processes and temporary files that were still there afterwards.
    """

    demo: str
    status: int
    stdout: str
    stderr: str
    left: list[str]
    seconds: float

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def verdict(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else ""

    @property
    def notes(self) -> list[str]:
        """The lines about the notes' listing."""
        return [line for line in self.lines if line.startswith("NOTES ")]

    @property
    def acts(self) -> list[list[str]]:
        """The lines of each act, its title first, without the blank ones around it and the ending."""
        return acts_in(self.stdout)

    @property
    def titles(self) -> list[str]:
        return [_ACT.sub("", act[0]) for act in self.acts]

    def __str__(self) -> str:
        return (
            f"{self.demo}: status {self.status} after {self.seconds:.1f} s\n"
            f"--- standard output\n{self.stdout}\n--- standard error\n{self.stderr}"
        )


def acts_in(text: str) -> list[list[str]]:
    acts: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(("NOTES ", "VERDICT ")):
            break
        if _ACT.match(line):
            acts.append([])
        if acts:
            acts[-1].append(line)
    return ["\n".join(act).rstrip().splitlines() for act in acts]


class Playing:
    """A run that is going on; used with ``with``, it is gone afterwards whatever happens.

    Args:
        zookeeper: ``ZK_HOSTS`` and the like, as a user exports them; whatever the tests' own environment says
            of ZooKeeper is not passed on.
        talkative: give it a pipe to read from (:meth:`enter`); else its input is empty.
    """

    def __init__(
        self, demo: str, *options: str, zookeeper: Mapping[str, str], talkative: bool = False
    ) -> None:
        self.demo = demo
        self._folder = tempfile.TemporaryDirectory(prefix="demos-test-")
        self.mark = self._folder.name
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("ZK_HOSTS", "LAB_CONTROL", "POD_NAME", "LOGLEVEL")
        }
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / SCRIPTS[demo]), *options],
            cwd=ROOT,
            env={**environment, **zookeeper, "TMPDIR": self.mark},
            stdin=subprocess.PIPE if talkative else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._out: list[str] = []
        self._err: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stdout, self._out), (self.process.stderr, self._err))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.process.wait()
        _end_all(self.mark)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._folder.cleanup()

    # -- meanwhile --

    @property
    def stdout(self) -> str:
        return "".join(self._out)

    @property
    def stderr(self) -> str:
        return "".join(self._err)

    def wait_for(self, text: str, within_s: float = RUN_S) -> None:
        """Until it has printed ``text`` on standard output."""
        deadline = time.monotonic() + within_s
        while text not in self.stdout:
            ended = self.process.poll() is not None
            if ended:
                self._drain()
            if text not in self.stdout and (ended or time.monotonic() > deadline):
                why = f"ended with status {self.process.returncode}" if ended else f"{within_s:g} s passed"
                pytest.fail(f"{why} before {text!r} was printed:\n{self.stdout}\n{self.stderr}")
            time.sleep(0.02)

    def wait_for_the_load(self) -> None:
        """Until its act with the load has begun, and a little longer: into the middle of it."""
        self.wait_for("; faults: ")
        time.sleep(1.0)

    def enter(self) -> None:
        """The user presses Enter."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def send(self, number: int) -> None:
        """A signal to the demo alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()

    # -- at the end --

    def finish(self, within_s: float = RUN_S) -> Played:
        """How it ended; if it doesn't in time, it is killed, and what it had said is shown."""
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self.demo} still ran after {within_s:g} s:\n{self.stdout}\n{self.stderr}")
        seconds = time.monotonic() - self._began
        self._drain()
        return Played(self.demo, status, self.stdout, self.stderr, self.left(), seconds)

    def left(self) -> list[str]:
        """Processes and files of this run that are there now."""
        files = [str(path) for path in Path(self.mark).iterdir()]
        return files + [line for _, line in processes_of(self.mark)]

    def _drain(self) -> None:
        for reader in self._readers:
            reader.join(10)

    def _read(self, stream: IO[str], into: list[str]) -> None:
        while text := stream.readline(1) if self._by_letters else stream.readline():
            into.append(text)

    @property
    def _by_letters(self) -> bool:
        """A prompt is a line that doesn't end: who answers it must see it as it comes."""
        return self.process.stdin is not None


def play(demo: str, *options: str, zookeeper: Mapping[str, str], within_s: float = RUN_S) -> Played:
    """A whole run."""
    with Playing(demo, *options, zookeeper=zookeeper) as playing:
        return playing.finish(within_s)


def play_at_once(
    runs: Sequence[tuple[str, ...]], zookeeper: Mapping[str, str], within_s: float = RUN_S
) -> list[Played]:
    """Several at the same time, each (demo, options...); in their order."""
    with ExitStack() as closing_all:
        playing = [closing_all.enter_context(Playing(*run, zookeeper=zookeeper)) for run in runs]
        return [one.finish(within_s) for one in playing]


def processes_of(mark: str) -> list[tuple[int, str]]:
    """(id, command) of the processes in whose environment ``mark`` stands."""
    listed = subprocess.run(
        ["ps", "axeww", "-o", "pid=,args="], capture_output=True, text=True, timeout=20, check=True
    )
    found = [line.strip().split(maxsplit=1) for line in listed.stdout.splitlines() if mark in line]
    return [(int(pid), line[:200]) for pid, line in found]


def _end_all(mark: str) -> None:
    for pid, _ in processes_of(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def within(seconds: float, condition: Callable[[], bool], what: str) -> None:
    """Wait for something outside this process."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)


def roots(hosts: str) -> set[str]:
    """What stands under ``/demos`` now."""
    client = zk.connect(hosts, session_timeout_s=10, deadline_s=30)
    try:
        zk.ensure(client, (paths.DEMOS,), zk.Deadline(10))
        zk.wait(client.sync_async(paths.DEMOS), zk.Deadline(10))
        return set(zk.wait(client.get_children_async(paths.DEMOS), zk.Deadline(10)))
    finally:
        zk.disconnect(client)


def assert_one_line(text: str, *parts: str) -> None:
    """One line that says all of ``parts``, whatever its case, and no traceback."""
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    assert "Traceback" not in text, text
    for part in parts:
        assert part.lower() in text.lower(), f"{part!r} is not said in: {text}"
