"""Virtual time: nothing here waits, the clock is set to the next thing that is due.

Every source of chance answers from the run's seed, so that the same seed is the same run: the clocks, the
random numbers, the ids. What happens at the same moment happens in the order in which it was asked for;
eventlet's own hub orders such timers by their addresses in memory.
"""

import heapq
import os
import random
import select
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import eventlet
from eventlet import event, greenpool, hubs, queue, tpool
from eventlet.hubs.hub import BaseHub

# The wall clock's time at the beginning of every run, in seconds: always the same, and before any real file's
# date, so that nothing that this run writes looks old to it.
_BEGINNING_S = 1_500_000_000.0
# A run of a world is some 100,000 steps. What takes so many more goes round in a circle.
MOST_STEPS = 5_000_000
# What a call in a thread of its own takes (tpool), in seconds: a small file's fsync.
_THREAD_S = (0.0002, 0.004)


class Stuck(Exception):
    """Everybody waits, and nothing is due any more; or time stands still."""


class Process:
    """Green threads that stop, go on and die together: a process of the system under test.

    A timer belongs to the process in whose name it was set, and so does all that runs when it is due. What
    is dead keeps its timers: a green thread that nobody refers to would be unwound, and would act once more.
    """

    def __init__(self) -> None:
        self.is_held = self.is_dead = False
        self._timers: list[Any] = []

    def hold(self) -> None:
        """It stops, as by SIGSTOP."""
        self.is_held = True

    def go_on(self) -> None:
        """What was due meanwhile is due now, in its order."""
        self.is_held = False
        timers, self._timers = self._timers, []
        for timer in timers:
            hubs.get_hub().add_again(timer, self)

    def kill(self) -> None:
        """It never does anything any more."""
        self.is_dead = True

    def run(self, act: Callable[..., Any], *args: Any) -> Any:
        """A green thread of this process."""
        with acting(self):
            return eventlet.spawn(act, *args)

    def keeps(self, timer: Any) -> bool:
        """Whether what is due must not happen now."""
        if self.is_held or self.is_dead:
            self._timers.append(timer)
        return self.is_held or self.is_dead


class Ordered(dict[Any, None]):
    """A set that remembers the order: those of kazoo and eventlet are ordered by addresses in memory."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        super().pop(item, None)

    def remove(self, item: Any) -> None:
        del self[item]

    def pop(self) -> Any:  # type: ignore[override]  # as a set's; the oldest
        item = next(iter(self))
        del self[item]
        return item


class Hub(BaseHub):  # type: ignore[misc]  # eventlet has no annotations
    """eventlet's hub, of green threads that only ever wait for each other and for time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(clock=self._clock)
        self.acting: Process | None = None  # in whose name things happen now; None: the world's
        self._agenda: list[tuple[float, int, Any, Process | None]] = []
        self._number = 0
        self._read_ns = 0
        self.most_steps: int | None = MOST_STEPS

    def _clock(self) -> float:
        return self.now_s

    def add_timer(self, timer: Any) -> float:
        due: float = self.now_s + max(0.0, timer.seconds)
        self._number += 1
        heapq.heappush(self._agenda, (due, self._number, timer, self.acting))
        return due

    def add_again(self, timer: Any, process: Process) -> None:
        """One that was due while its process stood still."""
        self._number += 1
        heapq.heappush(self._agenda, (self.now_s, self._number, timer, process))

    def timer_canceled(self, timer: Any) -> None:
        """It is left where it is, and passed over when its time comes."""

    @staticmethod
    def is_available() -> bool:
        return True

    def wait(self, seconds: float | None = None) -> None:
        """For a person's Enter, and for no socket: until then time passes no faster than the real one."""
        readers = self.listeners[self.READ]
        for number in select.select(list(readers), [], [], seconds)[0]:
            readers[number].cb(number)

    def run(self, *_: Any, **__: Any) -> None:
        self.running, self.stopping = True, False
        while not self.stopping:
            if not self._agenda or (self.most_steps is not None and self._number > self.most_steps):
                # Thrown into the main green thread, which waits for one that never ends.
                self.greenlet.parent.throw(Stuck("everybody waits" if not self._agenda else "too many steps"))
            if self.listeners[self.READ]:
                self.wait(self._agenda[0][0] - self.now_s)
            due, _number, timer, self.acting = heapq.heappop(self._agenda)
            if not timer.called:
                self.now_s = due
                if self.acting is not None and self.acting.keeps(timer):
                    continue
                try:
                    timer()
                except self.SYSTEM_EXCEPTIONS:
                    raise
                except AssertionError as error:
                    self.greenlet.parent.throw(error)  # the simulation is at fault: nothing is decided
                except Exception:  # noqa: BLE001 (of a thread without a waiter: as eventlet's own hub)
                    self.squelch_timer_exception(timer, sys.exc_info())
        self.running = False

    def monotonic_ns(self) -> int:
        """Later at each look, if only by a nanosecond: of two looks one was first, and a checker may know."""
        self._read_ns = max(self._read_ns + 1, round(self.now_s * 1e9))
        return self._read_ns


