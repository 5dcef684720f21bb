"""A job with two phases and slow tasks: small results in znodes, larger ones and some values in files.

What comes of it depends on no chunk_size and no attempt.
"""

import hashlib
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from app.jobs.job import Buffer, Job, Piece, Split

ROW_BYTES = 16
# So often each row's digest is in a result: more than three rows make a file of it.
_TIMES = 40
# One reduced value in so many is too large for a znode.
_LARGE_VALUE = 5
# What a row takes, at most, in seconds.
_SLOWEST_S = 0.4


def rows_of(data: bytes) -> list[bytes]:
    return [data[begin : begin + ROW_BYTES] for begin in range(0, len(data), ROW_BYTES)]


def value_of(rows: Sequence[bytes]) -> bytes:
    """The reduced value."""
    digest = hashlib.sha256(b"".join(rows)).digest()
    return digest * (9_000 if len(rows) % _LARGE_VALUE == 0 else 1)


def result_of(data: bytes) -> bytes:
    """The output."""
    rows = rows_of(data)
    value = value_of(rows)
    return "\n".join(_seal(row, value[:32]).hex() for row in rows).encode()


class Seals(Job):
    """Each row is sealed with a digest of all rows.

    Attributes:
        mapped: called at the end of each map, in the process that it runs in.
    """

    name = "seals"
    phases = ("gather", "seal")
    accepts = "anything"

    def __init__(self) -> None:
        self.mapped: list[Callable[[], object]] = []

    def check(self, source: Path) -> str:
        return ".txt"

    def split(self, source: Path, array: Path, chunk_size: int) -> Split:
        """Every other input is copied into an array, which the tasks read."""
        data = source.read_bytes()
        in_source = data[0] % 2 == 0
        if not in_source:
            array.write_bytes(data)
        step = min(chunk_size, 1_000) * ROW_BYTES
        pieces = [
            Piece(begin, len(data[begin : begin + step]), zlib.crc32(data[begin : begin + step]))
            for begin in range(0, len(data), step)
        ]
        return Split(pieces, {}, in_source=in_source)

    def map(self, phase: str, piece: Buffer, given: Buffer, about: Mapping[str, JsonValue]) -> Buffer:
        rows = rows_of(bytes(piece))
        for row in rows:
            time.sleep(_SLOWEST_S * (row[1] / 255) ** 4)
        for told in self.mapped:
            told()
        if phase == "gather":
            return b"".join(row * _TIMES * 2 for row in rows)
        return b"".join(_seal(row, bytes(given)[:32]) * _TIMES for row in rows)

    def reduce(self, results: Iterable[Buffer], about: Mapping[str, JsonValue]) -> Buffer:
        return value_of(_rows_in(results, ROW_BYTES * _TIMES * 2, ROW_BYTES))

    def finish(
        self, given: Buffer, results: Iterable[Buffer], about: Mapping[str, JsonValue], out: Path
    ) -> None:
        seals = _rows_in(results, 32 * _TIMES, 32)
        out.write_bytes("\n".join(seal.hex() for seal in seals).encode())


def _rows_in(results: Iterable[Buffer], width: int, row_bytes: int) -> list[bytes]:
    """The rows of all results, each of which is there many times over."""
    return [
        bytes(result)[begin : begin + row_bytes]
        for result in results
        for begin in range(0, len(bytes(result)), width)
    ]


def _seal(row: bytes, value: bytes) -> bytes:
    return hashlib.sha256(value + row).digest()


JOB = Seals()
