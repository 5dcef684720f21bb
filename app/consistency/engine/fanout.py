"""Ask several replicas at once, and take their answers as they come: no one waits for the slowest."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import eventlet
from eventlet import queue

from app.zookeeper import client as zk

T = TypeVar("T")

# After this many seconds without a reply the rest are asked too. Some ten times a usual reply, so that it
# costs nothing while all is well.
_HEDGE_S = 0.05
# Green threads that may wait for replies at once; each ends at its call's deadline, so few ever do.
_MOST_WAITING = 10_000


class FanOut:
    """Asks replicas in green threads, one for each question.

    Args:
        replicas: their numbers.
        choose: the source of the random order in which they are asked.
    """

    def __init__(self, replicas: Iterable[int], choose: random.Random) -> None:
        self._choose = choose
        self._owed = dict.fromkeys(replicas, 0)  # replica -> replies that have yet to come
        # The threads may outlive a call: a slow replica's reply, which no call waits for any more.
        self._pool = eventlet.GreenPool(_MOST_WAITING)

    def preference(self) -> list[int]:
        """All replicas in random order, but those that still owe a reply last: they are slow, or cut off."""
        order = list(self._owed)
        self._choose.shuffle(order)
        return sorted(order, key=lambda index: self._owed[index] > 0)

    def replies(
        self,
        ask: Callable[[int], T],
        order: Sequence[int],
        deadline: zk.Deadline,
        *,
        first: int | None = None,
        good: Callable[[T], bool] = lambda reply: True,
    ) -> Iterator[tuple[int, T]]:
        """Yield (replica, reply) as replies come, until all of ``order`` replied or the deadline passes.

        With ``first``, only so many are asked at once, and the others as soon as one of them is slow, or
        replies with something that is not ``good``.
        """
        now = len(order) if first is None else first
        spare = list(order[now:])
        replied: Any = queue.LightQueue()
        self._start(order[:now], ask, replied)
        for _ in order:
            reply = self._next(replied, zk.Deadline(min(_HEDGE_S, deadline.left_s)) if spare else deadline)
            if spare and (reply is None or not good(reply[1])):
                self._start(spare, ask, replied)
                spare = []
                reply = reply or self._next(replied, deadline)
            if reply is None:
                return
            yield reply

    def _next(self, replied: Any, deadline: zk.Deadline) -> Any:
        try:
            return replied.get(timeout=deadline.left_s)
        except queue.Empty:
            return None

    def _start(self, indices: Sequence[int], ask: Callable[[int], T], replied: Any) -> None:
        def one(index: int) -> None:
            try:
                replied.put((index, ask(index)))
            finally:
                self._owed[index] -= 1

        for index in indices:
            self._owed[index] += 1
            self._pool.spawn_n(one, index)

    def close(self) -> None:
        """End the threads that still wait for a slow replica: what they have yet to send isn't sent."""
        for thread in list(self._pool.coroutines_running):
            eventlet.kill(thread)
