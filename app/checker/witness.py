"""The fewest guilty operations: what is left of a history when all that is not needed for its guilt is gone.

This works for every promise that a part of a history keeps if the whole does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import combinations

from app.checker.history import Operation

Guilty = Callable[[Sequence[Operation]], bool]


def fewest(operations: Sequence[Operation], guilty: Guilty) -> tuple[Operation, ...]:
    """Operations that are guilty together, and of which none can be left out.

    One process alone is easier to follow than two, and two easier than many; and what happened within a short
    time easier than what didn't. So these are tried first.
    """
    few = _of_few_processes(operations, guilty)
    last = bisect_left(range(len(few)), True, key=lambda last: guilty(few[: last + 1]))
    few = few[: last + 1]
    first = bisect_left(range(len(few)), True, key=lambda first: not guilty(few[first + 1 :]))
    few = few[first:]
    size = len(few) // 2
    while size:
        few = _without_pieces(few, size, guilty)
        size //= 2
    return tuple(few)


def _of_few_processes(operations: Sequence[Operation], guilty: Guilty) -> Sequence[Operation]:
    processes = list(dict.fromkeys(operation.process for operation in operations))
    for number in (1, 2):
        for chosen in combinations(processes, number):
            part = [operation for operation in operations if operation.process in chosen]
            if guilty(part):
                return part
    return operations


def _without_pieces(operations: Sequence[Operation], size: int, guilty: Guilty) -> Sequence[Operation]:
    """Without those pieces of so many operations that can be left out."""
    start = 0
    while start < len(operations):
        rest = [*operations[:start], *operations[start + size :]]
        if guilty(rest):
            operations = rest
        else:
            start += size
    return operations
