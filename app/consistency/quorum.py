"""A replicated register: Gifford's quorums (SOSP 1979), N replicas, W to write, R to read.

A replica is a znode that is *served only while its host lives* (``replicas.py``). A host that dies takes its
replica offline and leaves the data behind, as a disk would; back again, the replica is stale until somebody
writes to it.

Invariant: whoever asks R replicas meets at least one that has acknowledged the last completed write, since
R + W > N; and what a read returns, W replicas hold before it returns. Together they make the register
linearizable for any number of clients (Attiya, Bar-Noy & Dolev, JACM 1995; several writers: Lynch &
Shvartsman, FTCS 1997), available while max(R, W) hosts live.

A version is (counter, id of this one write) and travels with the value. Not the znode's own version: that
counts the writes to *this replica*, not to the object. Not the client's name: an in-doubt write and the
client's next one would share a version with two values. Not a clock.

Gifford also asks for 2W > N, so that two writers meet and choose different version numbers. Our versions
differ by the write's id even when their counters are the same, and the larger id wins everywhere: so here
that rule is not needed. What still is: a writer's R replicas must meet the last writer's W.

A replica whose znode is gone has lost its data and is offline, for it must not vote: an empty replica
breaks the intersection. So does one that is rebuilt from a read quorum in the middle of a write: three
acknowledgements, one of them forgotten and not rebuilt from who has it, are two. We don't rebuild.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet import queue
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.consistency.engine.replicas import NoReply, Offline, Replicas, ZnodeValue
from app.errors import BadSettingError, InDoubt, Malformed, TooFewReplicas
from app.zookeeper import client as zk

N, W, R = 5, 3, 3

# A replica that hasn't answered after this is not waited for alone: the rest are asked too. Some ten times
# a usual answer, so that it costs nothing while all is well.
_HEDGE_S = 0.05
# Green threads that may wait for answers at once; each ends at its call's deadline, so few ever do.
_MOST_WAITING = 10_000


# --- decisions: pure functions over values --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quorum:
    """N replicas, W acknowledgements for a write, R answers for a read. Checked when it is made.

    ``weak`` admits R + W <= N, where a read may miss the last write: to show what that costs.
    """

    n: int = N
    w: int = W
    r: int = R
    weak: bool = False

    def __post_init__(self) -> None:
        for name, value in (("r", self.r), ("w", self.w)):
            if not 1 <= value <= self.n:
                message = f"{name}={value} is impossible with n={self.n} replicas: choose 1 to {self.n}"
                raise BadSettingError(message)
        if self.r + self.w <= self.n and not self.weak:
            message = (
                f"r={self.r} + w={self.w} is not over n={self.n}: a read could miss the last write; "
                "raise r or w, or say --weak to see what it costs"
            )
            raise BadSettingError(message)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Totally ordered; no two writes share one."""

    counter: int
    writer: str  # the id of this one write, never the client's


@dataclass(frozen=True, slots=True)
class Versioned:
    """What a replica holds."""

    version: Version
    value: bytes


UNWRITTEN = Versioned(Version(0, ""), b"")


def newest(answers: Iterable[Versioned]) -> Versioned:
    """The answer with the greatest version: in a read quorum, at least as new as the last completed write."""
    return max(answers, key=lambda held: held.version)


def next_version(answers: Iterable[Versioned], write_id: str) -> Version:
    """A version above everything that a read quorum has seen, hence above every completed write."""
    return Version(newest(answers).version.counter + 1, write_id)


def adopts(held: Version, offered: Version) -> bool:
    """Whether a replica replaces what it holds: only by something newer. If not, it acknowledges as it is."""
    return offered > held


def holders(answers: Mapping[int, Versioned], version: Version) -> set[int]:
    """The replicas known to hold something at least as new as ``version``."""
    return {index for index, held in answers.items() if held.version >= version}


def needs_write_back(answers: Mapping[int, Versioned], quorum: Quorum) -> bool:
    """Whether the newest value must be stored before it may be returned.

    If fewer than W hold it, its write may be incomplete, and a later read could miss it and return the
    older value: time would run backwards ("new-old inversion"; the second phase of ABD's read).
    """
    return len(holders(answers, newest(answers.values()).version)) < quorum.w


# --- bytes in a znode -----------------------------------------------------------------------------------


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    counter: int = Field(ge=0)
    writer: str


def encode(held: Versioned) -> bytes:
    """One line of JSON with the version, then the value as it is: readable in zkCli.sh if the value is."""
    header = _Header(counter=held.version.counter, writer=held.version.writer)
    return header.model_dump_json().encode() + b"\n" + held.value


