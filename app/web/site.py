"""The routes, and their server. A worker that isn't the master names the master."""

import logging
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventlet import tpool, wsgi
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from app import jobs
from app.consistency.engine.transactions import job_id_for
from app.errors import NotMaster
from app.mapreduce.master import Master
from app.web import actions
from app.web.answers import Answer, answering, body_of, careful, download_path, error, job_view
from app.web.events import Events, wants
from app.web.logs import TAIL
from app.web.objects import REGISTER
from app.web.receiving import BadUpload, Received, receive
from app.worker import Worker
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

_DOWNLOAD = re.compile(r"(?P<id>[0-9a-f-]{36})_final\.[a-z0-9]{1,5}")
_PREVIEW = re.compile(r"(?P<id>[0-9a-f-]{36})_(?P<which>before|after)\.png")
_JOB_ID = re.compile(r"[0-9a-f-]{36}")
_BLOCK_BYTES = 1 << 20
_STATIC = Path(__file__).parent / "static"
# Connections at once: a class with a page each, and its uploads.
_MOST_CONNECTIONS = 256
# A connection that is silent this long is closed.
_SILENCE_S = 60.0


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
        ("/logs", "GET", routes.logs),
        ("/preview/<name>", "GET", routes.preview),
        ("/config", "POST", routes.config),
        ("/quorum/write", "POST", routes.quorum_write),
        ("/quorum/read", "POST", routes.quorum_read),
        ("/healthz", "GET", routes.healthz),
        ("/readyz", "GET", routes.readyz),
    ):
        app.add_url_rule(rule, view.__name__, answering(view), methods=[method])
    for code in (404, 405):
        app.register_error_handler(code, _no_such_route)
    app.after_request(careful)
    return app


def serve(listener: Any, application: Flask) -> None:
    """Serve until the process ends. A slow or silent client costs a green thread and nothing else."""
    wsgi.server(
        listener,
        application,
        log=_Quiet(),
        log_output=False,
        max_size=_MOST_CONNECTIONS,
        socket_timeout=_SILENCE_S,
        debug=False,  # a traceback is for the log, never for a user
    )


class _Quiet:
    """What eventlet.wsgi writes about broken connections: for the log, not for the screen."""

    def write(self, text: str) -> None:
        log.debug("%s", text.rstrip())


def _no_such_route(why: HTTPException) -> Answer:
    return error(why.code or 404, f"{request.method} {request.path} is nothing here")


class _Routes:
    def __init__(self, worker: Worker, events: Events) -> None:
        self._worker = worker
        self._events = events

    def _master(self) -> Master:
        """The master that this worker is. Raises NotMaster, which names it."""
        if (master := self._worker.master) is not None:
            return master
        life = self._worker.life
        try:
            leader = life.leader() if life else None
        except zk.NO_REPLY:
            leader = None
        who = f"the master is {leader[0]}, at {leader[1]}" if leader else "no worker leads at the moment"
        raise NotMaster(f"{self._worker.name} is a worker: {who}")

    def page(self) -> Any:
        """The page. A worker serves it to a browser, too: the page names the master, and looks for it."""
        status = 200
        try:
            self._master()
        except NotMaster:
            if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
                raise
            status = 403
        page = (_STATIC / "page.html").read_text(encoding="utf-8")
        return Response(page, status, mimetype="text/html", headers={"Cache-Control": "no-cache"})

    def upload(self) -> Answer:
        self._master().admit()
        with self._worker.receiving():
            received = receive(request.environ, self._worker.disk, self._worker.local.max_upload_bytes)
            try:
                return self._submit(self._master(), received)  # another may lead by now
            finally:
                tpool.execute(received.spool.close)

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
            return error(404, "there is no such job")
        return jsonify(job_view(progress))

    def download(self, name: str) -> Any:
        master = self._master()
        fits = _DOWNLOAD.fullmatch(name)
        progress = master.find(fits["id"]) if fits else None
        if progress is None or progress.result is None or download_path(progress) != request.path:
            return error(404, "there is no such result")
        result = progress.result
        try:
            file = tpool.execute(open, self._worker.shared.result(result.file or ""), "rb", 0)
        except FileNotFoundError:
            return error(410, "this result is no longer kept: only those of the last jobs are")
        answer = Response(_blocks(file), mimetype=_KINDS.get(result.extension, "application/octet-stream"))
        answer.content_length = result.size
        answer.headers["Content-Disposition"] = f'inline; filename="{name}"'
        return answer

    def cluster(self) -> Answer:
        life = self._worker.life
        if life is None:
            return error(503, "no session with ZooKeeper at the moment: try again")
        return jsonify({"nodes": life.cluster()})

    def events(self) -> Any:
        """``?page`` adds what the page shows, ``&logs`` all workers' logs; ``&after=<id>`` resumes."""
        master, asked = self._master(), request.args
        after = request.headers.get("Last-Event-ID") or asked.get("after", "")
        heard = wants("page" in asked, "logs" in asked)
        return _stream(self._events.follow(self._worker, master, heard, after))

    def logs(self) -> Any:
        """This worker's own log, and not only the master's."""
        after = request.headers.get("Last-Event-ID", "")
        return _stream(TAIL.follow(int(after) if after.isdecimal() else 0))

    def preview(self, name: str) -> Answer:
        master = self._master()
        fits = _PREVIEW.fullmatch(name)
        progress = master.find(fits["id"]) if fits else None
        if fits is None or progress is None:
            return error(404, "there is no such job")
        made = self._events.page_state(self._worker, master).previews.get(progress, fits["which"])
        if made is None:
            return error(410, "there is no picture of that, or it is no longer kept")
        return Response(made, mimetype="image/png", headers={"Cache-Control": "private, max-age=3600"})

    def config(self) -> Answer:
        self._master()
        return jsonify(actions.configure(self._client(), body_of())), 200

    def quorum_write(self) -> Answer:
        return self._quorum("write")

    def quorum_read(self) -> Answer:
        return self._quorum("read")

    def _quorum(self, op: str) -> Answer:
        state = self._events.page_state(self._worker, self._master())
        told, status = actions.quorum(self._client(), op, body_of())
        state.touch(REGISTER)  # a read writes nothing, and is to be seen nevertheless
        return jsonify(told), status

    def _client(self) -> Any:
        """The session. Raises NotMaster where there is none at the moment."""
        if (life := self._worker.life) is None:
            raise NotMaster("no session with ZooKeeper at the moment: try again")
        return life.client

    def healthz(self) -> Answer:
        """The event loop turns. An unreachable ZooKeeper is no reason to restart us."""
        return jsonify({"ok": True})

    def readyz(self) -> Answer:
        if self._worker.stopping or not self._worker.ready:
            return error(503, "no session with ZooKeeper, or about to end")
        life = self._worker.life
        return jsonify({"ready": True, "pod": self._worker.name, "role": life.role if life else None})


def _stream(events: Iterator[str]) -> Response:
    request.environ["eventlet.minimum_write_chunk_size"] = 1  # an event is news: it doesn't wait for more
    uncached = {"Cache-Control": "no-store"}
    return Response(events, mimetype="text/event-stream", headers=uncached)


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
