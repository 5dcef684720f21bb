"""The plain search of Wing & Gong (J. Parallel Distrib. Comput. 1993): try every order.

Exponential, for small histories, and as different from app.checker as it can be: it shares no rule with it.
"""

from collections.abc import Sequence

from app.checker.history import Operation, Value


def is_linearizable(operations: Sequence[Operation]) -> bool:
    """Whether some order of the operations, each at a moment between its ends, explains every read."""
    happened = [
        operation
        for operation in operations
        if operation.outcome == "ok" or (operation.op, operation.outcome) == ("write", "unknown")
    ]
    return _can_finish(happened, None)


def _can_finish(remaining: list[Operation], value: Value) -> bool:
    if all(operation.outcome == "unknown" for operation in remaining):
        return True  # none of them need ever happen
    for operation in remaining:
        others = [other for other in remaining if other is not operation]
        if any(_ended_before(other, operation) for other in others):
            continue
        if operation.op == "write" and _can_finish(others, operation.value):
            return True
        if operation.op == "read" and operation.value == value and _can_finish(others, value):
            return True
    return False


def _ended_before(one: Operation, other: Operation) -> bool:
    return one.outcome == "ok" and one.returned_ns is not None and one.returned_ns < other.invoked_ns
