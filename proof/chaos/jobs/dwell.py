"""A job with slow tasks that record which worker ran them: so that a nemesis can hit one while it runs.

A task waits in many short steps. A process that is stopped and goes on has the rest of them still before it,
which a single sleep would not.
"""

import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from app.jobs.job import Buffer, Job, Piece, Split

PIECE_BYTES = 64
_STEPS, _STEP_S = 40, 0.05


def result_of(data: bytes) -> bytes:
    """What the job makes of ``data``: the digest of each piece, in their order."""
    pieces = [data[begin : begin + PIECE_BYTES] for begin in range(0, len(data), PIECE_BYTES)]
    return json.dumps([hashlib.sha256(piece).hexdigest() for piece in pieces]).encode()


class Dwell(Job):
    """Digests of the pieces of anything, slowly."""

    name = "dwell"
    phases = ("dwelling",)
    accepts = "anything"

    def check(self, source: Path) -> str:
        return ".json"

    def split(self, source: Path, array: Path, chunk_size: int) -> Split:
        data = source.read_bytes()
        pieces = [
            Piece(begin, len(piece), zlib.crc32(piece))
            for begin in range(0, len(data), PIECE_BYTES)
            if (piece := data[begin : begin + PIECE_BYTES])
        ]
        return Split(pieces, {}, in_source=True)

    def map(self, phase: str, piece: Buffer, given: Buffer, about: Mapping[str, JsonValue]) -> Buffer:
        for _ in range(_STEPS):
            time.sleep(_STEP_S)
        return hashlib.sha256(bytes(piece)).hexdigest().encode()

    def reduce(self, results: Iterable[Buffer], about: Mapping[str, JsonValue]) -> Buffer:
        return json.dumps([bytes(result).decode() for result in results]).encode()

    def finish(
        self, given: Buffer, results: Iterable[Buffer], about: Mapping[str, JsonValue], out: Path
    ) -> None:
        out.write_bytes(bytes(given))


JOB = Dwell()
