"""Loads of any size, recorded for the checker.

The register's clients run in two processes besides the demo's: in one eventlet process everybody waits for
the same interpreter, which stretches every interval and hides violations. Run as a module, this is such a
process: it takes its orders as JSON on the command line and prints its history.
"""

import json
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import eventlet
from eventlet import hubs
from eventlet.green import subprocess

from app import zk
from app.checker.history import History, Recorder, Value, Version
from app.checker.parsing import read_history
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.quorum import UNWRITTEN, Quorum, Register
from app.consistency.replicas import Replicas
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.errors import InDoubt

PROCESSES = 2
# A client's pause between two operations, in seconds: a load is a crowd of people, not a loop.
THINK_S = (0.01, 0.08)
# The longest that one operation of a load can take, with room for a machine that is busy elsewhere.
_OPERATION_S = 8.0


def crowd(
    clients: int,
    operations: int,
    act: Callable[[int], None],
    choose: random.Random,
    think_s: tuple[float, float] = THINK_S,
) -> None:
    """Have ``clients`` green threads do ``operations`` in all.

    An ending that isn't a result is recorded where it happened, and the client goes on. ``think_s``: least
    and most seconds between two operations of one client.
    """

    def client(number: int, share: int) -> None:
        for _ in range(share):
            try:
                act(number)
            except NOT_A_RESULT:
                # Recorded as refused or unknown; as a person would, take a breath before the next.
                eventlet.sleep(think_s[1])
            eventlet.sleep(choose.uniform(*think_s))

    threads = [
        eventlet.spawn(client, number, operations // clients + (number <= operations % clients))
        for number in range(1, clients + 1)
    ]
    try:
        for thread in threads:
            thread.wait()
    finally:
        for thread in threads:
            thread.kill()  # those that are left when somebody interrupts us


# --- the register's load, in processes of its own --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RegisterLoad:
    """Orders for one process of clients.

    Attributes:
        links: for each replica, the hosts of its host's own link.
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
    timeout_s: float = 2.0
    think_s: tuple[float, float] = THINK_S


def run_register_load(load: RegisterLoad) -> History:
    """Share the load among the processes, and return what all their clients did. Raises InDoubt."""
    shares = [_share(load, number) for number in range(PROCESSES)]
    started = [_start(share) for share in shares if share.operations and share.clients]
    deadline = zk.Deadline(30 + _OPERATION_S * load.operations / load.clients)
    try:
        return History.merged([_finish(process, output, deadline) for process, output in started])
    finally:
        for process, output in started:
            process.stdin.close()  # whoever still runs ends when it sees this
            process.wait()
            output.close()


def _share(load: RegisterLoad, number: int) -> RegisterLoad:
    clients = load.clients // PROCESSES + (number < load.clients % PROCESSES)
    before = sum(load.clients // PROCESSES + (other < load.clients % PROCESSES) for other in range(number))
    operations = (
        load.operations * (before + clients) // load.clients - load.operations * before // load.clients
    )
    changed = {"clients": clients, "operations": operations, "first": before + 1, "seed": load.seed + number}
    return RegisterLoad(**{**asdict(load), **changed})


def _start(load: RegisterLoad) -> tuple[Any, Any]:
    output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed by who waits for the process)
    command = [sys.executable, "-m", "app.demo.load", json.dumps(asdict(load))]
    # A session of its own: Ctrl-C is for the demo, which ends its clients by closing their input.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, start_new_session=True, cwd=_root()
    )
    return process, output


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


def _finish(process: Any, output: Any, deadline: zk.Deadline) -> History:
    with eventlet.Timeout(max(deadline.left_s, 0.01), False):
        if process.wait() == 0:
            output.seek(0)
            return read_history(output)
    message = "a process of clients did not end as it should, so what it did is not known"
    raise InDoubt(message)


class RegisterClient:
    """One client of the load: it reads and writes by either protocol, and records what came of it."""

    def __init__(self, name: str, key: str, register: Register | NotesRegister, recorder: Recorder) -> None:
        self._name = name
        self._key = key
        self._register = register
        self._recorder = recorder
        self._written = 0

    def write(self, value: str | None = None) -> None:
        self._written += 1
        unique = value or f"{self._name}-{self._written}"
        recorded_write(self._recorder, self._name, self._key, unique, lambda: self._write(unique))

    def close(self) -> None:
        """Leave nothing behind: a full register may still be bringing slow replicas up to date."""
        if isinstance(self._register, Register):
            self._register.close()

    def read(self) -> Value:
        return recorded_read(self._recorder, self._name, self._key, self._read)

    def _write(self, value: str) -> Version | None:
        if isinstance(self._register, NotesRegister):
            self._register.write(value.encode())
            return None
        version = self._register.write(value.encode())
        return version.counter, version.writer

    def _read(self) -> tuple[Value, Version | None]:
        if isinstance(self._register, NotesRegister):
            _, value = self._register.read()
            return value.decode() or None, None
        held = self._register.read()
        if held == UNWRITTEN:
            return None, None
        return held.value.decode(), (held.version.counter, held.version.writer)


def register_for(
    protocol: str, replicas: Replicas, quorum: Quorum, timeout_s: float, choose: random.Random
) -> Any:
    """The full register, or the notes', over the same replicas."""
    if protocol == "notes":
        return NotesRegister(replicas, quorum, timeout_s=timeout_s)
    return Register(replicas, quorum, timeout_s=timeout_s, choose=choose)


def _client_process(load: RegisterLoad) -> None:
    choose = random.Random(load.seed)
    recorder = Recorder(sys.stdout)
    reach = [
        zk.connect(hosts, chroot=load.chroot, session_timeout_s=load.session_timeout_s, deadline_s=20)
        for hosts in load.links
    ]
    replicas = Replicas(load.object_id, reach)
    quorum = Quorum(load.n, load.w, load.r, weak=True)  # checked by who ordered the load
    clients = {
        number: RegisterClient(
            f"client-{load.first + number - 1}",
            load.key,
            register_for(load.protocol, replicas, quorum, load.timeout_s, choose),
            recorder,
        )
        for number in range(1, load.clients + 1)
    }

    def act(number: int) -> None:
        if choose.random() < 0.5:
            clients[number].write()
        else:
            clients[number].read()

    crowd(load.clients, load.operations, act, choose, load.think_s)
    recorder.close()
    for one in clients.values():
        one.close()
    for session in reach:
        zk.disconnect(session)


def _end_with_parent() -> None:
    """Our input is a pipe that the demo holds: when it closes, however the demo ended, so do we."""
    hubs.trampoline(sys.stdin.fileno(), read=True)
    os._exit(1)


def _main() -> None:
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    eventlet.spawn(_end_with_parent)
    _client_process(RegisterLoad(**json.loads(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)  # kazoo's and eventlet's leavings need no farewell


if __name__ == "__main__":
    _main()
