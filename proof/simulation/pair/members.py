"""Three members of a primary-backup pair: each a process on a machine, with a line and a disk of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet
from eventlet import event

from app.cluster.member import Member
from app.consistency.engine.disk import Disk, sha256
from app.consistency.engine.fencing import Epoch
from app.consistency.primary_backup import Primary
from app.demo.faults import log_uniform, moment_of
from app.demo.recording import NOT_A_RESULT
from app.errors import InDoubt
from app.zookeeper import client as zk, paths
from proof.simulation.client import Client
from proof.simulation.clock import Process, acting, after
from proof.simulation.disk import Files, ForgetfulDisk
from proof.simulation.nemesis import Moments
from proof.simulation.network import OnALine
from proof.simulation.stage import Stage

MEMBERS = 3
FOLDER = Path("/data/copies")
# What a process sent before it died arrives this much later, in seconds, if it does.
_LATE_S = (0.001, 5.0)


class Life(OnALine):
    """One life of a member: from its start to its end, by which its memory is gone.

    Attributes:
        process: all that it does is done in.
        member: None until it has a session.
    """

    def __init__(
        self, stage: Stage, name: str, disk: ForgetfulDisk, ack_timeout_s: float, on_step: Callable[..., None]
    ) -> None:
        self.process = Process()
        self.line = stage.line(self.process)
        self.member: Member | None = None
        self.client = Client(stage.ensemble, self.line, timeout=stage.session_s)
        self._files = Files(disk)
        self._late_s = log_uniform(_LATE_S, disk.choose)
        self.process.run(self._run, name, ack_timeout_s, on_step)

    def _run(self, name: str, ack_timeout_s: float, on_step: Callable[..., None]) -> None:
        self.client.start_async().wait()
        disk = Disk(FOLDER, files=self._files)
        self.member = Member(self.client, name, disk, ack_timeout_s=ack_timeout_s, on_step=on_step)
        self.member.start()

    @property
    def has_ended(self) -> bool:
        return self.process.is_dead

    def end(self) -> None:
        """As by SIGKILL: it does nothing more; what it has sent may yet arrive."""
        self.process.kill()
        self._files.end()
        self.line.down()
        after(self._late_s, self.line.heal)

    def ask(self, patience_s: float, call: Callable[..., Any], *args: Any) -> Any:
        """What ``call`` answers, here. Raises as it does; InDoubt if no answer comes in time."""
        answered: Any = event.Event()
        self.process.run(_serve, answered, call, args)
        with eventlet.Timeout(patience_s, False):
            result, error = answered.wait()
            if error is not None:
                raise error
            return result
        raise InDoubt("no answer")


def _serve(answered: Any, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
    result, error = None, None
    try:
        result = call(*args)
    except NOT_A_RESULT as ending:
        error = ending
    with acting(None):
        answered.send((result, error))


class Members:
    """All three, in whatever life they are.

    Attributes:
        disks, lives: of member i, at i - 1.
        known: whom users have taken for the primary.
    """

    def __init__(self, stage: Stage, moments: Moments) -> None:
        self._stage, self._moments = stage, moments
        self._choose = stage.chance("members")
        self._ack_timeout_s = self._choose.choice((0.3, 1.0, 2.0, 10.0))
        self.names = [f"node-{number}" for number in range(1, MEMBERS + 1)]
        self.disks = [ForgetfulDisk(stage.chance(f"disk of {name}")) for name in self.names]
        self.lives = [self._begun(number) for number in range(1, MEMBERS + 1)]
        self._dead: list[Life] = []  # kept: what nobody refers to would be unwound, and act
        self.known: dict[tuple[Life, Primary], None] = {}

    def _begun(self, number: int) -> Life:
        def on_step(step: str, _: str) -> None:
            if (moment := moment_of(step)) is not None:
                with acting(None):
                    eventlet.spawn(self._moments.now, moment, number if self._choose.random() < 0.5 else None)
                eventlet.sleep(0)  # who waits for this moment strikes before we go on

        name = self.names[number - 1]
        return Life(self._stage, name, self.disks[number - 1], self._ack_timeout_s, on_step)

    def restart(self, number: int) -> None:
        self._dead.append(self.lives[number - 1])
        self.lives[number - 1] = self._begun(number)

    def leading(self) -> list[tuple[Life, Primary]]:
        """Who believes to lead, whether their connection is there or not."""
        begun = [(life, life.member) for life in self.lives if life.member is not None and not life.has_ended]
        return [(life, found) for life, member in begun if (found := member.leadership) is not None]

    def epoch(self) -> Epoch:
        """As the store has it."""
        node = self._stage.ensemble.nodes[paths.EPOCH]
        return Epoch.from_znode(node.data, node.version)

    def at(self, seat: str | None) -> int | None:
        """The number of the member that holds this seat now, in its present life."""
        node = self._stage.ensemble.nodes.get(paths.seat(seat))
        for number, life in enumerate(self.lives, 1):
            if node is not None and not life.has_ended and node.owner == zk.session_id(life.client):
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
        first, second = (self.lives[number - 1].member for number in pair)
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
