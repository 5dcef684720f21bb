"""How often each word occurs in a text: the job of the MapReduce paper (Dean & Ghemawat, section 2.1).

A word is a run of letters and digits of any script; apostrophes within it belong to it. Upper and lower case
are the same, and so are the ways to write one accented letter, and both apostrophes. What isn't a letter or a
digit ends a word: "well-known" is two.
"""

import json
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import JsonValue, TypeAdapter

from app.jobs.job import MOST_PIECES, Buffer, Job, Piece, Split, Unusable

# A task has some times this in memory: up to four bytes for each letter, and more for its words.
MOST_PIECE_BYTES = 8 << 20
# One process holds the sum of all counts: 300 MB, measured with words of 13 letters.
MOST_WORDS = 1_000_000
# What `check` looks at.
_HEAD_BYTES = 64 * 1024

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# White space that is one byte in UTF-8, and never a part of another character.
_WHITE_SPACE = b" \t\n\v\f\r"

_COUNTS = TypeAdapter(dict[str, int])


def words(text: str) -> list[str]:
    """The words of a text, in its order."""
    return _WORD.findall(unicodedata.normalize("NFC", text.casefold()).replace("’", "'"))


class WordCount(Job):
    """Counts words. The one phase's results, and the reduced value, are JSON: ``{"word": count}``."""

    name = "wordcount"
    phases = ("counts",)
    accepts = "a text in UTF-8 with at most 1,000,000 different words"

    def check(self, source: Path) -> str:
        check_text(source)
        return ".json"

    def split(self, source: Path, array: Path, chunk_size: int) -> Split:
        return Split(list(cut_text(source, chunk_size)), {}, in_source=True)

    def map(self, phase: str, piece: Buffer, given: Buffer, about: Mapping[str, JsonValue]) -> Buffer:
        return _as_json(Counter(words(str(piece, "utf-8"))))

    def reduce(self, results: Iterable[Buffer], about: Mapping[str, JsonValue]) -> Buffer:
        """Raises Unusable where there are too many different words."""
        counts: Counter[str] = Counter()
        for result in results:
            counts.update(_COUNTS.validate_json(bytes(result)))
            if len(counts) > MOST_WORDS:
                raise Unusable(f"the text has more than {MOST_WORDS:,} different words")
        return _as_json(counts)

    def finish(
        self, given: Buffer, results: Iterable[Buffer], about: Mapping[str, JsonValue], out: Path
    ) -> None:
        """``{"total": ..., "words": {"word": count}}``, the most frequent first."""
        counts = _COUNTS.validate_json(bytes(given))
        found = {"total": sum(counts.values()), "words": counts}
        out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _as_json(counts: Mapping[str, int]) -> bytes:
    """The same counts are the same bytes: by descending count, then by word."""
    ordered = dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def check_text(source: Path) -> None:
    """Look at the beginning of what should be a text in UTF-8. Raises Unusable."""
    with source.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        more = file.read(1) != b""
    if not head:
        raise Unusable("the file is empty")
    # The last character of the beginning may go on behind it.
    _check_utf8(head[: _complete(head)] if more else head, unknown_format=True)


def cut_text(source: Path, chunk_size: int) -> Iterator[Piece]:
    """Cut a text at line ends into pieces of ``chunk_size`` lines, fewer and larger ones past MOST_PIECES.

    A piece that would be over MOST_PIECE_BYTES ends sooner: at a line end, or else at white space. The text
    is read bit by bit and never whole. Raises Unusable if it is no UTF-8, or empty, or has a word too long.
    """
    size = source.stat().st_size
    if not size:
        raise Unusable("the file is empty")
    # Half of all pieces may end because they have their lines. The others end for their size, any two
    # neighbours of them together are over the limit, and so the other half is enough for them.
    lines = max(chunk_size, math.ceil(_count_lines(source) / (MOST_PIECES // 2)))
    most_bytes = max(MOST_PIECE_BYTES, math.ceil(size / (MOST_PIECES // 4)))
    offset, rest = 0, b""
    with source.open("rb") as file:
        while True:
            block = file.read(most_bytes - len(rest))
            rest += block
            if not rest:
                return
            start = 0
            for end in _ends(rest, lines, full=len(rest) == most_bytes, last=not block):
                piece = rest[start:end]
                _check_utf8(piece, unknown_format=False)
                yield Piece(offset, len(piece), zlib.crc32(piece))
                offset, start = offset + len(piece), end
            rest = rest[start:]


def _count_lines(source: Path) -> int:
    with source.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_HEAD_BYTES), b""))


def _ends(text: bytes, lines: int, *, full: bool, last: bool) -> list[int]:
    """Where pieces end in what was read.

    Args:
        full: there is no room for more; then at least one piece must end.
        last: there is no more.
    """
    line_ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")) + 1
    ends: list[int] = line_ends[lines - 1 :: lines].tolist()
    if ends:
        pass
    elif full and len(line_ends):
        ends = [int(line_ends[-1])]
    elif full:
        end = max(text.rfind(space) for space in _WHITE_SPACE) + 1
        if not end:
            raise Unusable(f"the text has a word, or no space, for more than {len(text):,} bytes")
        ends = [end]
    if last and (not ends or ends[-1] < len(text)):
        ends.append(len(text))
    return ends


def _complete(head: bytes) -> int:
    """How long the beginning of a text in UTF-8 is without its last, cut-off character."""
    for back in range(1, min(4, len(head)) + 1):
        if head[-back] & 0b1100_0000 == 0b1100_0000:  # the first byte of several
            return len(head) - back
        if head[-back] < 0b1000_0000:
            break
    return len(head)


def _check_utf8(text: bytes, *, unknown_format: bool) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable("the file is no text in UTF-8", unknown_format=unknown_format) from error
    if b"\0" in text:
        raise Unusable("the file is no text: it has zero bytes", unknown_format=unknown_format)


JOB = WordCount()
