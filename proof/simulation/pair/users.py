"""Users of a pair: each stores payloads through whom it takes for the primary, asks again, and reads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import eventlet
from kazoo.exceptions import NodeExistsError

from app.consistency.engine.transactions import job_id_for
from app.consistency.primary_backup import Primary
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.errors import Aborted, IdConflict, InDoubt, NoBackup, Refused
from app.zookeeper import client as zk, paths
from proof.simulation.pair.members import Life, Members
from proof.simulation.stage import Stage

# How long a request is on its way to a primary, in seconds: now and then until that one is deposed.
_WAYS_S = ((0.0, 0.002),) * 5 + ((0.0, 0.5), (0.5, 8.0))
_MOST_TRIES = 6
_LOOKS_BACK = 3
_LOOKS_AT_ONCE = 0.4


@dataclass(frozen=True, slots=True)
class Habits:
    """What users do in this run.

    Attributes:
        patience_s: after so long, a user takes no answer for an answer in doubt.
        stays: how often a user asks whom it asked before, whoever leads now.
        looks_back: how often it asks one that anybody took for the primary, a while ago.
        insists: how often it asks again with the same id, when in doubt or refused for the moment.
        think_s: least and most seconds between two requests.
        uses: whether payloads are used, so that their copies may go.
    """

    patience_s: float
    stays: float
    looks_back: float
    insists: float
    think_s: tuple[float, float]
    uses: bool


@dataclass(eq=False)
class Attempt:
    """A request to store ``value`` that is under way, or has ended in doubt: it may take effect yet."""

    value: str
    primary: Primary

    def is_settled_by(self, primary: Primary) -> bool:
        """Whether this primary, if it finds no record, rules out that there will be one.

        It looks behind what it has sent itself, and the store obeys no primary of an earlier epoch any more.
        A deposed primary knows nothing of its successor's requests: its refusal is of one attempt alone.
        """
        return self.primary is primary or self.primary.epoch.number < primary.epoch.number


@dataclass
class Ledger:
    """What all users have asked for, by the request's id, which is the history's key.

    Attributes:
        values: all that was submitted under it.
        open: attempts without an answer, or in doubt.
        stored, used: what was acknowledged; of that, what has been used.
    """

    values: dict[str, dict[str, None]] = field(default_factory=dict)
    open: dict[str, list[Attempt]] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)

    def is_doubtful(self, key: str, value: str) -> bool:
        return any(attempt.value == value for attempt in self.open.get(key, ()))


class User:
    """One of them: one request after the other; what it is told is recorded."""

    def __init__(
        self, stage: Stage, members: Members, ledger: Ledger, habits: Habits, name: str, director: Any
    ) -> None:
        self._stage, self._members, self._ledger, self._habits = stage, members, ledger, habits
        self.name = name
        self._director = director
        self._choose = stage.chance(name)
        self._asked = 0
        self._known: tuple[Life, Primary] | None = None

    def act(self, operations: int) -> None:
        while self._asked < operations:
            self._next()
            eventlet.sleep(self._choose.uniform(*self._habits.think_s))

    def _next(self) -> None:
        self._asked += 1
        kind = self._choose.random()
        if kind < 0.5 or not self._ledger.values:
            key = f"order-{len(self._ledger.values) + 1}"
            self.insist(key, f"{key} {self._filler()}")
            return
        # Mostly of late: what is long settled no fault can touch.
        late = list(self._ledger.values)[-8:] if kind < 0.95 else list(self._ledger.values)
        key = self._choose.choice(late)
        if kind < 0.8:
            self.read(key)
        elif kind < 0.9:
            self.insist(key, self._choose.choice(list(self._ledger.values[key])))  # asked for already
        elif kind < 0.95 or not self._habits.uses:
            self.submit(key, f"{key} by {self.name} {self._filler()}")  # another payload: a conflict
        elif key in self._ledger.stored:
            self._use(key)

    def _filler(self) -> str:
        return "." * self._choose.choice((0, 5, 60, 600))

    def insist(self, key: str, value: str) -> None:
        """Again with the same id, as long as it isn't decided and this user has the patience."""
        for _ in range(_MOST_TRIES):
            if not self.submit(key, value) or self._choose.random() > self._habits.insists:
                break
            eventlet.sleep(self._choose.uniform(0.02, 1.0))
        if self._choose.random() < _LOOKS_AT_ONCE:
            self.read(key)  # where a server lags, or who is deposed doesn't know it, it isn't there yet

    def submit(self, key: str, value: str) -> bool:
        """One attempt; says whether another may end otherwise."""
        self._ledger.values.setdefault(key, {})[value] = None
        try:
            recorded_write(self._stage.recorder, self.name, key, value, lambda: self._attempt(key, value))
        except NOT_A_RESULT as error:
            return isinstance(error, NoBackup) or not isinstance(error, Refused)
        self._ledger.stored[key] = value
        return False

    def _attempt(self, key: str, value: str) -> None:
        earlier = self._ledger.open.setdefault(key, [])
        try:
            life, primary = self._primary()
        except NoBackup as nobody:
            if self._ledger.is_doubtful(key, value):
                raise InDoubt("nobody leads, and an earlier attempt had no answer") from nobody
            raise
        attempt = Attempt(value, primary)
        earlier.append(attempt)
        try:
            self._ask(life, primary.submit, job_id_for(key), value.encode())
        except (Aborted, IdConflict):
            earlier.remove(attempt)  # that is recorded
            raise
        except Refused as refusal:
            earlier.remove(attempt)
            if any(one.value == value and not one.is_settled_by(primary) for one in earlier):
                raise InDoubt("this attempt did nothing, another one may have") from refusal
            raise
        earlier.remove(attempt)

    def read(self, key: str) -> bool:
        """Says whether there was an answer."""
        try:
            recorded_read(self._stage.recorder, self.name, key, lambda: (self._text(key), None))
        except NOT_A_RESULT:
            return False
        return True

    def _text(self, key: str) -> str | None:
        life, primary = self._primary()
        payload: bytes | None = self._ask(life, primary.read, job_id_for(key))
        return None if payload is None else payload.decode()

    def _ask(self, life: Life, call: Callable[..., Any], *args: Any) -> Any:
        eventlet.sleep(self._choose.uniform(*self._choose.choice(_WAYS_S)))
        return life.ask(self._habits.patience_s, call, *args)

    def _primary(self) -> tuple[Life, Primary]:
        if self._known is None or self._choose.random() > self._habits.stays:
            if not (leading := self._members.leading()):
                eventlet.sleep(0.05)
                raise NoBackup("no primary leads at the moment: nothing was written")
            newest = max(leading, key=lambda one: one[1].epoch.number)
            self._known = newest if self._choose.random() < 0.7 else self._choose.choice(leading)
            self._members.known[self._known] = None
        if self._choose.random() < self._habits.looks_back:
            return self._choose.choice(list(self._members.known)[-_LOOKS_BACK:])
        return self._known

    def _use(self, key: str) -> None:
        """As a job's payload is when it has a result: from now on the copies may go."""
        self._ledger.used[key] = None
        try:
            zk.wait(
                self._director.create_async(paths.result(job_id_for(key)), b"used"), zk.Deadline(zk.STEP_S)
            )
        except (*zk.NO_REPLY, NodeExistsError):
            return
