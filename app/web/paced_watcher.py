"""Reading znodes while a page is open: when a watch fires, and at a measured pace."""

import time
from collections.abc import Callable
from typing import Any

import eventlet

from app.zookeeper import client as zk
from app.zookeeper.reconcile import Reconciler

# Among the paths that have changed: any may have. A connection that is lost takes all watches with it, and
# kazoo calls them without a path.
_ALL = ""


class PacedWatcher:
    """Looks at once when something has changed, but not more often than a person can follow.

    Args:
        look: gets the paths that have changed, none if all of it is to be looked at; leaves :meth:`changed`
            as the watch on what it has seen. May raise one of zk.NO_REPLY.
        pause_s: between two looks. Changes meanwhile are one look.
    """

    def __init__(self, client: Any, what: str, look: Callable[[set[str]], None], pause_s: float) -> None:
        self._look = look
        self._pause_s = pause_s
        self._paths: set[str] = set()
        self._waking = False
        self._looked_at = 0.0
        self._reconciler = Reconciler(client, what, self._paced)

    def start(self) -> None:
        self._paths = {_ALL}
        self._reconciler.start()

    def stop(self) -> None:
        self._reconciler.stop()
        self._waking = False

    def changed(self, event: Any) -> None:
        """A watch's callback: never blocks. Several in a row wake once."""
        self._paths.add(event.path or _ALL)
        if not self._waking:
            self._waking = True
            self._reconciler.wake()

    def _paced(self) -> None:
        eventlet.sleep(max(0.0, self._looked_at + self._pause_s - time.monotonic()))
        paths, self._paths = self._paths, set()
        self._waking = False
        try:
            self._look(set() if _ALL in paths else paths)
        except zk.NO_REPLY:
            self._paths.add(_ALL)  # whatever else changes until then
            raise
        self._looked_at = time.monotonic()
