"""Orders to the servers under a demo: kill one, pause it, cut it from its peers.

The servers belong to another process (`python -m lab`), since the owner of processes and containers waits for
them, and such a wait would freeze every green thread of a demo. Here is only the asking side: a request and
a reply, each one line of JSON, through the Unix socket that LAB_CONTROL names.
"""

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from app.errors import LessonError

ANSWER_S = 45.0  # an order; each takes a second or two
MEND_S = 90.0  # all servers back and voting


class ServersError(LessonError):
    """An order was not carried out, or had no reply. The message is one line."""


@dataclass(frozen=True)
class ServerStatus:
    """One server, as the laboratory sees it; without a mode it serves no client, without a pid it is down."""

    index: int
    hosts: str
    mode: str | None
    pid: int | None
    container: str | None


class Servers:
    """The servers of the laboratory. In a process that runs eventlet, pass `eventlet.green.socket`."""

    def __init__(self, path: str, *, socket_module: ModuleType = socket) -> None:
        self.path = path
        self._socket = socket_module

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, socket_module: ModuleType = socket
    ) -> Self | None:
        """The servers that LAB_CONTROL names; None where there is no laboratory, so no server to harm."""
        path = environ.get("LAB_CONTROL")
        return cls(path, socket_module=socket_module) if path else None

    def status(self) -> list[ServerStatus]:
        try:
            return [ServerStatus(**fields) for fields in self._ask({"do": "status"})]
        except TypeError as exc:
            raise ServersError(f"the laboratory answered in another format: {exc}") from exc

    def leader(self) -> int | None:
        """The number of the server that leads now, if one does."""
        index = self._ask({"do": "leader"})
        return index if isinstance(index, int) else None

    def log(self, server: int) -> str:
        """The last lines of its log, some thousand of them."""
        return str(self._ask({"do": "log", "server": server}))

    def kill(self, server: int) -> None:
        """SIGKILL."""
        self._order("kill", server)

    def pause(self, server: int) -> None:
        """SIGSTOP: it stands still, its connections stay open."""
        self._order("pause", server)

    def resume(self, server: int) -> None:
        self._order("resume", server)

    def stop(self, server: int) -> None:
        """An orderly end."""
        self._order("stop", server)

    def restart(self, server: int) -> None:
        """Start again, with its data, a server that is down."""
        self._order("restart", server)

    def partition(self, server: int) -> None:
        """Cut it from the other servers; its clients still reach it."""
        self._order("partition", server)

    def heal(self, server: int) -> None:
        self._order("heal", server)

    def mend(self) -> None:
        """Undo whatever was done to any server, and return when all serve."""
        self._ask({"do": "mend"}, MEND_S)

    def _order(self, verb: str, server: int) -> None:
        self._ask({"do": verb, "server": server})

    def _ask(self, request: dict[str, Any], deadline_s: float = ANSWER_S) -> Any:
        try:
            reply = json.loads(self._exchange(json.dumps(request).encode() + b"\n", deadline_s))
            if reply["ok"]:
                return reply["result"]
            error = str(reply["error"])
        except OSError as exc:
            raise ServersError(f"the laboratory at {self.path} does not answer: {exc}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise ServersError(f"the laboratory at {self.path} hung up or answered nonsense: {exc}") from exc
        raise ServersError(error)

    def _exchange(self, line: bytes, deadline_s: float) -> bytes:
        deadline = time.monotonic() + deadline_s
        answer = b""
        with self._socket.socket(self._socket.AF_UNIX, self._socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline_s)
            connection.connect(self.path)
            connection.sendall(line)
            while not answer.endswith(b"\n"):
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                chunk = connection.recv(65_536)
                if not chunk:
                    break
                answer += chunk
        return answer
