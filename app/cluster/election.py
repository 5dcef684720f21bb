"""Election: who stands in line, who leads, who backs up.

Everybody takes a seat, an ephemeral sequential znode under ``/election``. The first in line is to lead, the
next is to back up. What counts is ``/epoch``: it is changed only in a transaction that checks the changer's
own seat, because kazoo silently opens a new session after an expiry, and a deposed process would act on it.

    first in line, another leads         raise the epoch: I lead, without a backup
    I lead, my backup's seat is gone     raise the epoch: no backup (uploads are refused meanwhile)
    next in line, there is no backup     copy everything, then say so on my seat
    I lead, the next in line is ready    raise the epoch: it backs up

So the one that takes over is the recorded backup, and a backup is recorded only when it has all the copies.
(Hunt et al., USENIX ATC 2010, section 2.4: leader election with ephemeral sequential znodes.)
"""

import logging
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState

from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.errors import InDoubt, Malformed, PayloadUnavailable
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# Seconds after trouble whose end no watch tells: a full disk, a record that can't be read, a lost reply.
_TROUBLE_S = 3.0
_NOT_NOW: tuple[type[Exception], ...] = (
    *zk.NO_REPLY, zk.TransactionFailed, NoNodeError, InDoubt, Malformed, PayloadUnavailable, OSError
)  # fmt: skip

_NUMBER = re.compile(rb"\d{1,18}")


# --- the decision: a pure function over what the store shows ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """What the store shows.

    Attributes:
        seats: election znodes, the first in line first.
        epoch: what ``/epoch`` holds.
        next_ready_for: the epoch number for which the second in line says it has every copy, if it does.
    """

    seats: tuple[str, ...]
    epoch: Epoch
    next_ready_for: int | None = None


class Step(Enum):
    """What a participant has to do now."""

    SIT_DOWN = auto()  # take a seat: I have none (any more)
    RAISE = auto()  # raise the epoch and lead
    DROP_BACKUP = auto()
    RECORD_BACKUP = auto()
    LEAD = auto()
    JOIN = auto()  # copy everything, then say that I'm ready
    BACK_UP = auto()
    STAND_BY = auto()


def next_step(mine: str | None, line: Line) -> Step:
    """What the holder of seat ``mine`` has to do, seeing ``line``."""
    if mine is None or mine not in line.seats:
        return Step.SIT_DOWN
    following = line.seats[1] if len(line.seats) > 1 else None
    epoch = line.epoch
    if mine == line.seats[0]:
        if epoch.primary_seat != mine:
            return Step.RAISE
        if epoch.backup_seat is not None and epoch.backup_seat != following:
            return Step.DROP_BACKUP
        if epoch.backup_seat is None and following is not None and line.next_ready_for == epoch.number:
            return Step.RECORD_BACKUP
        return Step.LEAD
    if epoch.backup_seat == mine:
        return Step.BACK_UP
    if mine == following and epoch.backup_seat is None and epoch.primary_seat == line.seats[0]:
        return Step.JOIN
    return Step.STAND_BY


def in_line(children: list[str]) -> tuple[str, ...]:
    """Seats in the order in which they were taken: by ZooKeeper's sequence number, the last ten digits."""
    return tuple(sorted(children, key=lambda seat: seat[-10:]))


def holder(seat: str) -> str:
    """The participant's name, which its seat carries in front."""
    return seat.rsplit("~", 2)[0]


# --- the effects ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Roles:
    """What a candidate does in each role; called from the candidate's own green thread.

    Attributes:
        lead: (epoch, the epoch that I ended by taking over): called again whenever the line is looked at,
            also when nothing, or only the backup, has changed.
        back_up: I am the recorded backup of this epoch.
        join: copy everything of this epoch; returning means that it is on disk.
        stand_by: none of these (any more).
        pause: the connection is lost, so I can't hear whether I still may act. The seat may yet be kept.
    """

    lead: Callable[[Epoch, Epoch], None]
    back_up: Callable[[Epoch], None]
    join: Callable[[Epoch], None]
    stand_by: Callable[[], None]
    pause: Callable[[], None]


