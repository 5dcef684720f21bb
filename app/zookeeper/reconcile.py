"""Following something in the store: look when a watch says so, when the connection changes, and now and then.

Watches are one-shot, and a session may miss some (Hunt et al., USENIX ATC 2010, section 2.1). So nothing here
relies on them: a follower looks at all of it each time, and a slow jittered timer is the safety
net. A look without a reply is taken again soon: where the request of an expired session fails after the
new one is connected, no event follows.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import queue
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# Seconds between two looks of the safety net, give or take a quarter: what a missed watch costs at worst.
RECHECK_S = 30.0
# Seconds after a look that got no reply; and after one that met an unforeseen error.
RETRY_S = 0.5
_TROUBLE_S = 3.0
# A lost connection, and a store that has moved on.
_ROUTINE = (*zk.NO_REPLY, zk.TransactionFailed, NoNodeError)


class Reconciler:
    """Looks, in a green thread of its own, from :meth:`start` to :meth:`stop`.

    Args:
        client: looks are taken only while it is connected.
        what: for the log.
        look: leaves :meth:`wake` as the watch on what it has seen. It may raise what ``not_now`` names; after
            any other error, which is logged with its traceback, it is called again as well.
        not_now: what may pass by itself.
        recheck_s, retry_s: seconds until the next look if nothing wakes it: after a look that has ended well,
            and after what ``not_now`` names.
        away: called instead of ``look`` while the client is not connected.
    """

    def __init__(
        self,
        client: KazooClient,
        what: str,
        look: Callable[[], None],
        *,
        not_now: tuple[type[Exception], ...] = zk.NO_REPLY,
        recheck_s: float = RECHECK_S,
        retry_s: float = RETRY_S,
        away: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._what = what
        self._look = look
        self._not_now = not_now
        self._recheck_s, self._retry_s = recheck_s, retry_s
        self._away = away
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

    @property
    def woken(self) -> bool:
        """Whether something has changed since the look under way began: the next one follows at once."""
        return bool(self._awake.qsize())

    def _follow(self) -> None:
        while True:
            seconds = self._step()
            with suppress(queue.Empty):
                self._awake.get(timeout=zk.jittered(seconds))
                while self._awake.qsize():  # one look sees all of what has changed
                    self._awake.get()

    def _step(self) -> float:
        """Look once; the seconds after which to look again."""
        try:
            if self._client.connected:
                self._look()
            else:
                self._away()
        except self._not_now as error:
            log.log(
                logging.INFO if isinstance(error, _ROUTINE) else logging.WARNING,
                "%s: not now: %r",
                self._what,
                error,
            )
        except Exception:
            # A follower that ends is not missed until it is needed.
            log.exception("%s: again in a while", self._what)
            return _TROUBLE_S
        else:
            return self._recheck_s
        return self._retry_s
