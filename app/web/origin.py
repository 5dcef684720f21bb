"""Who may ask for a change, and what a page of ours may load."""

from typing import Any

from flask import Request, Response

from app.errors import LessonError

_POLICY = "; ".join(
    [
        "default-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_MOST_BYTES = 4_096


class BadRequest(LessonError):
    """The request can't be served as it is; ``status`` is HTTP's word for it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_origin(request: Request) -> None:
    """Raise BadRequest if another site's page has sent this. Programs (curl) send no origin, and may."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    strange = origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}")
    if strange or site not in (None, "same-origin", "none"):
        message = "only this page itself, or a program like curl, may ask for a change: not another site"
        raise BadRequest(message, 403)


def body_of(request: Request) -> dict[str, Any]:
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
