"""What the page can do beside an upload: publish a configuration, write to a quorum, read from one."""

import time
from dataclasses import dataclass, field
from typing import Any

from app.consistency.engine.replicas import Replicas
from app.consistency.engine.versions import UNWRITTEN, Version, Versioned
from app.consistency.eventual import publish
from app.consistency.quorum import N, Quorum, R, Register, W
from app.errors import InDoubt, Malformed, Refused
from app.web.answers import BadRequest
from app.web.objects import REGISTER, described

_TIMEOUT_S = 3.0
_MOST_LETTERS = 200
OK, UNAVAILABLE, IN_DOUBT = 200, 503, 504


def configure(client: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Publish another chunk_size. Raises BadRequest, Refused or InDoubt."""
    if set(body) != {"chunk_size"} or isinstance(body["chunk_size"], bool):
        raise BadRequest('send chunk_size and nothing else: {"chunk_size": 2048}')
    try:
        published = publish(client, body)
    except Malformed as error:
        raise BadRequest(str(error)) from error
    return {"chunk_size": body["chunk_size"], "config_version": published.mzxid}


@dataclass
class _Course:
    """What happened to each replica, in milliseconds since the call.

    Attributes:
        answered: those that were asked, and counted, with what they held.
        acknowledged: those that stored it, or had it, as far as that was waited for.
    """

    began: float = field(default_factory=time.monotonic)
    answered: dict[int, tuple[float, Versioned]] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        return round((time.monotonic() - self.began) * 1000, 1)

    def hear(self, index: int, held: Versioned) -> None:
        self.answered[index] = (self.ms, held)

    def store(self, version: Version, index: int) -> None:
        del version
        self.acknowledged[index] = self.ms

    def view(self, op: str) -> dict[str, Any]:
        newest = max((held.version for _, held in self.answered.values()), default=UNWRITTEN.version)
        return {
            "op": op,
            "object": REGISTER,
            "n": N,
            "w": W,
            "r": R,
            "ms": self.ms,
            "answered": [
                {"replica": index, "ms": ms, **described(held)}
                for index, (ms, held) in sorted(self.answered.items())
            ],
            "stale": sorted(i for i, (_, held) in self.answered.items() if held.version < newest),
            "acknowledged": [{"replica": index, "ms": ms} for index, ms in sorted(self.acknowledged.items())],
        }


def quorum(client: Any, op: str, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """One quorum write or read of the page's register; what happened, and HTTP's word for it."""
    course = _Course()
    register = Register(
        Replicas(REGISTER, [client] * N),
        Quorum(N, W, R),
        timeout_s=_TIMEOUT_S,
        on_ack=course.store,
        on_answer=course.hear,
    )
    value = _value(body) if op == "write" else b""
    try:
        register.create()
        held = register.read() if op == "read" else Versioned(register.write(value), value)
    except Refused as error:
        return {**course.view(op), "ending": "refused", "error": str(error)}, UNAVAILABLE
    except InDoubt as error:
        doubt = {"ending": "in doubt", "error": str(error), "holders": list(error.holders)}
        return {**course.view(op), **doubt}, IN_DOUBT
    finally:
        register.close()
    return {**course.view(op), "ending": "done", **described(held)}, OK


def _value(body: dict[str, Any]) -> bytes:
    """What is to be written. Raises BadRequest."""
    value = body.get("value")
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_LETTERS:
        raise BadRequest(f'send a value of 1 to {_MOST_LETTERS} letters: {{"value": "..."}}')
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("a letter of this value is half of one (a lone surrogate): send text") from error
