"""What is done to every row, and when: one nemesis for all, from one seed. Pure values.

First nothing, then the standard faults, one after the other:

    a cut replica       two replicas at a time are cut off; between that, the writer from all but one or two
    a crashed one       a replica's host dies and comes back; so does one of ZooKeeper's servers
    a cut follower      one of ZooKeeper's followers is cut off from its leader, with its clients
    a killed leader     ZooKeeper's leader
    concurrent writers  all clients write, not only the first

A row carries out what concerns its participants, the matrix what concerns ZooKeeper's servers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.demo.faults import Fault

# "maim" leaves the writer a way to the replicas named alone, from its next write's ``VERSION_KNOWN`` on.
RowVerb: TypeAlias = Literal[
    Fault.CUT, Fault.CRASH, "heal", "restart", "maim", "unmaim", "all write", "one writes"
]
ServerVerb: TypeAlias = Literal[Fault.PARTITION, "unite", "kill leader", "kill other", "restart servers"]

REPLICAS = 5
WRITER = "ada"
READERS = ("bob", "carol", "dave")
CLIENTS = (WRITER, *READERS)

CALM_S = 10.0
# After calm all clients read, it is quiet, and all read again.
QUIET_S = 1.3
READING_S = 2.5
STORM_AT_S = CALM_S + READING_S + QUIET_S + READING_S
_CUT_S = 0.9
# A writer that reaches too few gives up after a second; meanwhile, and after it, others read.
_MAIMED_S = 1.8
_REST_S = 0.4
_CRASHED_S = 3.5  # longer than a session
# A follower that hears no leader says so after three seconds, and serves no client from then on.
_PARTED_S = 2.7
_LEADERLESS_S = 4.0


@dataclass(frozen=True, slots=True)
class Deed:
    """One fault: when, in seconds after the beginning, and to which participant."""

    at_s: float
    verb: RowVerb | ServerVerb
    whom: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """All deeds, in the order of time, and when the last phase is over, in seconds from the beginning."""

    deeds: tuple[Deed, ...]
    end_s: float

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        choose = random.Random(seed)
        at_s = STORM_AT_S + 1.0
        deeds: list[Deed] = []
        for phase in (_cuts, _crashes, _parted_follower, _killed_leader, _many_writers):
            some = list(phase(choose))
            deeds += [Deed(at_s + deed.at_s, deed.verb, deed.whom) for deed in some]
            at_s += some[-1].at_s + 1.5
        return cls(tuple(deeds), at_s)


def _cuts(choose: random.Random) -> Iterator[Deed]:
    at_s = 0.0
    for left in (1, 2, 1, 2):
        for pair in _two_pairs(choose):
            yield Deed(at_s, Fault.CUT, pair)
            yield Deed(at_s + _CUT_S, "heal", pair)
            at_s += _CUT_S + 0.1
        kept = tuple(choose.sample(range(1, REPLICAS + 1), left))
        yield Deed(at_s + _REST_S, "maim", kept)
        yield Deed(at_s + _REST_S + _MAIMED_S, "unmaim")
        at_s += 2 * _REST_S + _MAIMED_S


def _two_pairs(choose: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Four different replicas: one that misses the first write doesn't miss the second."""
    four = choose.sample(range(1, REPLICAS + 1), 4)
    return tuple(four[:2]), tuple(four[2:])


def _crashes(choose: random.Random) -> Iterator[Deed]:
    first, second = choose.sample(range(1, REPLICAS + 1), 2)
    yield Deed(0.0, Fault.CRASH, (first,))
    yield Deed(0.5, "kill other")
    yield Deed(_CRASHED_S, "restart", (first,))
    yield Deed(_CRASHED_S + 0.5, Fault.CRASH, (second,))
    yield Deed(_CRASHED_S + 1.0, "restart servers")
    yield Deed(2 * _CRASHED_S + 0.5, "restart", (second,))


def _parted_follower(choose: random.Random) -> Iterator[Deed]:
    for at_s in (0.5, 0.5 + _PARTED_S + choose.uniform(3, 4)):
        yield Deed(at_s, Fault.PARTITION)
        yield Deed(at_s + _PARTED_S, "unite")


def _killed_leader(choose: random.Random) -> Iterator[Deed]:
    yield Deed(1.0, "kill leader")
    yield Deed(1.0 + _LEADERLESS_S + choose.uniform(0, 1), "restart servers")


def _many_writers(choose: random.Random) -> Iterator[Deed]:
    yield Deed(2.0, "all write")
    pair, other = _two_pairs(choose)
    yield Deed(5.0, Fault.CUT, pair)
    yield Deed(5.0 + _CUT_S, "heal", pair)
    yield Deed(6.5, Fault.CUT, other)
    yield Deed(6.5 + _CUT_S, "heal", other)
    yield Deed(9.0, "one writes")
