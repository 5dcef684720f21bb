"""Three members of a primary-backup pair: each a process on a machine, with a line and a disk of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from greenlet import GreenletExit  # type: ignore[import-untyped]  # it has no annotations

from app.cluster.member import Member
from app.consistency.engine.disk import Disk, sha256
from app.consistency.engine.fencing import Epoch
from app.consistency.primary_backup import Primary
from app.demo.faults import log_uniform, moment_of
from app.demo.recording import NOT_A_RESULT
from app.errors import InDoubt
from app.zookeeper import client as zk, paths
from proof.simulation.client import Client
from proof.simulation.clock import Ordered, after
from proof.simulation.disk import Files, ForgetfulDisk
from proof.simulation.nemesis import Moments
from proof.simulation.stage import Stage

MEMBERS = 3
FOLDER = Path("/data/copies")
# What a process sent before it died arrives this much later, in seconds, if it does.
_LATE_S = (0.001, 5.0)


class Process:
    """One life of a member: from its start to its end, by which its memory is gone.

    Attributes:
        member: None until it has a session.
    """

    def __init__(
        self, stage: Stage, name: str, disk: ForgetfulDisk, ack_timeout_s: float, on_step: Callable[..., None]
    ) -> None:
        self.line = stage.line()
        self.member: Member | None = None
        self.has_ended = False
        self.client = Client(stage.ensemble, self.line, timeout=stage.session_s)
        self._files = Files(disk)
        self._late_s = log_uniform(_LATE_S, disk.choose)
        self._threads = Ordered()
        self._spawn(self._run, name, ack_timeout_s, on_step)

    def _spawn(self, act: Callable[..., Any], *args: Any) -> Any:
        thread = eventlet.spawn(act, *args)
        self._threads.add(thread)
        thread.link(self._threads.discard)
        return thread

    def _run(self, name: str, ack_timeout_s: float, on_step: Callable[..., None]) -> None:
        self.client.start_async().wait()
        disk = Disk(FOLDER, files=self._files)
        self.member = Member(self.client, name, disk, ack_timeout_s=ack_timeout_s, on_step=on_step)
        self.member.start()

    def end(self) -> None:
        """As by SIGKILL: it reaches neither store nor disk any more; what is on its way may arrive."""
        self.has_ended = True
        self._files.end()
        self.line.down()
        for thread in list(self._threads):
            thread.kill()
        if self.member is not None:
            self.member.stop()
        eventlet.spawn(zk.disconnect, self.client)
        after(self._late_s, self.line.heal)

    def ask(self, patience_s: float, call: Callable[..., Any], *args: Any) -> Any:
        """What ``call`` answers, here. Raises as it does; InDoubt if no answer comes, or not in time."""
        if self.has_ended:
            raise InDoubt("the process is gone")
        asked = self._spawn(_answer, call, args)
        try:
            with eventlet.Timeout(patience_s):
                result, error = asked.wait()
        except (eventlet.Timeout, GreenletExit) as silence:
            raise InDoubt("no answer") from silence
        if error is not None:
            raise error
        return result


def _answer(call: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return call(*args), None
    except NOT_A_RESULT as error:
        return None, error


class Members:
    """All three, in whatever life they are.

    Attributes:
        disks, processes: of member i, at i - 1.
    """

    def __init__(self, stage: Stage, moments: Moments) -> None:
        self._stage, self._moments = stage, moments
        self._choose = stage.chance("members")
        self._ack_timeout_s = self._choose.choice((0.3, 1.0, 2.0, 10.0))
        self.names = [f"node-{number}" for number in range(1, MEMBERS + 1)]
        self.disks = [ForgetfulDisk(stage.chance(f"disk of {name}")) for name in self.names]
        self.processes = [self._begun(number) for number in range(1, MEMBERS + 1)]

    def _begun(self, number: int) -> Process:
        def on_step(step: str, _: str) -> None:
            self._moments.now(moment_of(step), number if self._choose.random() < 0.5 else None)

        name = self.names[number - 1]
        return Process(self._stage, name, self.disks[number - 1], self._ack_timeout_s, on_step)

    def restart(self, number: int) -> None:
        self.processes[number - 1] = self._begun(number)

    def leading(self) -> list[tuple[Process, Primary]]:
        """Who believes to lead, whether their connection is there or not."""
        living = [(process, process.member) for process in self.processes if process.member is not None]
        return [(process, found) for process, member in living if (found := member.leadership) is not None]

    def epoch(self) -> Epoch:
        """As the store has it."""
        node = self._stage.ensemble.nodes[paths.EPOCH]
        return Epoch.from_znode(node.data, node.version)

    def at(self, seat: str | None) -> int | None:
        """The number of the member that holds this seat now, in its present life."""
        node = self._stage.ensemble.nodes.get(paths.seat(seat))
        for number, process in enumerate(self.processes, 1):
            if node is not None and not process.has_ended and node.owner == zk.session_id(process.client):
                return number
        return None

    def pair(self) -> tuple[int, int] | None:
        """(primary, backup) by number, while both are alive and the store's epoch names them."""
        epoch = self.epoch()
        primary, backup = self.at(epoch.primary_seat), self.at(epoch.backup_seat)
        return None if primary is None or backup is None else (primary, backup)

    def whole(self) -> bool:
        """Whether there is a pair, and both are in their roles."""
        if (pair := self.pair()) is None:
            return False
        first, second = (self.processes[number - 1].member for number in pair)
        assert first is not None
        assert second is not None
        leads, follows, epoch = first.primary, second.backup, self.epoch()
        return leads is not None and follows is not None and leads.epoch == epoch == follows.epoch

    def had(self, number: int, job_id: str, digest: str) -> bool:
        """Whether a copy with this digest was ever on this member's disk for certain, or on one it had."""
        return sha256(self.disks[number - 1].had.get(f"{job_id}.{digest}", b"")) == digest

    def keeps(self, number: int, job_id: str, digest: str) -> bool:
        """Whether it is there now, and after a power cut."""
        copies = self.disks[number - 1].certain(FOLDER)
        return sha256(copies.get(f"{job_id}.{digest}", b"")) == digest
