"""The register's load, in processes of its own: ``python -m app.demo.clients ORDERS`` is one of them.

Its clients run in two processes besides the demo's: in one eventlet process all clients wait for the same
interpreter, which stretches every interval and hides violations. A process gets its orders as JSON on the
command line, and prints its history. Its input is a pipe from the demo: a line there asks it to come to an
end, and when the pipe closes, however the demo ended, the process ends at once.
"""

import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import eventlet
from eventlet import hubs
from eventlet.green import subprocess

from app.checker.history import History, Recorder
from app.checker.parsing import read_history
from app.consistency.engine.replicas import Replicas
from app.consistency.quorum import Quorum
from app.demo.load import THINK_S, RegisterClient, crowd, register_for
from app.demo.nemesis import Aim
from app.demo.ways import Progress, Ways
from app.errors import InDoubt
from app.zookeeper import client as zk

PROCESSES = 2
# The longest that one operation of a load can take, with room for a machine that is busy elsewhere.
_OPERATION_S = 8.0
_START_S = 30.0
# For so many seconds the clients write with the same probability.
_SPELL_S, _WRITING = 0.8, (0.0, 0.1, 0.5, 0.9)
_TOP = Path(__file__).resolve().parents[2]  # where app is found


@dataclass(frozen=True, slots=True)
class RegisterLoad:
    """Orders for one process of clients.

    Attributes:
        links: for each replica, the hosts of its host's own link.
        chroot: of the clients; ``root``: below what, in it, the object lives.
        first: number of the first client.
        timeout_s: of one operation.
        think_s: least and most seconds between two operations of one client.
        harmed: whether its own ways to the replicas are harmed, too.
        number: of the process, from 0.
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
    seed: int
    session_timeout_s: float
    root: str = ""
    first: int = 1
    timeout_s: float = 2.0
    think_s: tuple[float, float] = THINK_S
    harmed: bool = False
    number: int = 0


class Clients:
    """Processes of clients that share a load, from now until :meth:`close`."""

    def __init__(self, load: RegisterLoad) -> None:
        self._load = load
        shares = [_share(load, number) for number in range(PROCESSES)]
        self._started = [Process(share) for share in shares if share.operations and share.clients]

    def endings(self) -> Counter[str]:
        """How many operations have ended until now, by their outcome."""
        return sum((process.endings() for process in self._started), Counter())

    def enough(self) -> None:
        """Ask all of them to end: open operations are finished, and no new one begins."""
        for process in self._started:
            process.enough()

    def history(self, timeout_s: float | None = None) -> History:
        """What all of them have done, when they have ended. Raises InDoubt if one fails or is late."""
        load = self._load
        longest_s = _START_S + _OPERATION_S * load.operations / load.clients
        deadline = zk.Deadline(longest_s if timeout_s is None else timeout_s)
        return History.merged([process.history(deadline) for process in self._started])

    def close(self) -> None:
        """End those that still run."""
        for process in self._started:
            process.close()


class Process:
    """One process of clients; its history goes to an unnamed file."""

    def __init__(self, load: RegisterLoad) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed by close)
        command = [sys.executable, "-m", "app.demo.clients", json.dumps(asdict(load))]
        # A session of its own: Ctrl-C is for the demo, which ends its clients through their input.
        self._process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._output, start_new_session=True, cwd=_TOP
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
        message = "a process of clients failed or was late, so what it did is unknown"
        raise InDoubt(message)

    def close(self) -> None:
        self._process.stdin.close()  # if it still runs, it ends when it sees this
        self._process.wait()
        self._output.close()


def _share(load: RegisterLoad, number: int) -> RegisterLoad:
    clients = load.clients // PROCESSES + (number < load.clients % PROCESSES)
    before = sum(load.clients // PROCESSES + (other < load.clients % PROCESSES) for other in range(number))
    done = load.operations * before // load.clients
    operations = load.operations * (before + clients) // load.clients - done
    return replace(load, clients=clients, operations=operations, first=before + 1, number=number)


# --- in the process of clients ---


def run(load: RegisterLoad, recorder: Recorder, ended: list[bytes]) -> None:
    """Do the load, until it is done or ``ended`` has something in it."""
    choose, aim = random.Random(load.seed + load.number), Aim()
    name = f"clients {load.first} to {load.first + load.clients - 1}"
    ways = Ways(load.links, load.number, name, recorder) if load.harmed else None
    links = ways.hosts if ways else load.links
    # Replicas that are reached by the same way share a session.
    sessions = {hosts: _session(load, hosts) for hosts in links}
    replicas = Replicas(load.object_id, [sessions[hosts] for hosts in links], load.root)
    quorum = Quorum(load.n, load.w, load.r, weak=True)  # the demo has checked it
    writes = [Progress(aim, max(load.r, load.w)) for _ in range(load.clients)]
    clients = [
        RegisterClient(
            f"client-{number}",
            load.key,
            register_for(
                load.protocol, replicas, quorum, load.timeout_s, choose,
                on_answer=write.on_answer, on_ack=write.on_ack,
            ),
            recorder,
        )
        for number, write in enumerate(writes, load.first)
    ]  # fmt: skip
    began_s = time.monotonic()

    def one(number: int) -> None:
        if choose.random() < _writing(load, time.monotonic() - began_s):
            writes[number - 1].begins()
            clients[number - 1].write()
        else:
            clients[number - 1].read()

    with ways.harmed(quorum, random.Random(choose.random()), aim) if ways else nullcontext():
        crowd(load.clients, load.operations, one, choose, load.think_s, enough=lambda: bool(ended))
    recorder.close()
    for client in clients:
        client.close()
    for session in sessions.values():
        zk.disconnect(session)


def _writing(load: RegisterLoad, after_s: float) -> float:
    """The share of writes among this process's operations at this time.

    Under faults it changes: what a write leaves behind shows in reads, as long as no other write hides it.
    """
    if not load.harmed:
        return 0.5
    return random.Random(f"{load.seed} {load.number} {after_s // _SPELL_S}").choice(_WRITING)


def _session(load: RegisterLoad, hosts: str) -> Any:
    return zk.connect(hosts, chroot=load.chroot, session_timeout_s=load.session_timeout_s, deadline_s=20)


def _listen(ended: list[bytes]) -> None:
    while True:
        hubs.trampoline(sys.stdin.fileno(), read=True)
        word = os.read(sys.stdin.fileno(), 100)
        if not word:
            os._exit(1)
        ended.append(word)


def _main() -> None:
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    ended: list[bytes] = []
    eventlet.spawn(_listen, ended)
    run(RegisterLoad(**json.loads(sys.argv[1])), Recorder(sys.stdout), ended)
    sys.stdout.flush()
    os._exit(0)  # at a usual exit kazoo and eventlet would wait for green threads that no hub runs any more


if __name__ == "__main__":
    _main()
