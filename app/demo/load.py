"""A load: a crowd of clients that pause as people do; and a register's client, recorded for the checker."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import eventlet

from app.checker.history import Operation, Recorder, Value, Version
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import Replicas
from app.consistency.engine.versions import UNWRITTEN
from app.consistency.quorum import Quorum, Register
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write

# A client's pause between two operations, in seconds: a load is a crowd of people, not a loop.
THINK_S = (0.01, 0.08)


def crowd(
    clients: int,
    operations: int,
    one: Callable[[int], None],
    choose: random.Random,
    think_s: tuple[float, float] = THINK_S,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Have ``clients`` green threads do ``operations`` in all, by ``one(client)`` each, until ``enough()``.

    An ending that isn't a result is recorded where it happened, and the client goes on. ``think_s``: least
    and most seconds between two operations of one client.
    """

    def client(number: int, share: int) -> None:
        for _ in range(share):
            if enough():
                return
            try:
                one(number)
            except NOT_A_RESULT:
                # Recorded as refused or unknown; a person would pause, too, before the next try.
                eventlet.sleep(think_s[1])
            eventlet.sleep(choose.uniform(*think_s))

    threads = [
        eventlet.spawn(client, number, operations // clients + (number <= operations % clients))
        for number in range(1, clients + 1)
    ]
    try:
        for thread in threads:
            thread.wait()
    finally:
        for thread in threads:
            thread.kill()  # those that are left after an interrupt


def endings(operations: Sequence[Operation]) -> str:
    """How they ended, for the screen."""
    ended = Counter(operation.outcome for operation in operations)
    return f"of {len(operations)}: {ended['ok']} ok, {ended['refused']} refused, {ended['unknown']} unknown"


class RegisterClient:
    """One client of a register, by either protocol; each operation is recorded with its ending."""

    def __init__(
        self,
        name: str,
        key: str,
        register: Register | NotesRegister,
        recorder: Recorder,
        new_value: Callable[[], str] | None = None,
    ) -> None:
        """``new_value``: what to write, if a write names no value; by default, the name and a number."""
        self._name = name
        self._key = key
        self._register = register
        self._recorder = recorder
        self._numbers = count(1)
        self._new_value = new_value or (lambda: f"{name}-{next(self._numbers)}")

    def write(self, value: str | None = None) -> str:
        """Write ``value``, or a new one; returns it."""
        unique = value or self._new_value()
        recorded_write(self._recorder, self._name, self._key, unique, lambda: self._write(unique))
        return unique

    def close(self) -> None:
        """Leave nothing behind: a full register may still be bringing slow replicas up to date."""
        if isinstance(self._register, Register):
            self._register.close()

    def read(self) -> Value:
        return recorded_read(self._recorder, self._name, self._key, self._read)

    def _write(self, value: str) -> Version | None:
        if isinstance(self._register, NotesRegister):
            self._register.write(value.encode())
            return None
        version = self._register.write(value.encode())
        return version.counter, version.writer

    def _read(self) -> tuple[Value, Version | None]:
        if isinstance(self._register, NotesRegister):
            _, value = self._register.read()
            return value.decode() or None, None
        held = self._register.read()
        if held == UNWRITTEN:
            return None, None
        return held.value.decode(), (held.version.counter, held.version.writer)


def register_for(
    protocol: str,
    replicas: Replicas,
    quorum: Quorum,
    timeout_s: float,
    choose: random.Random,
    **options: Any,
) -> Register | NotesRegister:
    """The full register, or the notes', over the same replicas. ``options``: of the full one."""
    if protocol == "notes":
        return NotesRegister(replicas, quorum, timeout_s=timeout_s)
    return Register(replicas, quorum, timeout_s=timeout_s, choose=choose, **options)
