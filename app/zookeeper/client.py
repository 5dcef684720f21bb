"""Connecting to ZooKeeper, waiting with a deadline, and one meaning for each failure.

kazoo's errors are of two kinds, and only two. Either a server has answered (``NoNodeError``,
``BadVersionError``, a transaction rolled back): then the request provably did or did not happen. Or nobody
has (:data:`NO_REPLY`): then it may have happened, or may happen yet, for kazoo sends what it has queued
once it is connected again. The protocols turn the first into a result or ``Refused`` and the second into
``InDoubt``.
"""

import logging
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import eventlet
from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    NoNodeError,
    OperationTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SystemErrorException,
    WriterNotClosedException,
)
from kazoo.handlers.eventlet import TimeoutError as HandlerTimeout
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

from app.errors import Refused, Unreachable
from app.zookeeper.connection import Handler, client_of

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# No reply: what became of the request is unknown.
NO_REPLY: tuple[type[Exception], ...] = (
    ConnectionLoss,
    SessionExpiredError,
    ConnectionClosedError,
    OperationTimeoutError,
    SystemErrorException,
    HandlerTimeout,
)

# What a rolled-back transaction answers for the operations that were not the cause.
_CONSEQUENCES = (RolledBackError, RuntimeInconsistency)

# A server drops the connection of who sends it a packet over jute.maxbuffer (1 MiB less one byte), which
# looks like a lost connection. So sizes are checked before sending; 32 KiB are left for paths, the
# transaction's other operations and their access lists.
MAX_ZNODE_BYTES = 1_048_575 - 32_768

# Seconds that one step (a read, a write, a transaction) may take, waiting for a lost connection included:
# over the second or two in which an ensemble elects a new leader; under a user's patience of ten seconds.
STEP_S = 3.0
# How long we wait for ZooKeeper at the start: a person hears of it within ten seconds.
CONNECT_DEADLINE_S = 7.0
# kazoo's own reconnecting goes on for as long as its client is open; between tries it waits at most this.
_RECONNECT_DELAY_S = 0.3
# Orderly closing asks the server to end the session; without a reply, we don't wait longer than this.
_CLOSE_DEADLINE_S = 3.0


class Deadline:
    """A moment until which one may wait (monotonic clock)."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left_s == 0.0


class TransactionFailed(Exception):
    """A transaction was rolled back as a whole; ``cause`` is the answer to its operation ``index``."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"operation {index}: {cause!r}")
        self.index = index
        self.cause = cause


def connect(
    hosts: str, *, chroot: str = "", session_timeout_s: float, deadline_s: float = CONNECT_DEADLINE_S
) -> Any:
    """A connected kazoo client on the eventlet handler, with a session of ``session_timeout_s`` seconds.

    kazoo's default threading handler drops sessions under eventlet, so clients are made only here.

    Raises:
        Unreachable: no reply within ``deadline_s`` seconds, or no host's name is known.
    """
    _check_names(hosts)
    handler = Handler()
    client = client_of(
        hosts + chroot,
        timeout=session_timeout_s,
        handler=handler,
        connection_retry=KazooRetry(
            max_tries=-1, delay=0.05, max_delay=_RECONNECT_DELAY_S, sleep_func=handler.sleep_func
        ),
    )
    try:
        client.start_async().wait(deadline_s)
    finally:
        if not client.connected:  # also when the waiting thread is killed
            disconnect(client)
    if not client.connected:
        message = (
            f"ZooKeeper at {hosts} did not answer within {deadline_s:g} s: "
            "is it running? `make demo` starts one of its own, ZK_HOSTS=host:port names another"
        )
        raise Unreachable(message)
    return client


def disconnect(client: KazooClient) -> None:
    """End the session in an orderly way if a server answers, and in any case return within a few seconds.

    Without a reply, kazoo's loop goes on until it notices, at most a session timeout, and is then tidied
    up in the background. Interrupting it instead would leave its descriptors open.
    """
    closing = eventlet.spawn(_close, client)
    with eventlet.Timeout(_CLOSE_DEADLINE_S, False):
        closing.wait()


def _close(client: KazooClient) -> None:
    if client._stopped.is_set():  # noqa: SLF001 (kazoo's close() fails while another stop() is under way)
        return
    with suppress(WriterNotClosedException):
        client.stop()
        client.close()


def _check_names(hosts: str) -> None:
    names = {server.rpartition(":")[0] for server in hosts.split(",")}
    for name in names:
        with suppress(OSError):
            socket.getaddrinfo(name, None)
            return
    message = (
        f"the name {sorted(names)[0]!r} of ZooKeeper is unknown here: outside Kubernetes set "
        "ZK_HOSTS=host:port, or run `make demo`, which starts a ZooKeeper of its own"
    )
    raise Unreachable(message)


