"""A replicated register: Gifford's quorums (SOSP 1979), N replicas, W to write, R to read.

Invariant: R replicas always include one that acknowledged the last completed write, since R + W > N; and
what a read returns, W replicas hold before it returns. Together they make the register linearizable for any
number of clients (Attiya, Bar-Noy & Dolev, JACM 1995, "ABD"; several writers: Lynch & Shvartsman, FTCS
1997), and available while max(R, W) hosts live.

A version is (counter, id of this one write) and travels with the value. It is not the znode's own version:
that counts the writes to *this replica*, not to the object. It is not the client's name: a write in doubt
and the client's next one would share a version with two values. It is not a clock.

Gifford also asks for 2W > N, so that two writers meet and choose different version numbers. Our versions
differ by the write's id even when their counters are equal, and the larger id wins on every replica: so that
rule is not needed here. R + W > N still is: a writer's R replicas must meet the last writer's W.

A replica is a znode that is *served only while its host lives* (``engine/replicas.py``): a dead host takes
its replica offline and leaves the data behind, as a disk would. One whose znode is gone has lost its data
and must not vote: an empty replica breaks the intersection. So does one that is rebuilt from a read quorum in
the middle of a write: of three acknowledgements one is forgotten, and two are left. We don't rebuild.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.consistency.engine.fanout import FanOut
from app.consistency.engine.replicas import NoReply, Offline, Reading, Replicas
from app.consistency.engine.versions import UNWRITTEN, Version, Versioned, encode
from app.errors import BadSettingError, InDoubt, TooFewReplicas
from app.zookeeper import client as zk

N, W, R = 5, 3, 3


# --- decisions: pure functions over values --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quorum:
    """N replicas, W acknowledgements for a write, R answers for a read; ``weak`` admits R + W <= N.

    Checked when it is made, for with R + W <= N a read may miss the last write.
    """

    n: int = N
    w: int = W
    r: int = R
    weak: bool = False

    def __post_init__(self) -> None:
        for name, value in (("r", self.r), ("w", self.w)):
            if not 1 <= value <= self.n:
                why = f"{name}={value} is impossible with n={self.n} replicas"
                raise BadSettingError(f"{why}: choose 1 to {self.n}")
        if self.r + self.w <= self.n and not self.weak:
            why = f"r={self.r} + w={self.w} is not over n={self.n}: a read could miss the last write"
            raise BadSettingError(f"{why}; raise r or w, or say --weak to see what it costs")


def newest(answers: Iterable[Versioned]) -> Versioned:
    """The answer with the greatest version: from R replicas, at least as new as the last completed write."""
    return max(answers, key=lambda held: held.version)


def next_version(answers: Iterable[Versioned], write_id: str) -> Version:
    """A version above all that R replicas hold, hence above every completed write."""
    return Version(newest(answers).version.counter + 1, write_id)


def adopts(held: Version, offered: Version) -> bool:
    """Whether a replica replaces what it holds: only by something newer. If not, it acknowledges as it is."""
    return offered > held


def holders(answers: Mapping[int, Versioned], version: Version) -> set[int]:
    """The replicas that hold something at least as new as ``version``."""
    return {index for index, held in answers.items() if held.version >= version}


def needs_write_back(answers: Mapping[int, Versioned], quorum: Quorum) -> bool:
    """Whether the newest value must be stored at W replicas before it may be returned.

    If fewer than W hold it, its write may be incomplete: a later read could miss it and return the older
    value, so time would run backwards ("new-old inversion"; the second phase of ABD's read).
    """
    return len(holders(answers, newest(answers.values()).version)) < quorum.w


# --- the register: two phases, each asks the replicas at once and ends with its quorum ------------------


class Register:
    """One client's view of a replicated value.

    Args:
        replicas: how to reach them.
        quorum: N, W and R.
        timeout_s: the longest that one read or write may take, in seconds.
        choose: the source of the random choice of replicas, to repeat a run.
        on_ack: called with (version, replica) after each acknowledgement that counts; may block.
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
            raise BadSettingError(f"{len(replicas)} replicas can be reached, but n={quorum.n}")
        self._replicas = replicas
        self._quorum = quorum
        self._timeout_s = timeout_s
        self._on_ack = on_ack
        self._on_answer = on_answer
        self._fan_out = FanOut(range(1, quorum.n + 1), choose or random.Random())

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
        readings = self._query(self._quorum.r, deadline)
        answers = {index: reading.held for index, reading in readings.items()}
        result = newest(answers.values())
        if needs_write_back(answers, self._quorum):
            self._propagate(result, readings, deadline)
        return result

    def write(self, value: bytes) -> Version:
        """Store ``value`` at W replicas, above every completed write; returns its version.

        Raises:
            Refused (TooFewReplicas): it provably was not stored anywhere.
            InDoubt: fewer than W acknowledged. ``holders`` did, and :meth:`roll_forward` takes ``ask_again``.
                We never roll back: a reader may have returned the value already, and undoing is just
                another racing write.
        """
        zk.check_size(value, "a value")
        deadline = zk.Deadline(self._timeout_s)
        # R answers give the counter; W of them show that the write can succeed at all.
        readings = self._query(max(self._quorum.r, self._quorum.w), deadline)
        version = next_version((reading.held for reading in readings.values()), uuid.uuid4().hex[:12])
        self._propagate(Versioned(version, value), readings, deadline, new=True)
        return version

    def roll_forward(self, held: Versioned) -> Version:
        """Bring a write in doubt to W replicas: the same value under the same version, never a new one.

        Raises InDoubt, and never Refused: nothing shows that the first attempt did nothing.
        """
        self._propagate(held, {}, zk.Deadline(self._timeout_s))
        return held.version

    def close(self) -> None:
        """Wait for slow replicas no longer: what has yet to be sent to them isn't sent."""
        self._fan_out.close()

    def _query(self, need: int, deadline: zk.Deadline) -> dict[int, Reading]:
        """What ``need`` replicas hold: random ones first, all the others as soon as one fails or is slow."""
        answers: dict[int, Reading] = {}
        failed: list[str] = []
        for index, reading in self._fan_out.replies(
            lambda index: self._replicas.reading(index, deadline),
            self._fan_out.preference(),
            deadline,
            first=need,
            good=lambda reading: isinstance(reading, Reading),
        ):
            if isinstance(reading, Reading):
                answers[index] = reading
                self._on_answer(index, reading.held)
            else:
                failed.append(reading.why)
            if len(answers) == need:
                return answers
            if self._quorum.n - len(failed) < need:
                break
        why = "; ".join(sorted(set(failed))) or "no reply in time"
        answered = f"{len(answers)} of {self._quorum.n} replicas answered, {need} are needed ({why})"
        raise TooFewReplicas(f"{answered}: nothing was changed")

    def _propagate(
        self, held: Versioned, readings: Mapping[int, Reading], deadline: zk.Deadline, *, new: bool = False
    ) -> None:
        """Have W replicas hold ``held``, or something newer; else raise InDoubt.

        If the version is ``new``, raise TooFewReplicas where provably no replica stored it.
        """
        have = holders({index: reading.held for index, reading in readings.items()}, held.version)
        # Those whose version is known have only to store: they come first.
        others = set(range(1, self._quorum.n + 1)) - have
        order = sorted(others, key=lambda index: (index not in readings, index))
        offline = 0
        for index, reply in self._fan_out.replies(
            lambda index: self._store_at(index, held, readings.get(index), deadline), order, deadline
        ):
            if isinstance(reply, Reading):
                have.add(index)
                self._on_ack(held.version, index)
            elif isinstance(reply, Offline):
                offline += 1
            if len(have) >= self._quorum.w:
                return
        if new and offline == self._quorum.n:
            raise TooFewReplicas("all replicas went offline before the first store: nothing was written")
        listed = ", ".join(map(str, sorted(have))) or "none that answered"
        came = f"{len(have)} of the {self._quorum.w} acknowledgements came (replicas: {listed})"
        raise InDoubt(f"{came}; never undone", ask_again=held, holders=sorted(have))

    # -- one replica --

    def _store_at(
        self, index: int, held: Versioned, known: Reading | None, deadline: zk.Deadline
    ) -> Reading | Offline | NoReply:
        """Have one replica hold ``held``, or something newer: a conditional set, in a loop."""
        unanswered = False
        while True:
            found, known = known or self._replicas.reading(index, deadline), None
            if not isinstance(found, Reading):
                # A read changes nothing: unless a store before it had no reply, nothing was stored.
                return NoReply() if unanswered else Offline("not reached; nothing was sent to be stored")
            if not adopts(found.held.version, held.version):
                return found
            stored = self._replicas.store(index, encode(held), found.znode_version, deadline)
            if isinstance(stored, int):
                return Reading(held, stored)
            if isinstance(stored, Offline) and not unanswered:
                return stored
            if stored is not None:
                # The same value under the same version may be sent again: that is rolling forward.
                unanswered = True
                if not self._replicas.reconnected(index, deadline):
                    return NoReply()
