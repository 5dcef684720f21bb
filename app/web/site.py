"""The routes. A worker that isn't the master says who is."""

import logging
import re
import uuid
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from eventlet import tpool
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from app import jobs, zk
from app.consistency.transactions import job_id_for
from app.errors import InDoubt, LessonError, NotMaster, NotUnderstood, OtherPayload, TooLarge
from app.jobs.job import Unusable
from app.mapreduce.master import Master
from app.web.events import Events
from app.web.receiving import BadUpload, Received, receive
from app.web.views import download_path, job_view
from app.worker import Worker

log = logging.getLogger(__name__)

# What isn't here is a passing trouble of the cluster: 503, try again.
_STATUS: tuple[tuple[type[LessonError], int], ...] = (
    (NotMaster, 403),
    (TooLarge, 413),
    (OtherPayload, 422),
    (NotUnderstood, 500),
)

_DOWNLOAD = re.compile(r"(?P<id>[0-9a-f-]{36})_final\.[a-z0-9]{1,5}")
_JOB_ID = re.compile(r"[0-9a-f-]{36}")
_BLOCK_BYTES = 1 << 20
_STATIC = Path(__file__).parent / "static"

Answer = Response | tuple[Response, int]


def site(worker: Worker, events: Events) -> Flask:
    """The application of one worker."""
    app = Flask("app.web", static_folder=str(_STATIC), static_url_path="/static")
    app.json.sort_keys = False  # type: ignore[attr-defined] # the default provider has it
    routes = _Routes(worker, events)
    for rule, method, view in (
        ("/", "GET", routes.page),
        ("/upload", "POST", routes.upload),
        ("/jobs", "GET", routes.jobs),
        ("/jobs/<job_id>", "GET", routes.job),
        ("/download/<name>", "GET", routes.download),
        ("/cluster", "GET", routes.cluster),
        ("/events", "GET", routes.events),
        ("/healthz", "GET", routes.healthz),
        ("/readyz", "GET", routes.readyz),
    ):
        app.add_url_rule(rule, view.__name__, _answering(view), methods=[method])
    for code in (404, 405):
        app.register_error_handler(code, _no_such_route)
    app.after_request(_careful)
    return app


def _no_such_route(error: HTTPException) -> Answer:
    return _error(error.code or 404, f"{request.method} {request.path} is nothing here")


def _careful(answer: Response) -> Response:
    """Nothing from another host, no script in a page but ours, no guessing of types."""
    answer.headers.setdefault("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _answering(view: Callable[..., Any]) -> Callable[..., Any]:
    """Every ending has its status, and one plain sentence."""

    @wraps(view)
    def answer(**arguments: Any) -> Any:
        try:
            return view(**arguments)
        except InDoubt as error:
            return _error(504, str(error), job_id=error.ask_again)
        except zk.NO_ANSWER:
            return _error(503, "ZooKeeper doesn't answer at the moment: try again")
        except OSError as error:
            return _error(507, f"a disk here can't keep it ({error.strerror or error}): nothing was stored")
        except (LessonError, Unusable) as error:
            return _error(_status(error), str(error))
        except Exception:
            # A job's split is a student's own code; its traceback is for the log.
            log.exception("%s %s", request.method, request.path)
            return _error(500, "something here has failed; the worker's log has the details")

    return answer


def _status(error: LessonError | Unusable) -> int:
    if isinstance(error, BadUpload):
        return error.status
    if isinstance(error, Unusable):
        return 415 if error.unknown_format else 422
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def _error(status: int, message: str, **more: Any) -> Answer:
    return jsonify({"error": message, **more}), status


class _Routes:
    def __init__(self, worker: Worker, events: Events) -> None:
        self._worker = worker
        self._events = events

    def _master(self) -> Master:
        """The master that this worker is. Raises NotMaster with who is."""
        if (master := self._worker.master) is not None:
            return master
        life = self._worker.life
        try:
            leader = life.leader() if life else None
        except zk.NO_ANSWER:
            leader = None
        who = f"the master is {leader[0]}, at {leader[1]}" if leader else "at the moment nobody leads"
        raise NotMaster(f"{self._worker.name} is a worker: {who}")

    def page(self) -> Any:
        self._master()
        return Response((_STATIC / "page.html").read_text(encoding="utf-8"), mimetype="text/html")

    def upload(self) -> Answer:
        self._master().admit()
        self._worker.uploads += 1
        try:
            received = receive(request.environ, self._worker.disk, self._worker.local.max_upload_bytes)
            try:
                return self._submit(self._master(), received)  # another may lead by now
            finally:
                tpool.execute(received.spool.close)
        finally:
            self._worker.uploads -= 1

    def _submit(self, master: Master, received: Received) -> Answer:
        kind = received.fields.get("job", jobs.DEFAULT)
        if kind not in jobs.names():
            raise BadUpload(f"there is no job {kind!r}: there are {', '.join(jobs.names())}")
        key = request.headers.get("Idempotency-Key", "").strip()
        job_id = job_id_for(key) if key else str(uuid.uuid4())
        progress = master.submit(job_id, kind, received.name, received.spool)
        return jsonify({"job_id": progress.id, "state": progress.state}), 200

    def jobs(self) -> Answer:
        return jsonify([job_view(progress) for progress in self._master().jobs()])

    def job(self, job_id: str) -> Answer:
        master = self._master()
        progress = master.find(job_id) if _JOB_ID.fullmatch(job_id) else None
        if progress is None:
            return _error(404, "there is no such job")
        return jsonify(job_view(progress))

    def download(self, name: str) -> Any:
        master = self._master()
        fits = _DOWNLOAD.fullmatch(name)
        progress = master.find(fits["id"]) if fits else None
        if progress is None or progress.result is None or download_path(progress) != request.path:
            return _error(404, "there is no such result")
        result = progress.result
        try:
            file = tpool.execute(open, self._worker.shared.result(result.file or ""), "rb", 0)
        except FileNotFoundError:
            return _error(410, "this result is no longer kept: only those of the last jobs are")
        answer = Response(_blocks(file), mimetype=_KINDS.get(result.extension, "application/octet-stream"))
        answer.content_length = result.size
        answer.headers["Content-Disposition"] = f'inline; filename="{name}"'
        return answer

    def cluster(self) -> Answer:
        life = self._worker.life
        if life is None:
            return _error(503, "no session with ZooKeeper at the moment: try again")
        return jsonify({"nodes": life.cluster()})

    def events(self) -> Any:
        master = self._master()
        request.environ["eventlet.minimum_write_chunk_size"] = 1  # an event is news: it doesn't wait for more
        uncached = {"Cache-Control": "no-store"}
        stream = self._events.follow(lambda: self._worker.keeps(master))
        return Response(stream, mimetype="text/event-stream", headers=uncached)

    def healthz(self) -> Answer:
        """The event loop turns. An unreachable ZooKeeper is no reason to restart us."""
        return jsonify({"ok": True})

    def readyz(self) -> Answer:
        if self._worker.stopping or not self._worker.ready:
            return _error(503, "no session with ZooKeeper, or about to end")
        life = self._worker.life
        return jsonify({"ready": True, "pod": self._worker.name, "role": life.role if life else None})


_KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


def _blocks(file: Any) -> Iterator[bytes]:
    """In threads: a shared volume that stalls must not stall the session's heartbeats."""
    with file:
        while block := tpool.execute(file.read, _BLOCK_BYTES):
            yield block