def begin(seed: int) -> Hub:
    """From now on this process lives in virtual time, at 0, and its chance comes from ``seed``.

    Once in a process, and for good: a run shares nothing with another one.
    """
    hubs.use_hub(Hub)
    hub: Hub = hubs.get_hub()
    _set_clocks(hub)
    _set_chance(seed)
    tpool.execute = _execute
    return hub


def after(seconds: float, act: Callable[..., object], *args: Any) -> Any:
    """Call ``act`` in ``seconds``, outside of any green thread: it must not wait. Has ``cancel()``."""
    return hubs.get_hub().schedule_call_global(seconds, act, *args)


def now_s() -> float:
    """Seconds since the run began."""
    return float(hubs.get_hub().clock())


@contextmanager
def acting(process: Process | None) -> Iterator[None]:
    """What is begun in the block belongs to ``process``; None: to none, so that it outlives all of them."""
    hub = hubs.get_hub()
    before, hub.acting = hub.acting, process
    try:
        yield
    finally:
        hub.acting = before


def _set_clocks(hub: Hub) -> None:
    time.monotonic = lambda: hub.now_s
    time.perf_counter = lambda: hub.now_s
    time.monotonic_ns = hub.monotonic_ns
    time.time = lambda: _BEGINNING_S + hub.now_s
    time.time_ns = lambda: round((_BEGINNING_S + hub.now_s) * 1e9)
    time.sleep = eventlet.sleep  # a job's, in what would be a thread of its own


def _set_chance(seed: int) -> None:
    chance = random.Random(f"chance {seed}")

    class Random(random.Random):
        """Without a seed of its own it takes one from the run's."""

        def __init__(self, seed: Any = None) -> None:
            super().__init__(chance.getrandbits(64) if seed is None else seed)

    random.seed(chance.getrandbits(64))
    random.Random = Random  # type: ignore[assignment, misc]  # for all that are made from now on
    os.urandom = chance.randbytes
    uuid.uuid4 = lambda: uuid.UUID(int=chance.getrandbits(128), version=4)
    tempfile._name_sequence = _names(chance)  # type: ignore[attr-defined]  # noqa: SLF001 (it has no seam)
    for module in (event, greenpool, queue):
        module.set = Ordered


def _names(chance: random.Random) -> Iterator[str]:
    """Of temporary files."""
    while True:
        yield f"{chance.getrandbits(32):08x}"


def _execute(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What eventlet does in a thread: others run before it, and before its caller has the result."""
    eventlet.sleep(random.uniform(*_THREAD_S))
    try:
        return function(*args, **options)
    finally:
        eventlet.sleep(random.uniform(*_THREAD_S))
