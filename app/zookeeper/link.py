"""A loopback link to ZooKeeper that can be cut, slowed, taken down and healed; no root needed.

A participant connects to ``link.hosts`` instead of the servers, and its bytes pass through here. What it
then sees is what a network does: while a link is *cut*, nothing passes, new connections hang, and what was
under way is delivered after healing, as TCP would, even if its sender has given up by then: so a request may
arrive late. A *down* link is a machine that has died: its connections break and new ones end at once. The
server ends the session only after its timeout, in either case.

All of it runs in green threads of the caller's process (eventlet, no monkey patching).
"""

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
        for sock in self._sockets:
            _break(sock)

    def heal(self) -> None:
        """Up, quick and whole again."""
        self._down = False
        self._delay_s = 0.0
        self._requests.open()
        self._replies.open()

    def close(self) -> None:
        """End for good: no port, socket or green thread is left."""
        self.down()
        for thread in list(self._threads.coroutines_running):
            eventlet.kill(thread)
        for sock in [*self._listeners, *self._sockets]:
            sock.close()

    def _accept(self, listener: Any, server: tuple[str, int]) -> None:
        while True:
            client, _ = listener.accept()
            if self._down:
                client.close()
            else:
                self._sockets.add(client)
                self._threads.spawn_n(self._carry, client, server)

    def _carry(self, client: Any, server: tuple[str, int]) -> None:
        """One connection, from its first byte to its end. Only here are its sockets closed.

        eventlet doesn't notice that a descriptor is closed under a green thread that waits for it, and would
        hand that thread the next connection's bytes. So others only break a connection, which wakes both.
        """
        requests: Any = queue.LightQueue(_HELD_CHUNKS)
        replies: Any = queue.LightQueue(_HELD_CHUNKS)
        reader = self._threads.spawn(self._read, client, requests)
        self._requests.wait()  # while cut, the connection hangs as it does when its first packet is lost
        # A client that has given up meanwhile has never reached the server.
        upstream = None if reader.dead else _dial(server)
        if upstream is not None:
            self._sockets.add(upstream)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            others = [
                self._threads.spawn(self._write, requests, upstream, self._requests),
                self._threads.spawn(self._read, upstream, replies),
                self._threads.spawn(self._write, replies, client, self._replies),
            ]
            for other in others:
                other.wait()
            self._sockets.discard(upstream)
            upstream.close()
        reader.kill()
        self._sockets.discard(client)
        client.close()

    def _read(self, source: Any, held: Any) -> None:
        """Take bytes in on one side; what waits for the gate or the delay is held, up to a limit."""
        chunk = b"-"
        while chunk:
            try:
                chunk = source.recv(_CHUNK_BYTES)
            except OSError:
                chunk = b""  # broken
            held.put((time.monotonic() + self._delay_s, chunk))

    def _write(self, held: Any, sink: Any, gate: _Gate) -> None:
        """Let bytes out on the other side, in order, ``delay_s`` after they came, and none while shut."""
        broken = False
        while True:
            due, chunk = held.get()
            if (early := due - time.monotonic()) > 0:
                eventlet.sleep(early)
            gate.wait()
            if not chunk:
                break
            if not broken:
                try:
                    sink.sendall(chunk)
                except OSError:
                    broken = True  # go on emptying, so that the reader comes to its end
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _dial(server: tuple[str, int]) -> Any | None:
    """A connection to the server, or None where no server accepts: the client then tries the next one."""
    try:
        upstream = socket.create_connection(server, timeout=_DIAL_TIMEOUT_S)
    except OSError:
        return None
    upstream.settimeout(None)
    upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return upstream


def _break(sock: Any) -> None:
    """Wake the threads that read or write it, with an end or an error; a closed socket objects."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
