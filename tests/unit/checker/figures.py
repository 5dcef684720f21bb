"""Histories drawn as the textbooks draw them.

    P1: W(a)
    P2:       W(b)
    P3:              R(b)   R(a)

Time runs to the right, a second each column. `R(-)` reads the initial value, `Wy(a)` writes another key than
x, `W(a)?` is a write of which nobody knows how it ended, and `W(a)!` was refused.
"""

import re

from app.checker.history import History, Outcome
from tests.unit.checker.making import read, write

_OPERATION = re.compile(r"([WR])(\w*)\(([^)]*)\)([?!]?)")
_OUTCOMES: dict[str, Outcome] = {"": "ok", "?": "unknown", "!": "refused"}


def figure(drawing: str) -> History:
    operations = []
    for line in drawing.splitlines():
        process = line.partition(":")[0].strip()
        for drawn in _OPERATION.finditer(line):
            op, key, value, mark = drawn.groups()
            began, ended = drawn.start(), drawn.end() - 1
            if op == "W":
                operations.append(write(process, value, began, ended, _OUTCOMES[mark], key=key or "x"))
            else:
                seen = None if value == "-" else value
                operations.append(read(process, seen, began, ended, _OUTCOMES[mark], key=key or "x"))
    return History.of(operations)
