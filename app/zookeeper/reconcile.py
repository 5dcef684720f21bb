"""Following something in the store: look when a watch says so, when the connection changes, and now and then.

Watches are one-shot, and a session may miss some (Hunt et al., USENIX ATC 2010, section 2.1). So nobody here
relies on them: who follows something looks at all of it each time, and a slow jittered timer is the safety
net. A look that nobody answered is taken again soon: where the request of an expired session fails after the
new one is connected, no event follows.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import queue
from kazoo.client import KazooClient

from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# Seconds between two looks of the safety net, give or take a quarter: what a missed watch costs at worst.
RECHECK_S = 30.0
# After a look that nobody answered.
_RETRY_S = 0.5


class Reconciler:
    """Looks, in a green thread of its own, from :meth:`start` to :meth:`stop`.

    Args:
        client: looks are taken only while it is connected.
        what: for the log.
        look: may raise what ``not_now`` names; leaves :meth:`wake` as the watch on what it has seen.
        not_now: what may pass by itself.
    """

    def __init__(
        self,
        client: KazooClient,
        what: str,
        look: Callable[[], None],
        *,
        not_now: tuple[type[Exception], ...] = zk.NO_REPLY,
    ) -> None:
        self._client = client
        self._what = what
        self._look = look
        self._not_now = not_now
        self._awake: Any = queue.LightQueue()
        self._thread: Any = None

    def start(self) -> None:
        self._client.add_listener(self.wake)
        self._thread = eventlet.spawn(self._follow)

    def stop(self) -> None:
        """Look no more. What the session holds is its owner's to end."""
        self._client.remove_listener(self.wake)
        if self._thread is not None:
            self._thread.kill()

    def wake(self, *_: object) -> None:
        """Something has changed, or may have: never blocks, so that a watch may call it."""
        self._awake.put(None)

    def _follow(self) -> None:
        while True:
            again_s = RECHECK_S
            if self._client.connected:
                try:
                    self._look()
                except self._not_now as error:
                    again_s = _RETRY_S
                    log.info("%s: %r; again soon", self._what, error)
            with suppress(queue.Empty):
                self._awake.get(timeout=zk.jittered(again_s))
