"""Loopback ports that lead to others: to the master, whichever worker that is; or from one server to another.

One thread with an asyncio loop carries all connections of a `Proxy`. A connection costs no thread then, and
can be broken from outside in any state. The sockets are bare: asyncio's own servers and streams have moments
in which nothing closes a connection that has just been accepted.
"""

import asyncio
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from lab.console import print_to_stderr

BUFFER = 1 << 18  # large pictures pass through here: fewer, bigger pieces
BACKLOG = 512  # a class that reloads the page at once
ORDER_S = 10.0
CONNECT_S = 1.0  # on the loopback only a stopped process with a full queue doesn't answer at once
TRY_AGAIN_S = 0.05
SILENCE_S = 60.0  # for a client whose server has hung up: usually it has forgotten its idle connection
WAIT_FOR_MASTER_S = 20.0  # a session expires within six seconds, an election takes one
# Followers call a new leader before it listens. Refused, they would try again by themselves; hung up on, they
# start another election, and the leader waits for as long as initLimit allows.
WAIT_FOR_SERVER_S = 2.0
GRACE_S = 1.0  # for answers that a former master has already sent
PORTS_TRIED = 100

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing says "broken", not "that was all"
GREETING = struct.Struct(">qqi")  # protocol version, the caller's number, length of the address that follows


@dataclass(eq=False)
class Route:
    """A loopback port, and where it leads.

    Attributes:
        target: the port that it leads to; None: none at the moment, and clients wait.
        wait_s: how long a client waits for a target that accepts.
        way_back: of a server's election port: the route by which the callee must call back.
        whole: cleared while the route is cut.
    """

    target: int | None
    wait_s: float
    port: int = 0
    way_back: "Route | None" = None
    whole: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Connection:
    """A client and its server, once it has one."""

    client: socket.socket
    server: socket.socket | None = None
    led_to: int | None = None

    def close(self, *, broken: bool) -> None:
        """``broken``: so that neither end takes half an answer for a whole one."""
        for end in filter(None, (self.client, self.server)):
            with suppress(OSError):  # it may be closed already
                if broken:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()


