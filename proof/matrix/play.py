"""The matrix at work: a process for each row, one nemesis, the histories, and what they show."""

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eventlet
from eventlet.green import socket as green_socket, subprocess

from app.checker.guarantees import Finding, Guarantee, judge_all
from app.checker.history import History, Recorder
from app.checker.parsing import read_history
from app.cluster.election import prepare
from app.demo.run import Run
from app.demo.servers import Servers, ServersError
from app.errors import InDoubt, LessonError
from app.zookeeper import client as zk
from proof.matrix.mechanisms import Mechanism, named
from proof.matrix.orders import STEP_S, Orders
from proof.matrix.schedule import Deed, Schedule

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent.parent
_READY_S = 60.0
# After the last deed: mending, the quiet, the last reads; with room for a machine that is busy elsewhere.
_ENDING_S = 120.0
# How long after the last change a read has to come to show where it all ended.
_QUIET_S = 1.0
ACTS = {"calm": "none", "storm": "standard"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: what a mechanism kept, without faults or under the standard ones."""

    mechanism: Mechanism
    faults: str
    history: History
    findings: dict[Guarantee, Finding]


def measure(hosts: str, names: Sequence[str], seed: int) -> list[Measured]:
    """All rows named, side by side. Raises InDoubt if one did not come to its end; Unreachable."""
    servers = Servers.from_environment(os.environ, socket_module=green_socket)
    homes = _homes(hosts, servers)
    with _stage(hosts, names, seed, homes) as rows:
        faults = Recorder()
        began_at_s = _begin(rows)
        if servers is not None:
            _torment(servers, homes.cut_off, seed, began_at_s, faults)
        _until(began_at_s + Schedule.of(seed).end_s)
        for row in rows:
            row.tell("mended")
        histories = [row.history(_ENDING_S) for row in rows]
    return [
        _judged(name, act, history, faults.history())
        for name, history in zip(names, histories, strict=True)
        for act in ACTS
    ]


def _judged(name: str, act: str, whole: History, servers: History) -> Measured:
    operations = [one for one in whole.operations if one.key.partition("/")[0] == act]
    faults = [*whole.faults, *servers.faults] if act == "storm" else []
    history = History.of([*operations, *faults])
    return Measured(named(name), ACTS[act], history, judge_all(history, together=True, quiet_s=_QUIET_S))


@dataclass(frozen=True, slots=True)
class _Homes:
    """Where clients live: at the follower that will be cut off (its number, if it is ours), or elsewhere."""

    follower: str
    others: str
    cut_off: int | None


def _homes(hosts: str, servers: Servers | None) -> _Homes:
    """A single server, or servers that aren't ours, are both."""
    found = servers.status() if servers is not None else []
    follower = next((one for one in found if one.mode == "follower"), None)
    if follower is None:
        return _Homes(hosts, hosts, None)
    others = ",".join(one.hosts for one in found if one is not follower)
    return _Homes(follower.hosts, others, follower.index)


class _Process:
    """One row's process."""

    def __init__(self, orders: Orders) -> None:
        self._name = orders.mechanism
        self._lines: list[str] = []
        self._ready: Any = eventlet.event.Event()
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "proof.matrix.row", orders.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the matrix, which ends its rows through their input
            cwd=_ROOT,
        )
        self._reader = eventlet.spawn(self._read)

    def _read(self) -> None:
        for line in self._process.stdout:
            if not self._ready.ready():
                self._ready.send()
            else:
                self._lines.append(line.decode())
        if not self._ready.ready():
            self._ready.send()

    def wait_ready(self, deadline: zk.Deadline) -> None:
        with eventlet.Timeout(max(0.01, deadline.left_s), False):
            self._ready.wait()
        if not self._ready.ready() or self._process.poll() is not None:
            raise InDoubt(f"the row {self._name} did not begin within {_READY_S:g} s")

    def tell(self, word: str) -> None:
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise InDoubt(f"the row {self._name} has ended by itself") from error

    def history(self, timeout_s: float) -> History:
        with eventlet.Timeout(timeout_s, False):
            self._reader.wait()
            if self._process.wait() == 0:
                return read_history(self._lines)
        raise InDoubt(f"the row {self._name} did not end as it should, so what it did is not known")

    def close(self) -> None:
        """It ends when its input is closed; if not, it is killed."""
        self._process.stdin.close()
        with eventlet.Timeout(5, False):
            self._process.wait()
            return
        self._process.kill()
        self._process.wait()


@contextmanager
def _stage(hosts: str, names: Sequence[str], seed: int, homes: _Homes) -> Iterator[list[_Process]]:
    """The rows' processes, each in a root of its own; all of it gone afterwards."""
    owner = zk.connect(hosts, session_timeout_s=30)  # it outlives every fault
    run, rows = Run(owner, "matrix"), list[_Process]()
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        try:
            run.open()
            for name in names:
                root, disks = f"/{name}", Path(folder) / name
                disks.mkdir()
                prepared_root(owner, run.chroot + root, hosts)
                orders = Orders(name, homes.follower, homes.others, run.chroot + root, str(disks), seed)
                rows.append(_Process(orders))
            yield rows
        except zk.NO_REPLY as error:
            message = f"ZooKeeper fell silent ({error!r}): nothing was measured; try again"
            raise InDoubt(message) from error
        finally:
            for row in rows:
                row.close()
            _removed(run)
            zk.disconnect(owner)


def _removed(run: Run) -> None:
    try:
        run.close()
    except LessonError as error:
        log.warning("left for the next run to sweep: %s", error)


def prepared_root(owner: Any, root: str, hosts: str) -> None:
    """A root of its own for one row, inside of the run's."""
    zk.ensure(owner, (root,), zk.Deadline(STEP_S))
    inside = zk.connect(hosts, chroot=root, session_timeout_s=10)
    try:
        prepare(inside, zk.Deadline(STEP_S))
    finally:
        zk.disconnect(inside)


def _begin(rows: Sequence[_Process]) -> float:
    deadline = zk.Deadline(_READY_S)
    for row in rows:
        row.wait_ready(deadline)
    began_at_s = time.monotonic() + 1.0
    for row in rows:
        row.tell(str(began_at_s))
    return began_at_s


def _torment(
    servers: Servers, follower: int | None, seed: int, began_at_s: float, recorder: Recorder
) -> None:
    """The deeds that concern ZooKeeper's servers, in their order; all are whole when this returns."""
    for deed in Schedule.of(seed).deeds:
        _until(began_at_s + deed.at_s)
        try:
            _do(servers, deed, follower, recorder)
        except ServersError as error:
            log.warning("%s: %s", deed.verb, error)
    servers.mend()
    recorder.fault("mend servers")


def _do(servers: Servers, deed: Deed, follower: int | None, recorder: Recorder) -> None:
    match deed.verb:
        case "partition" if follower is not None:
            recorder.fault("partition server", follower)
            servers.partition(follower)
        case "unite" if follower is not None:
            servers.heal(follower)
            recorder.fault("heal server", follower)
        case "kill leader" if (leader := servers.leader()) is not None:
            recorder.fault("kill server", leader)
            servers.kill(leader)
        case "kill other":
            followers = [one.index for one in servers.status() if one.mode == "follower"]
            other = next((index for index in followers if index != follower), None)
            if other is not None:
                recorder.fault("kill server", other)
                servers.kill(other)
        case "restart servers":
            servers.mend()
            recorder.fault("mend servers")


def _until(moment_s: float) -> None:
    eventlet.sleep(max(0.0, moment_s - time.monotonic()))
