"""Primary-backup among three members; each transaction is a key of its own, written once.

node-1 lives at the follower that will be cut off, and leads in the beginning. A client asks the member that
believes to lead, so now and then a deposed one.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool

from app.checker.history import Value, Version
from app.cluster.guest_actor import Actor
from app.cluster.member import Member
from app.consistency.engine.disk import Disk, sha256
from app.consistency.primary_backup import Primary
from app.errors import NoBackup, Refused, Unreachable
from app.zookeeper import client as zk
from proof.matrix.orders import HOST_SESSION_S, OPERATION_S, STEP_S, Orders

_MEMBERS = 3
# node-1's session: it runs out well before its server notices, after three seconds, that it is alone.
_SHORT_SESSION_S = 1.0
# A reader asks for one of this many last transactions: old ones are settled.
_RECENT = 4


class ThroughPrimary:
    """Writes and reads go through the primary."""

    def __init__(self, orders: Orders) -> None:
        self._choose = random.Random(orders.seed)
        self._folder = Path(orders.folder)
        self._actors = [
            Actor(
                orders.others if number > 1 else orders.follower,
                orders.chroot,
                HOST_SESSION_S if number > 1 else _SHORT_SESSION_S,
                partial(self._roles, number),
            )
            for number in range(1, _MEMBERS + 1)
        ]
        self._payloads: dict[str, str] = {}
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._maimed: Actor | None = None
        self._act = ""

    def _roles(self, number: int, client: Any) -> list[Member]:
        return [Member(client, f"node-{number}", self._disk(number), ack_timeout_s=OPERATION_S)]

    def _disk(self, number: int) -> Disk:
        folder = self._folder / f"node-{number}"
        folder.mkdir(exist_ok=True)
        return Disk(folder)

    def open(self) -> None:
        for actor in self._actors:
            actor.start()
            self._wait_for(lambda: bool(self._leading()), "a member leads")
        self._wait_for(lambda: any(primary.epoch.backup for primary in self._leading()), "there is a backup")

    def begin(self, act: str) -> None:
        self._act = act
        self._recent.clear()

    def key_to_write(self, client: str) -> str:
        key = f"{self._act}/order-{len(self._payloads) + 1}"
        self._payloads[key] = ""
        self._recent.append(key)
        return key

    def key_to_read(self, client: str) -> str:
        if not self._recent:
            raise Refused("nothing has been written yet")
        return self._choose.choice(self._recent)

    def write(self, client: str, key: str, value: str) -> Version | None:
        self._submit(self._primary(), key, value)
        return None

    def _submit(self, primary: Primary, key: str, value: str) -> None:
        self._payloads[key] = value
        primary.submit(self._job(key), value.encode())

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        payload = self._primary().read(self._job(key))
        return (None if payload is None else payload.decode()), None

    @staticmethod
    def _job(key: str) -> str:
        """The transaction's id: keys are unique in a row, and a row has a root of its own."""
        return key.replace("/", "-")

    # -- roles --

    def _members(self) -> list[tuple[int, Member]]:
        """(number, member) of those that live."""
        return [
            (number, role)
            for number, actor in enumerate(self._actors, 1)
            if actor.alive and actor.roles and isinstance(role := actor.roles[0], Member)
        ]

    def _leading(self) -> list[Primary]:
        return [member.primary for _, member in self._members() if member.primary]

    def _primary(self) -> Primary:
        """One of the members that believe to lead."""
        if not (leading := self._leading()):
            raise NoBackup("no member leads at the moment: nothing was written")
        return self._choose.choice(leading)

    def _backing_up(self) -> list[int]:
        return [number for number, member in self._members() if member.backup]

    @staticmethod
    def _wait_for(condition: Callable[[], bool], what: str) -> None:
        deadline = zk.Deadline(STEP_S)
        while not condition():
            if deadline.passed:
                raise Unreachable(f"{what}: not so after {STEP_S:g} s")
            eventlet.sleep(0.05)

    # -- faults: to one member at a time, as that is what the protocol survives --

    def cut(self, replicas: Sequence[int]) -> None:
        self._one_of(replicas).cut()

    def heal(self, replicas: Sequence[int]) -> None:
        self._one_of(replicas).heal()

    def crash(self, replicas: Sequence[int]) -> None:
        self._one_of(replicas).crash()

    restart = heal

    def maim(self, kept: Sequence[int]) -> None:
        """The primary loses its backup."""
        if backups := self._backing_up():
            self._maimed = self._actors[backups[0] - 1]
            self._maimed.cut()

    def unmaim(self) -> None:
        if self._maimed is not None:
            self._maimed.heal()

    def close(self) -> None:
        for actor in self._actors:
            actor.close()

    def _one_of(self, replicas: Sequence[int]) -> Actor:
        return self._actors[replicas[0] % _MEMBERS]


class BackupsCopy(ThroughPrimary):
    """Writes go through the primary; a read is of the disk of the member that believes to back up."""

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        if not (backups := self._backing_up()):
            raise Refused("no member backs up at the moment")
        disk = self._disk(self._choose.choice(backups))
        payload = tpool.execute(disk.load, self._job(key), sha256(self._payloads[key].encode()))
        return (None if payload is None else payload.decode()), None
