"""Histories drawn as the textbooks draw them.

    P1: W(a)
    P2:       W(b)
    P3:              R(b)   R(a)

Time runs to the right, a second each column. `R(-)` reads the initial value, `Wy(a)` writes another key than
x, `W(a)?` is a write of which nobody knows how it ended, and `W(a)!` was refused. The system recorded
a as the second value: `W(a)2`, `R(a)2`.
"""

import re

from app.checker.history import History, Outcome
from tests.unit.checker.making import read, write

_OPERATION = re.compile(r"([WR])(\w*)\(([^)]*)\)([?!]?)(\d*)")
_OUTCOMES: dict[str, Outcome] = {"": "ok", "?": "unknown", "!": "refused"}


def figure(drawing: str) -> History:
    operations = []
    for line in drawing.splitlines():
        process = line.partition(":")[0].strip()
        for drawn in _OPERATION.finditer(line):
            op, key, value, mark, rank = drawn.groups()
            began, ended = drawn.start(), drawn.end(4) - 1
            version = (int(rank), "") if rank else None
            if op == "W":
                operations.append(write(process, value, began, ended, _OUTCOMES[mark], key or "x", version))
            else:
                seen = None if value == "-" else value
                operations.append(read(process, seen, began, ended, _OUTCOMES[mark], key or "x", version))
    return History.of(operations)
