"""The models of the chapter, by one definition.

An *explanation* of what processes read is one order of the writes (their *arbitration*), and of each write
and read which writes it sees: all that stand before it (its *visibility*). A read returns the last write of
its key that it sees. A model says three things of explanations:

- which of a process's own operations keep their order in it: the pairs read-read (monotonic reads),
  write-write (monotonic writes), write-read (read your writes), read-write (writes follow reads), or all
- whether one explains the reads of all processes, or each process has an explanation of its own
- whether the clock counts

                       pairs          an order for    the clock
    linearizable       all four       all             what ended comes before what began later
    sequential         all four       all
    real-time causal   all four       each process    what ended comes before the writes that began later
    causal             all four       each process
    the single ones    one of four    each process

Whoever asks more implies whoever asks less, so what implies what is read off the table:

    linearizable  ->  sequential        ->  causal  ->  each of the four
    linearizable  ->  real-time causal  ->  causal  =   the four together, in one explanation

All of them are defined by visibility and arbitration in Burckhardt ("Principles of Eventual Consistency",
2014) and Viotti & Vukolić (ACM Computing Surveys 2016). Linearizable is Herlihy & Wing's (TOPLAS 1990),
sequential Lamport's (IEEE Trans. Computers 1979), real-time causal Mahajan, Alvisi & Dahlin's (2011), the
four for one client Terry et al.'s (PDIS 1994); that causal is these four is shown by Brzeziński, Sobaniec &
Wawrzyniak (PDP 2004). Causal is causal memory (Ahamad et al., Distributed Computing 1995), as in the
textbook: of concurrent writes each process may see its own order. That is the variant CM of Bouajjani et
al. (POPL 2017); their CCv wants one order for all, and their CC lets a process change its mind.

If the system itself recorded the order of the writes to a key (a zxid; a counter and the write's id), every
explanation keeps to that. If not, whichever order serves is taken, and a guarantee for one client says little
by itself: only a read that goes back and forth, or back to null, tells. An unknown write may have happened at
any time after its invocation, so nothing that its process did later has to come after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal, TypeAlias, get_args

from app.checker.history import Action, Operation, Value, Version
from app.checker.orders import Events
from app.checker.search import Search
from app.checker.verdict import Verdict, violated
from app.checker.witness import fewest
from app.checker.wording import Wording, counted, quoted

Versions: TypeAlias = Mapping[tuple[str, Value], Version]
Name: TypeAlias = Literal[
    "linearizable",
    "sequential",
    "real-time causal",
    "causal",
    "monotonic reads",
    "monotonic writes",
    "read your writes",
    "writes follow reads",
]

BUDGET = 20_000  # steps of the search: about a second
_LESS = 1_000  # steps for each part of a history that is tried as the witness


@dataclass(frozen=True, slots=True)
class Model:
    """What an explanation must keep, and how one says that there is none."""

    pairs: frozenset[tuple[Action, Action]]
    order_for: Literal["all", "each"]
    clocked: frozenset[
        Action
    ]  # which operations come after all that had ended, by the clock, before they began
    complaint: str

    def must(self, events: Events, versions: Versions) -> Iterator[tuple[int, int]]:
        """What comes before what in every explanation."""
        yield from events.given()
        yield from _recorded(events, versions)
        yield from self.program_order(events)
        yield from self._clock(events)

    def program_order(self, events: Events) -> Iterator[tuple[int, int]]:
        """What each process did before what: of the pairs that count, those from which the others follow."""
        for session in events.sessions:
            done: list[int] = []
            for later in session:
                for earlier in reversed(done):
                    kinds = events[earlier].op, events[later].op
                    if kinds in self.pairs:
                        yield earlier, later
                        if kinds[0] == kinds[1]:
                            break
                if events[later].outcome == "ok":
                    done.append(later)

    def _clock(self, events: Events) -> Iterator[tuple[int, int]]:
        """What had ended by the clock before what began: of each process the last, after the rest of it."""
        operations = [number for session in events.sessions for number in session]
        clocked = [number for number in operations if events[number].op in self.clocked]
        for session in events.sessions:
            done = [number for number in session if events[number].outcome == "ok"]
            ends = [events[number].ended_ns for number in done]
            for later in clocked:
                ended = bisect_left(ends, events[later].invoked_ns)
                if ended:
                    yield done[ended - 1], later

    def judge(self, operations: Sequence[Operation], versions: Versions, budget: int) -> _Judged:
        """Whether there is an explanation; every value that was read must have been written."""
        events = Events.of(operations)
        pairs = list(self.must(events, versions))
        past = events.closure(pairs, events.reads_of())
        if past is not None:
            one_key = len({event.key for event in events.events}) <= 1
            search = self.order_for == "all" and not one_key
            return _Judged(Search(events, past).decide(budget) if search else "held")
        if self.order_for == "all":
            return _Judged("violated")
        # what doesn't refute all reads together refutes none of them alone, but not the other way round
        for process in dict.fromkeys(operation.process for operation in operations):
            if events.closure(pairs, events.reads_of(process)) is None:
                return _Judged("violated", process)
        return _Judged("held")


@dataclass(frozen=True, slots=True)
class _Judged:
    outcome: Literal["held", "violated", "undecided"]
    process: str = ""  # whose reads have no explanation, if each process has one of its own


def _recorded(events: Events, versions: Versions) -> Iterator[tuple[int, int]]:
    """The order of a key's writes as the system recorded it: a version with the next."""
    ranks: dict[str, dict[Version, list[int]]] = {}
    for (key, value), write in events.places.items():
        if version := versions.get((key, value)):
            ranks.setdefault(key, {}).setdefault(version, []).append(write)
    for writes in ranks.values():
        for older, newer in pairwise(sorted(writes)):
            yield from product(writes[older], writes[newer])


