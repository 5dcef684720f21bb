"""The tools of a cluster: run with a deadline, ended after a signal, and read to the end.

What a tool says goes to standard error while it says it, and is kept: a failure's reason is in there.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from lab.interrupts import Interrupts

WHERE = {
    "minikube": "https://minikube.sigs.k8s.io/docs/start (kind, Docker Desktop: docs/kubernetes.md)",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
}
TICK_S = 0.05
END_S = 5.0  # for a tool to end after SIGTERM
NAMESPACE = "default"  # the one that storage.yaml and rbac.yaml name
ASK_S = 30.0  # for a question to the cluster


class ClusterError(Exception):
    """The cluster, or a tool for it, is not as needed. One line that says what to do."""


@dataclass(frozen=True)
class Said:
    """How a tool ended, and all that it said."""

    status: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        lines = (self.errors + self.output).strip().splitlines()
        return lines[-1].strip() if lines else f"status {self.status}"


def context_of(environ: Mapping[str, str]) -> str:
    """minikube names a cluster's context like its profile."""
    return environ.get("MINIKUBE_PROFILE") or "minikube"


def kubectl(context: str) -> list[str]:
    """The beginning of every kubectl command: the cluster is always named, so no other is ever changed."""
    return ["kubectl", "--context", context, "--namespace", NAMESPACE]


def run(
    command: Sequence[str],
    interrupts: Interrupts,
    deadline_s: float = ASK_S,
    *,
    show: bool = False,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> Said:
    """Run a tool to its end. Raises ClusterError if it isn't there or takes too long.

    Args:
        show: whether what it says is for the user, too.
        given: its standard input.
        environment: on top of ours.
    """
    if shutil.which(command[0]) is None:
        where = WHERE.get(command[0], "install it")
        raise ClusterError(f"{command[0]} isn't installed: {where}")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = Listener(process.stdout, show), Listener(process.stderr, show)
    threading.Thread(target=_give, args=(process.stdin, given), daemon=True).start()
    try:
        _wait(process, " ".join(command), interrupts, deadline_s)
    finally:
        end(process)
    return Said(process.returncode, output.heard(), errors.heard())


def _give(stdin: IO[str], text: str) -> None:
    with suppress(BrokenPipeError), stdin:  # it may read none of it
        stdin.write(text)


def _wait(process: subprocess.Popen[str], name: str, interrupts: Interrupts, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise ClusterError(f"no end within {deadline_s:g} s: {name}")
        interrupts.sleep(TICK_S)


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_S)


class Listener:
    """Reads to the end what a tool says, in a thread of its own, so that it never waits for us."""

    def __init__(self, stream: IO[str], show: bool = False, keep: int | None = None) -> None:
        self.lines: list[str] = []  # all, or the first of them
        self._keep = keep
        self._thread = threading.Thread(target=self._listen, args=(stream, show), daemon=True)
        self._thread.start()

    def heard(self) -> str:
        """All of it, once the tool has ended. (A child of its own may hold the pipe for longer.)"""
        self._thread.join(END_S)
        return "".join(self.lines)

    def _listen(self, stream: IO[str], show: bool) -> None:
        with stream:
            for line in stream:
                if self._keep is None or len(self.lines) < self._keep:
                    self.lines.append(line)
                if show:
                    sys.stderr.write(line)
                    sys.stderr.flush()
