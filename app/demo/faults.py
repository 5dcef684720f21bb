"""The faults that a nemesis knows, the moments that it aims at, and a plan of both, drawn from a seed.

Pure values, for the demos, the matrix, chaos and the simulation; each carries the orders out in its own way.

A plan leaves out some faults and some moments, by the toss of a coin: faults hide each other (where servers
are always killed, no session is ever old), so many different plans find more than the same mixture of
everything (swarm testing: Groce et al., ISSTA 2012). A fault lasts from a few milliseconds, less than one
operation, to longer than a session; drawn by its logarithm, so that no order of magnitude is rare.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


class Fault(StrEnum):
    """What befalls a victim: a participant, a client's way to one, or a server."""

    CUT = "cut"  # nothing passes; what was under way is held back, and arrives late
    SLOW = "slow"  # every byte is delayed
    CRASH = "crash"  # its memory is gone, its connections break, its disk is kept
    PAUSE = "pause"  # it stands still, its connections stay open
    PARTITION = "partition"  # a server is cut off from its peers, but not from its clients
    KILL = "kill"  # a server's crash
    OUTAGE = "outage"  # a crash, since the power fails: what its disk hasn't synced is gone or torn
    LOSS = "lost"  # a crash, and its disk is lost with it: it comes back with an empty one
    FULL = "full"  # nothing can be written to its disk


HEALED_BY: Mapping[Fault, str] = {
    Fault.CUT: "heal",
    Fault.SLOW: "heal",
    Fault.CRASH: "restart",
    Fault.PAUSE: "resume",
    Fault.PARTITION: "heal",
    Fault.KILL: "restart",
    Fault.OUTAGE: "restart",
    Fault.LOSS: "restart",
    Fault.FULL: "heal",
}
TO_PARTICIPANTS = (Fault.CUT, Fault.SLOW, Fault.CRASH)
TO_SERVERS = (Fault.PAUSE, Fault.PARTITION, Fault.KILL)
TO_DISKS = (Fault.OUTAGE, Fault.LOSS, Fault.FULL)


class Moment(StrEnum):
    """Where an operation is half done, so that a fault leaves behind what only a good protocol survives."""

    VERSION_KNOWN = "between a quorum write's question and its first store"
    FIRST_ACK = "between the first acknowledgement and the Wth"
    PUBLISHED = "between the publication and the copy"
    COPIED = "between the copy and the ACK"
    ACKNOWLEDGED = "between the ACK and the commit"
    TAKE_OVER = "in a take-over"
    CLAIMED = "between a claim and its result"


OF_A_QUORUM_WRITE = (Moment.VERSION_KNOWN, Moment.FIRST_ACK)
OF_A_TRANSACTION = (Moment.PUBLISHED, Moment.COPIED, Moment.ACKNOWLEDGED, Moment.TAKE_OVER)

# What the pair's ``on_step`` says when the moment begins.
_BEGUN_BY = {
    "published": Moment.PUBLISHED,
    "backup has it on disk": Moment.COPIED,
    "ACK created": Moment.ACKNOWLEDGED,
    "settled": Moment.TAKE_OVER,
}

# A delay stays below a client's patience: a slow victim is late, and not as good as cut off.
DELAY_S = (0.005, 0.3)
# So many orders follow one plan before a long run draws another.
_ORDERS_A_PLAN = 8


def moment_of(step: str) -> Moment | None:
    """The moment that begins with this step of a transaction, as ``on_step`` names it."""
    return next((moment for words, moment in _BEGUN_BY.items() if step.startswith(words)), None)


@dataclass(frozen=True, slots=True)
class Powers:
    """What a nemesis may do at all.

    Attributes:
        faults: the kinds that it knows.
        victims: how many there are; they are numbered from 1.
        at_most: how many of them may be harmed at once; ``at_least``: fewer would not matter.
        rest_s: least and most seconds between two orders.
        lasting_s: least and most seconds that a fault lasts.
        moments: what it can aim at; without any it strikes at any time.
    """

    faults: Sequence[Fault]
    victims: int
    at_most: int
    rest_s: tuple[float, float]
    lasting_s: tuple[float, float]
    moments: Sequence[Moment] = ()
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """Rest ``after_s`` seconds, wait for the ``moment`` if there is one, then harm all ``victims``.

    Attributes:
        for_s: seconds until they are healed.
        delay_s: seconds by which every byte is late, where the fault is ``SLOW``.
    """

    after_s: float
    moment: Moment | None
    fault: Fault
    victims: tuple[int, ...]
    for_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a nemesis uses of its powers, until it draws another plan."""

    powers: Powers
    faults: tuple[Fault, ...]
    moments: tuple[Moment | None, ...]
    at_most: int

    @classmethod
    def drawn(cls, powers: Powers, choose: random.Random) -> "Plan":
        """Each kind and each moment by the toss of a coin, but one of each at least."""
        return cls(
            powers,
            _some(powers.faults, choose),
            _some(powers.moments or (None,), choose),
            choose.randint(powers.at_least, min(powers.at_most, powers.victims)),
        )

    def orders(self, choose: random.Random) -> Iterator[Order]:
        """Without an end. The victims take turns, so that each misses what another has."""
        waiting: list[int] = []
        while True:
            count = choose.randint(self.powers.at_least, self.at_most)
            if len(waiting) < count:
                rest = choose.sample(range(1, self.powers.victims + 1), self.powers.victims)
                waiting += [victim for victim in rest if victim not in waiting]
            victims, waiting = waiting[:count], waiting[count:]
            yield Order(
                choose.uniform(*self.powers.rest_s),
                choose.choice(self.moments),
                choose.choice(self.faults),
                tuple(victims),
                log_uniform(self.powers.lasting_s, choose),
                log_uniform(DELAY_S, choose),
            )


def orders(powers: Powers, choose: random.Random, a_plan: int = _ORDERS_A_PLAN) -> Iterator[Order]:
    """One plan after another, of ``a_plan`` orders each; none without a victim to harm."""
    while powers.victims and powers.at_most:
        yield from islice(Plan.drawn(powers, choose).orders(choose), a_plan)


def log_uniform(between: tuple[float, float], choose: random.Random) -> float:
    """A number whose logarithm is equally likely anywhere between those of the two."""
    least, most = between
    return math.exp(choose.uniform(math.log(least), math.log(most)))


def _some(of: Sequence[T], choose: random.Random) -> tuple[T, ...]:
    return tuple(one for one in of if choose.random() < 0.5) or (choose.choice(of),)
