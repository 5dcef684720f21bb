"""Eventual consistency: one configuration znode, and a copy of it in every pod.

Each pod keeps a copy, carried by kazoo's ``DataWatch``, and answers from it without asking anybody: fast,
available while ZooKeeper is out of reach, and possibly stale. Copies compare the zxid of the write that made
a value (``mzxid``): one order for all writes of the store. (The notes' ``global_app_config`` is our ``copy``,
``watch_global_config`` our ``hear``, ``master_push_update`` our ``publish``.)

Promised:
    * a copy never goes back while the store keeps its history: a client of one pod has monotonic reads
      (Terry et al., PDIS 1994, section 4);
    * if writes stop and sessions return, every copy comes to hold the last valid value (eventual convergence;
      Shapiro et al., SSS 2011; the store orders the writes, so copies have nothing to merge);
    * no update is lost: a publisher merges its change into the latest value, and writes the result only if
      that is still the latest.
Not promised: monotonic reads, or read-your-writes, for a client that publishes here and reads there.

Watches are one-shot and a session may miss some (Hunt et al., USENIX ATC 2010, section 2.1): that never
matters here, because a copy is read again on every event, every reconnect, and a slow jittered timer.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import eventlet
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.recipe.watchers import DataWatch
from pydantic import JsonValue

from app.consistency.engine.announcement import Announcement
from app.consistency.engine.configuration import INITIAL, encoded, parse, parse_leniently
from app.errors import InDoubt, Malformed, Refused
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import RECHECK_S, Reconciler

log = logging.getLogger(__name__)

__all__ = ["INITIAL", "ConfigReplica", "Copy", "DataWatch", "current_zxid", "encoded", "parse", "publish"]


# --- decisions: pure functions over values --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """What one pod holds: the value, and the zxid of the write that made it (-1: nothing yet)."""

    mzxid: int = -1
    value: Mapping[str, JsonValue] | None = None


def newer(held: Copy, offered: Copy) -> Copy:
    """Which of the two a copy holds from now on: never an older one; a tie changes nothing."""
    return offered if offered.mzxid > held.mzxid else held


def merged(current: Mapping[str, JsonValue], change: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """``current`` with ``change`` laid over it: keys that the change doesn't name are kept."""
    return {**current, **change}


def has_happened(expected: int, sent: bytes, found_version: int, found: bytes) -> bool | None:
    """Whether a conditional set without a reply was carried out, judged by what is there now.

    It was to replace znode version ``expected``, which only one write ever does. True: it was. False: it was
    not; while ``found_version`` is still ``expected`` it may be yet, and the same may be sent again, since
    one of the two must fail. None: later writes hide the answer.
    """
    if found_version <= expected:
        return False
    return found == sent if found_version == expected + 1 else None


# --- the copy in a pod ----------------------------------------------------------------------------------


class ConfigReplica:
    """One pod's copy of the configuration. Reading it asks nobody and never blocks.

    Args:
        client: a connected kazoo client, this participant's own.
        name: the participant; ``/nodes/<name>`` says which version it has applied.
        on_apply: called with each new Copy, in the order of application; must return quickly.
        refresh_s: seconds between two reads of the safety net, give or take a quarter.
        node: what ``/nodes/<name>`` says; by default, the version applied; ``announce()`` when it changes.

    Attributes:
        copy: what this pod believes now.
        applied_at: when the copy was last replaced, in seconds of this process's monotonic clock.
        rejected: why the newest value was not applied, if it wasn't.
        resets: how often the store had lost its history.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        *,
        on_apply: Callable[[Copy], None] = lambda copy: None,
        refresh_s: float = RECHECK_S,
        node: Callable[[Copy], bytes] = lambda copy: b'{"config_version":%d}' % copy.mzxid,
    ) -> None:
        self._client, self._name, self._on_apply = client, name, on_apply
        self._running = True  # from the beginning: a demo gives hear() to a DataWatch of its own
        self._watching: Any = None
        self._refreshing = Reconciler(client, f"{name}: refresh", self.refresh, recheck_s=refresh_s)
        self._announcement = Announcement(client, paths.node(name), lambda: node(self.copy))
        self.announce = self._announcement.wake
        self.copy = Copy()
        self._heard_at = self.applied_at = time.monotonic()
        self.rejected: str | None = None
        self.resets = 0

    def start(self) -> None:
        """Begin; returns with the first copy, or without one where ZooKeeper is slow to answer."""
        self._watching = eventlet.spawn(self._watch)
        with eventlet.Timeout(2 * zk.STEP_S, False):  # a sync, and a read
            self._watching.wait()
        self._refreshing.start()
        self._announcement.start()

    def stop(self) -> None:
        """Apply and announce nothing more. The client, and so the znode, is the caller's to end."""
        self._running = False
        self._refreshing.stop()
        self._announcement.stop()
        self._watching.kill()

    @property
    def silent_s(self) -> float:
        """Seconds since ZooKeeper last answered this copy (kazoo notices a lost connection seconds later)."""
        return time.monotonic() - self._heard_at

    def _watch(self) -> None:
        try:
            # A copy without a memory starts from what is current, not from what a follower that lags has.
            zk.wait(self._client.sync_async(paths.CONFIG), zk.Deadline(zk.STEP_S))
        except zk.NO_REPLY as error:
            log.info("%s: started unsynchronised: %r", self._name, error)
        # DataWatch calls hear() at once, on every change, and after every reconnect. Making one waits until
        # ZooKeeper answers, for as long as that takes: therefore this green thread.
        DataWatch(self._client, paths.CONFIG, self.hear)

    def hear(self, data: bytes | None, stat: Any, event: Any = None) -> bool:
        """Take what DataWatch brings: apply it if it is newer and valid. Never raises; False: no more."""
        del event
        self._heard_at = time.monotonic()
        offered = Copy(stat.mzxid if stat else -1)  # without a znode, the copy stays
        if self._running and data is not None and newer(self.copy, offered) is offered:
            self._apply(data, stat.mzxid)
        return self._running

    def _apply(self, data: bytes, mzxid: int) -> None:
        try:
            value = parse(data)
        except Malformed as error:
            self.rejected = str(error)
            log.warning("%s: keeping the last good one: %s", self._name, error)
            return
        self.copy, self.applied_at, self.rejected = Copy(mzxid, value), time.monotonic(), None
        self.announce()
        try:
            self._on_apply(self.copy)
        except Exception:  # which would cost the DataWatch this update
            log.exception("%s: on_apply failed", self._name)

    def refresh(self) -> None:
        """Read it from our server, and apply it if it is newer. Raises one of zk.NO_REPLY."""
        deadline = zk.Deadline(zk.STEP_S)
        data, stat = zk.get(self._client, paths.CONFIG, deadline) or (None, None)
        if stat and stat.mzxid < self.copy.mzxid:
            # A follower may lag; after sync() it doesn't. If the zxid is still older, the store has lost its
            # history, and the copy starts anew.
            told = self.copy.mzxid
            zk.wait(self._client.sync_async(paths.CONFIG), deadline)
            data, stat = zk.get(self._client, paths.CONFIG, deadline) or (None, None)
            if stat and stat.mzxid < told:
                self.resets += 1
                log.warning("%s: the store was reset (zxid %#x < %#x)", self._name, stat.mzxid, told)
                self.copy = replace(self.copy, mzxid=-1)
        self.hear(data, stat)


