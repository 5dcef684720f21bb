"""Two groups beside the workers' own load: a register on the live workers' replicas, and a trio of members.

The register's replicas are served by the worker that holds ``/hosts/<i>``; its clients reach them
over links that can be cut one by one. The trio is a primary-backup group of three in a root of its own, each
at one ZooKeeper server, so that a server's partition deposes a primary that hears nothing of it.
"""

import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool
from kazoo.exceptions import NodeExistsError

from app.checker.history import Recorder
from app.cluster.guest_actor import Actor
from app.consistency.engine.disk import sha256
from app.consistency.engine.replicas import Replicas
from app.consistency.primary_backup import Primary
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.errors import Unreachable
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from proof.chaos.audit import AckSeen
from proof.matrix.orders import STEP_S, Orders
from proof.matrix.schedule import CLIENTS, REPLICAS
from proof.matrix.systems.pair import ThroughPrimary
from proof.matrix.systems.registers import WHOLE, Registers

# A member's session: it runs out well before its server notices, after three seconds, that it is alone.
_MEMBER_SESSION_S = 1.0
# By then a request that was under way has been answered.
_ANSWERED_S = 0.4
# A transaction's payload is used this long after its acknowledgement: by then its backup has seen some harm.
_USED_AFTER_S = 15.0
_NOT_YET: tuple[type[Exception], ...] = (Unreachable, *zk.NO_REPLY)


class LiveRegister(Registers):
    """The matrix's register, on the hosts that are there: only the ways to a host can be harmed here."""

    def __init__(self, hosts: str, root: str) -> None:
        super().__init__(Orders("quorum", hosts, hosts, "", "", 0), WHOLE)
        self._hosts = []
        self._root = root
        self.maimed = False

    def open(self) -> None:
        for client in CLIENTS:
            site = self._site(client)
            if site not in self._links:
                self._links[site] = [Link(self._orders.home(client)) for _ in range(REPLICAS)]
                self._sessions[site] = [self._session(link) for link in self._links[site]]
        self._wait_until_served()

    def _replicas(self, act: str, client: str) -> Replicas:
        return Replicas(act, self._sessions[self._site(client)], self._root)

    def cut(self, replicas: Sequence[int]) -> None:
        for replica in replicas:
            for link in self._ways_to(replica):
                link.cut()

    def heal(self, replicas: Sequence[int]) -> None:
        for replica in replicas:
            for link in self._ways_to(replica):
                link.heal()

    def maim(self, kept: Sequence[int]) -> None:
        self.maimed = True
        super().maim(kept)

    def unmaim(self) -> None:
        super().unmaim()
        self.maimed = False