def decode(data: bytes) -> Versioned:
    """Raises NotUnderstood."""
    line, newline, value = data.partition(b"\n")
    try:
        header = _Header.model_validate_json(line)
    except ValidationError as error:
        message = f"a replica holds {data[:40]!r}, which has no version"
        raise Malformed(message) from error
    if not newline:
        message = f"a replica holds {data[:40]!r}, which has no value"
        raise Malformed(message)
    return Versioned(Version(header.counter, header.writer), value)


# --- the register ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """A replica's answer: what it holds, and the znode version to replace it by."""

    held: Versioned
    znode_version: int


class Register:
    """One client's view of a replicated value.

    Args:
        replicas: how to reach them.
        quorum: N, W and R.
        timeout_s: the longest that one read or write may take, in seconds.
        choose: the source of the random choice of replicas, to repeat a run.
        on_ack: called with (version, replica) after each acknowledgement that is waited for, a write-back's
            too; may block (a demo's faults do).
        on_answer: called with (replica, what it holds) for each of the R answers; must return quickly.
    """

    def __init__(
        self,
        replicas: Replicas,
        quorum: Quorum,
        *,
        timeout_s: float = 2.0,
        choose: random.Random | None = None,
        on_ack: Callable[[Version, int], None] = lambda version, index: None,
        on_answer: Callable[[int, Versioned], None] = lambda index, held: None,
    ) -> None:
        if len(replicas) != quorum.n:
            message = f"{len(replicas)} replicas can be reached, but n={quorum.n}"
            raise BadSettingError(message)
        self._replicas = replicas
        self._quorum = quorum
        self._timeout_s = timeout_s
        self._choose = choose or random.Random()
        self._on_ack = on_ack
        self._on_answer = on_answer
        self._owing = dict.fromkeys(range(1, quorum.n + 1), 0)  # replica -> answers that have yet to come
        # Its green threads may outlive a call: a slow replica's answer, which nobody waits for any more.
        self._pool = eventlet.GreenPool(_MOST_WAITING)

    def create(self) -> bool:
        """Make the object: all N replicas at once, unwritten. False if it exists."""
        return self._replicas.create(encode(UNWRITTEN), zk.Deadline(self._timeout_s))

    def read(self) -> Versioned:
        """The newest completed value; what is returned, W replicas hold.

        Raises:
            TooFewReplicas: fewer than R replicas answered.
            InDoubt: a newer value was seen, but W replicas could not be brought to hold it.
        """
        deadline = zk.Deadline(self._timeout_s)
        seen = self._ask(self._quorum.r, deadline)
        answers = {index: answer.held for index, answer in seen.items()}
        result = newest(answers.values())
        if needs_write_back(answers, self._quorum):
            self._spread(result, seen, deadline)
        return result

    def write(self, value: bytes) -> Version:
        """Store ``value`` at W replicas, above every completed write; returns its version.

        Raises:
            Refused (TooFewReplicas): it provably was not stored anywhere.
            InDoubt: fewer than W acknowledged. ``holders`` says who has it, and ``ask_again`` is what to
                call :meth:`roll_forward` with. It is never rolled back: a reader may have returned it
                already, and undoing is just another racing write.
        """
        zk.check_size(value, "a value")
        deadline = zk.Deadline(self._timeout_s)
        # R answers give the counter; W of them show that the write can succeed at all.
        seen = self._ask(max(self._quorum.r, self._quorum.w), deadline)
        version = next_version((answer.held for answer in seen.values()), uuid.uuid4().hex[:12])
        self._spread(Versioned(version, value), seen, deadline, first=True)
        return version

    def roll_forward(self, held: Versioned) -> Version:
        """Bring an in-doubt write to W replicas: the same value under the same version, never a new one.

        Raises InDoubt, and never Refused: nobody can tell that the first attempt did nothing.
        """
        self._spread(held, {}, zk.Deadline(self._timeout_s))
        return held.version

    def close(self) -> None:
        """End the green threads that still wait for a slow replica: what they have yet to send isn't sent."""
        for thread in list(self._pool.coroutines_running):
            eventlet.kill(thread)

    # -- two rounds, each over all replicas at once, each done with its quorum and not with the slowest --

    def _ask(self, need: int, deadline: zk.Deadline) -> dict[int, Reading]:
        """What ``need`` replicas hold: random ones first, all the others as soon as one fails or dawdles."""
        order = self._preference()
        asked, spare = order[:need], order[need:]
        reports: Any = queue.LightQueue()
        self._each(asked, reports, lambda index: self._look(index, deadline))
        answers: dict[int, Reading] = {}
        offline = 0
        while len(answers) < need:
            if self._quorum.n - offline < need or deadline.passed:
                message = (
                    f"{len(answers)} of {self._quorum.n} replicas answered, {need} are needed "
                    f"({self._quorum.n - len(answers)} not served, or silent); nothing was changed"
                )
                raise TooFewReplicas(message)
            try:
                index, result = reports.get(
                    timeout=min(_HEDGE_S, deadline.left_s) if spare else deadline.left_s
                )
            except queue.Empty:
                pass
            else:
                if isinstance(result, Reading):
                    answers[index] = result
                    self._on_answer(index, result.held)
                    continue
                offline += 1
            self._each(spare, reports, lambda index: self._look(index, deadline))
            spare = []
        return answers

    def _spread(
        self, held: Versioned, seen: Mapping[int, Reading], deadline: zk.Deadline, *, first: bool = False
    ) -> None:
        """Have W replicas hold something at least as new as ``held``; else raise InDoubt.

        On the ``first`` attempt with a version, it raises TooFewReplicas if provably no replica stored it.
        """
        have = holders({index: answer.held for index, answer in seen.items()}, held.version)
        # All at once; but those whose version is known have only to store, and W of them needn't wait behind
        # the looks at the others.
        todo = sorted(set(self._owing) - have, key=lambda index: (index not in seen, index))
        reports: Any = queue.LightQueue()
        self._each(todo, reports, lambda index: self._bring(index, held, seen.get(index), deadline))
        offline = 0
        for _ in todo:
            if len(have) >= self._quorum.w:
                return
            try:
                index, result = reports.get(timeout=deadline.left_s)
            except queue.Empty:
                break
            if isinstance(result, Reading):
                have.add(index)
                self._on_ack(held.version, index)
            elif isinstance(result, Offline):
                offline += 1
        if len(have) >= self._quorum.w:
            return
        if first and offline == self._quorum.n:
            message = f"all {offline} replicas went offline before the first store: nothing was written"
            raise TooFewReplicas(message)
        listed = ", ".join(str(index) for index in sorted(have)) or "none that answered"
        message = (
            f"{len(have)} of the {self._quorum.w} acknowledgements came (replicas: {listed}); never undone"
        )
        raise InDoubt(message, ask_again=held, holders=sorted(have))

    def _each(self, indices: Iterable[int], reports: Any, act: Callable[[int], Any]) -> None:
        """Do ``act`` for each replica in a green thread of its own; ``reports`` gets (replica, result)."""

        def one(index: int) -> None:
            try:
                reports.put((index, act(index)))
            finally:
                self._owing[index] -= 1

        for index in indices:
            self._owing[index] += 1
            self._pool.spawn_n(one, index)

    def _look(self, index: int, deadline: zk.Deadline) -> Reading | Offline:
        """What one replica holds; a lost connection is waited for, since asking again changes nothing."""
        found: ZnodeValue | Offline | NoReply = NoReply()
        while isinstance(found, NoReply):
            if not self._replicas.reconnected(index, deadline):
                return Offline("no connection to it in time")
            found = self._replicas.read(index, deadline)
        if isinstance(found, Offline):
            return found
        try:
            return Reading(decode(found.data), found.znode_version)
        except Malformed as error:
            return Offline(str(error))

    def _bring(
        self, index: int, held: Versioned, known: Reading | None, deadline: zk.Deadline
    ) -> Reading | Offline | NoReply:
        """Have one replica hold ``held``, or something newer: a conditional set, in a loop."""
        unanswered = False
        while True:
            looked = known or self._look(index, deadline)
            known = None
            if not isinstance(looked, Reading):
                # A look changes nothing: unless a store has gone unanswered before, nothing was stored.
                return NoReply() if unanswered else Offline("not reached; nothing was sent to be stored")
            if not adopts(looked.held.version, held.version):
                return looked
            stored = self._replicas.store(index, encode(held), looked.znode_version, deadline)
            if isinstance(stored, int):
                return Reading(held, stored)
            if isinstance(stored, Offline) and not unanswered:
                return stored
            if stored is not None:
                # The same value under the same version may be sent again: that is rolling forward.
                unanswered = True
                if not self._replicas.reconnected(index, deadline):
                    return NoReply()

    def _preference(self) -> list[int]:
        """Random, but those that still owe an answer last: they are slow, or cut off."""
        order = list(self._owing)
        self._choose.shuffle(order)
        return sorted(order, key=lambda index: self._owing[index] > 0)
