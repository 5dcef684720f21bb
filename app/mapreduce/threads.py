"""A job's code in a thread of its own: what it does there must not end the thread."""

from collections.abc import Callable
from typing import Any

from eventlet import tpool


def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``work``, computed in a thread; raises what it raises.

    But for SystemExit: eventlet would lose the thread, and whoever waits for it would wait for ever.
    """
    return tpool.execute(_guarded, work, *arguments)


def _guarded(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except SystemExit as error:
        message = "the job's code has called sys.exit()"
        raise RuntimeError(message) from error
