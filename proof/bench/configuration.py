"""Eventual consistency: from ``publish`` to the moment when five copies have applied it.

The floor is what five copies can't do without, in one process as ours: a get by the publisher (so that two at
once lose nothing), a set, five watches that fire, five gets. What the protocol adds is parsing, comparing
versions, and announcing what has been applied.

A second row compares the same with much less, a yardstick and no floor: one raw set, until one raw watch
fires in one other session, which then knows that something has changed, but not what. It says how many times
as long as the shortest possible word from one process to another five whole copies take.

Beside it, the notes' publisher, whose blind set is heard by the same five copies.
"""

from collections.abc import Callable
from itertools import count, cycle
from typing import Any

from eventlet import queue
from pydantic import JsonValue

from app.consistency.as_in_the_notes import BlindPublisher
from app.consistency.eventual import ConfigReplica, publish
from proof.bench.measuring import Row, Watch, in_turn
from proof.bench.sessions import STEP_S, Sessions, done

TARGET = 2.0
NOTES = (
    "no read before the write and no version with it: of two publishers at once, one change is lost; it "
    "makes sure of the path instead, so it saves no time"
)
COPIES = 5
_FLOOR = "/floor-config"
_VALUE = b'{"chunk_size": 2}'


def measure(hosts: str, samples: int) -> list[Row]:
    with Sessions(hosts) as sessions:
        publisher = sessions.open()
        listeners = [sessions.open() for _ in range(COPIES)]
        copies = Copies(publisher, listeners, sessions)
        floor = Floor(publisher, listeners)
        kinds = [copies.ours, floor.five, floor.one, copies.notes]
        ours, five, one, notes = in_turn(kinds, samples)
    return [
        Row("configuration: five copies converged", ours, five, TARGET, notes, NOTES),
        Row("configuration: five copies / one raw set and event", ours, one, TARGET),
    ]


class Copies:
    """Five copies, and two publishers."""

    def __init__(self, publisher: Any, listeners: list[Any], sessions: Sessions) -> None:
        self._publisher = publisher
        self._applied: Any = queue.LightQueue()
        self._chunk_sizes = cycle(range(1, 1_000_000))
        publish(publisher, {"chunk_size": next(self._chunk_sizes)})
        for number, listener in enumerate(listeners, 1):
            sessions.started(ConfigReplica(listener, f"pod-{number}", on_apply=self._applied.put))
        self._blind = BlindPublisher(publisher)
        self._blind.read()

    def ours(self, watch: Watch) -> None:
        self._converged(watch, lambda change: publish(self._publisher, change).mzxid)

    def notes(self, watch: Watch) -> None:
        self._converged(watch, self._blind.push)

    def _converged(self, watch: Watch, act: Callable[[dict[str, JsonValue]], int]) -> None:
        while not self._applied.empty():
            self._applied.get()
        with watch.timing():
            mzxid = act({"chunk_size": next(self._chunk_sizes)})
            for _ in range(COPIES):
                while self._applied.get(timeout=STEP_S).mzxid != mzxid:
                    pass  # an older one, late


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
