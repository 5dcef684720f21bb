"""Reading a history back. Its lines are input: checked field by field, refused with a message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.checker.history import NEMESIS, Fault, History, HistoryError, Operation, Version

_KINDS = {str: "a string", int: "a whole number", type(None): "null"}


def read_history(lines: Iterable[str]) -> History:
    """A history from its lines, the blank ones skipped. HistoryError says which line is wrong, and how."""
    entries: list[Operation | Fault] = []
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                entries.append(from_json(line))
        except HistoryError as exc:
            raise HistoryError(f"line {number}: {exc}") from None
    return History.of(entries)


def from_json(line: str) -> Operation | Fault:
    """The operation or the fault that one line tells of."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise HistoryError(f"not JSON: {exc}") from None
    if not isinstance(fields, dict):
        raise HistoryError(f"not a JSON object: {json.dumps(fields)}")
    if _field(fields, "process", str) == NEMESIS:
        return Fault(_field(fields, "op", str), fields.get("value"), _field(fields, "at_ns", int))
    return Operation(
        process=_field(fields, "process", str),
        op=_choice(fields, "op", "write", "read"),
        key=_field(fields, "key", str),
        value=_field(fields, "value", str, int, type(None)),
        invoked_ns=_field(fields, "invoked_ns", int),
        returned_ns=_field(fields, "returned_ns", int, type(None)),
        outcome=_choice(fields, "outcome", "ok", "refused", "unknown"),
        version=_version(fields.get("version")),
    )


def _field(fields: dict[str, Any], name: str, *kinds: type) -> Any:
    if name not in fields:
        raise HistoryError(f'"{name}" is missing')
    value = fields[name]
    if type(value) not in kinds:  # not isinstance: to Python, true is a whole number
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        raise HistoryError(f'"{name}" must be {wanted}, not {json.dumps(value)}')
    return value


def _choice(fields: dict[str, Any], name: str, *choices: str) -> Any:
    value = _field(fields, name, str)
    if value not in choices:
        wanted = " or ".join(f'"{choice}"' for choice in choices)
        raise HistoryError(f'"{name}" must be {wanted}, not {json.dumps(value)}')
    return value


def _version(value: object) -> Version | None:
    match value:
        case None:
            return None
        case [int(counter), str(writer)] if not isinstance(counter, bool):
            return counter, writer
    raise HistoryError(f'"version" must be [counter, "writer"] or null, not {json.dumps(value)}')
