"""Every ending of a request has its status, and one plain sentence."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, jsonify, request

from app.errors import Aborted, IdConflict, InDoubt, LessonError, Malformed, NotMaster, TooLarge
from app.jobs.job import Unusable
from app.web.origin import BadRequest, check_origin
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# What isn't here is a passing trouble of the cluster: 503, try again.
_STATUS: tuple[tuple[type[LessonError], int], ...] = (
    (NotMaster, 403),
    (TooLarge, 413),
    (IdConflict, 422),
    (Malformed, 500),
)

Answer = Response | tuple[Response, int]


def answering(view: Callable[..., Any]) -> Callable[..., Any]:
    """Every ending has its status, and one plain sentence."""

    @wraps(view)
    def answer(**arguments: Any) -> Any:
        try:
            if request.method == "POST":
                check_origin(request)
            return view(**arguments)
        except InDoubt as ending:
            asked = {"job_id": ending.ask_again} if isinstance(ending.ask_again, str) else {}
            return error(504, str(ending), **asked)
        except zk.NO_REPLY:
            return error(503, "ZooKeeper doesn't answer at the moment: try again")
        except OSError as ending:
            return _disk(ending)
        except Aborted as ending:
            return error(503, str(ending), aborted=True)  # for whoever tries again: with another key
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
