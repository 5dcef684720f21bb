"""Worker processes: started, watched, started again if asked, ended together.

Each has a session of its own, so the Ctrl-C at a terminal reaches the laboratory and not them, and the guard
ends them if the laboratory is killed.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.ensemble import Say, free_ports
from lab.guard import GuardedDirectory

TOP = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "app")
FULL_CLUSTER = 5  # the course's cluster: with fewer live workers an upload is refused
NOT_PASSED_ON = (
    "LAB_CONTROL",  # harming the servers is not a worker's business
    "KUBERNETES_SERVICE_HOST",  # where the laboratory itself is a pod, they are not
    "POD_IP",
)
END_S = 10.0  # to hand over and end after SIGTERM
KILL_S = 5.0  # to be gone after SIGKILL
ANSWER_S = 2.0  # to say whether it is ready; more than a busy machine needs
RESTART_AFTER_S = 1.0  # as Kubernetes does: not at once
# One that ends again and again is broken, and its log says why.
RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
LOG_LINES = 4

# The proxy that a company names in the environment doesn't lead to this machine's own ports.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WorkersError(Exception):
    """The workers are not in the state that was asked for. The message is one line."""


@dataclass(frozen=True)
class End:
    """Of one process. For good: it isn't started again."""

    pod: str
    how: str
    for_good: bool


class Worker:
    """One process, perhaps several one after another, with the same name, port and directories."""

    def __init__(self, number: int, port: int, den: GuardedDirectory, environment: dict[str, str]) -> None:
        self.pod = f"worker-{number}"
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.backup_dir = den.path / "backups" / self.pod
        self.log = den.path / f"{self.pod}.log"
        self._den = den
        own = {"POD_NAME": self.pod, "PORT": str(port), "BACKUP_DIR": str(self.backup_dir)}
        self._environment = {**environment, **own}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """While it runs, as of the last look; see `ended`."""
        return self._process.pid if self._process is not None else None

    def start(self, command: Sequence[str]) -> None:
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    cwd=TOP,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,  # ours is for one line of JSON
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as exc:
            message = f"{self.pod}: {command[0]} can't be started: {exc.strerror}"
            raise WorkersError(message) from exc
        self._den.watch(self._process.pid)

    def ended(self) -> str | None:
        """How its process has ended, in words, once after each end; else None."""
        if self._process is None or self._process.poll() is None:
            return None
        pid, status = self._process.pid, self._process.returncode
        self._process = None
        self._den.forget(pid)
        how = (
            f"was ended by {signal.Signals(-status).name}"
            if status < 0
            else f"has ended with status {status}"
        )
        return f"{self.pod} (pid {pid}) {how}"

    def send(self, *signals: signal.Signals) -> None:
        """To the process and whatever it has started."""
        if self._process is not None and self._process.poll() is None:
            # It may end by itself meanwhile; for one that wasn't waited for, a Mac says "not permitted".
            with contextlib.suppress(ProcessLookupError, PermissionError):
                for signum in signals:
                    os.killpg(self._process.pid, signum)

    def gone(self, deadline: float) -> bool:
        """Wait for its end until then."""
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def unready(self) -> str | None:
        """Why it isn't ready, in words; None: it is."""
        try:
            with _opener.open(f"{self.url}/readyz", timeout=ANSWER_S) as answer:
                return None if answer.status == 200 else f"{self.pod} answers {answer.status}"
        except urllib.error.HTTPError as exc:
            with exc:
                said = " ".join(exc.read(200).decode(errors="replace").split())
            return f"{self.pod} answers {exc.code} {said}".strip()
        except OSError as exc:  # no connection, or no answer
            return f"{self.pod} doesn't answer ({getattr(exc, 'reason', exc)})"

    def role(self) -> str | None:
        """What it is at the moment, as it says itself; None while it isn't ready, or doesn't answer."""
        try:
            with _opener.open(f"{self.url}/readyz", timeout=ANSWER_S) as answer:
                return str(json.loads(answer.read())["role"])
        except (OSError, http.client.HTTPException):  # an answer other than 200, too
            return None

    def log_tail(self) -> str:
        """How its log ends, as one line."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError as exc:
            return str(exc)
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-LOG_LINES:]) or "empty"


class Workers:
    """All of them, started with the with statement and ended with it.

    ``zk_hosts``: where ZooKeeper is, for all of them, or for each.
    """

    def __init__(
        self,
        count: int,
        zk_hosts: str | Sequence[str],
        den: GuardedDirectory,
        say: Say,
        restart: bool = False,
        command: Sequence[str] | None = None,
    ) -> None:
        self.shared_dir = den.path / "shared"
        self._say = say
        self._restart = restart
        self._command = command or COMMAND
        environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        hosts = [zk_hosts] * count if isinstance(zk_hosts, str) else zk_hosts
        environment |= {
            "BIND": "127.0.0.1",
            "SHARED_DIR": str(self.shared_dir),
            "MIN_NODES": str(min(FULL_CLUSTER, count)),
        }
        ports = enumerate(free_ports(count), 1)
        self.all = [
            Worker(number, port, den, {**environment, "ZK_HOSTS": its})
            for (number, port), its in zip(ports, hosts, strict=True)
        ]
        self._starts: dict[Worker, deque[float]] = {worker: deque(maxlen=RESTARTS) for worker in self.all}
        self._due: dict[Worker, float] = {}

    def __enter__(self) -> Self:
        self.shared_dir.mkdir()
        try:
            for worker in self.all:
                worker.start(self._command)
        except WorkersError:
            self._end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def named(self, pod: str | None) -> Worker | None:
        return next((worker for worker in self.all if worker.pod == pod), None)

    def port_of(self, pod: str | None) -> int | None:
        worker = self.named(pod)
        return worker.port if worker else None

    def revive(self) -> None:
        """Start the workers that have ended again, at once."""
        for worker in self.all:
            if worker.ended() or worker.pid is None:
                worker.start(self._command)

    def tend(self) -> list[End]:
        """The ends since the last look; start the workers that are due again."""
        ends = []
        for worker in self.all:
            due = self._due.get(worker)
            if how := worker.ended():
                ends.append(self._take_leave(worker, how))
            elif due is not None and due <= time.monotonic():
                del self._due[worker]
                worker.start(self._command)
                self._say(f"{worker.pod} is started again: pid {worker.pid}")
        return ends

    def _take_leave(self, worker: Worker, how: str) -> End:
        """Schedule its restart, or return why there is none."""
        now, starts = time.monotonic(), self._starts[worker]
        worn_out = len(starts) == RESTARTS and now - starts[0] < RESTARTS_WITHIN_S
        if self._restart and not worn_out:
            starts.append(now)
            self._due[worker] = now + RESTART_AFTER_S
            return End(worker.pod, how, for_good=False)
        often = f", after {RESTARTS} restarts in {RESTARTS_WITHIN_S:g} s" if self._restart else ""
        return End(worker.pod, f"{how}{often}; its log ends: {worker.log_tail()}", for_good=True)

    def _end(self) -> None:
        """SIGTERM to all at once; SIGKILL to those that stay."""
        for worker in self.all:
            worker.send(signal.SIGTERM, signal.SIGCONT)  # a stopped one can't hear the first alone
        deadline = time.monotonic() + END_S
        left = [worker for worker in self.all if not worker.gone(deadline)]
        for worker in left:
            worker.send(signal.SIGKILL)
        deadline = time.monotonic() + KILL_S
        for worker in left:
            if not worker.gone(deadline):
                self._say(f"{worker.pod} (pid {worker.pid}) survives SIGKILL")
