"""Follows ``/jobs`` by a watch, and has each transaction copied by itself: its trouble harms no other."""

import logging
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import queue
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

from app.errors import Malformed, PayloadUnavailable
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# Copies made at the same time: one bad or slow payload never holds up the next.
_COPIERS = 8


class Follower:
    """Calls ``copy`` with each transaction's id when it is new, and again when its watch fires.

    Args:
        client: a connected client; after a reconnect everything is looked at again.
        name: for the log.
        copy: may raise one of zk.NO_REPLY (it is called again), Malformed, OSError or PayloadUnavailable;
            leaves :attr:`wake` as its watch.
    """

    def __init__(self, client: KazooClient, name: str, copy: Callable[[str], None]) -> None:
        self._client = client
        self._name = name
        self._copy = copy
        self._seen: set[str] = set()
        self._copiers = eventlet.GreenPool(_COPIERS)
        self._inbox: Any = queue.LightQueue()
        self._thread: Any = None
        self.wake: Callable[[Any], None] = self._inbox.put

    def start(self) -> None:
        """Begin by looking through all of it once: a restart finds what it missed."""
        self._client.add_listener(self._on_state)
        self._thread = eventlet.spawn(self._follow)
        self.wake(None)

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        for thread in [self._thread, *self._copiers.coroutines_running]:
            if thread is not None:
                eventlet.kill(thread)

    def take(self, children: list[str]) -> None:
        """Copy what is new among these ids; returns before that is done."""
        self._seen.intersection_update(children)
        for job_id in paths.usable(children):
            if job_id not in self._seen:
                self._seen.add(job_id)
                self._copiers.spawn_n(self._one, job_id)

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._seen.clear()  # watches and ACKs may have been lost with the connection
            self.wake(None)

    def _follow(self) -> None:
        while True:
            event = self._inbox.get()
            try:
                if event is not None and event.path and event.path != paths.JOBS:
                    self._copiers.spawn_n(self._one, event.path.split("/")[2])
                else:
                    asked = self._client.get_children_async(paths.JOBS, watch=self.wake)
                    self.take(zk.wait(asked, zk.Deadline(zk.STEP_S)))
            except zk.NO_REPLY as error:
                log.info("%s: %r; looking again", self._name, error)
                self._look_again()

    def _look_again(self) -> None:
        """At once if the answer was only late; else the next connection makes us look."""
        if self._client.connected:
            self.wake(None)

    def _one(self, job_id: str) -> None:
        try:
            self._copy(job_id)
        except zk.NO_REPLY as error:
            log.info("%s: %s not copied yet: %r", self._name, job_id, error)
            self._seen.discard(job_id)
            self._look_again()
        except Malformed as error:
            log.error("%s: %s left alone: %s", self._name, job_id, error)
        except (OSError, PayloadUnavailable) as error:
            log.error("%s: %s can't be kept, so it isn't acknowledged: %s", self._name, job_id, error)


def catch_up(client: KazooClient, name: str, keep: Callable[[str], None]) -> None:
    """Call ``keep`` for every transaction there is; one that can't be read is left alone.

    Raises what ``keep`` raises otherwise, or one of zk.NO_REPLY.
    """
    deadline = zk.Deadline(zk.STEP_S)
    zk.wait(client.sync_async(paths.JOBS), deadline)
    for job_id in paths.usable(zk.wait(client.get_children_async(paths.JOBS), deadline)):
        try:
            keep(job_id)
        except Malformed as error:
            log.error("%s: %s left alone: %s", name, job_id, error)
