"""Ctrl-C and its relatives, without an exception in the middle of anything.

A handler only notes the signal. The main thread looks at the note where it waits anyway, so an interrupt
never tears a container out of the hands that create it, and a second Ctrl-C never cuts a clean-up short.
"""

import contextlib
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The user, or whoever started us, wants an end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.status = 128 + signum  # as a shell would report it


class Interrupts:
    """While entered, signals are noted in `signum` (the first one stays) and nothing else happens."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """As time.sleep, but raise Interrupted once a signal has come (within a tenth of a second)."""
        deadline = time.monotonic() + seconds
        while self.signum is None and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        if self.signum is not None:
            raise Interrupted(self.signum)

    def end_with_stdin(self) -> None:
        """Take the end of standard input for a SIGTERM: it comes even if whoever holds the pipe is killed."""

        def wait() -> None:
            with contextlib.suppress(OSError):
                while os.read(0, 4096):
                    pass
            self.signum = self.signum or signal.SIGTERM

        threading.Thread(target=wait, daemon=True).start()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum
