"""A participant's own ephemeral znode: it is there as long as the session, and says what its owner does."""

from collections.abc import Callable
from contextlib import suppress

import eventlet
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from app.errors import Refused
from app.zookeeper import client as zk
from app.zookeeper.reconcile import Reconciler

# Several changes in a row are announced once, and the news of a value doesn't compete with the value on its
# way to the other copies.
_AFTER_S = 0.05
# No root: the run is over, or has not begun.
_NOT_NOW = (*zk.NO_REPLY, NoNodeError, Refused)


class Announcement:
    """Keeps ``path`` saying what ``describe`` returns: after each :meth:`wake`, and in each new session.

    Args:
        client: a connected client.
        path: the ephemeral znode; no other participant writes it.
        describe: the znode's bytes now; must return quickly, and may raise Refused.
        after_s: seconds between a change and its announcement, give or take a quarter.
    """

    def __init__(
        self, client: KazooClient, path: str, describe: Callable[[], bytes], *, after_s: float = _AFTER_S
    ) -> None:
        self._client = client
        self._path = path
        self._describe = describe
        self._after_s = after_s
        self._said: tuple[int | None, bytes] | None = None  # (session, bytes), as far as the store answered
        self._reconciler = Reconciler(client, path, self._announce, not_now=_NOT_NOW)

    def start(self) -> None:
        self._reconciler.start()

    def stop(self) -> None:
        """Announce nothing more. The session, and so the znode, is its owner's to end."""
        self._reconciler.stop()

    def wake(self) -> None:
        """What ``describe`` returns may have changed. Never blocks."""
        self._reconciler.wake()

    def _announce(self) -> None:
        eventlet.sleep(zk.jittered(self._after_s))
        saying = (zk.session_id(self._client), self._describe())
        if saying != self._said:
            self._said = None
            put_ephemeral(self._client, self._path, saying[1])
            self._said = saying


def put_ephemeral(client: KazooClient, path: str, data: bytes) -> None:
    """Set this session's ephemeral znode, creating it if need be.

    Raises one of zk.NO_REPLY; NoNodeError where there is no root to create it in (a run that has ended).
    """
    deadline = zk.Deadline(zk.STEP_S)
    session = zk.session_id(client)
    with suppress(NoNodeError):
        stat = zk.wait(client.set_async(path, data), deadline)
        if stat.ephemeralOwner == session:
            return
        # Left by our former session, and about to vanish with it: make it ours.
        zk.wait(client.delete_async(path), deadline)
    with suppress(NodeExistsError):
        zk.wait(client.create_async(path, data, ephemeral=True), deadline)
