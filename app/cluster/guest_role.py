"""What a guest plays in a run: a copy of the configuration, a member of the pair, or a replica's host.

It obeys orders and answers questions; the mailbox through which they come is in ``guest``. Its log is kept
for the demo's checker: it belongs to the audience, so a crash of the actor doesn't take it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventlet import semaphore, tpool
from kazoo.client import KazooClient

from app.cluster.guest_actor import Actor, Role
from app.cluster.member import Member
from app.cluster.messages import Entry, Part, PrimaryStatus, Reply, Request
from app.consistency.engine.disk import Disk
from app.consistency.engine.replicas import ReplicaHost
from app.consistency.eventual import ConfigReplica, Copy
from app.consistency.primary_backup import Primary
from app.errors import InDoubt, Refused

# A member may lead many times in a long run: requests reach only its last primaries.
_PRIMARIES = 8
# What one answer brings of a log; a demo that lags further behind asks again.
LOG_AT_ONCE = 500


class _ToldReplica(ConfigReplica):
    """A copy that also says when a value was turned down."""

    def __init__(self, client: KazooClient, name: str, changed: Callable[[], None], **options: Any) -> None:
        super().__init__(client, name, **options)
        self._changed = changed

    def hear(self, data: bytes | None, stat: Any, event: Any = None) -> bool:
        before = self.rejected
        goes_on = super().hear(data, stat, event)
        if self.rejected != before:
            self._changed()
        return goes_on


class GuestRole:
    """One guest's part, from the order to start it until it leaves.

    Args:
        name: the pod's.
        hosts, chroot: the servers, and the run's root.
        folder: a member's disk.
        changed: called when there is something new to report; must return quickly.

    Attributes:
        log: what has happened, from the first start on.
    """

    def __init__(self, name: str, hosts: str, chroot: str, folder: Path, changed: Callable[[], None]) -> None:
        self._name = name
        self._hosts = hosts
        self._chroot = chroot
        self._folder = folder
        self._changed = changed
        self._turn = semaphore.Semaphore()  # orders, one at a time
        self._actor: Actor | None = None
        self._part: Part | None = None
        self._disk: Disk | None = None
        self._primaries: dict[int, Primary] = {}
        self._led = 0
        self.log: list[Entry] = []

    def close(self) -> None:
        """End in an orderly way. The folder is left to its owner."""
        with self._turn:
            actor, self._actor = self._actor, None
            if actor is not None:
                actor.close()

    def answer(self, ask: Request) -> Reply:
        """Obey, or answer. Raises LessonError, OSError or one of zk.NO_REPLY."""
        match ask.do:
            case "submit":
                self._primary(ask).submit(ask.job_id, ask.payload)
                return Reply()
            case "read":
                return Reply(payload=self._primary(ask).read(ask.job_id))
            case "load":
                return Reply(payload=self._load(ask))
            case "silent":
                return Reply(silent_s=self._role(ConfigReplica).silent_s)
            case "log":
                return Reply(log=tuple(self.log[ask.since : ask.since + LOG_AT_ONCE]))
            case "leave":
                self.close()
            case _:
                with self._turn:
                    self._obey(ask)
        self._changed()
        return Reply()

    def state(self) -> dict[str, Any]:
        """For the report."""
        actor = self._actor
        if actor is None:
            return {}
        told: dict[str, Any] = {"session": actor.session, "connected": actor.connected}
        if not actor.alive:
            return told
        for role in actor.roles:
            if isinstance(role, ConfigReplica):
                told |= {
                    "copy_mzxid": role.copy.mzxid,
                    "copy_value": None if role.copy.value is None else dict(role.copy.value),
                    "applied_ns": int(role.applied_at * 1e9),
                    "rejected": role.rejected,
                }
            elif isinstance(role, Member):
                told |= {"leads": self._leads(role), "backs_up": role.backup and role.backup.epoch.number}
        return told

    # -- orders --

    def _obey(self, ask: Request) -> None:
        if ask.do == "start":
            self._start(ask)
            return
        actor = self._playing()
        match ask.do:
            case "cut":
                actor.cut()
            case "slow":
                actor.slow(ask.delay_s)
            case "heal":
                actor.heal()
            case "crash":
                self._primaries.clear()
                actor.crash()
            case "restart":
                actor.restart()

    def _start(self, ask: Request) -> None:
        if ask.part is None:
            message = f"{self._name} was told to start, but not what"
            raise Refused(message)
        if self._actor is not None:
            return  # the order was given twice: its answer was lost
        self._part = ask.part
        if ask.part.kind == "member":
            self._disk = tpool.execute(Disk, self._folder)
        actor = Actor(self._hosts, self._chroot, ask.part.session_timeout_s, self._roles)
        try:
            actor.start()
        except BaseException:
            actor.close()  # also when the starting thread is killed: its link has ports open
            raise
        self._actor = actor

    def _roles(self, client: KazooClient) -> list[Role]:
        part = self._part
        assert part is not None
        client.add_listener(lambda state: self._changed())
        if part.kind == "config":
            return [
                _ToldReplica(
                    client, self._name, self._changed, on_apply=self._applied, refresh_s=part.refresh_s
                )
            ]
        if part.kind == "host":
            return [ReplicaHost(client, part.index, self._name)]
        assert self._disk is not None
        member = Member(
            client,
            self._name,
            self._disk,
            ack_timeout_s=part.ack_timeout_s,
            on_step=self._stepped,
            on_change=self._changed,
        )
        return [member]

    # -- what the roles tell --

    def _applied(self, copy: Copy) -> None:
        value = None if copy.value is None else dict(copy.value)
        self._note(Entry(at_ns=time.monotonic_ns(), mzxid=copy.mzxid, value=value))

    def _stepped(self, step: str, job_id: str) -> None:
        self._note(Entry(at_ns=time.monotonic_ns(), step=step, job_id=job_id))

    def _note(self, entry: Entry) -> None:
        self.log.append(entry)
        self._changed()

    def _leads(self, member: Member) -> PrimaryStatus | None:
        primary = member.primary
        if primary is None:
            return None
        known = [number for number, one in self._primaries.items() if one is primary]
        if not known:
            self._led += 1
            self._primaries[self._led] = primary
            known = [self._led]
            self._primaries.pop(self._led - _PRIMARIES, None)
        epoch = primary.epoch
        return PrimaryStatus(id=known[0], number=epoch.number, name=epoch.primary, backup=epoch.backup)

    # -- questions --

    def _playing(self) -> Actor:
        if self._actor is None:
            message = f"{self._name} plays no part yet, or none any more"
            raise Refused(message)
        return self._actor

    def _role(self, kind: type[Any]) -> Any:
        actor = self._playing()
        for role in actor.roles:
            if isinstance(role, kind) and actor.alive:
                return role
        message = f"{self._name} has crashed, or plays another part"
        raise InDoubt(message)

    def _primary(self, ask: Request) -> Primary:
        """Also one that is deposed by now, and doesn't know: what it does, the store turns down."""
        if (primary := self._primaries.get(ask.primary)) is None:
            message = f"{self._name} has crashed since: nobody knows what became of {ask.job_id}; ask again"
            raise InDoubt(message, ask_again=ask.job_id)
        return primary

    def _load(self, ask: Request) -> bytes | None:
        if self._disk is None:
            message = f"{self._name} plays no part with a disk"
            raise Refused(message)
        found: bytes | None = tpool.execute(self._disk.load, ask.job_id, ask.digest)
        return found
