"""What was asked of a system and what it answered: the only thing that a checker ever sees.

An operation is an interval, from its invocation to its answer (Herlihy & Wing, TOPLAS 1990, section 2):
somewhere between the two it took effect, and no one outside can say where. It ends in one of three ways.

ok        it took effect
refused   it provably did not
unknown   no one can say, and it may still take effect, at any time from now on

Written down, a history is one JSON object a line; what the nemesis did stands between the operations.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal, TextIO, TypeAlias

Value: TypeAlias = str | int | None
Version: TypeAlias = tuple[int, str]
Action: TypeAlias = Literal["write", "read"]
Outcome: TypeAlias = Literal["ok", "refused", "unknown"]

NEMESIS = "nemesis"


class HistoryError(ValueError):
    """A history that can't be judged; the message says in one line what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of one key. The value of a read is what it returned; null is "never written".

    A process does one thing at a time: what does two at once needs two names.

    `returned_ns` of an unknown operation is when its caller gave up, or None if the run ended first. It is
    kept for drawing the history and proves nothing: the operation may take effect later.
    """

    process: str
    op: Action
    key: str
    value: Value
    invoked_ns: int
    returned_ns: int | None
    outcome: Outcome
    version: Version | None = None

    def __post_init__(self) -> None:
        if self.process == NEMESIS:
            raise HistoryError(f'"{NEMESIS}" makes faults, not operations')
        if self.returned_ns is None and self.outcome != "unknown":
            raise HistoryError(f'"returned_ns" is null, but the outcome is "{self.outcome}"')
        if self.returned_ns is not None and self.returned_ns < self.invoked_ns:
            raise HistoryError(f'"returned_ns" is before "invoked_ns", {self.invoked_ns}')

    @property
    def ended_ns(self) -> float:
        """When its caller knew how it had ended: never, if the outcome is unknown."""
        return math.inf if self.outcome == "unknown" or self.returned_ns is None else self.returned_ns

    def precedes(self, other: Operation) -> bool:
        """Whether it had ended when the other began. If neither precedes the other, they are concurrent."""
        return self.ended_ns < other.invoked_ns

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Fault:
    """What the nemesis did, and to whom: `cut`, `heal`, `crash`, `restart`, ..."""

    op: str
    value: object
    at_ns: int

    def to_json(self) -> str:
        return json.dumps({"process": NEMESIS, **asdict(self)})


@dataclass(frozen=True, slots=True)
class History:
    """Operations in the order of their invocation, and the faults that they met."""

    operations: tuple[Operation, ...] = ()
    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Operation | Fault]) -> History:
        """A history from entries in any order."""
        entries = list(entries)
        operations = [entry for entry in entries if isinstance(entry, Operation)]
        faults = [entry for entry in entries if isinstance(entry, Fault)]
        return cls(
            tuple(sorted(operations, key=lambda operation: operation.invoked_ns)),
            tuple(sorted(faults, key=lambda fault: fault.at_ns)),
        )

    @classmethod
    def merged(cls, histories: Iterable[History]) -> History:
        """One history of several processes of a machine, which share its monotonic clock."""
        entries: list[Operation | Fault] = []
        for history in histories:
            entries += [*history.operations, *history.faults]
        return cls.of(entries)

    @property
    def start_ns(self) -> int:
        """The first invocation, from which a reader of the verdict counts the seconds."""
        return min((operation.invoked_ns for operation in self.operations), default=0)

    def by_key(self) -> dict[str, list[Operation]]:
        groups: dict[str, list[Operation]] = {}
        for operation in self.operations:
            groups.setdefault(operation.key, []).append(operation)
        return groups

    def lines(self) -> Iterator[str]:
        """The history as it is written down, a JSON object a line, in the order of time."""
        moments = [(operation.invoked_ns, operation.to_json()) for operation in self.operations]
        moments += [(fault.at_ns, fault.to_json()) for fault in self.faults]
        return (line for _, line in sorted(moments, key=lambda moment: moment[0]))


def answered_reads(operations: Iterable[Operation]) -> list[Operation]:
    """The reads that returned something; the others saw nothing and count for nothing."""
    return [operation for operation in operations if operation.op == "read" and operation.outcome == "ok"]


def writes(operations: Iterable[Operation], *outcomes: Outcome) -> list[Operation]:
    """The writes that ended in one of these ways; all of them, if none is named."""
    found = [operation for operation in operations if operation.op == "write"]
    return [write for write in found if write.outcome in outcomes] if outcomes else found


class Pending:
    """An operation that has begun. It ends exactly once; a second ending raises."""

    def __init__(self, recorder: Recorder, begun: Operation) -> None:
        self._recorder = recorder
        self._begun = begun

    def ok(self, value: Value = None, version: Version | None = None) -> None:
        """It took effect. A read says what it returned; a write keeps the value that it began with."""
        value = value if self._begun.op == "read" else self._begun.value
        self._end(replace(self._begun, value=value, version=version), "ok")

    def refused(self) -> None:
        """It provably did not happen."""
        self._end(self._begun, "refused")

    def unknown(self) -> None:
        """Its caller gave up, and it may or may not happen, now or later."""
        self._end(self._begun, "unknown")

    def _end(self, operation: Operation, outcome: Outcome) -> None:
        self._recorder.finish(self, replace(operation, outcome=outcome, returned_ns=self._recorder.clock()))


class Recorder:
    """Writes down what the clients of one process do, each line as soon as it is known.

    The sink stays open when the recorder is closed: it belongs to its opener.
    """

    def __init__(self, sink: TextIO | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock = clock
        self._sink = sink
        self._pending: dict[Pending, Operation] = {}
        self._entries: list[Operation | Fault] = []

    def invoke(self, process: str, op: Action, key: str, value: Value = None) -> Pending:
        """Called just before a request is sent; the value is the one to write."""
        begun = Operation(process, op, key, value, self.clock(), None, "unknown")
        pending = Pending(self, begun)
        self._pending[pending] = begun
        return pending

    def observe(
        self, process: str, key: str, value: Value, version: Version | None = None, at_ns: int | None = None
    ) -> None:
        """A read that took no time: what a replica holds at this moment, or held at ``at_ns``."""
        when = self.clock() if at_ns is None else at_ns
        self._write(Operation(process, "read", key, value, when, when, "ok", version))

    def fault(self, op: str, value: object = None) -> None:
        self._write(Fault(op, value, self.clock()))

    def history(self) -> History:
        """Everything so far; what is still pending is unknown."""
        return History.of([*self._entries, *self._pending.values()])

    def close(self) -> None:
        """Write the operations that never ended as unknown."""
        for pending, begun in list(self._pending.items()):
            self.finish(pending, begun)

    def finish(self, pending: Pending, operation: Operation) -> None:
        if self._pending.pop(pending, None) is None:
            raise RuntimeError(f"the {operation.op} of {operation.process} has already ended")
        self._write(operation)

    def _write(self, entry: Operation | Fault) -> None:
        self._entries.append(entry)
        if self._sink is not None:
            self._sink.write(entry.to_json() + "\n")
            self._sink.flush()
