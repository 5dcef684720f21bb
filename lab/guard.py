"""A directory and processes that are gone with their supervisor, even if that is killed with SIGKILL.

A small process of its own reads what it has to guard from a pipe. Only the supervisor holds the other end:
when it is gone, in whichever way, the pipe ends and the guard cleans up. (Linux has PR_SET_PDEATHSIG for
this, but it dies with the *thread* that started a child, and a Mac has nothing.)
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

# As in lab/interrupts.py; the guard is started as a file, and knows no other.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class GuardedDirectory:
    """A temporary directory, for the length of a with statement, and the processes that live in it."""

    def __enter__(self) -> Self:
        self.path = Path(tempfile.mkdtemp(prefix="k8s-zk-lab-"))
        # A session of its own: the Ctrl-C that ends the supervisor must not end the guard. It starts with
        # signals blocked: one that came before it has its session would kill it.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self.path)],
                stdin=subprocess.PIPE,
                start_new_session=True,
                text=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        return self

    def __exit__(self, *exc: object) -> None:
        self._guard.communicate(timeout=20)

    def watch(self, pid: int) -> None:
        self._tell(f"watch {pid}")

    def forget(self, pid: int) -> None:
        """It has ended and its number may be given to another."""
        self._tell(f"forget {pid}")

    def _tell(self, line: str) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the guard was killed: go on without
                self._guard.stdin.write(line + "\n")
                self._guard.stdin.flush()


def _keep_watch(directory: str) -> None:
    watched: set[int] = set()
    for line in sys.stdin:
        verb, pid = line.split()
        (watched.add if verb == "watch" else watched.discard)(int(pid))
    for pid in watched:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    _keep_watch(sys.argv[1])