class Proxy:
    """Serves routes, from when it is made until :meth:`close`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.connections: dict[asyncio.Task[None], Connection] = {}
        self._listeners: list[socket.socket] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def serve(self, listener: socket.socket, route: Route) -> None:
        listener.setblocking(False)
        route.port = listener.getsockname()[1]
        self._listeners.append(listener)
        self.do(lambda: self.loop.add_reader(listener, self._accept, listener, route))

    def do(self, order: Callable[[], None]) -> None:
        """Have it done in the loop's thread, and wait. Raises TimeoutError after ``ORDER_S`` seconds."""

        async def ordered() -> None:
            order()

        asyncio.run_coroutine_threadsafe(ordered(), self.loop).result(ORDER_S)

    def close(self) -> None:
        """Break every connection, and end. Harmless if it has ended."""
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(ORDER_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(ORDER_S)
        self.loop.close()

    # -- from here on in the loop's thread --

    async def _stop(self) -> None:
        for listener in self._listeners:
            self.loop.remove_reader(listener)
            listener.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    def _accept(self, listener: socket.socket, route: Route) -> None:
        with suppress(OSError):  # the client has gone again, or waits until a file descriptor is free
            connection = Connection(listener.accept()[0])
            task = self.loop.create_task(self._carry(route, connection))
            self.connections[task] = connection
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close it, also if it was cancelled before its first turn."""
        error = None if task.cancelled() else task.exception()
        self.connections.pop(task).close(broken=task.cancelled() or error is not None)
        if error is not None and not isinstance(error, OSError):
            raise error  # a mistake of ours: the loop reports it

    async def _carry(self, route: Route, connection: Connection) -> None:
        """One connection, until both ends have said all. Raises OSError as soon as one of them is broken."""
        if not route.whole.is_set():
            await route.whole.wait()
            return  # it never came to be: hang up, the client will try again
        client, server = connection.client, await self._reach(route, connection)
        if server is None:
            return
        if route.way_back is not None:
            await self.loop.sock_sendall(server, await self._greeting(client, route.way_back))
        pumps = (self._pump(client, server, route.whole), self._pump(server, client, route.whole))
        asking, answering = map(self.loop.create_task, pumps)
        try:
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                await asking
                await answering
            else:
                await answering
                async with asyncio.timeout(SILENCE_S):
                    await asking
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _reach(self, route: Route, connection: Connection) -> socket.socket | None:
        """Connect to the target, if need be to the next one; None if there is none for too long."""
        _tune(connection.client)
        deadline = time.monotonic() + route.wait_s
        while True:
            if (target := route.target) is not None:
                server = connection.server = socket.socket()
                with suppress(OSError):  # which a TimeoutError is, too
                    _tune(server)
                    async with asyncio.timeout(CONNECT_S):
                        await self.loop.sock_connect(server, ("127.0.0.1", target))
                    if target == route.target:
                        connection.led_to = target
                        return server
                server.close()
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(TRY_AGAIN_S)

    async def _greeting(self, client: socket.socket, way_back: Route) -> bytes:
        """A server's greeting, with the address at which it wants to be called back on that route."""
        version, caller, length = GREETING.unpack(await self._exactly(client, GREETING.size))
        await self._exactly(client, length)
        address = f"127.0.0.1:{way_back.port}".encode()
        return GREETING.pack(version, caller, len(address)) + address

    async def _exactly(self, source: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self.loop.sock_recv(source, count - len(data))
            if not piece:
                raise ConnectionError("it hung up in the middle of a word")
            data += piece
        return data

    async def _pump(self, source: socket.socket, sink: socket.socket, whole: asyncio.Event) -> None:
        """Carry one way. While the route is cut, neither data nor the news of an end gets through."""
        data = b"?"
        while data:
            try:
                data = await self.loop.sock_recv(source, BUFFER)
            except OSError:
                await whole.wait()
                raise
            await whole.wait()
            await self.loop.sock_sendall(sink, data)
            await asyncio.sleep(0)  # a socket that is always ready would never let the others have a turn
        sink.shutdown(socket.SHUT_WR)  # it has said all, but may go on listening


class Forwarder:
    """One port that always leads to the current master, for the length of a with statement.

    Who leads is for others to find out: they call `point_to`. Connections to a former master are broken after
    a moment of grace, because a process that is stopped (not dead) would never answer its clients.
    """

    def __init__(self, port: int, wait_for_master_s: float = WAIT_FOR_MASTER_S) -> None:
        self.port = port
        self._route = Route(None, wait_for_master_s)
        self._route.whole.set()

    def __enter__(self) -> Self:
        """Listen on the port, or on the next one that is free. Raises OSError where there is none."""
        listener = self._listen()
        self._proxy = Proxy()
        self._proxy.serve(listener, self._route)
        self.port = self._route.port
        return self

    def __exit__(self, *exc: object) -> None:
        self._proxy.close()

    @property
    def connections(self) -> int:
        return len(self._proxy.connections)

    def point_to(self, port: int | None) -> None:
        """From now on this is the master's port; None: none leads, clients wait. Any thread may call."""
        if port != self._route.target:
            self._route.target = port
            loop = self._proxy.loop
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(loop.call_later, GRACE_S, self._break_all_but_to, port)

    def _break_all_but_to(self, port: int | None) -> None:
        if port is not None and port == self._route.target:
            for task, connection in self._proxy.connections.items():
                if connection.led_to not in (None, port):
                    task.cancel()

    def _listen(self) -> socket.socket:
        last = min(self.port + PORTS_TRIED, 65_535)
        for port in range(self.port, last + 1):
            try:
                return _listener(port)
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or port == last:
                    raise
        raise AssertionError


@contextmanager
def entrance(wanted: int, error: type[Exception]) -> Iterator[Forwarder]:
    """The page's port, and a line if it is another than wanted. Raises ``error`` where there is none."""
    with ExitStack() as stack:
        try:
            forwarder = stack.enter_context(Forwarder(wanted))
        except OSError as exc:
            raise error(f"can't listen on 127.0.0.1:{wanted}: {exc.strerror or exc}") from exc
        if wanted not in (0, forwarder.port):
            print_to_stderr(f"port {wanted} is taken, so the page is on port {forwarder.port}")
        yield forwarder


class Relays:
    """Routes between the servers of an ensemble: one can be cut from its peers without being root.

    Server i is configured with the route from i to j as the address of server j. A route with an end that is
    cut behaves as TCP does over a network that is: what was sent stays under way, new connections come to
    nothing, and neither end is notified. The servers find out by their own timeouts; what is still wanted
    arrives after healing.

    One detour: in an election the server with the greater number calls the one with the smaller. If the
    smaller one calls first, its greeting says where it listens and it is called back there. That address must
    become the one of the route for the way back, or the call would bypass all routes.
    """

    def __init__(self) -> None:
        self._proxy = Proxy()
        self._routes: list[tuple[set[int], Route]] = []
        self._cut: set[int] = set()

    def between(self, caller: int, callee: int, target: int) -> Route:
        """A new route, on a port that the system chooses."""
        route = Route(target, WAIT_FOR_SERVER_S)
        self._proxy.serve(_listener(0), route)
        self._routes.append(({caller, callee}, route))
        self._apply(self._cut)
        return route

    def cut(self, index: int) -> None:
        self._apply(self._cut | {index})

    def heal(self, index: int) -> None:
        self._apply(self._cut - {index})

    def close(self) -> None:
        self._proxy.close()

    def _apply(self, cut: set[int]) -> None:
        def apply() -> None:
            for ends, route in self._routes:
                (route.whole.clear if ends & cut else route.whole.set)()

        self._cut = cut
        self._proxy.do(apply)


def _listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)


def _tune(end: socket.socket) -> None:
    end.setblocking(False)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a vote doesn't wait for more to send
