"""Virtual time: nothing here waits, the clock is set to the next thing that is due.

Every source of chance answers from the run's seed, so that the same seed is the same run: the clocks, the
random numbers, the ids. What happens at the same moment happens in the order in which it was asked for;
eventlet's own hub orders such timers by their addresses in memory.
"""

import heapq
import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import hubs, tpool
from eventlet.hubs.hub import BaseHub

# The wall clock's time at the beginning of every run, in seconds: any will do, if it is always the same.
_BEGINNING_S = 1_800_000_000.0
# A run of a world is some 100,000 steps. What takes so many more goes round in a circle.
MOST_STEPS = 5_000_000
# What a call in a thread of its own takes (tpool), in seconds: a small file's fsync.
_THREAD_S = (0.0002, 0.004)


class Stuck(Exception):
    """Everybody waits, and nothing is due any more; or time stands still."""


class Hub(BaseHub):  # type: ignore[misc]  # eventlet has no annotations
    """eventlet's hub, of green threads that only ever wait for each other and for time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(clock=self._clock)
        self._agenda: list[tuple[float, int, Any]] = []
        self._number = 0
        self._read_ns = 0

    def _clock(self) -> float:
        return self.now_s

    def add_timer(self, timer: Any) -> float:
        due: float = self.now_s + max(0.0, timer.seconds)
        self._number += 1
        heapq.heappush(self._agenda, (due, self._number, timer))
        return due

    def timer_canceled(self, timer: Any) -> None:
        """It is left where it is, and passed over when its time comes."""

    def wait(self, seconds: float | None = None) -> None:
        raise Stuck("nothing here waits for a socket")

    def run(self, *_: Any, **__: Any) -> None:
        self.running, self.stopping = True, False
        while not self.stopping:
            if not self._agenda or self._number > MOST_STEPS:
                # Thrown into the main green thread, which waits for one that never ends.
                self.greenlet.parent.throw(Stuck("everybody waits" if not self._agenda else "too many steps"))
            due, _number, timer = heapq.heappop(self._agenda)
            if not timer.called:
                self.now_s = due
                try:
                    timer()
                except self.SYSTEM_EXCEPTIONS:
                    raise
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


def _set_clocks(hub: Hub) -> None:
    time.monotonic = lambda: hub.now_s
    time.perf_counter = lambda: hub.now_s
    time.monotonic_ns = hub.monotonic_ns
    time.time = lambda: _BEGINNING_S + hub.now_s
    time.time_ns = lambda: round((_BEGINNING_S + hub.now_s) * 1e9)


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


def _execute(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What eventlet does in a thread: others run before it, and before its caller has the result."""
    eventlet.sleep(random.uniform(*_THREAD_S))
    try:
        return function(*args, **options)
    finally:
        eventlet.sleep(random.uniform(*_THREAD_S))
