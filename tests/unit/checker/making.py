"""Histories for the tests: written by hand, or made by hypothesis."""

import random

from hypothesis import strategies as st

from app.checker.history import Action, Operation, Outcome, Value, Version

SECOND = 1_000_000_000
WRITE_OUTCOMES: tuple[Outcome, ...] = ("ok", "ok", "ok", "unknown", "refused")
READ_OUTCOMES: tuple[Outcome, ...] = ("ok", "ok", "ok", "ok", "unknown", "refused")


def write(
    process: str,
    value: Value,
    began: float,
    ended: float | None,
    outcome: Outcome = "ok",
    key: str = "x",
    version: Version | None = None,
) -> Operation:
    return _operation(process, "write", value, (began, ended), outcome, key, version)


def read(
    process: str,
    value: Value,
    began: float,
    ended: float,
    outcome: Outcome = "ok",
    key: str = "x",
    version: Version | None = None,
) -> Operation:
    return _operation(process, "read", value, (began, ended), outcome, key, version)


def _operation(
    process: str,
    op: Action,
    value: Value,
    times: tuple[float, float | None],
    outcome: Outcome,
    key: str,
    version: Version | None,
) -> Operation:
    began, ended = times
    returned_ns = None if ended is None else round(ended * SECOND)
    return Operation(process, op, key, value, round(began * SECOND), returned_ns, outcome, version)


@st.composite
def any_histories(draw: st.DrawFn, most: int = 7) -> list[Operation]:
    """Whatever clients might have recorded: most of these are not linearizable. Ties in time are common."""
    operations = []
    writes = 0
    for number in range(draw(st.integers(1, most))):
        began = draw(st.integers(0, 12))
        ended = began + draw(st.integers(0, 8))
        if draw(st.booleans()):
            writes += 1
            outcome = draw(st.sampled_from(WRITE_OUTCOMES))
            operations.append(write(f"client-{number}", f"v{writes}", began, ended, outcome))
        else:
            value = draw(st.sampled_from((None, "v1", "v1", "v2", "v2", "v3", "v4")))
            outcome = draw(st.sampled_from(READ_OUTCOMES))
            operations.append(read(f"client-{number}", value, began, ended, outcome))
    return operations


@st.composite
def real_histories(draw: st.DrawFn, most: int = 7) -> list[Operation]:
    """What clients of a register record if each operation takes effect at one moment between its ends.

    A refused write takes no effect. An unknown one does or doesn't, perhaps after its client gave up.
    """
    operations = []
    current: Value = None
    for moment in range(0, 3 * draw(st.integers(1, most)), 3):
        process = f"client-{moment}"
        began = moment - draw(st.integers(0, 12))
        ended = moment + draw(st.integers(0, 12))
        if draw(st.booleans()):
            operations.append(read(process, current, began, ended))
            continue
        outcome = draw(st.sampled_from(WRITE_OUTCOMES))
        gave_up = max(began, ended - draw(st.integers(0, 24))) if outcome == "unknown" else ended
        operations.append(write(process, f"v{moment}", began, gave_up, outcome))
        if outcome == "ok" or (outcome == "unknown" and draw(st.booleans())):
            current = f"v{moment}"
    return draw(st.permutations(operations))


@st.composite
def histories_with_a_stale_read(draw: st.DrawFn) -> list[Operation]:
    """A real history, then a write, another write, and a read of the first one's value."""
    good = draw(real_histories(most=4))
    end = max(operation.returned_ns or 0 for operation in good) // SECOND + 1
    gaps = [draw(st.integers(1, 3)) for _ in range(3)]
    first = write("client-1", "old", end, end)
    second = write("client-2", "new", end + gaps[0], end + gaps[0] + gaps[1])
    start = end + sum(gaps)
    stale = read("client-3", "old", start, start + draw(st.integers(0, 3)))
    return draw(st.permutations([*good, first, second, stale]))


def large_history(operations: int, unknown: int, seed: int = 1) -> list[Operation]:
    """A real history of ten clients, half of it writes, of which so many are unknown."""
    chance = random.Random(seed)
    doubtful = set(chance.sample(range(0, operations, 2), unknown))
    current: Value = None
    recorded = []
    for number in range(operations):
        began, ended = number - 5 * chance.random(), number + 5 * chance.random()
        process = f"client-{number % 10}"
        if number % 2:
            recorded.append(read(process, current, began, ended))
            continue
        recorded.append(write(process, f"v{number}", began, ended, "unknown" if number in doubtful else "ok"))
        if number not in doubtful or chance.random() < 0.5:
            current = f"v{number}"
    return recorded
