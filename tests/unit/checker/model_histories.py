"""Histories of a few processes, each of which does one thing after the other, made by hypothesis."""

import os
from dataclasses import replace

from hypothesis import strategies as st

from app.checker.history import Operation, Value, Version
from tests.unit.checker.making import READ_OUTCOMES, WRITE_OUTCOMES, read, write

# Of each property. Enough to find an error within a few runs; a change of a rule deserves a few thousand.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "100"))


@st.composite
def clients_histories(draw: st.DrawFn, most: int = 7, keys: str = "x", clock: bool = True) -> list[Operation]:
    """Whatever a few processes may have recorded, in the order of invocation.

    Values are read that may never have been written, and without a clock such as are written only later.
    Two processes often act at the same instant; one process never does.
    """
    free = dict.fromkeys(("p", "q", "r"), 0)  # when each process can begin something new
    plan = []
    for _ in range(draw(st.integers(2, most))):
        process = draw(st.sampled_from(list(free)))
        began = free[process] + draw(st.integers(0, 2))
        ended = began + draw(st.integers(0, 3))
        free[process] = ended + 1
        plan.append((began, ended, process, draw(st.sampled_from("wwrrr")), draw(st.sampled_from(keys))))
    plan.sort()
    written = [(began, key, f"{key}{n}") for n, (began, _, _, op, key) in enumerate(plan) if op == "w"]
    operations = []
    for number, (began, ended, process, op, its_key) in enumerate(plan):
        if op == "w":
            outcome = draw(st.sampled_from(WRITE_OUTCOMES))
            operations.append(write(process, f"{its_key}{number}", began, ended, outcome, key=its_key))
            continue
        there = [value for at, key, value in written if key == its_key and (at <= ended or not clock)]
        rarely: list[Value] = ["never"] if draw(st.integers(0, 40)) == 40 else []
        value = draw(st.sampled_from([None, *there, *there, *rarely]))
        operations.append(
            read(process, value, began, ended, draw(st.sampled_from(READ_OUTCOMES)), key=its_key)
        )
    return operations


@st.composite
def replicas_histories(draw: st.DrawFn, most: int = 8) -> list[Operation]:
    """What clients record of replicas that apply the writes in one order, each as late as it likes.

    A client may write anywhere, and reads from a replica of its own or from any. Most of what is true of
    such a history is broken only here and there.
    """
    copies: dict[str, list[Value]] = {"p": [None], "q": [None], "r": [None]}
    faithful = draw(st.booleans())
    operations = []
    for number in range(draw(st.integers(2, most))):
        process = draw(st.sampled_from(list(copies)))
        at = 3 * number
        if draw(st.booleans()):
            operations.append(write(process, f"v{number}", at, at + draw(st.integers(0, 2))))
            for copy in copies.values():
                copy.append(f"v{number}")
            continue
        copy = copies[process]
        if faithful:
            del copy[: draw(st.integers(0, len(copy) - 1))]
            operations.append(read(process, copy[0], at, at + 1))
        else:
            operations.append(read(process, draw(st.sampled_from(copy)), at, at + 1))
    return operations


@st.composite
def recorded_histories(draw: st.DrawFn, histories: st.SearchStrategy[list[Operation]]) -> list[Operation]:
    """The same, of a system that gave some values a version: mostly in the order of the writes, or any."""
    operations = draw(histories)
    values = [(one.key, one.value) for one in operations if one.op == "write" and one.value is not None]
    faithful = draw(st.booleans())
    versions: dict[tuple[str, Value], Version] = {}
    for rank, value in enumerate(values):
        if draw(st.integers(0, 4)):
            versions[value] = (rank if faithful else draw(st.integers(0, len(values))), "")
    return [
        replace(one, version=versions.get((one.key, one.value))) if one.outcome == "ok" else one
        for one in operations
    ]
