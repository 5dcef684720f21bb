"""The register's load, in processes of its own.

Its clients run in two processes besides the demo's: in one eventlet process everybody waits for the same
interpreter, which stretches every interval and hides violations.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

import eventlet
from eventlet.green import subprocess

from app.checker.history import History
from app.checker.parsing import read_history
from app.demo.load import THINK_S
from app.errors import InDoubt
from app.zookeeper import client as zk

PROCESSES = 2
# The longest that one operation of a load can take, with room for a machine that is busy elsewhere.
_OPERATION_S = 8.0
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class RegisterLoad:
    """Orders for one process of clients.

    Attributes:
        links: for each replica, the hosts of its host's own link.
        chroot: of the clients; ``root``: below what, in it, the object lives.
        first: number of the first client.
        timeout_s: of one operation.
        think_s: least and most seconds between two operations of one client.
    """

    links: Sequence[str]
    chroot: str
    object_id: str
    key: str
    protocol: str
    n: int
    w: int
    r: int
    operations: int
    clients: int
    first: int
    seed: int
    session_timeout_s: float
    root: str = ""
    timeout_s: float = 2.0
    think_s: tuple[float, float] = THINK_S


class Clients:
    """Processes of clients that share a load, from now until :meth:`close`."""

    def __init__(self, load: RegisterLoad) -> None:
        self._load = load
        shares = [_share(load, number) for number in range(PROCESSES)]
        self._started = [_Process(share) for share in shares if share.operations and share.clients]

    def endings(self) -> Counter[str]:
        """How many operations have ended so far, by their outcome."""
        return sum((process.endings() for process in self._started), Counter())

    def enough(self) -> None:
        """Have all of them come to an end: what is under way is finished, and nothing new is begun."""
        for process in self._started:
            process.enough()

    def history(self, timeout_s: float | None = None) -> History:
        """What all of them have done, when they have ended. Raises InDoubt if one doesn't as it should."""
        load = self._load
        longest_s = _START_S + _OPERATION_S * load.operations / load.clients
        deadline = zk.Deadline(longest_s if timeout_s is None else timeout_s)
        return History.merged([process.history(deadline) for process in self._started])

    def close(self) -> None:
        """Whoever still runs ends."""
        for process in self._started:
            process.close()


def run_register_load(load: RegisterLoad) -> History:
    """Share the load among the processes, and return what all their clients did. Raises InDoubt."""
    with closing(Clients(load)) as clients:
        return clients.history()


class _Process:
    """One process of clients; its history goes to a file that only we two know."""

    def __init__(self, load: RegisterLoad) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed by close)
        command = [sys.executable, "-m", "app.demo.client_process", json.dumps(asdict(load))]
        # A session of its own: Ctrl-C is for the demo, which ends its clients through their input.
        self._process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._output, start_new_session=True, cwd=_root()
        )
        self._counted_bytes = 0
        self._endings: Counter[str] = Counter()

    def endings(self) -> Counter[str]:
        size = os.fstat(self._output.fileno()).st_size - self._counted_bytes
        # Not by seeking: the process writes at the place that we would move.
        new = os.pread(self._output.fileno(), size, self._counted_bytes)
        whole = new[: new.rfind(b"\n") + 1]
        self._counted_bytes += len(whole)
        self._endings.update(json.loads(line).get("outcome") for line in whole.splitlines())
        return self._endings

    def enough(self) -> None:
        with suppress(BrokenPipeError):  # it has ended by itself: then that shows in its history
            self._process.stdin.write(b"enough\n")
            self._process.stdin.flush()

    def history(self, deadline: zk.Deadline) -> History:
        with eventlet.Timeout(max(deadline.left_s, 0.01), False):
            if self._process.wait() == 0:
                self._output.seek(0)
                return read_history(self._output)
        message = "a process of clients did not end as it should, so what it did is not known"
        raise InDoubt(message)

    def close(self) -> None:
        self._process.stdin.close()  # if it still runs, it ends when it sees this
        self._process.wait()
        self._output.close()


def _share(load: RegisterLoad, number: int) -> RegisterLoad:
    clients = load.clients // PROCESSES + (number < load.clients % PROCESSES)
    before = sum(load.clients // PROCESSES + (other < load.clients % PROCESSES) for other in range(number))
    operations = (
        load.operations * (before + clients) // load.clients - load.operations * before // load.clients
    )
    changed = {"clients": clients, "operations": operations, "first": before + 1, "seed": load.seed + number}
    return RegisterLoad(**{**asdict(load), **changed})


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
