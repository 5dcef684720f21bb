"""What a job looks like in ZooKeeper: values, read and written as JSON.

/jobs/<id>                        Manifest    the transaction's payload: what was uploaded
/jobs/<id>/plan                   Plan        how it is cut into tasks; created once
/board/<id>                       Offer       what is to be done now; workers watch it
/jobs/<id>/<phase>/task_<i>       Attempt     its znode version is the fencing token
/jobs/<id>/<phase>/task_<i>/done  Done        what came of it
/jobs/<id>/result                 Result      what came of the job
"""

from typing import Literal

from pydantic import Field, JsonValue

from app.consistency.engine.transactions import Stored
from app.jobs.job import Piece


class Manifest(Stored):
    """An upload: the bytes are on two disks and on the shared volume, this stands for them."""

    job: str
    name: str  # the file's, as its sender called it; for people only, never a path
    size: int = Field(ge=1)  # bytes
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Plan(Stored):
    """How a job is cut. ``input`` is the array that ``Job.split`` wrote, None if tasks read the upload."""

    chunk_size: int
    extension: str
    pieces: list[tuple[int, int, int]]  # offset, length, crc32
    about: dict[str, JsonValue]
    input: str | None

    def piece(self, index: int) -> Piece:
        return Piece(*self.pieces[index])


class Offer(Stored):
    """The tasks that are open. A new round makes every worker look again.

    ``input`` names the file that tasks read now: a damaged one is replaced under another name.
    """

    job: str
    phase: str
    round: int
    input: str
    left: list[int]


class Attempt(Stored):
    """The attempts at one task so far: how many claims, who holds the last one, what was raised."""

    number: int = 0
    by: str = ""
    errors: list[str] = Field(default_factory=list)


class Done(Stored):
    """A task's result: small ones in the znode (base64), others in a file on the shared volume."""

    by: str
    attempt: int
    inline: str | None = None
    file: str | None = None
    size: int = 0
    crc32: int = 0
    error: str | None = None
    damaged: str | None = None  # the input that couldn't be read: the task stays open


class Result(Stored):
    """A job's end."""

    state: Literal["done", "failed"]
    job: str
    name: str
    extension: str = ""
    file: str | None = None
    size: int = 0  # bytes
    crc32: int = 0
    seconds: float = 0.0
    tasks: int = 0
    error: str | None = None
