"""Several things at once, each in a green thread of its own."""

from collections.abc import Callable
from typing import Any

import eventlet


def run_all(*actions: Callable[[], Any]) -> list[Any]:
    """Do all of them at the same time; their results, or the first error when all have ended."""
    threads = [eventlet.spawn(_ending, action) for action in actions]
    endings = [thread.wait() for thread in threads]
    for _, error in endings:
        if error is not None:
            raise error
    return [result for result, _ in endings]


def _ending(action: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Its result, or its error: eventlet prints what leaves a green thread, even if somebody waits for it."""
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001 (whatever it is, who waits raises it again)
        return None, error