def current_zxid(client: KazooClient) -> int:
    """The zxid of the latest published value; -1 before the first one. Raises one of zk.NO_REPLY."""
    deadline = zk.Deadline(zk.STEP_S)
    zk.wait(client.sync_async(paths.CONFIG), deadline)
    return _read(client, deadline)[2]


# --- publishing -----------------------------------------------------------------------------------------


def publish(client: KazooClient, change: Mapping[str, JsonValue], *, timeout_s: float = 5.0) -> Copy:
    """Merge ``change`` into the configuration; returns what was written, with its zxid.

    A conditional set in a loop: if another publisher was first, it fails its version check; we read again and
    merge. After a lost connection the znode is read back before anything is sent again.

    Raises:
        Malformed: the result would not be a valid configuration; nothing was written.
        Refused: it is too large for a znode, or ``timeout_s`` seconds passed; nothing was written.
        InDoubt: a write got no reply in that time, or later writes hide whether ours was among them.
    """
    deadline = zk.Deadline(timeout_s)
    message = f"no answer whether {dict(change)} was published: read the configuration, then publish again"
    doubt = InDoubt(message, ask_again=dict(change))
    # A write that may have happened, or may happen yet: (the znode version that it replaces, its bytes).
    unanswered: tuple[int, bytes] | None = None
    while True:
        attempt = unanswered
        try:
            data, version, mzxid = _read(client, deadline)
            if unanswered:
                happened = has_happened(*unanswered, version, data)
                if happened:
                    return Copy(mzxid, parse(data))
                if happened is None:
                    raise doubt
            # If nothing has changed, this is the same write again; if something has, ours never happens.
            attempt = (version, encoded(merged(parse_leniently(data), change)))
            stat = _write(client, *attempt, deadline)
            return Copy(stat.mzxid, parse(attempt[1]))
        except (BadVersionError, NodeExistsError, NoNodeError):
            # Somebody was first: another publisher, or our own unanswered write, repeated here.
            unanswered = unanswered if unanswered == attempt else None
        except zk.NO_REPLY as error:
            unanswered = attempt
            if deadline.passed or not zk.wait_connected(client, deadline):
                if unanswered:
                    raise doubt from error
                message = f"ZooKeeper didn't answer, so {dict(change)} was not published: try again later"
                raise Refused(message) from error


def _read(client: KazooClient, deadline: zk.Deadline) -> tuple[bytes, int, int]:
    """(bytes, znode version, mzxid) of the configuration; version -1 where there is none yet."""
    found = zk.get(client, paths.CONFIG, deadline)
    return (found[0], found[1].version, found[1].mzxid) if found else (encoded(INITIAL), -1, -1)


def _write(client: KazooClient, expected: int, data: bytes, deadline: zk.Deadline) -> Any:
    """Write only over znode version ``expected`` (-1: only where there is no znode): no update is lost."""
    if expected >= 0:
        return zk.wait(client.set_async(paths.CONFIG, data, version=expected), deadline)
    created = client.create_async(paths.CONFIG, data, makepath=True, include_data=True)
    return zk.wait(created, deadline)[1]