class Candidate:
    """Stands in line for as long as its session lives, and sits down again with the next one."""

    def __init__(self, client: KazooClient, name: str, roles: Roles) -> None:
        self._client = client
        self._name = paths.checked(name)
        self._roles = roles
        self._mine: str | None = None
        self._before = NO_EPOCH  # the epoch that I ended by taking over
        self._reconciler = Reconciler(
            client, name, self._advance, not_now=_NOT_NOW, retry_s=_TROUBLE_S, away=roles.pause
        )

    def start(self) -> None:
        self._client.add_listener(self._on_state)
        self._reconciler.start()

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        self._reconciler.stop()

    @property
    def seat(self) -> str | None:
        return self._mine

    def _on_state(self, state: str) -> None:
        if state == KazooState.LOST:
            self._mine = None  # the session's seat goes with it

    def _advance(self) -> None:
        while self._has_changed_the_line():
            pass

    def _has_changed_the_line(self) -> bool:
        """Look, and do what has to be done. True if that changed the line, so that another look is due."""
        deadline = zk.Deadline(zk.STEP_S)
        line = self._look(deadline)
        self._leave_spare_seats(line, deadline)
        step = next_step(self._mine, line)
        if step is Step.SIT_DOWN:
            self._roles.stand_by()
            self._sit_down(deadline)
        elif step is Step.RAISE:
            self._before = line.epoch  # set first: a change without a reply may be carried out
            self._change(line.epoch, line.epoch.led_by(self._name, self._mine or ""), deadline)
        elif step is Step.DROP_BACKUP:
            self._change(line.epoch, line.epoch.backed_up_by(None, None), deadline)
        elif step is Step.RECORD_BACKUP:
            seat = line.seats[1]
            self._change(line.epoch, line.epoch.backed_up_by(holder(seat), seat), deadline, also_alive=seat)
        elif step is Step.LEAD:
            self._roles.lead(line.epoch, self._before)
            return False
        elif step is Step.JOIN:
            self._roles.join(line.epoch)
            ready = self._client.set_async(paths.seat(self._mine), str(line.epoch.number).encode())
            zk.wait(ready, zk.Deadline(zk.STEP_S))  # from now on: copying may have taken its time
            return False
        elif step is Step.BACK_UP:
            self._roles.back_up(line.epoch)
            return False
        elif step is Step.STAND_BY:
            self._roles.stand_by()
            return False
        return True

    def _look(self, deadline: zk.Deadline) -> Line:
        wake = self._reconciler.wake
        children = zk.wait(self._client.get_children_async(paths.ELECTION, watch=wake), deadline)
        found = zk.get(self._client, paths.EPOCH, deadline, watch=wake)
        epoch = Epoch.from_znode(found[0], found[1].version) if found else NO_EPOCH
        seats = in_line(children)
        ready = None
        if len(seats) > 1 and seats[0] == self._mine:
            said = zk.get(self._client, paths.seat(seats[1]), deadline, watch=wake)
            ready = int(said[0]) if said and _NUMBER.fullmatch(said[0]) else None
        return Line(seats, epoch, ready)

    def _sit_down(self, deadline: zk.Deadline) -> None:
        """Take a seat. An earlier create without a reply may have made one: then that is ours."""
        session = zk.session_id(self._client)
        zk.wait(self._client.sync_async(paths.ELECTION), deadline)  # a server that lags may not show it yet
        for seat in in_line(zk.wait(self._client.get_children_async(paths.ELECTION), deadline)):
            if holder(seat) == self._name:
                stat = zk.wait(self._client.exists_async(paths.seat(seat)), deadline)
                if stat is not None and stat.ephemeralOwner == session:
                    self._mine = seat
                    return
        prefix = paths.seat(f"{self._name}~{uuid.uuid4().hex[:6]}~")
        made = zk.wait(self._client.create_async(prefix, b"", ephemeral=True, sequence=True), deadline)
        self._mine = made.rsplit("/", 1)[1]

    def _leave_spare_seats(self, line: Line, deadline: zk.Deadline) -> None:
        """Delete what an unanswered create of ours has made after we took another seat.

        No candidate acts for a spare seat: once it is first or next in line, it would block all others.
        """
        spare = [seat for seat in line.seats if holder(seat) == self._name and seat != self._mine]
        for seat in spare if self._mine in line.seats else ():
            path = paths.seat(seat)
            stat = zk.wait(self._client.exists_async(path), deadline)
            if stat is not None and stat.ephemeralOwner == zk.session_id(self._client):
                zk.wait(self._client.delete_async(path), deadline)

    def _change(self, old: Epoch, new: Epoch, deadline: zk.Deadline, also_alive: str | None = None) -> None:
        """Raise the epoch, checked against my own seat. Raises zk.TransactionFailed if either has changed."""
        change = self._client.transaction()
        change.check(paths.seat(self._mine), -1)
        if also_alive is not None:
            change.check(paths.seat(also_alive), -1)
        change.set_data(paths.EPOCH, new.to_bytes(), version=old.znode_version)
        zk.commit(change, deadline)
        log.info("%s: epoch %d: primary %s, backup %s", self._name, new.number, new.primary, new.backup)


def prepare(client: KazooClient, deadline: zk.Deadline) -> None:
    """Create the roots and ``/epoch`` where they are missing. Raises Unreachable or one of zk.NO_REPLY."""
    zk.ensure(client, paths.ROOTS, deadline)
    with suppress(NodeExistsError):
        zk.wait(client.create_async(paths.EPOCH, NO_EPOCH.to_bytes()), deadline)
