"""Requests and answers: who may ask for a change, how each ending is answered, how a job looks in JSON."""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, jsonify, request

from app import jobs
from app.errors import Aborted, IdConflict, InDoubt, LessonError, Malformed, NotMaster, TooLarge
from app.jobs.job import Unusable
from app.mapreduce.runner import Progress
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# Once: a folder is listed for it.
_KINDS = frozenset(jobs.names())
_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_MOST_BYTES = 4_096
# What isn't here is a passing trouble of the cluster: 503, try again.
_STATUS: tuple[tuple[type[LessonError], int], ...] = (
    (NotMaster, 403),
    (TooLarge, 413),
    (IdConflict, 422),
    (Malformed, 500),
)

Answer = Response | tuple[Response, int]


class BadRequest(LessonError):
    """The request can't be served as it is; ``status`` is HTTP's word for it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_origin() -> None:
    """Raise BadRequest if another site's page has sent this. Programs (curl) send no origin, and may."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    strange = origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}")
    if strange or site not in (None, "same-origin", "none"):
        message = "only this page itself, or a program like curl, may ask for a change: not another site"
        raise BadRequest(message, 403)


def body_of() -> dict[str, Any]:
    """The JSON object that was sent. Raises BadRequest."""
    if request.mimetype != "application/json":
        raise BadRequest("send JSON: curl -H 'Content-Type: application/json' -d '{...}'", 415)
    if (request.content_length or 0) > _MOST_BYTES:
        raise BadRequest(f"at most {_MOST_BYTES:,} bytes", 413)
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadRequest("a JSON object is expected")
    return body


def careful(answer: Response) -> Response:
    """Nothing from another host, no script in a page but ours, no guessing of types."""
    answer.headers.setdefault("Content-Security-Policy", _POLICY)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return answer


def answering(view: Callable[..., Any]) -> Callable[..., Any]:
    """Every ending has its status, and one plain sentence."""

    @wraps(view)
    def answer(**arguments: Any) -> Any:
        try:
            if request.method == "POST":
                check_origin()
            return view(**arguments)
        except InDoubt as ending:
            asked = {"job_id": ending.ask_again} if isinstance(ending.ask_again, str) else {}
            return error(504, str(ending), **asked)
        except zk.NO_REPLY:
            return error(503, "ZooKeeper doesn't answer at the moment: try again")
        except OSError as ending:
            return _disk(ending)
        except Aborted as ending:
            return error(503, str(ending), aborted=True)  # a retry needs another key
        except (LessonError, Unusable) as ending:
            return error(_status(ending), str(ending))
        except Exception:
            # A job's split is a student's own code; its traceback is for the log.
            log.exception("%s %s", request.method, request.path)
            return error(500, "something here has failed; the worker's log has the details")

    return answer


def _disk(ending: OSError) -> Answer:
    cause = ending.strerror or ending
    if request.method == "POST":
        return error(507, f"a disk here can't keep it ({cause}): nothing was stored")
    return error(503, f"a disk here can't be read ({cause}): try again")


def _status(ending: LessonError | Unusable) -> int:
    if isinstance(ending, BadRequest):
        return ending.status
    if isinstance(ending, Unusable):
        return 415 if ending.unknown_format else 422
    return next((status for kind, status in _STATUS if isinstance(ending, kind)), 503)


def error(status: int, message: str, **more: Any) -> Answer:
    return jsonify({"error": message, **more}), status


def job_view(progress: Progress) -> dict[str, Any]:
    """One job, as ``GET /jobs/<id>`` answers it."""
    result = progress.result
    running = progress.state in ("replicated", "running")
    seconds = max(0.0, time.time() - progress.started) if running else result.seconds if result else None
    return {
        "id": progress.id,
        "job": progress.manifest.job,
        "name": progress.manifest.name,
        "size": progress.manifest.size,
        "state": progress.state,
        "phase": progress.phase,
        "phases": phases_of(progress.manifest.job),
        "tasks_done": progress.done,
        "tasks_total": progress.total,
        "seconds": None if seconds is None else round(seconds, 3),
        "error": result.error if result else None,
        "download": download_path(progress),
    }


def phases_of(kind: str) -> list[str]:
    """The phases of a job of this kind; none of one whose file isn't there any more."""
    return list(jobs.find(kind).phases) if kind in _KINDS else []


def download_path(progress: Progress) -> str | None:
    result = progress.result
    if result is None or result.file is None:
        return None
    return f"/download/{progress.id}_final{result.extension}"