def _only(earlier: Action, later: Action) -> frozenset[tuple[Action, Action]]:
    return frozenset([(earlier, later)])


_FOUR = frozenset(product(get_args(Action), repeat=2))
_NONE, _WRITES, _ALL = frozenset[Action](), frozenset[Action](["write"]), frozenset[Action](["read", "write"])
_CAUSES = "no order that keeps causes before effects{} explains what {{process}} read"

MODELS: Mapping[Name, Model] = {
    "linearizable": Model(_FOUR, "all", _ALL, "no order that agrees with the clock explains what was read"),
    "sequential": Model(_FOUR, "all", _NONE, "no single order explains what was read"),
    "real-time causal": Model(_FOUR, "each", _WRITES, _CAUSES.format(" and agrees with the clock")),
    "causal": Model(_FOUR, "each", _NONE, _CAUSES.format("")),
    "monotonic reads": Model(_only("read", "read"), "each", _NONE, "it went back"),
    "monotonic writes": Model(_only("write", "write"), "each", _NONE, "the order of the writes is another"),
    "read your writes": Model(_only("write", "read"), "each", _NONE, "it missed a write of its own"),
    "writes follow reads": Model(_only("read", "write"), "each", _NONE, "the order of the writes is another"),
}


def recorded_versions(operations: Iterable[Operation]) -> Versions:
    """Of each value the least version that its write or a read of it was given.

    A read of a configuration is given that of the whole, which may be newer than the value of one key.
    """
    versions: dict[tuple[str, Value], Version] = {}
    for one in operations:
        if one.version is not None and one.value is not None and one.outcome == "ok":
            place = one.key, one.value
            versions[place] = min(one.version, versions.get(place, one.version))
    return versions


def asked(name: Name, operations: Sequence[Operation], versions: Versions) -> int:
    """How many operations could show a guarantee for one client broken: what it did before binds them.

    Of a write only the order that the system recorded shows whether it stands behind what it should.
    """
    events = Events.of(operations)

    def recorded(*numbers: int) -> bool:
        return all((events[number].key, events[number].value) in versions for number in numbers)

    pairs = MODELS[name].program_order(events)
    return len({b for a, b in pairs if events[b].op == "read" or recorded(a, b)})


def broken(
    name: Name, operations: Sequence[Operation], versions: Versions, say: Wording, budget: int = BUDGET
) -> Verdict | None:
    """Why operations, in the order of invocation, don't keep a model, or undecided; None if they do.

    Every value that was read must have been written. The guarantees for one client are asked of one key.
    """
    model = MODELS[name]
    outcome = model.judge(operations, versions, budget).outcome
    if outcome == "held":
        return None
    if outcome == "undecided":
        return Verdict(
            "in doubt", f"in {counted(budget, 'step')} no order was found that explains what was read"
        )
    needed = 0 if model.judge(operations, versions, 0).outcome == "violated" else min(budget, _LESS)
    guilty = fewest(operations, lambda part: model.judge(part, versions, needed).outcome == "violated")
    complaint = model.complaint.format(process=model.judge(guilty, versions, needed).process)
    if model.judge(guilty, {}, needed).outcome == "held":  # it is the recorded order that convicts them
        complaint += f" (the system recorded {_in_order(guilty, versions)})"
    return violated(f"{say.told(guilty)}: {complaint}", *guilty)


def _in_order(operations: Sequence[Operation], versions: Versions) -> str:
    """The values of each key, the oldest first."""
    places = {(one.key, one.value) for one in operations} & versions.keys()
    keys = sorted({key for key, _ in places})
    orders = [
        sorted((place for place in places if place[0] == key), key=lambda place: versions[place])
        for key in keys
    ]
    return "; ".join(" before ".join(quoted(value) for _, value in order) for order in orders if order[1:])
