"""A loopback link to ZooKeeper that can be cut, slowed, taken down and healed; no root needed.

A participant connects to ``link.hosts`` instead of the servers, and its bytes pass through here. What it
then sees is what a network does: while a link is *cut*, nothing passes, new connections hang, and what was
under way is delivered after healing if both ends still wait for it (as TCP would), so a request may arrive
late. A *down* link is a machine that has died: its connections break and new ones are refused. The server
notices either one only by silence, and ends the session after its timeout.

All of it runs in green threads of the caller's process (eventlet, no monkey patching).
"""

import errno
import time
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import event, queue
from eventlet.green import socket

# One read from a socket; a ZooKeeper packet is at most 1 MiB and usually far below this.
_CHUNK_BYTES = 65536
# How many chunks one direction holds back while cut, before the sender feels it: 4 MiB, like a socket buffer.
_HELD_CHUNKS = 64
# A server on the other side that doesn't accept in this time is as good as down; the client tries the next.
_DIAL_TIMEOUT_S = 5.0


class _Gate:
    """Open or shut; a green thread that comes to a shut gate waits."""

    def __init__(self) -> None:
        self._opened: Any = None  # an eventlet Event while shut

    def shut(self) -> None:
        self._opened = self._opened or event.Event()

    def open(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened.send()

    def wait(self) -> None:
        while self._opened is not None:
            self._opened.wait()


class Link:
    """One participant's way to every ZooKeeper server.

    Args:
        upstream: ``host:port[,host:port...]`` of the real servers.

    Attributes:
        hosts: the same list as the participant must use it: one loopback port for each server.
    """

    def __init__(self, upstream: str) -> None:
        self._requests, self._replies = _Gate(), _Gate()
        self._delay_s = 0.0
        self._down = False
        self._sockets: set[Any] = set()
        self._threads = eventlet.GreenPool(size=10_000)
        self._listeners = []
        for server in upstream.split(","):
            host, _, port = server.rpartition(":")
            listener = eventlet.listen(("127.0.0.1", 0))
            self._listeners.append(listener)
            self._threads.spawn_n(self._accept, listener, (host, int(port)))
        self.hosts = ",".join(f"127.0.0.1:{listener.getsockname()[1]}" for listener in self._listeners)

    def cut(self, *, requests: bool = True, replies: bool = True) -> None:
        """Let nothing pass. With ``requests=False`` only the answers are held back: the nastier half."""
        if requests:
            self._requests.shut()
        if replies:
            self._replies.shut()

    def slow(self, delay_s: float) -> None:
        """Delay every byte by ``delay_s`` seconds, each way."""
        self._delay_s = delay_s

    def down(self) -> None:
        """The participant's machine dies: connections break at once, and nothing said so to the server."""
        self._down = True
        self.cut()
        for sock in list(self._sockets):
            _close(sock)

    def heal(self) -> None:
        """Up, quick and whole again."""
        self._down = False
        self._delay_s = 0.0
        self._requests.open()
        self._replies.open()

    def close(self) -> None:
        """End for good: no port, socket or green thread is left."""
        for listener in self._listeners:
            _close(listener)
        self.down()
        for thread in list(self._threads.coroutines_running):
            eventlet.kill(thread)

    def _accept(self, listener: Any, server: tuple[str, int]) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError as error:
                if error.errno in (errno.EBADF, errno.EINVAL):
                    return  # closed: the link's end
                raise
            if self._down:
                _close(client)
            else:
                self._threads.spawn_n(self._carry, client, server)

    def _carry(self, client: Any, server: tuple[str, int]) -> None:
        self._sockets.add(client)
        self._requests.wait()  # while cut, the connection hangs as it does when its first packet is lost
        upstream = None if self._down else _dial(server)
        if upstream is None:
            self._forget(client)
            return
        self._sockets.add(upstream)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads.spawn_n(self._pump, client, upstream, self._requests)
        self._threads.spawn_n(self._pump, upstream, client, self._replies)

    def _pump(self, source: Any, sink: Any, gate: _Gate) -> None:
        """Carry bytes one way, in order, each ``delay_s`` after it came, and none while the gate is shut."""
        held: Any = queue.LightQueue(_HELD_CHUNKS)
        writer = eventlet.spawn(self._deliver, held, sink, gate)
        chunk = b"-"
        while chunk:
            try:
                chunk = source.recv(_CHUNK_BYTES)
            except (OSError, EOFError):  # broken by the peer, or closed by us
                chunk = b""
            held.put((time.monotonic() + self._delay_s, chunk))
        writer.wait()
        self._forget(source)

    def _deliver(self, held: Any, sink: Any, gate: _Gate) -> None:
        while True:
            due, chunk = held.get()
            if (early := due - time.monotonic()) > 0:
                eventlet.sleep(early)
            gate.wait()
            try:
                if not chunk:
                    break
                sink.sendall(chunk)
            except (OSError, EOFError):
                break
        self._forget(sink)

    def _forget(self, sock: Any) -> None:
        self._sockets.discard(sock)
        _close(sock)


def _dial(server: tuple[str, int]) -> Any | None:
    """A connection to the server, or None where nobody accepts: the client then tries the next one."""
    try:
        upstream = socket.create_connection(server, timeout=_DIAL_TIMEOUT_S)
    except OSError:
        return None
    upstream.settimeout(None)
    upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return upstream


def _close(sock: Any) -> None:
    # shutdown() wakes whoever is blocked in recv() on it; a socket that is no longer connected objects.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
