"""kazoo's connection: its request numbers never start again, no request waits for another, and it is quicker.

kazoo 2.11 counts its requests (xid) from 1 on every new connection of a session, and matches replies by
nothing else. After a session has moved to another server, ZooKeeper may deliver there the reply to a request
of the *old* connection (ZOOKEEPER-2684). Seen here under paused and partitioned servers: usually the numbers
then differ, kazoo raises RuntimeError, and the client is dead for good; if they happened to be equal, an old
answer would pass for a new one. The Java client never counts again, and neither do we: a reply to no request
of this connection breaks it, and what is pending is unknown, as after any lost connection.

kazoo wakes its own loop with one byte for each request, through a pair of sockets that holds some 280.
A thread that finds it full waits, and a second one gets an error (eventlet allows one), which kazoo
swallows: the request stays queued without its byte. From then on every request is sent only when the next one
comes, and sessions look alive while nothing is answered. Seen here with 300 requests at once. So our bell
never waits, and the loop rings for itself while requests are left.
"""

import logging
import math
import time
from contextlib import suppress
from typing import Any

from eventlet import getcurrent, hubs, patcher
from kazoo.client import KazooClient
from kazoo.handlers.eventlet import SequentialEventletHandler
from kazoo.protocol.connection import ConnectionDropped, ConnectionHandler

log = logging.getLogger(__name__)

_select: Any = patcher.original("select")  # a look that doesn't wait needs no hub

_Ready = tuple[list[Any], list[Any], list[Any]]


class Handler(SequentialEventletHandler):  # type: ignore[misc] # kazoo has no annotations
    """kazoo's eventlet handler, with a ``select`` that is quick, and tells of no socket that isn't ready.

    kazoo asks it for one socket before every part of every packet; its own yields before, waits in the hub,
    and yields after, which doubles the time of a call. Here a single socket that is ready costs one look.
    What is not, and the two that a session idles on, wait in the hub: so every packet still lets the other
    green threads run.

    eventlet's ``select`` of two sockets that become ready at once wakes its caller twice, the second time out
    of whatever it waits for by then. Seen here: kazoo was waiting for the rest of a long reply, was told of
    the other socket, found nothing to read, and dropped a sound connection (EAGAIN).
    """

    def select(
        self, rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
    ) -> _Ready:
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        if len(rlist) + len(wlist) == 1 and any(ready := _look(rlist, wlist)):
            return ready
        while True:
            _wait(rlist, wlist, deadline - time.monotonic())
            if any(ready := _look(rlist, wlist)) or time.monotonic() >= deadline:
                return ready


def _look(rlist: list[Any], wlist: list[Any]) -> _Ready:
    """What is ready now."""
    look = _select.poll()
    for sock in rlist:
        look.register(sock, _select.POLLIN)
    for sock in wlist:
        look.register(sock, _select.POLLOUT)
    ready = {number for number, _ in look.poll(0)}
    return [s for s in rlist if s.fileno() in ready], [s for s in wlist if s.fileno() in ready], []


def _wait(rlist: list[Any], wlist: list[Any], seconds: float) -> None:
    """Let others run until one of them may be ready; wakes its caller once, however many are."""
    hub, caller, waiting = hubs.get_hub(), getcurrent(), True

    def wake(_: int | None = None) -> None:
        nonlocal waiting
        if waiting:
            waiting = False
            caller.switch()

    timers = [] if math.isinf(seconds) else [hub.schedule_call_global(max(seconds, 0), wake)]
    kinds = [(hub.READ, sock) for sock in rlist] + [(hub.WRITE, sock) for sock in wlist]
    listeners = [hub.add(kind, sock.fileno(), wake, caller.throw, lambda: None) for kind, sock in kinds]
    try:
        hub.switch()
    finally:
        waiting = False
        for listener in listeners:
            hub.remove(listener)
        for timer in timers:
            timer.cancel()


class _Bell:
    """The writing end of kazoo's wake-up pipe: a full one has been rung enough."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def send(self, data: bytes) -> int:
        with suppress(BlockingIOError):
            return int(self._sock.fd.send(data))  # of a green socket: the one beneath, which never waits
        return 0

    def close(self) -> None:
        self._sock.close()


class _Connection(ConnectionHandler):  # type: ignore[misc] # kazoo has no annotations
    _number = 0
    _bell: _Bell | None = None

    @property
    def _write_sock(self) -> _Bell | None:
        return self._bell

    @_write_sock.setter
    def _write_sock(self, sock: Any) -> None:
        self._bell = None if sock is None else _Bell(sock)

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        super()._send_request(read_timeout, connect_timeout)
        if self.client._queue and self._bell is not None and not any(_look([self._read_sock], [])):  # noqa: SLF001
            self._bell.send(b"\0")

    @property
    def _xid(self) -> int:
        return self._number

    @_xid.setter
    def _xid(self, number: int | None) -> None:
        if number:  # None and 0 are kazoo's "start again"
            self._number = number

    def _read_response(self, header: Any, buffer: Any, offset: int) -> Any:
        pending = self.client._pending  # noqa: SLF001 (where kazoo itself takes the request from)
        if not pending or pending[0][2] != header.xid:
            log.info("a reply to request %s, which this connection has not sent", header.xid)
            message = "reply to a request of an earlier connection"
            raise ConnectionDropped(message)
        return super()._read_response(header, buffer, offset)


def client_of(hosts: str, **options: Any) -> Any:
    """A KazooClient, not yet started, that counts its requests as it should; ``options`` are kazoo's."""
    client = KazooClient(hosts, **options)
    client._connection = _Connection(client, client._conn_retry.copy(), logger=client.logger)  # noqa: SLF001
    return client
