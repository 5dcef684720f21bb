"""How the acts wait, and how they measure time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import eventlet
from eventlet import event

from app.concurrency import run_all
from app.errors import InDoubt
from app.zookeeper import client as zk

# The state of a link or a session comes with no notification: we look at it this often, in seconds.
_GLANCE_S = 0.05


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Runs from the moment when it is made; what it says is for the screen."""

    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> str:
        return f"{time.monotonic() - self.began:.1f} s"

    def ms(self, until: float | None = None) -> str:
        """Milliseconds until now, or until that moment of the monotonic clock."""
        return f"{((time.monotonic() if until is None else until) - self.began) * 1000:.1f} ms"


class Waiting:
    """Waiting with a deadline, in green threads."""

    run_all = staticmethod(run_all)  # actions at the same time
    timed = Stopwatch

    def __init__(self) -> None:
        self._happened = event.Event()

    def notify(self, *_: object) -> None:
        """Something has happened: every condition that is waited for is looked at again."""
        happened, self._happened = self._happened, event.Event()
        happened.send()

    def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Wait until ``condition`` holds, looking again after each :meth:`notify`; says whether it does."""
        deadline = zk.Deadline(timeout_s)
        while not (met := condition()) and not deadline.passed:
            self._happened.wait(timeout=min(deadline.left_s, _GLANCE_S))
        return met  # of that look: another might see something else

    def require(self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds. Raises InDoubt if it doesn't come to."""
        if not self.until(condition, timeout_s):
            message = f"gave up after {timeout_s:g} s waiting until {what}"
            raise InDoubt(message)

    def rest(self, seconds: float) -> None:
        """Let time pass; every green thread goes on meanwhile."""
        eventlet.sleep(seconds)
