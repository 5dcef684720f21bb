"""A value with its version, and how the two stand in a znode's bytes."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import Malformed


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Totally ordered; no two writes share one."""

    counter: int
    writer: str  # the id of this one write, never the client's


@dataclass(frozen=True, slots=True)
class Versioned:
    """What a replica holds: a value under its version."""

    version: Version
    value: bytes


UNWRITTEN = Versioned(Version(0, ""), b"")


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    counter: int = Field(ge=0)
    writer: str


def encode(held: Versioned) -> bytes:
    """One line of JSON with the version, then the value as it is: readable in zkCli.sh if the value is."""
    header = _Header(counter=held.version.counter, writer=held.version.writer)
    return header.model_dump_json().encode() + b"\n" + held.value


def decode(data: bytes) -> Versioned:
    """Parse a replica's bytes. Raises Malformed."""
    line, newline, value = data.partition(b"\n")
    try:
        header = _Header.model_validate_json(line)
    except ValidationError as error:
        message = f"a replica holds {data[:40]!r}, which has no version"
        raise Malformed(message) from error
    if not newline:
        message = f"a replica holds {data[:40]!r}, which has no value"
        raise Malformed(message)
    return Versioned(Version(header.counter, header.writer), value)