def wait(result: Any, deadline: Deadline) -> Any:
    """The value of kazoo's asynchronous ``result``; its own errors, or one of NO_REPLY at the deadline."""
    return result.get(timeout=deadline.left_s)


def commit(transaction: Any, deadline: Deadline) -> list[Any]:
    """Commit and wait. Raises TransactionFailed with the first operation that failed, or one of NO_REPLY."""
    return committed(wait(transaction.commit_async(), deadline))


def committed(results: list[Any]) -> list[Any]:
    """``results`` of a transaction that went through; raises TransactionFailed if it was rolled back."""
    failed = [index for index, result in enumerate(results) if isinstance(result, Exception)]
    if failed:
        causes = [index for index in failed if not isinstance(results[index], _CONSEQUENCES)]
        index = (causes or failed)[0]
        raise TransactionFailed(index, results[index])
    return results


def get(client: KazooClient, path: str, deadline: Deadline, watch: Any = None) -> tuple[bytes, Any] | None:
    """A znode's bytes and stat, or None where there is none. Raises one of NO_REPLY.

    With ``watch``, a one-shot callback is left for the next change; none is left where there is no node.
    """
    with suppress(NoNodeError):
        data, stat = wait(client.get_async(path, watch=watch), deadline)
        return data, stat
    return None


def get_all(
    client: KazooClient, paths: Sequence[str], deadline: Deadline, watch: Any = None
) -> list[tuple[bytes, Any] | None]:
    """As :func:`get`, of many znodes, all asked at once."""
    asked = [client.get_async(path, watch=watch) for path in paths]
    found: list[tuple[bytes, Any] | None] = []
    for result in asked:
        found.append(None)
        with suppress(NoNodeError):
            found[-1] = wait(result, deadline)
    return found


def ensure(client: KazooClient, paths: tuple[str, ...], deadline: Deadline) -> None:
    """Create the persistent znodes that are missing, with their parents. Raises Unreachable."""
    while True:
        try:
            for path in paths:
                wait(client.ensure_path_async(path), deadline)
        except NO_REPLY as error:
            if deadline.passed:
                message = "ZooKeeper stopped answering while the roots were being created; try again"
                raise Unreachable(message) from error
            wait_connected(client, deadline)
        else:
            return


def session_id(client: KazooClient) -> int | None:
    """The session's number, as a znode's ``ephemeralOwner`` has it; None while not connected."""
    known = client.client_id
    return int(known[0]) if known else None


def wait_connected(client: KazooClient, deadline: Deadline) -> bool:
    """Wait until the client is connected, or the deadline; says whether it is."""
    while not client.connected and not deadline.passed:
        # The event that start_async() returned: kazoo sets it whenever it is connected.
        client._live.wait(min(deadline.left_s, 1.0))  # noqa: SLF001
    return bool(client.connected)


def insist(client: KazooClient, action: Callable[[], Result], deadline: Deadline) -> Result:
    """Call ``action`` until it gets a reply: its result. Raises one of NO_REPLY at the deadline.

    It must be harmless to do it twice: what got no reply may have happened.
    """
    while True:
        try:
            return action()
        except NO_REPLY:
            if not wait_connected(client, deadline) or deadline.passed:
                raise


class Silence:
    """For how long a client has been without a connection; kazoo says so a while after it was lost."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._since: float | None = None

    def start(self) -> None:
        self._client.add_listener(self._on_state)

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)

    @property
    def seconds(self) -> float:
        """Since the connection was lost; 0 while it is there."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()


def check_size(payload: bytes, what: str) -> None:
    """Raise Refused if ``payload`` doesn't fit into a znode; nothing has been sent then."""
    if len(payload) > MAX_ZNODE_BYTES:
        size = f"{len(payload):,} bytes is over a znode's limit of {MAX_ZNODE_BYTES:,}"
        message = f"{what} of {size}: nothing was written"
        raise Refused(message)


def jittered(seconds: float) -> float:
    """``seconds`` give or take a quarter, so that safety nets of many processes don't fall in step."""
    return seconds * random.uniform(0.75, 1.25)


def delete_all(client: KazooClient, doomed: Sequence[str], deadline: Deadline) -> None:
    """Delete these znodes, in this order, all asked at once; those that are gone are fine.

    Raises one of NO_REPLY, or NotEmptyError where somebody has added to one.
    """
    for result in [client.delete_async(path) for path in doomed]:
        with suppress(NoNodeError):
            wait(result, deadline)
