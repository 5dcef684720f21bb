"""Doing an operation and writing down how it ended: a result, refused, or unknown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.checker.history import Pending, Recorder, Value, Version
from app.errors import LessonError, Refused
from app.zookeeper import client as zk

# Every ending that is not a result. What is none of these is a bug, and may show as one.
NOT_A_RESULT: tuple[type[Exception], ...] = (LessonError, *zk.NO_REPLY)


def recorded_write(
    recorder: Recorder, process: str, key: str, value: Value, action: Callable[[], Any]
) -> Any:
    """Do and record a write, with the version that ``action`` returns if it is one. Raises as it does."""
    pending = recorder.invoke(process, "write", key, value)
    with _otherwise_recorded(pending):
        result = action()
    pending.ok(version=result if isinstance(result, tuple) else None)
    return result


def recorded_read(
    recorder: Recorder, process: str, key: str, action: Callable[[], tuple[Value, Version | None]]
) -> Value:
    """Do and record a read of (value, version); ended otherwise, it has seen nothing. Raises as it does."""
    pending = recorder.invoke(process, "read", key)
    with _otherwise_recorded(pending):
        value, version = action()
    pending.ok(value, version)
    return value


@contextmanager
def _otherwise_recorded(pending: Pending) -> Iterator[None]:
    """Write down an ending that is not a result, and let it go on."""
    try:
        yield
    except Refused:
        pending.refused()
        raise
    except NOT_A_RESULT:
        pending.unknown()
        raise
