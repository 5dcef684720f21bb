"""What a transaction looks like in ZooKeeper: pure values, and which of them may be forgotten.

    /jobs/<id>              the payload
    /jobs/<id>/backup_ack   who has it on disk, under which epoch
    /jobs/<id>/outcome      the one decision, created once, never changed

An ACK shows that a copy is on the backup's disk if its author, epoch and digest are the expected ones. That
catches mistakes (a late ACK, one of an older backup, one for another payload). It is no protection against
malice: any client of an open ensemble can write what it likes, and only access control lists help there.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.consistency.engine.fencing import Epoch
from app.errors import Malformed

Decision = Literal["committed", "aborted"]

# Longer than any retry: a settled outcome stays for at least an hour, and the last thousand stay longer.
KEEP_LAST = 1_000
KEEP_S = 3_600.0


class Stored(BaseModel):
    """What a znode of a transaction holds, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a znode. Raises Malformed."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            message = f"{data[:60]!r} is no {cls.__name__}"
            raise Malformed(message) from error


class Ack(Stored):
    """The backup's word that the payload is synced to its own disk."""

    author: str
    epoch: int
    size: int = Field(ge=0)  # bytes
    sha256: str

    @classmethod
    def by(cls, author: str, epoch: Epoch, digest: "Digest") -> "Ack":
        return cls(author=author, epoch=epoch.number, size=digest.size, sha256=digest.sha256)


class Outcome(Stored):
    """The decision. The digest stays when an aborted payload is dropped, so that a retry is recognised."""

    decision: Decision
    by: str
    epoch: int
    size: int = Field(ge=0)  # bytes
    sha256: str

    @classmethod
    def of(cls, decision: Decision, epoch: Epoch, digest: "Digest") -> "Outcome":
        """``decision``, made by the primary of ``epoch``."""
        by = epoch.primary or ""
        return cls(decision=decision, by=by, epoch=epoch.number, size=digest.size, sha256=digest.sha256)


@dataclass(frozen=True, slots=True)
class Digest:
    """What identifies a payload without carrying it."""

    size: int
    sha256: str

    @classmethod
    def of(cls, payload: bytes) -> "Digest":
        return cls(len(payload), hashlib.sha256(payload).hexdigest())


def job_id_for(request_id: str) -> str:
    """The transaction's id, made from the caller's request id: a retry finds its own record.

    A UUID is taken as it is (the notes' ids are UUIDs); anything else becomes a UUID made from it.
    """
    try:
        return str(uuid.UUID(request_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"request:{request_id}"))


def forgettable(settled: list[tuple[float, str]], now_s: float) -> list[str]:
    """Ids whose record may go: older than an hour, and not among the last thousand.

    Args:
        settled: (seconds when it was decided, id) of every decided transaction, in any order.
        now_s: now, by the same clock (the store's).
    """
    oldest_first = sorted(settled)[: max(0, len(settled) - KEEP_LAST)]
    return [job_id for decided_s, job_id in oldest_first if now_s - decided_s > KEEP_S]
