"""The Unix socket through which an ensemble is controlled by the processes that use it.

One JSON request a line, one JSON reply a line:

    {"do": "kill", "server": 2}     ->  {"ok": true, "result": null}
    {"do": "leader"}                ->  {"ok": true, "result": 3}
    {"do": "log", "server": 2}      ->  {"ok": true, "result": "... its last lines"}
    {"do": "kill", "server": 9}     ->  {"ok": false, "error": "there is no server 9: ..."}
"""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lab.ensemble import Ensemble, EnsembleError

ORDERS = ("kill", "pause", "resume", "stop", "restart", "partition", "heal")
LONGEST_REQUEST = 65_536
LOG_LINES = 2000


class Control:
    """Carries out requests. Orders wait for one another, questions don't wait."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self._of_all: dict[str, Callable[[], Any]] = {
            "status": self._status,
            "leader": self._leader,
            # In a thread of its own: only the main thread is for signals to interrupt, so it sleeps plainly.
            "mend": partial(ensemble.mend, sleep=time.sleep),
        }

    def reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            verb, index = str(request["do"]), int(request.get("server", 0))
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"ok": False, "error": 'a request is one line like {"do": "kill", "server": 2}'}
        try:
            return {"ok": True, "result": self._carry_out(verb, index)}
        except (EnsembleError, OSError) as exc:
            return {"ok": False, "error": " ".join(str(exc).split())}

    def _carry_out(self, verb: str, index: int) -> Any:
        if verb in self._of_all:
            return self._of_all[verb]()
        if verb not in (*ORDERS, "log"):
            raise EnsembleError(
                f"there is no {verb!r}, there are {', '.join((*self._of_all, *ORDERS, 'log'))}"
            )
        server = self._ensemble.server(index)
        if verb == "log":
            return server.log_tail(LOG_LINES)
        with self._ensemble.orders():
            getattr(server, verb)()
        return None

    def _status(self) -> list[dict[str, Any]]:
        return [{**server.row(), "mode": server.mode()} for server in self._ensemble.servers]

    def _leader(self) -> int | None:
        leader = self._ensemble.leader()
        return leader.index if leader else None


class _Handler(socketserver.StreamRequestHandler):
    timeout = 60.0  # an idle connection is closed
    control: Control

    def handle(self) -> None:
        try:
            while line := self.rfile.readline(LONGEST_REQUEST):
                self.wfile.write(json.dumps(self.control.reply(line)).encode() + b"\n")
        except OSError:
            return  # the client went away, or fell silent


class _Listener(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False  # a mend in progress ends with the ensemble, not before


@contextmanager
def control_socket(ensemble: Ensemble, path: Path) -> Iterator[None]:
    """Offer the ensemble's control at `path` for the length of a with statement."""
    handler = type("Handler", (_Handler,), {"control": Control(ensemble)})
    with _Listener(str(path), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown()
            thread.join(timeout=5)
            path.unlink(missing_ok=True)
