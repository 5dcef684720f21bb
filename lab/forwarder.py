"""One loopback port that always leads to the current master.

Who leads is for others to find out: they call `point_to`. Connections to a former master are broken after a
moment of grace, because a process that is stopped (not dead) would hang its clients for ever.

It runs on asyncio, in a thread of its own, as lab/relays.py does: a page that only listens for events then
costs no thread, and a connection can be broken from outside in any state, without a timeout to wait for.
"""

import asyncio
import errno
import socket
import struct
import time
from contextlib import suppress
from typing import Self

from lab.loop_thread import Ends, LoopThread

BUFFER = 1 << 18  # large pictures pass through here: fewer, bigger pieces
WAIT_FOR_MASTER_S = 20.0  # for another master; a session expires within six seconds, an election takes one
GRACE_S = 1.0  # for answers that a former master has already sent
CONNECT_S = 1.0  # on the loopback only a stopped process with a full queue doesn't answer at once
TRY_AGAIN_S = 0.25  # the same master may be about to listen: nobody announces that
# After the master has hung up, for a client that still sends: usually it has forgotten its idle connection.
SILENCE_S = 60.0
FLUSH_S = 10.0  # for a client that doesn't fetch the rest of its answer
BACKLOG = 512  # a class that reloads the page at once
PORTS_TRIED = 100

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing says "broken", not "that was all"


class Forwarder:
    """Listens from the beginning to the end of a with statement; clients wait for the first master."""

    def __init__(self, port: int, wait_for_master_s: float = WAIT_FOR_MASTER_S) -> None:
        self.port = port
        self._wait_s = wait_for_master_s
        self._master: int | None = None  # where it listens; from here on known to the loop's thread only
        self._changed = asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._led_to: dict[asyncio.Task[None], int] = {}  # each connection: where its master listens

    def __enter__(self) -> Self:
        """Listen on the port, or on the next one that is free. Raises OSError where that can't be."""
        self._thread = LoopThread("forwarder")
        self._loop = self._thread.loop
        try:
            self._thread.do(self._listen())
        except OSError:
            self._thread.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.close()

    def point_to(self, port: int | None) -> None:
        """From now on this is the master's port; None: nobody leads, clients wait. Any thread may call."""
        with suppress(RuntimeError):  # the loop has ended: nobody is left who could be led anywhere
            self._loop.call_soon_threadsafe(self._point_to, port)

    @property
    def connections(self) -> int:
        return len(self._thread.connections)

    # -- from here on in the loop's thread --

    async def _listen(self) -> None:
        wanted = self.port
        while True:
            try:
                self.port = await self._thread.listen(self._serve, self.port, limit=BUFFER, backlog=BACKLOG)
                return
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or self.port in (wanted + PORTS_TRIED, 65_535):
                    raise
                self.port += 1

    def _point_to(self, port: int | None) -> None:
        if port != self._master:
            self._master = port
            self._changed.set()  # for those who wait for this change ...
            self._changed = asyncio.Event()  # ... and now for the next one
            if self._grace is not None:
                self._grace.cancel()
            self._grace = self._loop.call_later(GRACE_S, self._break_those_to_others)

    def _break_those_to_others(self) -> None:
        for connection, master in self._led_to.items():
            if self._master not in (None, master):
                connection.cancel()

    async def _serve(self, client: Ends) -> None:
        """One connection, until both sides have said all, or one of them is broken."""
        ends = [client]
        try:
            master = await self._reach_master()
            if master is not None:
                ends.append(master)
                await _both_ways(client, master)
            for _, writer in ends:
                await _close(writer)
        except (OSError, asyncio.CancelledError):
            for _, writer in ends:
                _break(writer)  # and that is all that a cancelled connection has to do
        finally:
            for _, writer in ends:
                writer.transport.abort()

    async def _reach_master(self) -> Ends | None:
        """Connect to the master, if need be to the next one; None if there is none for too long."""
        deadline = time.monotonic() + self._wait_s
        while True:
            changed, port = self._changed, self._master
            if port is not None and (ends := await self._connected(port)):
                return ends
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(left if port is None else min(left, TRY_AGAIN_S)):
                    await changed.wait()

    async def _connected(self, port: int) -> Ends | None:
        """A connection to the master at this port, unless it refuses or is no longer the master."""
        try:
            async with asyncio.timeout(CONNECT_S):
                ends = await asyncio.open_connection("127.0.0.1", port, limit=BUFFER)
        except OSError:  # which a TimeoutError is, too
            return None
        task = asyncio.current_task()
        if port != self._master or task is None:
            ends[1].transport.abort()
            return None
        self._led_to[task] = port
        task.add_done_callback(self._led_to.pop)
        return ends


class _Way:
    """What one end says, to the other."""

    def __init__(self, source: Ends, sink: Ends) -> None:
        self._reader, self._writer = source[0], sink[1]
        self.pieces = 0

    async def carry(self) -> None:
        while data := await self._reader.read(BUFFER):
            self.pieces += 1
            self._writer.write(data)
            await self._writer.drain()
        self._writer.write_eof()  # it has said all, but may go on listening


async def _both_ways(client: Ends, master: Ends) -> None:
    """Carry until both have said all. Raises OSError as soon as one of them is broken."""
    upload = _Way(client, master)
    sending, answering = (asyncio.ensure_future(way.carry()) for way in (upload, _Way(master, client)))
    try:
        await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
            await answering
            return
        answering.result()
        while not sending.done():
            before = upload.pieces
            await asyncio.wait((sending,), timeout=SILENCE_S)
            if upload.pieces == before and not sending.done():
                return
        sending.result()
    finally:
        for task in (sending, answering):
            task.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    """An orderly end, after what is still to be sent."""
    writer.close()
    async with asyncio.timeout(FLUSH_S):
        await writer.wait_closed()


def _break(writer: asyncio.StreamWriter) -> None:
    """So that nobody takes half an answer for a whole one."""
    ends = writer.get_extra_info("socket")
    if ends is not None and not writer.transport.is_closing():
        with suppress(OSError):  # it may be broken already
            ends.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
