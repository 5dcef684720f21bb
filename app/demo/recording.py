"""Doing an operation and recording how it ended: a result, refused, or unknown; and a run's records."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TextIO

from app.checker.history import History, Pending, Recorder, Value, Version
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


class Records:
    """What a run records, in this process and in those of its load.

    Attributes:
        recorder: this process's.
        protocol: "notes" or "full": what is shown at the moment.
    """

    def __init__(self, recorder: Recorder, sink: TextIO | None = None) -> None:
        """``sink``: where the history goes, a line for each operation; None: nowhere."""
        self.recorder = recorder
        self.protocol = "full"
        self._sink = sink
        self._included = History()
        self._numbers = count(3001)

    def unique(self, prefix: str) -> str:
        """A text that was never written before."""
        return f"{prefix}-{self.fresh() - 3000}"

    def fresh(self) -> int:
        """A number that was never written before: unique values make a history decidable."""
        return next(self._numbers)

    def key(self, name: str) -> str:
        """The history's key; the two protocols use different ones."""
        return f"{self.protocol}/{name}"

    def write(self, process: str, key: str, value: Value, action: Callable[[], Any]) -> Any:
        """Do and record a write; its ending is recorded as it was, and raised if it isn't a result."""
        return recorded_write(self.recorder, process, key, value, action)

    def read(self, process: str, key: str, action: Callable[[], Value]) -> Value:
        """Do and record a read; its ending is recorded as it was, and raised if it isn't a result."""
        return recorded_read(self.recorder, process, key, lambda: (action(), None))

    def include(self, history: History) -> None:
        """Take in what other processes have recorded."""
        self._included = History.merged([self._included, history])
        if self._sink is not None:
            self._sink.writelines(f"{line}\n" for line in history.lines())

    def history(self, protocol: str | None = None) -> History:
        """Everything recorded, by all processes; of one protocol if it is named."""
        whole = History.merged([self.recorder.history(), self._included])
        if protocol is None:
            return whole
        wanted = [operation for operation in whole.operations if operation.key.startswith(f"{protocol}/")]
        return History.of([*wanted, *whole.faults])
