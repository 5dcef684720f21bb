"""Loopback relays between the servers of an ensemble: one can be cut from its peers without being root.

Server i is told that server j listens where the relay from i to j does. A relay with an end that is cut
behaves as TCP does over a network that is: what was sent stays under way, new connections come to nothing,
and nobody is told. The servers find out by their own timeouts; what is still wanted arrives after healing.

One detour: in an election the server with the greater number calls the one with the smaller. If the smaller
one calls first, its greeting says where it listens and it is called back there. A relay must replace that
address by the one of the relay for the way back, or the call would go around all relays.
"""

import asyncio
import struct
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lab.ensemble import EnsembleError
from lab.loop_thread import Ends, LoopThread

GREETING = struct.Struct(">qqi")  # protocol version, the caller's number, length of the address that follows
LONGEST_ADDRESS = 1024
REACH_ATTEMPTS = 40  # two seconds


@dataclass(eq=False)
class Relay:
    """One way from a server to a port of another."""

    caller: int
    callee: int
    target: int
    port: int = 0
    way_back: "Relay | None" = None  # of an election port: what the callee must use to call back
    whole: asyncio.Event = field(default_factory=asyncio.Event)


class Relays:
    """All relays of an ensemble, served by one thread."""

    def __init__(self) -> None:
        self._relays: list[Relay] = []
        self._cut: set[int] = set()
        self._thread = LoopThread("relays")

    def between(self, caller: int, callee: int, target: int) -> Relay:
        """A new relay, on a port that the system chooses."""
        relay = Relay(caller, callee, target)
        self._do(self._listen(relay))
        return relay

    def cut(self, index: int) -> None:
        self._do(self._set_cut(self._cut | {index}))

    def heal(self, index: int) -> None:
        self._do(self._set_cut(self._cut - {index}))

    def close(self) -> None:
        self._thread.close()

    def _do(self, order: Coroutine[Any, Any, None]) -> None:
        try:
            self._thread.do(order)
        except (OSError, TimeoutError) as exc:
            raise EnsembleError(f"the relays between the servers: {exc}") from exc

    async def _set_cut(self, cut: set[int]) -> None:
        self._cut = cut
        for relay in self._relays:
            if cut & {relay.caller, relay.callee}:
                relay.whole.clear()
            else:
                relay.whole.set()

    async def _listen(self, relay: Relay) -> None:
        relay.port = await self._thread.listen(partial(_carry, relay), 0)
        self._relays.append(relay)
        await self._set_cut(self._cut)


async def _carry(relay: Relay, client: Ends) -> None:
    """Serve one connection, to the end of either side."""
    reader, writer = client
    try:
        if not relay.whole.is_set():
            await relay.whole.wait()
            return  # it never came to be: hang up, the caller will try again
        there_reader, there_writer = await _reach(relay.target)
        try:
            if relay.way_back is not None:
                there_writer.write(await _greeting(reader, relay.way_back))
            await _both_ways(relay, (reader, there_writer), (there_reader, writer))
        except asyncio.CancelledError:
            there_writer.transport.abort()  # the relays end: nothing is sent to its end any more
            raise
        finally:
            there_writer.close()
    except (OSError, EOFError):
        return  # the callee is down, or hung up in the middle of a word
    finally:
        writer.close()


async def _reach(port: int) -> Ends:
    """Connect, if need be a little later: followers call a new leader before it listens.

    Refused, they would try again by themselves; hung up on, they start another election, and the leader
    waits in vain for as long as initLimit allows.
    """
    for _ in range(REACH_ATTEMPTS):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
    return await asyncio.open_connection("127.0.0.1", port)


async def _greeting(reader: asyncio.StreamReader, way_back: Relay) -> bytes:
    version, caller, length = GREETING.unpack(await reader.readexactly(GREETING.size))
    if not 0 <= length <= LONGEST_ADDRESS:
        message = "not the greeting of a ZooKeeper server"
        raise EOFError(message)
    await reader.readexactly(length)
    address = f"127.0.0.1:{way_back.port}".encode()
    return GREETING.pack(version, caller, len(address)) + address


async def _both_ways(relay: Relay, *ways: Ends) -> None:
    pumps = [asyncio.create_task(_pump(relay, reader, writer)) for reader, writer in ways]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            await relay.whole.wait()
            writer.write(data)
            await writer.drain()
    await relay.whole.wait()  # nor does the news that one end is gone get through
