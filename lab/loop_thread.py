"""An asyncio loop in a thread of its own, for what relays bytes: orders from any thread, and a clean end.

asyncio's own servers leave two gaps at the end. A connection that the system has just accepted becomes one of
ours a few turns of the loop later; and a task that is cancelled before its first turn runs not even its
``finally``. Either would leave a socket that nobody closes.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

ORDER_S = 10.0

T = TypeVar("T")
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LoopThread:
    """Begins when it is made, ends with :meth:`close`."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.connections: set[asyncio.Task[None]] = set()
        self._listeners: list[asyncio.Server] = []
        self._writers: WeakSet[asyncio.StreamWriter] = WeakSet()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def do(self, order: Coroutine[Any, Any, T]) -> T:
        """Have it done there, and wait. Raises what it raises, or TimeoutError after ``ORDER_S`` seconds."""
        return asyncio.run_coroutine_threadsafe(order, self.loop).result(ORDER_S)

    def close(self) -> None:
        """Break every connection, and end. Harmless if it has ended."""
        if self.loop.is_closed():
            return
        self.do(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(ORDER_S)
        self.loop.close()

    # -- from here on in the loop's thread --

    async def listen(
        self, serve: Callable[[Ends], Coroutine[Any, Any, None]], port: int, **options: Any
    ) -> int:
        """Serve each connection to this loopback port (0: a free one), and return it. Raises OSError."""

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            task = self.loop.create_task(serve((reader, writer)))
            self.connections.add(task)
            task.add_done_callback(self.connections.discard)

        listener = await asyncio.start_server(accepted, "127.0.0.1", port, **options)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        # Deaf first, closed last: a listener that is closed forgets whom it is just accepting.
        for listener in self._listeners:
            for ear in listener.sockets:
                self.loop.remove_reader(ear.fileno())
        # Until nothing is left to end: what is being accepted now comes to be meanwhile.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self.connections:
                if not task.cancelling():
                    task.cancel()
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        for listener in self._listeners:
            listener.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # asyncio closes a socket one turn after it was told to
