"""Operations in sentences that a class can follow on a projector.

Times are seconds from the start of the history. An operation that comes first is told with the moment of its
end, one that comes after it with the moment of its beginning: so the two times prove the order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from app.checker.history import Operation, Value

_LONGEST = 40
_TELLABLE = 12  # operations: no one follows a longer story


def quoted(value: Value) -> str:
    """A key or a value as JSON writes it, shortened in the middle if it's long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 4 :]}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True, slots=True)
class Wording:
    """Tells of operations, counting the time from `start_ns`."""

    start_ns: int

    def at(self, moment_ns: float) -> str:
        return f"at {(moment_ns - self.start_ns) / 1e9:.3f} s"

    def began(self, operation: Operation) -> str:
        """The operation as something that began."""
        did = "read" if operation.op == "read" else "began to write"
        return f"{operation.process} {did} {quoted(operation.value)} {self.at(operation.invoked_ns)}"

    def had_ended(self, operation: Operation) -> str:
        """The operation as something that had ended before something else began."""
        moment = self.at(operation.ended_ns)
        if operation.op == "read":
            return f"{operation.process} had already read {quoted(operation.value)} {moment}"
        return f"{operation.process}'s write of {quoted(operation.value)} had been completed {moment}"

    def was_told(self, operation: Operation) -> str:
        """The moment at which its caller heard the answer."""
        return f"{operation.process} was told {self.at(operation.ended_ns)}"

    def told(self, operations: Iterable[Operation]) -> str:
        """Operations as the textbooks draw them, process by process; first comes who did the last of them."""
        operations = list(operations)
        if len(operations) > _TELLABLE:
            return counted(len(operations), "operation")
        many = len({operation.key for operation in operations}) > 1
        lanes: dict[str, list[str]] = {}
        for operation in operations:
            lane = lanes.pop(operation.process, [])  # and put last
            did = "read" if operation.op == "read" else "wrote"
            what = f"{quoted(operation.key)} = {quoted(operation.value)}" if many else quoted(operation.value)
            lanes[operation.process] = [*lane, f"{did} {what} {self.at(operation.invoked_ns)}"]
        stories = [f"{process} {', then '.join(deeds)}" for process, deeds in reversed(lanes.items())]
        first, *others = stories
        return f"{first}, although {', and '.join(others)}" if others else first
