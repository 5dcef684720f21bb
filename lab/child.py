"""A command that runs while the laboratory stands: started, told of signals once, waited for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from lab.interrupts import Interrupts

PATIENCE_S = 15.0  # to clean up: a demo removes its znodes, pytest its fixtures


def run(command: Sequence[str], environment: Mapping[str, str], interrupts: Interrupts) -> int:
    """Run the command to its end; its status, or 128 + n if signal n ended it.

    A terminal sends Ctrl-C to every process of the foreground group: there the command has heard it already.
    Without a terminal the command gets a group of its own: whoever signals us, or all of our group, reaches
    us alone, and we pass it on. Either way the command hears it exactly once.
    """
    on_terminal = sys.stdin.isatty()
    try:
        child = subprocess.Popen(command, env=dict(environment), process_group=None if on_terminal else 0)
    except OSError as exc:
        print(f"lab: {command[0]} can't be started: {exc.strerror}", file=sys.stderr)
        return 127
    while not _ended(child, 0.1):
        if interrupts.signum is not None:
            heard = on_terminal and interrupts.signum == signal.SIGINT
            _end(child, None if heard else interrupts.signum, group=not on_terminal)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes], signum: int | None, group: bool) -> None:
    """Pass the signal on, be patient, then be less so."""
    for attempt in (signum, signal.SIGTERM, signal.SIGKILL):
        if attempt is not None:
            _send(child, attempt, group)
        if _ended(child, PATIENCE_S):
            return
    raise TimeoutError(f"process {child.pid} survives SIGKILL")


def _send(child: subprocess.Popen[bytes], signum: int, group: bool) -> None:
    try:
        if group:
            os.killpg(child.pid, signum)
        else:
            child.send_signal(signum)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


def _ended(child: subprocess.Popen[bytes], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while child.poll() is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
