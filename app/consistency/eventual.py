"""Eventual consistency: one configuration znode, and a copy of it in every pod.

Each pod keeps a copy, carried by kazoo's ``DataWatch``, and answers from it without asking anybody: fast,
available while ZooKeeper is out of reach, and possibly stale. The version of a value is the zxid of the
write that made it (``mzxid``), one order for the whole store.

Promised:
    * if writes stop and sessions return, all copies hold the last value (eventual convergence; Shapiro
      et al., SSS 2011, "strong eventual consistency" without the need to merge, since the store orders);
    * each copy is monotonic: a newer value is never replaced by an older one (monotonic reads; Terry
      et al., PDIS 1994, section 4);
    * two publishers at once lose nothing: a change is merged by a conditional set.
Not promised: read-your-writes across copies. Who publishes here and reads there may see the old value.

Watches are one-shot and a session may miss some (Hunt et al., USENIX ATC 2010, section 2.1): that never
matters here, because a copy is read again on every event, every reconnect, and a slow jittered timer.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import eventlet
from eventlet import queue
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState
from kazoo.recipe.watchers import DataWatch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from app.errors import InDoubt, Malformed, Refused
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

INITIAL = {"chunk_size": 1024}

# The safety net under the watches: at worst a missed one costs this long.
REFRESH_S = 30.0
# One read of the configuration; a server that takes longer counts as silent.
_READ_DEADLINE_S = 2.0
# A copy announces what it has applied after this pause, give or take a quarter: several changes in a row are
# announced once, and the news of a value doesn't compete with the value on its way to the other copies.
_ANNOUNCE_AFTER_S = 0.05
# How long starting a copy waits for its first value: a sync, and a read.
_START_S = 2 * _READ_DEADLINE_S


class Parameters(BaseModel):
    """The keys that the worker knows, with their ranges. Keys that it doesn't know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    chunk_size: int = Field(ge=1, le=1_000_000, strict=True)  # rows (or lines) per map task


_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


# --- decisions: pure functions over values --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """What one pod holds: the value, and the zxid of the write that made it (-1: nothing yet)."""

    mzxid: int = -1
    value: Mapping[str, JsonValue] | None = None


def parse(data: bytes) -> dict[str, JsonValue]:
    """The configuration in ``data``. It is parsed, never executed. Raises Malformed."""
    try:
        value = _JSON_OBJECT.validate_json(data)
        Parameters.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"no valid configuration: {where + ': ' if where else ''}{first['msg']}"
        raise Malformed(message) from error
    return value


def newer(held: Copy, offered: Copy) -> Copy:
    """Which of the two a copy holds from now on: never an older one (monotonic reads)."""
    return offered if offered.mzxid > held.mzxid else held


