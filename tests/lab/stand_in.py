"""A worker that does nothing but stand for election: what `lab up` needs of one, ready within a second.

    GET /readyz     200 when there is a primary and, if there can be one, a backup
    GET /healthz    200
    GET /who        its name, pid and environment, and whether it leads

STAND_IN_FAILS names one that ends at once, STAND_IN_UNREADY one that is never ready.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.zookeeper import paths

POD = os.environ["POD_NAME"]
ALONE = os.environ["MIN_NODES"] == "1"
SESSION_S = 2.0


class StandIn:
    def __init__(self) -> None:
        self.epoch = NO_EPOCH
        self._client: Any = KazooClient(os.environ["ZK_HOSTS"], timeout=SESSION_S)
        self._client.start(timeout=10)
        self._client.ensure_path(paths.ELECTION)
        with suppress(NodeExistsError):
            self._client.create(paths.EPOCH, NO_EPOCH.to_bytes())
        made = self._client.create(f"{paths.ELECTION}/{POD}~x~", ephemeral=True, sequence=True)
        self._seat = str(made).rsplit("/", 1)[1]
        self._client.ChildrenWatch(paths.ELECTION, self._line_changed)
        self._client.DataWatch(paths.EPOCH, self._epoch_changed)

    def close(self) -> None:
        self._client.stop()
        self._client.close()

    def _line_changed(self, children: list[str]) -> None:
        line = sorted(children, key=lambda seat: seat[-10:])
        if not line or line[0] != self._seat:
            return
        backup = line[1] if len(line) > 1 else None
        with suppress(BadVersionError, NoNodeError):  # somebody else has moved: we hear of it
            data, stat = self._client.get(paths.EPOCH)
            now = Epoch.from_znode(data, stat.version)
            if (now.primary_seat, now.backup_seat) == (self._seat, backup):
                return
            named = backup.split("~")[0] if backup else None
            new = Epoch(now.number + 1, POD, self._seat, named, backup, stat.version)
            self._client.set(paths.EPOCH, new.to_bytes(), version=stat.version)

    def _epoch_changed(self, data: bytes | None, stat: Any) -> None:
        self.epoch = Epoch.from_znode(data, stat.version) if data else NO_EPOCH

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        if path == "/who":
            data, stat = self._client.get(paths.EPOCH)  # our watch may be later than the one who asks
            leads = Epoch.from_znode(data, stat.version).primary_seat == self._seat
            return 200, {"pod": POD, "pid": os.getpid(), "leads": leads, "environment": dict(os.environ)}
        settled = self.epoch.primary is not None and (ALONE or self.epoch.backup is not None)
        ready = settled and os.environ.get("STAND_IN_UNREADY") != POD
        return (200 if ready or path == "/healthz" else 503), {"ready": ready}


def main() -> int:
    if os.environ.get("STAND_IN_FAILS") == POD:
        sys.stderr.write("BACKUP_DIR: can't write there\n")
        return 2
    Path(os.environ["BACKUP_DIR"], "mine").touch()
    stand_in = StandIn()
    ended = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, what = stand_in.answer(self.path)
            body = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer((os.environ["BIND"], int(os.environ["PORT"])), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended.wait()
    stand_in.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
