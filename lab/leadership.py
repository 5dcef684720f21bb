"""Which worker leads, as /epoch says, for the forwarder."""

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Self

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.states import ZnodeStat

from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.errors import Malformed
from app.zookeeper import paths

# Two thirds of it pass before a server that is paused is given up and another is asked.
SESSION_S = 4.0
# kazoo never gives up: a server that has lost its data, or an answer out of turn, can silence a client for
# good. A new one always gets through.
RENEW_AFTER_S = 10.0
LONGEST_PAUSE_S = 1.0  # between two attempts to connect
ANSWER_S = 2.0

log = logging.getLogger(__name__)
# A paused or killed server is the lesson, and no news: kazoo's warnings are shown on request.
_kazoo_log = logging.getLogger(f"{__name__}.kazoo")
_kazoo_log.addHandler(logging.NullHandler())


class Leadership:
    """Follows /epoch for the length of a with statement. The threads are kazoo's."""

    def __init__(self, zk_hosts: str, on_change: Callable[[str | None], None]) -> None:
        self.epoch: Epoch = NO_EPOCH
        self._zk_hosts = zk_hosts
        self._on_change = on_change  # called with the leader's name; from kazoo's threads, too
        self._buried: str | None = None

    def __enter__(self) -> Self:
        self._client = self._new_client()
        return self

    def __exit__(self, *exc: object) -> None:
        _dispose(self._client)

    @property
    def connected(self) -> bool:
        return bool(self._client.connected)

    def leader(self) -> str | None:
        """Its name, or None if the one that /epoch names is known to be dead."""
        return None if self.epoch.primary_seat == self._buried else self.epoch.primary

    def bury(self, pod: str) -> None:
        """This process has ended. One of the same name leads only when /epoch says so anew."""
        if self.epoch.primary == pod:
            self._buried = self.epoch.primary_seat
            self._on_change(self.leader())

    def tend(self) -> None:
        """Replace a client that has been without a server for long."""
        if self.connected:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > RENEW_AFTER_S:
            _dispose(self._client)
            self._client = self._new_client()

    def unsettled(self, pods: Collection[str]) -> str | None:
        """What is missing for a primary and a backup (if there can be one) among these; None: nothing."""
        epoch = self.epoch
        if not self.connected:
            return f"no ZooKeeper answers on {self._zk_hosts}"
        if epoch.primary not in pods:
            return f"{epoch.primary or 'no worker'} leads"
        if len(pods) > 1 and epoch.backup not in pods:
            return f"{epoch.primary} leads without a backup"
        # An epoch outlives its owners: on servers that aren't ours it may be of an earlier run.
        seats = {epoch.primary_seat, epoch.backup_seat} - {None}
        try:
            taken = set(self._client.get_children_async(paths.ELECTION).get(timeout=ANSWER_S))
        except (KazooException, self._client.handler.timeout_exception) as exc:
            return f"ZooKeeper doesn't list the live workers ({type(exc).__name__})"
        return None if seats <= taken else f"{epoch.primary} no longer leads"

    def _new_client(self) -> Any:
        retry = {"max_tries": -1, "max_delay": LONGEST_PAUSE_S}
        client = KazooClient(self._zk_hosts, timeout=SESSION_S, connection_retry=retry, logger=_kazoo_log)
        self._heard = time.monotonic()
        client.DataWatch(paths.EPOCH, self._seen)  # it looks as soon as there is a connection
        client.start_async()
        return client

    def _seen(self, data: bytes | None, stat: ZnodeStat | None, event: object = None) -> None:
        """Always return: kazoo drops a watch when its function raises."""
        if data is None or stat is None:
            self.epoch = NO_EPOCH
        else:
            try:
                self.epoch = Epoch.from_znode(data, stat.version)
            except Malformed as exc:
                log.warning("%s", exc)
                return
        self._on_change(self.leader())


def _dispose(client: Any) -> None:
    with suppress(KazooException, OSError):  # it may be broken already: that is no reason to stay
        client.stop()
        client.close()
