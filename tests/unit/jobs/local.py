"""Runs a job from end to end in this one process: the calls of the engine in their order, and no more."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.jobs.job import Job, Piece, Split


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that came of a job, for a test to look at."""

    split: Split
    results: dict[str, list[bytes]]  # phase -> one for each piece
    given: bytes
    out: Path


def run(job: Job, source: Path, folder: Path, chunk_size: int = 16) -> Run:
    """Check, split, map, reduce, map again, finish. Raises what the job raises.

    Args:
        folder: made if missing; the array and the output stand there.

    Pieces that don't fit the file are an AssertionError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    extension = job.check(source)
    array = folder / "array"
    split = job.split(source, array, chunk_size)
    file = source if split.in_source else array
    results: dict[str, list[bytes]] = {}
    given = b""
    for phase in job.phases:
        mapped = [job.map(phase, piece, given, split.about) for piece in pieces(file, split)]
        results[phase] = [bytes(result) for result in mapped]
        if phase == job.phases[0]:
            given = bytes(job.reduce(iter(results[phase]), split.about))
    last = results[job.phases[-1]] if len(job.phases) > 1 else []
    out = folder / f"out{extension}"
    job.finish(given, iter(last), split.about, out)
    return Run(split, results, given, out)


def pieces(file: Path, split: Split) -> Iterator[memoryview]:
    """The bytes of each piece, checked as the engine does, and read-only as mapped memory is."""
    content = memoryview(file.read_bytes())
    assert split.pieces
    for piece in split.pieces:
        yield checked(content[piece.offset : piece.offset + piece.length], piece)


def checked(part: memoryview, piece: Piece) -> memoryview:
    assert len(part) == piece.length > 0
    assert zlib.crc32(part) == piece.crc32
    return part
