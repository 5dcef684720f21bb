"""Eventual consistency: from ``publish`` to the moment when five copies have applied it. Two floors:

    heard by one        one raw set, until one raw watch fires in one other session, which then knows that
                        something has changed, but not what: the least by which one process tells another
    heard by five       what five copies can't do without, in this process as ours: a get by the publisher (so
                        that two at once lose nothing), a set, five watches that fire, five gets

The first says what a person waits for. The second says what the protocol adds: parsing, comparing versions,
and announcing what has been applied.
"""

from itertools import count, cycle
from typing import Any

from eventlet import queue

from app.consistency.eventual import ConfigReplica, publish
from lab.bench.measuring import Row, Watch, in_turn
from lab.bench.sessions import STEP_S, Sessions, done

TARGET_ONE = 2.0
TARGET_FIVE = 1.5
COPIES = 5
_FLOOR = "/floor-config"
_VALUE = b'{"chunk_size": 2}'


def measure(sessions: Sessions, samples: int) -> list[Row]:
    publisher = sessions.open()
    listeners = [sessions.open() for _ in range(COPIES)]
    applied: Any = queue.LightQueue()
    publish(publisher, {"chunk_size": 1})
    for number, listener in enumerate(listeners, 1):
        sessions.started(ConfigReplica(listener, f"pod-{number}", on_apply=applied.put))
    chunk_sizes = cycle(range(1, 1_000_000))

    def ours(watch: Watch) -> None:
        while not applied.empty():
            applied.get()
        with watch.timing():
            published = publish(publisher, {"chunk_size": next(chunk_sizes)})
            for _ in listeners:
                while applied.get(timeout=STEP_S).mzxid != published.mzxid:
                    pass  # an older one, late

    floor = Floor(publisher, listeners)
    return [
        in_turn("configuration: five copies / heard by one", TARGET_ONE, ours, floor.one, samples),
        in_turn("configuration: five copies / heard by five", TARGET_FIVE, ours, floor.five, samples),
    ]


class Floor:
    """Raw sets, raw watches."""

    def __init__(self, publisher: Any, listeners: list[Any]) -> None:
        self._publisher = publisher
        self._listeners = listeners
        self._turn = count()
        self._heard: Any = queue.LightQueue()
        done(publisher.create_async(_FLOOR))

    def one(self, watch: Watch) -> None:
        listener = self._listeners[next(self._turn) % COPIES]  # each on its server
        done(listener.get_async(_FLOOR, watch=self._heard.put))
        with watch.timing():
            done(self._publisher.set_async(_FLOOR, _VALUE))
            self._heard.get(timeout=STEP_S)

    def five(self, watch: Watch) -> None:
        for listener in self._listeners:
            done(listener.get_async(_FLOOR, watch=lambda event, its=listener: self._heard.put(its)))
        with watch.timing():
            done(self._publisher.get_async(_FLOOR))
            published = self._publisher.set_async(_FLOOR, _VALUE)
            gets = [self._heard.get(timeout=STEP_S).get_async(_FLOOR) for _ in self._listeners]
            for result in (published, *gets):
                done(result)