class Trio(ThroughPrimary):
    """Three members, each at one server; what is acknowledged is looked for on their disks at once.

    Attributes:
        acks: what has been acknowledged, and on how many disks it was then.
    """

    def __init__(self, servers: Sequence[str], chroot: str, folder: Path, seed: int) -> None:
        super().__init__(Orders("primary", servers[0], ",".join(servers[1:]), chroot, str(folder), seed))
        self._choose = random.Random(f"{seed} trio")
        self._actors = [
            Actor(hosts, chroot, _MEMBER_SESSION_S, partial(self._roles, number))
            for number, hosts in enumerate(servers, 1)
        ]
        self._orders_root = chroot
        self._out: Path | None = None
        self._unused: deque[tuple[float, str]] = deque()
        self._begun = 0
        self._spared: int | None = None
        self.acks: list[AckSeen] = []

    def _submit(self, primary: Primary, key: str, value: str) -> None:
        super()._submit(primary, key, value)
        digest = sha256(value.encode())
        copies = sum(self._has_copy(number, key, digest) for number in range(1, len(self._actors) + 1))
        self.acks.append(AckSeen(key, copies))
        self._unused.append((time.monotonic(), key))

    def due(self) -> str | None:
        """The oldest acknowledged transaction with a payload to be used, if one is old enough."""
        if not self._unused or time.monotonic() - self._unused[0][0] < _USED_AFTER_S:
            return None
        return self._unused[0][1]

    def use(self, key: str, owner: Any) -> None:
        """Its payload has been used, as a job's is: a later primary need not settle it again.

        Without that every change of primaries would last longer than the one before.
        """
        with suppress(NodeExistsError):  # an attempt of ours that got no reply
            result = self._orders_root + paths.result(self._job(key))
            zk.wait(owner.create_async(result, b"used"), zk.Deadline(STEP_S))
        self._unused.popleft()
        self._payloads.pop(key)

    def _has_copy(self, number: int, key: str, digest: str) -> bool:
        """On its disk, or on the same one while it is taken out, or just being put back."""
        here = self._folder / f"node-{number}"
        folders = (here, here.with_name(f"{here.name}-out"), here)
        found = (path for folder in folders for path in folder.glob(f"{self._job(key)}.*"))
        return any(self._payload(path, digest) for path in found)

    @staticmethod
    def _payload(path: Path, digest: str) -> bool:
        try:
            return sha256(tpool.execute(path.read_bytes)) == digest
        except OSError:
            return False  # renamed, or taken out, while we looked

    def stands(self, for_s: float) -> bool:
        """Wait this long until a primary leads and a backup is recorded; says whether it is so."""
        deadline = zk.Deadline(for_s)
        while (
            not (leading := any(primary.epoch.backup for primary in self._leading())) and not deadline.passed
        ):
            eventlet.sleep(0.1)
        return leading

    def primary_at(self) -> int | None:
        """The number of the member that leads, and so of its server."""
        leading = [number for number, member in self._members() if member.primary]
        return leading[0] if leading else None

    def _leading(self) -> list[Primary]:
        """The members that believe to lead, without the spared one."""
        return [
            member.primary for number, member in self._members() if member.primary and number != self._spared
        ]

    @contextmanager
    def sparing(self, number: int) -> Iterator[None]:
        """No client asks this member; what was asked of it before has been answered when the block begins.

        A request that hangs there would hold up its session's pings, and so tell it that something is wrong.
        """
        self._spared = number
        eventlet.sleep(_ANSWERED_S)
        try:
            yield
        finally:
            self._spared = None

    def ask_both(self, old: int, recorder: Recorder, for_s: float) -> None:
        """While another leads: store something there, and ask the deposed for it; again and again."""
        deadline = zk.Deadline(for_s)
        while not deadline.passed:
            primaries = {number: member.primary for number, member in self._members() if member.primary}
            former = primaries.pop(old, None)
            new = next((primary for primary in primaries.values() if primary.epoch.backup), None)
            if former is not None and new is not None:
                with suppress(*NOT_A_RESULT):  # recorded as it ended
                    self._carry(new, former, recorder)
            eventlet.sleep(0.05)

    def _carry(self, new: Primary, former: Primary, recorder: Recorder) -> None:
        key = self.key_to_write("messenger")
        value = f"of {key}"
        recorded_write(recorder, "messenger", key, value, lambda: self._submit(new, key, value))
        recorded_read(recorder, "messenger", key, lambda: (_text(former.read(self._job(key))), None))

    def key_to_write(self, client: str) -> str:
        self._begun += 1
        key = f"{self._act}/order-{self._begun}"
        self._payloads[key] = ""
        self._recent.append(key)
        return key

    def take_a_disk_out(self) -> str | None:
        """The backup's: nothing can be written there, not even by root. Returns the backup's name, if any."""
        if not (backups := self._backing_up()):
            return None
        folder = self._folder / f"node-{backups[0]}"
        self._out = folder.rename(folder.with_name(f"{folder.name}-out"))
        folder.touch()
        return folder.name

    def put_it_back(self) -> None:
        if self._out is not None:
            folder = self._out.with_name(self._out.name.removesuffix("-out"))
            folder.unlink(missing_ok=True)
            self._out.rename(folder)
            self._out = None

    def harm(self, number: int, verb: str) -> None:
        getattr(self._actors[number - 1], verb)()

    def whole(self) -> None:
        """All members back, and in their roles. Raises Unreachable."""
        self.put_it_back()
        deadline = zk.Deadline(2 * STEP_S)
        for actor in self._actors:
            while True:
                try:
                    actor.heal()
                    break
                except _NOT_YET:
                    if deadline.passed:
                        raise
                    eventlet.sleep(0.3)
        self._wait_for(lambda: any(primary.epoch.backup for primary in self._leading()), "a pair")

    def transactions(self) -> list[str]:
        return list(self._payloads)


def _text(payload: bytes | None) -> str | None:
    return None if payload is None else payload.decode()


def prepared(client: Any, root: str) -> None:
    """The parents of what lives below a root."""
    zk.ensure(client, (root + paths.OBJECTS,), zk.Deadline(STEP_S))
