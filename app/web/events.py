"""What has happened, for everybody who follows: server-sent events, one bounded queue for each listener."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from eventlet import queue

from app.mapreduce.runner import Progress
from app.web.views import job_view

# A listener that falls so far behind is told less often: the newest events push out the oldest.
_MOST_WAITING = 100
# A comment now and then, so that a dead connection is noticed.
_HEARTBEAT_S = 15.0


class Events:
    """Tells all listeners of this worker."""

    def __init__(self) -> None:
        self._listeners: set[Any] = set()

    def tell(self, kind: str, what: Progress | None) -> None:
        """Called wherever something happens: never blocks."""
        if not self._listeners:
            return
        data = json.dumps(job_view(what) if what is not None else {})
        for listener in self._listeners:
            while listener.qsize() >= _MOST_WAITING:
                listener.get()
            listener.put(f"event: {kind}\ndata: {data}\n\n")

    def follow(self, still: Callable[[], bool]) -> Iterator[str]:
        """One listener's stream, until it goes away, or ``still()`` ends: then it asks elsewhere."""
        mine: Any = queue.LightQueue()
        self._listeners.add(mine)
        try:
            yield ": welcome\n\n"
            while still():
                event = ": still here\n\n"
                with suppress(queue.Empty):
                    event = mine.get(timeout=_HEARTBEAT_S)
                yield event
        finally:
            self._listeners.discard(mine)