def merged(current: Mapping[str, JsonValue], change: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """``current`` with ``change`` laid over it; keys that the change doesn't name are kept."""
    return {**current, **change}


def has_happened(expected: int, sent: bytes, found_version: int, found: bytes) -> bool | None:
    """Whether a conditional set that nobody answered was carried out, judged by what is there now.

    The set was to replace znode version ``expected``, and only one write ever does that. Returns True (it
    did), False (it didn't; if ``found_version`` is still ``expected`` it may yet, and sending the same again
    is harmless, since one of the two must fail), or None: later writes hide the answer.
    """
    if found_version <= expected:
        return False
    if found_version == expected + 1:
        return found == sent
    return None


# --- the copy in a pod ----------------------------------------------------------------------------------


class ConfigReplica:
    """One pod's copy of the configuration. Reading it asks nobody and never blocks.

    Args:
        client: a connected kazoo client, this participant's own.
        name: the participant; ``/nodes/<name>`` tells which version it has applied.
        on_apply: called with each new Copy, in the order of application; must return quickly.
        refresh_s: seconds between two reads of the safety net, give or take a quarter.
        node: what ``/nodes/<name>`` says; by default, the version that this copy has applied.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        *,
        on_apply: Callable[[Copy], None] = lambda copy: None,
        refresh_s: float = REFRESH_S,
        node: Callable[[Copy], bytes] = lambda copy: _applied(copy),
    ) -> None:
        self._client = client
        self._node = paths.node(name)
        self._describe = node
        self._on_apply = on_apply
        self._refresh_s = refresh_s
        self._copy = Copy()
        self._heard_at = time.monotonic()
        self._threads: list[Any] = []
        self._running = False
        self._announced: int | None = None  # the version that our znode tells, as far as we know
        self._to_announce: Any = queue.LightQueue()
        self._to_refresh: Any = queue.LightQueue()
        self.applied_at = time.monotonic()  # when the copy was last replaced; seconds, this process's clock
        self.rejected: str | None = None  # why the newest value was not applied, if it wasn't
        self.resets = 0  # how often the store had lost its history

    def start(self) -> None:
        """Begin; returns with the first copy, or without one where ZooKeeper is slow to answer."""
        self._running = True
        self._client.add_listener(self._on_state)
        watching = eventlet.spawn(self._watch)
        self._threads = [watching, eventlet.spawn(self._announce), eventlet.spawn(self._refresh)]
        with eventlet.Timeout(_START_S, False):
            watching.wait()

    def stop(self) -> None:
        """Apply and announce nothing more. The client, and so the znode, is the caller's to end."""
        self._running = False
        self._client.remove_listener(self._on_state)
        for thread in self._threads:
            thread.kill()

    def announce(self) -> None:
        """What our znode says has changed: publish it, in a moment. Never blocks."""
        self._to_announce.put(None)

    @property
    def copy(self) -> Copy:
        """What this pod believes now."""
        return self._copy

    @property
    def silent_s(self) -> float:
        """Seconds since ZooKeeper last answered this copy: so long may the value have been stale.

        Counted from the last answer, not from kazoo's SUSPENDED, which comes seconds later.
        """
        return time.monotonic() - self._heard_at

    def _watch(self) -> None:
        try:
            # A copy without a memory starts from what is current, not from what a follower that lags has.
            zk.wait(self._client.sync_async(paths.CONFIG), zk.Deadline(_READ_DEADLINE_S))
        except zk.NO_REPLY as error:
            log.info("%s: started unsynchronised: %r", self._node, error)
        # DataWatch calls us on start, on every change, and after every reconnect. It waits for its first
        # answer for as long as that takes: therefore this green thread, which stop() ends.
        DataWatch(self._client, paths.CONFIG, self._on_data)

    def _on_data(self, data: bytes | None, stat: Any, event: Any = None) -> bool:
        """What DataWatch calls; False ends it."""
        if self._running:
            self.hear(data, stat, event)
        return self._running

    def hear(self, data: bytes | None, stat: Any, event: Any = None) -> None:
        """Take what DataWatch brings: apply it if it is newer and valid. Never raises, never blocks."""
        del event
        self._heard_at = time.monotonic()
        if data is None or stat is None:
            return
        offered = Copy(stat.mzxid)
        if newer(self._copy, offered) is offered:
            self._apply(data, stat.mzxid)

    def _apply(self, data: bytes, mzxid: int) -> None:
        try:
            value = parse(data)
        except Malformed as error:
            self.rejected = str(error)
            log.warning("%s: keeping the last good one: %s", self._node, error)
            return
        self.rejected = None
        self._copy = Copy(mzxid, value)
        self.applied_at = time.monotonic()
        self._to_announce.put(None)
        try:
            self._on_apply(self._copy)
        except Exception:
            # Raised further it would cost the DataWatch this update, and end the safety net.
            log.exception("%s: on_apply failed", self._node)

    def _on_state(self, state: str) -> None:
        # Called on kazoo's own loop: only note it. A new session has lost our ephemeral node.
        if state == KazooState.CONNECTED:
            self._announced = None
            self._to_announce.put(None)
            self._to_refresh.put(None)

    def _refresh(self) -> None:
        """The safety net: read it ourselves, now and then and after every reconnect."""
        while True:
            with suppress(queue.Empty):
                self._to_refresh.get(timeout=zk.jittered(self._refresh_s))
            try:
                self.refresh()
            except zk.NO_REPLY as error:
                log.info("%s: no answer to a refresh: %r", self._node, error)
            if self._announced != self._copy.mzxid:
                self._to_announce.put(None)

    def refresh(self) -> None:
        """Read what the store has now. Raises one of zk.NO_REPLY."""
        deadline = zk.Deadline(_READ_DEADLINE_S)
        data, stat = zk.get(self._client, paths.CONFIG, deadline) or (None, None)
        if stat and stat.mzxid < self._copy.mzxid:
            # A follower may lag, and after sync() it doesn't. If the store is still behind what it had told
            # us before we asked, it has lost its history: then, and only then, an older zxid is the truth.
            told = self._copy.mzxid
            zk.wait(self._client.sync_async(paths.CONFIG), deadline)
            data, stat = zk.get(self._client, paths.CONFIG, deadline) or (None, None)
            if stat and stat.mzxid < told:
                self.resets += 1
                log.warning("%s: the store was reset (zxid %#x < %#x)", self._node, stat.mzxid, told)
                self._copy = replace(self._copy, mzxid=-1)
        self.hear(data, stat)

    def _announce(self) -> None:
        """Publish which version we have applied, so that anyone can see who has converged."""
        while True:
            self._to_announce.get()
            eventlet.sleep(zk.jittered(_ANNOUNCE_AFTER_S))
            while not self._to_announce.empty():
                self._to_announce.get()
            copy = self._copy
            try:
                put_ephemeral(self._client, self._node, self._describe(copy))
                self._announced = copy.mzxid
            except (*zk.NO_REPLY, NoNodeError) as error:
                log.info("%s: not announced yet (%r): again on reconnect or refresh", self._node, error)


def _applied(copy: Copy) -> bytes:
    return TypeAdapter(dict[str, int]).dump_json({"config_version": copy.mzxid})


def put_ephemeral(client: KazooClient, path: str, data: bytes) -> None:
    """Set this session's ephemeral znode, creating it if need be.

    Raises one of zk.NO_REPLY; NoNodeError where there is no root to create it in (a run that has ended).
    """
    deadline = zk.Deadline(_READ_DEADLINE_S)
    session = zk.session_id(client)
    with suppress(NoNodeError):
        stat = zk.wait(client.set_async(path, data), deadline)
        if stat.ephemeralOwner == session:
            return
        # Left by our former session, and about to vanish with it: make it ours.
        zk.wait(client.delete_async(path), deadline)
    with suppress(NodeExistsError):
        zk.wait(client.create_async(path, data, ephemeral=True), deadline)


def current_zxid(client: KazooClient) -> int:
    """The version that the store holds now: what every copy will hold. Raises one of zk.NO_REPLY.

    -1 where nobody has published anything yet, as in a copy that holds nothing.
    """
    deadline = zk.Deadline(_READ_DEADLINE_S)
    zk.wait(client.sync_async(paths.CONFIG), deadline)
    return _read(client, deadline)[2]


# --- publishing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sent:
    """A conditional write: ``data``, to replace znode version ``expected`` (-1: to create the znode)."""

    expected: int
    data: bytes


def publish(client: KazooClient, change: Mapping[str, JsonValue], *, timeout_s: float = 5.0) -> Copy:
    """Merge ``change`` into the configuration; returns what was written, with its zxid.

    A conditional set in a loop: whoever loses the race merges into what the winner wrote, so two publishers
    at once lose nothing. After a lost connection the znode is read back before anything is sent again.

    Raises:
        Malformed: the result would not be a valid configuration; nothing was written.
        Refused: it is too large for a znode, or ZooKeeper was silent for ``timeout_s`` seconds before
            anything was sent to be written; nothing was written.
        InDoubt: ZooKeeper didn't answer a write within ``timeout_s`` seconds, or later writes hide whether
            ours was among them.
    """
    deadline = zk.Deadline(timeout_s)
    unanswered: _Sent | None = None  # a write that may have happened, or may happen yet
    while True:
        sending = unanswered
        try:
            data, version, mzxid = _read(client, deadline)
            if unanswered:
                happened = has_happened(unanswered.expected, unanswered.data, version, data)
                if happened:
                    return Copy(mzxid, parse(data))
                if happened is None:
                    raise _doubt(change)
            # Where nothing has changed this is the same write again. Where something has, ours lost the race
            # and can never happen now: it is merged into what the winner wrote.
            sending = _Sent(version, encoded(merged(_current(data), change)))
            stat = _write(client, sending, deadline)
            return Copy(stat.mzxid, parse(sending.data))
        except (BadVersionError, NodeExistsError, NoNodeError):
            # Somebody was first: another publisher, or our own unanswered write, arriving late.
            unanswered = unanswered if unanswered == sending else None
        except zk.NO_REPLY as error:
            unanswered = sending
            if deadline.passed or not zk.wait_connected(client, deadline):
                raise _doubt(change) if unanswered else _never_sent(change) from error


def _read(client: KazooClient, deadline: zk.Deadline) -> tuple[bytes, int, int]:
    """(bytes, znode version, mzxid) of the configuration; version -1 where there is none yet."""
    found = zk.get(client, paths.CONFIG, deadline)
    return (found[0], found[1].version, found[1].mzxid) if found else (encoded(INITIAL), -1, -1)


def _write(client: KazooClient, sending: _Sent, deadline: zk.Deadline) -> Any:
    if sending.expected >= 0:
        return zk.wait(client.set_async(paths.CONFIG, sending.data, version=sending.expected), deadline)
    created = client.create_async(paths.CONFIG, sending.data, makepath=True, include_data=True)
    return zk.wait(created, deadline)[1]


def _current(data: bytes) -> dict[str, JsonValue]:
    """What is there to merge into. Bytes that aren't even a JSON object are replaced, not merged."""
    try:
        return _JSON_OBJECT.validate_json(data)
    except ValidationError:
        return dict(INITIAL)


def encoded(value: Mapping[str, JsonValue]) -> bytes:
    """The znode's bytes. Raises Malformed or Refused: what can't be read back is never written."""
    try:
        data = _JSON_OBJECT.dump_json(dict(value))
    except ValueError as error:
        message = f"no valid configuration: {str(error).splitlines()[0]}"
        raise Malformed(message) from error
    if parse(data) != value:
        message = "no valid configuration: JSON has no NaN or infinity, and would keep null instead"
        raise Malformed(message)
    zk.check_size(data, "a configuration")
    return data


def _doubt(change: Mapping[str, JsonValue]) -> InDoubt:
    message = f"no answer whether {dict(change)} was published: read the configuration, then publish again"
    return InDoubt(message, ask_again=dict(change))


def _never_sent(change: Mapping[str, JsonValue]) -> Refused:
    return Refused(f"ZooKeeper didn't answer, so {dict(change)} was not even sent: publish again later")
