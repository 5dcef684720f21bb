"""What a demo and its guests say to each other, as znodes: parsed, never trusted.

Under ``/demos/<run>/cast/<pod>`` a demo puts an Ask for the worker; an Reply takes its place. What changes
by itself the worker tells in its Report, which the demo watches.
"""

import socket
from pathlib import Path
from typing import Literal, get_args

from pydantic import ConfigDict, Field, JsonValue

from app import errors
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.transactions import Stored
from app.errors import InDoubt, LessonError

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
_SHA256 = r"^[0-9a-f]{64}$"

Order = Literal["start", "cut", "slow", "heal", "crash", "restart", "leave"]
Question = Literal["submit", "read", "load", "silent", "log"]


class Message(Stored):
    """Payloads cross as they are, whatever their bytes; what is left out is as it is by default."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()


class Part(Message):
    """What a guest is to play.

    Attributes:
        kind: a copy of the configuration, a member of the pair, or the host of replica ``index``.
        session_timeout_s: its second session's.
        ack_timeout_s: a member's patience, when it leads.
        refresh_s: the period of a copy's safety net.
    """

    kind: Literal["config", "member", "host"]
    index: int = Field(1, ge=1, le=100)
    session_timeout_s: float = Field(2.0, ge=0.5, le=60)
    ack_timeout_s: float = Field(2.0, ge=0.1, le=600)
    refresh_s: float = Field(30.0, ge=0.1, le=600)


class Request(Message):
    """An order or a question.

    Attributes:
        incarnation: whom it is for: a worker that was restarted meanwhile is another.
        primary: which of the primaries that this member has been, as its reports number them.
        since: the first entry of the log that is wanted.
    """

    incarnation: str
    do: Order | Question
    part: Part | None = None
    delay_s: float = Field(0.0, ge=0, le=60)
    primary: int = 0
    job_id: str = Field("none", pattern=_NAME)
    digest: str = Field("0" * 64, pattern=_SHA256)
    payload: bytes = b""
    since: int = Field(0, ge=0)

    @property
    def changes_something(self) -> bool:
        return self.do == "submit" or self.do in get_args(Order)


class Entry(Message):
    """What has happened in a guest, for the checker and the screen: a value applied, or a step taken."""

    at_ns: int
    mzxid: int = -1
    value: dict[str, JsonValue] | None = None
    step: str = ""
    job_id: str = ""


class PrimaryStatus(Message):
    """The primary that a member is: which one, in which epoch, and who backs it up."""

    id: int
    number: int
    name: str | None = None
    backup: str | None = None

    def epoch(self) -> Epoch:
        return Epoch(self.number, self.name, None, self.backup)


class Report(Message):
    """What a worker says of its part, again whenever it changes.

    Attributes:
        incarnation: another one after every restart of the worker.
        machine: whose monotonic clock the times are of.
        number: grows with every report of one incarnation.
        declined: why it doesn't take part, if it doesn't.
        session, connected: of its second session.
        copy_mzxid, copy_value, applied_ns, rejected: a configuration copy's.
        leads, backs_up: a member's: the primary it is, the number of the epoch in which it is the backup.
        first, log: the last entries of the log, and which number the first of them has.
    """

    incarnation: str
    machine: str
    number: int = 0
    declined: str | None = None
    session: int | None = None
    connected: bool = False
    copy_mzxid: int = -1
    copy_value: dict[str, JsonValue] | None = None
    applied_ns: int = 0
    rejected: str | None = None
    leads: PrimaryStatus | None = None
    backs_up: int | None = None
    first: int = 0
    log: tuple[Entry, ...] = ()


class Reply(Message):
    """What became of an ask; an ending that isn't a result crosses as its type's name and its message.

    Attributes:
        report: after what changes something, how things are now.
    """

    error: str | None = None
    message: str = ""
    report: Report | None = None
    payload: bytes | None = None
    silent_s: float = 0.0
    log: tuple[Entry, ...] = ()

    @classmethod
    def of_error(cls, error: LessonError) -> "Reply":
        return cls(error=type(error).__name__, message=str(error))

    def checked(self, ask_again: str) -> "Reply":
        """Itself if it is a result; else raises the same ending here."""
        if self.error is None:
            return self
        kind = getattr(errors, self.error, None)
        if isinstance(kind, type) and issubclass(kind, LessonError) and not issubclass(kind, InDoubt):
            raise kind(self.message)
        raise InDoubt(self.message, ask_again=ask_again)


def this_machine() -> str:
    """Tells whether two processes share a monotonic clock: it counts from one kernel's start."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()  # not Linux
