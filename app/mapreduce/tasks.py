"""Who takes which task, and when a task is given up: pure functions over values.

A claim is one transaction, and two workers that want the same task cost each other one. So each begins with
a share of its own, and then helps with the rest at random, until it has missed a few times: then there is
little left to help with, and the master's next offer says what.
"""

import random
from collections.abc import Sequence

from app.mapreduce.records import Attempt

# A task whose code raises so often is the job's fault, not the worker's.
MOST_ERRORS = 3
# A task that loses so many claims may be what kills its workers.
MOST_CLAIMS = 10
# Helping ends after so many misses: each was a round trip for nothing.
MOST_MISSES = 8


def shares(left: Sequence[int], share: int, of: int, choose: random.Random) -> tuple[list[int], list[int]]:
    """(this worker's own tasks, in order; the others' tasks, shuffled).

    Args:
        left: open tasks.
        share, of: this worker is number ``share`` (from 0) of ``of``.
    """
    begin, end = len(left) * share // of, len(left) * (share + 1) // of
    others = [*left[:begin], *left[end:]]
    choose.shuffle(others)
    return list(left[begin:end]), others


def claimed(attempt: Attempt, by: str) -> Attempt:
    """The record of the next claim."""
    return Attempt(number=attempt.number + 1, by=by, errors=attempt.errors)


def raised(attempt: Attempt, error: str) -> Attempt:
    """The record after the task's code has raised."""
    return Attempt(number=attempt.number, by=attempt.by, errors=[*attempt.errors, error])


def given_up(attempt: Attempt) -> str | None:
    """Why this task must not be tried again, or None."""
    if len(attempt.errors) >= MOST_ERRORS:
        return f"a task raised {MOST_ERRORS} times: {attempt.errors[-1]}"
    if attempt.number > MOST_CLAIMS:
        return f"a task lost its worker {MOST_CLAIMS} times; it may be what kills them"
    return None


def offer_again(left: int, offered: int) -> bool:
    """Whether a new list of what is left is worth its round trip: when half of the last one is done."""
    return left * 2 <= offered and left > MOST_MISSES
