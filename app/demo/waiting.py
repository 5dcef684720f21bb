"""How the acts wait for each other, and for what nobody tells of."""

from collections.abc import Callable

import eventlet
from eventlet import event

from app.concurrency import run_all
from app.errors import InDoubt
from app.zookeeper import client as zk

# What nobody tells of (a link's state, a session's) is looked at this often, in seconds.
_GLANCE_S = 0.05


class Waiting:
    """Waiting with a deadline, in green threads."""

    def __init__(self) -> None:
        self._happened = event.Event()

    def tell(self, *_: object) -> None:
        """Something has happened that somebody may be waiting for."""
        happened, self._happened = self._happened, event.Event()
        happened.send()

    def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Wait until ``condition`` holds, looking again whenever somebody tells; says whether it does."""
        deadline = zk.Deadline(timeout_s)
        while not (met := condition()) and not deadline.passed:
            self._happened.wait(timeout=min(deadline.left_s, _GLANCE_S))
        return met  # of that look: another might see something else

    def require(self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds. Raises InDoubt if it doesn't come to."""
        if not self.until(condition, timeout_s):
            message = f"waited {timeout_s:g} s in vain until {what}"
            raise InDoubt(message)

    def run_all(self, *actions: Callable[[], object]) -> list[object]:
        """Do all of them at the same time; their results, or the first error when all have ended."""
        return run_all(*actions)

    def rest(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        eventlet.sleep(seconds)
