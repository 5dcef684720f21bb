"""A replicated register: Gifford's quorums (SOSP 1979), N replicas, W to write, R to read.

Invariants, each with its rule below:
    1. any R replicas include one that acknowledged the newest completed write: R + W > N (``Quorum``);
    2. a replica never replaces a version by an older one, so what it acknowledged it still has (``adopts``);
    3. one version names one value: each write has an id of its own (``next_version``);
    4. before a read returns a value, W replicas hold it or a newer one (``needs_write_back``).
Together they make the register linearizable for any number of clients (Attiya, Bar-Noy & Dolev, JACM 1995,
"ABD"; several writers: Lynch & Shvartsman, FTCS 1997), and available while max(R, W) hosts live.

A version is (counter, write's id), compared in this order. It is not the znode's own version: that counts the
writes to *this replica*. The id is not the client's name: a write in doubt and the same client's next write
could share a version with two values. Gifford also asks for 2W > N, so that two writers meet and choose
different numbers; ours differ by their ids, and every replica lets the larger one win.

A replica is a znode that is *served only while its host lives* (``engine/replicas.py``): a dead host takes
its replica offline and leaves the data behind, as a disk would. A replica whose znode is gone has lost its
data and doesn't vote. We don't rebuild it: suppose that replica 1 acknowledges a value, loses it, and is
refilled from 3, 4 and 5, which don't have it yet. The writer counts 1, 2 and 3; two of them hold the value.
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
    """N replicas, W acknowledgements for a write, R answers for a read.

    Raises BadSettingError for R + W <= N, with which a read may miss the last write; unless it is ``weak``.
    """

    n: int = N
    w: int = W
    r: int = R
    weak: bool = False

    def __post_init__(self) -> None:
        for name, value in (("r", self.r), ("w", self.w)):
            if not 1 <= value <= self.n:
                problem = f"{name}={value} is impossible with n={self.n} replicas"
                raise BadSettingError(f"{problem}: choose 1 to {self.n}")
        if self.r + self.w <= self.n and not self.weak:
            problem = f"r={self.r} + w={self.w} is not over n={self.n}: a read could miss the last write"
            raise BadSettingError(f"{problem}; raise r or w, or say --weak to see what it costs")


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
    value, so time would run backwards ("new-old inversion"; the second phase of ABD's read). With R < W that
    is always so: a small R makes reads no cheaper here.
    """
    return len(holders(answers, newest(answers.values()).version)) < quorum.w


# --- the register: two phases, query and propagate, each ends with its quorum ---------------------------


class Register:
    """One client's view of a replicated value.

    Args:
        replicas: how to reach them.
        quorum: N, W and R.
        timeout_s: the longest that one read or write may take, in seconds.
        choose: the source of the random choice of replicas, to repeat a run.
        on_ack: called with (version, replica) when one says that it holds this or a newer one; may block.
        on_answer: called with (replica, what it holds) in the first phase; must return quickly.
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
        """The newest value that R replicas hold. If its write may be incomplete, the read completes it first.

        Raises:
            TooFewReplicas: fewer than R replicas answered.
            InDoubt: W replicas could not be brought to hold the value, so it is not returned.
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
            InDoubt: fewer than W acknowledged: the error's ``holders``. Its ``ask_again`` is what to give to
                :meth:`roll_forward`. We never roll back: a reader may have returned the value already, and
                undoing is just another racing write.
        """
        zk.check_size(value, "a value")
        deadline = zk.Deadline(self._timeout_s)
        # R answers give the counter. With W of them we refuse, before we send, what could not succeed.
        readings = self._query(max(self._quorum.r, self._quorum.w), deadline)
        version = next_version((reading.held for reading in readings.values()), uuid.uuid4().hex[:12])
        self._propagate(Versioned(version, value), readings, deadline, new=True)
        return version

    def roll_forward(self, unfinished: Versioned) -> Version:
        """Bring a write in doubt to W replicas: the same value under the same version, never a new one.

        Raises InDoubt, and never Refused: nothing shows that the first attempt did nothing.
        """
        self._propagate(unfinished, {}, zk.Deadline(self._timeout_s))
        return unfinished.version

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
        problem = "; ".join(sorted(set(failed))) or "no reply in time"
        answered = f"{len(answers)} of {self._quorum.n} replicas answered, {need} are needed ({problem})"
        raise TooFewReplicas(f"{answered}: nothing was changed")

    def _propagate(
        self, offered: Versioned, readings: Mapping[int, Reading], deadline: zk.Deadline, *, new: bool = False
    ) -> None:
        """Have W replicas hold ``offered``, or something newer; else raise InDoubt.

        If the version is ``new``, raise TooFewReplicas where provably no replica stored it.
        """
        have = holders({index: reading.held for index, reading in readings.items()}, offered.version)
        # For speed only: those whose version is known have only to store, and come first.
        others = set(range(1, self._quorum.n + 1)) - have
        order = sorted(others, key=lambda index: (index not in readings, index))
        unstored = 0
        for index, reply in self._fan_out.replies(
            lambda index: self._store_at(index, offered, readings.get(index), deadline), order, deadline
        ):
            if isinstance(reply, Reading):
                have.add(index)
                self._on_ack(offered.version, index)
            elif isinstance(reply, Offline):
                unstored += 1  # surely: nothing was sent, or the host's check failed
            if len(have) >= self._quorum.w:
                return
        if new and unstored == self._quorum.n:
            raise TooFewReplicas("all replicas went offline before the first store: nothing was written")
        listed = ", ".join(map(str, sorted(have))) or "none that answered"
        came = f"{len(have)} of the {self._quorum.w} acknowledgements came (replicas: {listed})"
        raise InDoubt(f"{came}; never undone", ask_again=offered, holders=sorted(have))

    # -- one replica --

    def _store_at(
        self, index: int, offered: Versioned, known: Reading | None, deadline: zk.Deadline
    ) -> Reading | Offline | NoReply:
        """Have one replica hold ``offered``, or something newer: a conditional set, in a loop."""
        unanswered = False
        while True:
            found, known = known or self._replicas.reading(index, deadline), None
            if not isinstance(found, Reading):
                # A read changes nothing: unless a store before it had no reply, nothing was stored.
                return NoReply() if unanswered else Offline("not reached; nothing was stored")
            if not adopts(found.held.version, offered.version):
                return found
            stored = self._replicas.store(index, encode(offered), found.znode_version, deadline)
            if isinstance(stored, int):
                return Reading(offered, stored)
            if stored is None:
                continue  # another write was first: we read again
            if isinstance(stored, Offline) and not unanswered:
                return stored
            # It may be stored. The same value under the same version may be sent again: rolling forward.
            unanswered = True
            if not self._replicas.reconnected(index, deadline):
                return NoReply()
