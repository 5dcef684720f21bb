"""Several things at once in green threads, and a job's code in a thread of its own."""

from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import tpool


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


def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``work``, computed in a thread; raises what it raises.

    But for SystemExit: eventlet would lose the thread, and the caller would wait permanently.
    """
    return tpool.execute(_guarded, work, *arguments)


def _guarded(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except SystemExit as error:
        message = "the job's code has called sys.exit()"
        raise RuntimeError(message) from error
