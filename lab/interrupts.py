"""Ctrl-C and its relatives, without an exception in the middle of anything; and a command that gets them.

A handler only notes the signal. The main thread looks at the note where it waits anyway, so an interrupt
never hits the code that creates a container, and a second Ctrl-C never cuts a clean-up short.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 15.0  # for a command to clean up: a demo removes its znodes, pytest its fixtures


class Interrupted(KeyboardInterrupt):
    """A signal asks us to end."""

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

    def __exit__(self, *exc: object) -> None:
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
        """Take the end of standard input for a SIGTERM: it comes even if our parent is killed."""

        def wait() -> None:
            with contextlib.suppress(OSError):
                while os.read(0, 4096):
                    pass
            self.signum = self.signum or signal.SIGTERM

        threading.Thread(target=wait, daemon=True).start()

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the command to its end; its status, or 128 + n if signal n ended it.

        A terminal sends Ctrl-C to every process of the foreground group, so there the command has it already.
        Without a terminal the command gets a group of its own: a signal to us, or to all of our group,
        reaches us alone, and we pass it on. Either way the command gets it exactly once.
        """
        on_terminal = sys.stdin.isatty()
        try:
            child = subprocess.Popen(command, env=dict(environment), process_group=None if on_terminal else 0)
        except OSError as exc:
            print(f"lab: {command[0]} can't be started: {exc.strerror}", file=sys.stderr)
            return 127
        while not _ended(child, 0.1):
            if self.signum is not None:
                has_it = on_terminal and self.signum == signal.SIGINT
                _end(child, None if has_it else self.signum, group=not on_terminal)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum


def _end(child: subprocess.Popen[bytes], signum: int | None, group: bool) -> None:
    """Pass the signal on; after ``PATIENCE_S`` seconds terminate the command, then kill it."""
    for attempt in (signum, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
            if attempt is not None:
                os.killpg(child.pid, attempt) if group else child.send_signal(attempt)
        if _ended(child, PATIENCE_S):
            return
    raise TimeoutError(f"process {child.pid} survives SIGKILL")


def _ended(child: subprocess.Popen[bytes], within_s: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(within_s)
    return child.poll() is not None
