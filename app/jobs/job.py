"""What a job is: how to split an input, map the pieces, reduce what came of them, and finish.

A job is one file in this folder, found by its name. It computes and knows no ZooKeeper, no network and no
green threads: the engine (``app.mapreduce``) calls it in a thread, keeps its state, and runs it again where a
process died. Therefore every method is *deterministic*: the same arguments give the same bytes, in any
process, any number of times.

    input --split--> pieces --map, first phase--> results --reduce--> a value
                     pieces --map with that value, each later phase--> results --finish--> the output file

(Dean & Ghemawat, OSDI 2004, section 3.3: deterministic tasks make re-execution invisible.)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from pydantic import JsonValue

# Pieces of a job: each is a few znodes and a few milliseconds, so more of them only cost. Where chunk_size
# asks for more, a piece takes more rows (or lines).
MOST_PIECES = 4_000

# What one result, or one piece, may be: bytes or an array's memory, handed on without a copy.
Buffer = bytes | bytearray | memoryview


class Unusable(Exception):
    """The input can't be processed, in one plain sentence that says why.

    ``unknown_format``: it isn't the kind of thing that this job takes (415); else it is one that is broken or
    not supported (422).
    """

    def __init__(self, message: str, *, unknown_format: bool = False) -> None:
        super().__init__(message)
        self.unknown_format = unknown_format


@dataclass(frozen=True, slots=True)
class Piece:
    """One map task's share of the file that :meth:`Job.split` names.

    Attributes:
        offset, length: in bytes.
        crc32: of these bytes, so that a task notices when it reads others.
    """

    offset: int
    length: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Split:
    """What :meth:`Job.split` made of an input.

    Attributes:
        pieces: in the order in which ``finish`` gets their results; at least one.
        about: what ``map``, ``reduce`` and ``finish`` have to know beside them (a shape, a format): JSON.
        in_source: the pieces are of the source itself; else of the ``array`` that ``split`` has written.
    """

    pieces: Sequence[Piece]
    about: Mapping[str, JsonValue]
    in_source: bool = False


class Job(ABC):
    """A kind of job. Stateless: one instance serves all.

    Attributes:
        name: as in ``POST /upload``'s field ``job``, and this file's name.
        phases: names of the map phases, which are znodes too; at least one.
        accepts: for people, what it takes.
    """

    name: ClassVar[str]
    phases: ClassVar[tuple[str, ...]]
    accepts: ClassVar[str]

    @abstractmethod
    def check(self, source: Path) -> str:
        """Look at the input's header, without reading it all. Returns the output's extension (".png").

        Raises Unusable.
        """

    def preview(self, file: IO[bytes], most_px: int) -> bytes | None:
        """A small PNG of an input or an output, for the page; None if there is nothing to see in them.

        May raise Unusable or OSError. A job need not have this.
        """
        del file, most_px
        return None

    @abstractmethod
    def split(self, source: Path, array: Path, chunk_size: int) -> Split:
        """Cut the input into pieces of ``chunk_size`` rows (or lines), at most MOST_PIECES.

        May write what the tasks are to read (a decoded picture) to ``array``, a new file, which the
        engine names. Where the source itself is read (``in_source``) there is no such file. What
        ``about`` holds travels in a znode: up to some 100 KiB. Raises Unusable where the input proves to be
        broken; an OSError is the disk's trouble, and passes through.
        """

    @abstractmethod
    def map(self, phase: str, piece: Buffer, given: Buffer, about: Mapping[str, JsonValue]) -> Buffer:
        """What comes of one piece in one phase. ``given``: the reduced value; empty in the first phase."""

    @abstractmethod
    def reduce(self, results: Iterable[Buffer], about: Mapping[str, JsonValue]) -> Buffer:
        """The first phase's results, in the order of the pieces, as one value. May raise Unusable."""

    @abstractmethod
    def finish(
        self, given: Buffer, results: Iterable[Buffer], about: Mapping[str, JsonValue], out: Path
    ) -> None:
        """Write the output file. ``results``: the last phase's, in order, read one by one as they are asked
        for, and each valid until the next is; empty where the first phase is the only one, since ``given``
        has them all."""
