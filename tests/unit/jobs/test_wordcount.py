"""Words are counted the same however a text is cut; and no text is ever cut within a character or a word."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings, strategies as st

from app.jobs import wordcount
from app.jobs.job import MOST_PIECES, Unusable
from app.jobs.wordcount import JOB, words
from tests.unit.jobs.local import Run, pieces, run

# Letters of one to four bytes, marks, apostrophes, digits, white space of one byte and of several, line ends.
ALPHABET = "aBzéß漢𝔘Ωи" + "\u0301\ufeff" + "'’" + "_-.,1٣" + " \t\v\u00a0\u3000" + "\n\r" + "\u2028"
TEXTS = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=200)


def put(text: str | bytes, folder: Path) -> Path:
    path = folder / "text.png"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def counted(done: Run) -> dict[str, int]:
    found: dict[str, int] = json.loads(done.out.read_text(encoding="utf-8"))["words"]
    return found


def refusal(text: bytes, folder: Path) -> Unusable:
    with pytest.raises(Unusable) as caught:
        run(JOB, put(text, folder), folder)
    return caught.value


# --- what a word is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat, the CAT!", ["the", "cat", "the", "cat"]),
        ("Don't 'quote' dogs' tails", ["don't", "quote", "dogs", "tails"]),
        ("don’t", ["don't"]),
        ("well-known snake_case 3.14", ["well", "known", "snake", "case", "3", "14"]),
        ("Straße STRASSE ΣΊΣΥΦΟΣ Ёлка", ["strasse", "strasse", "σίσυφοσ", "ёлка"]),
        ("caf\u00e9 cafe\u0301 CAFE\u0301", ["café", "café", "café"]),
        ("統計、共識 ١٢٣", ["統計", "共識", "١٢٣"]),
        ("... -- !", []),
    ],
)
def test_words_are_letters_and_digits_with_apostrophes_within(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_the_result_has_the_most_frequent_word_first_and_the_total(tmp_path: Path) -> None:
    done = run(JOB, put("b a c a\nb d a\n", tmp_path), tmp_path, chunk_size=1)
    assert list(counted(done).items()) == [("a", 3), ("b", 2), ("c", 1), ("d", 1)]
    assert json.loads(done.out.read_text(encoding="utf-8"))["total"] == 7
    assert done.out.suffix == ".json"


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    assert counted(run(JOB, put("word word".encode("utf-8-sig"), tmp_path), tmp_path)) == {"word": 2}


def test_a_text_without_a_word_has_none(tmp_path: Path) -> None:
    done = run(JOB, put("\n\n...\n", tmp_path), tmp_path)
    assert json.loads(done.out.read_text(encoding="utf-8")) == {"total": 0, "words": {}}


# --- cutting ------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, chunk_size=st.integers(1, 12), most_bytes=st.integers(16, 64))
def test_the_counts_are_those_of_the_whole_text_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk_size: int, most_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    path = put(text, folder)
    assume(all(len(part) < most_bytes for part in path.read_bytes().split()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wordcount, "MOST_PIECE_BYTES", most_bytes)
        done = run(JOB, path, folder, chunk_size)
    assert counted(done) == Counter(words(text))
    cut = [bytes(piece) for piece in pieces(path, done.split)]
    assert b"".join(cut) == path.read_bytes()
    assert all(len(piece) <= most_bytes and piece.count(b"\n") <= chunk_size for piece in cut)
    "".join(piece.decode() for piece in cut)  # each is text


def test_pieces_have_as_many_lines_as_asked_for(tmp_path: Path) -> None:
    text = "".join(f"line {i}\n" for i in range(10)) + "the last without an end"
    path = put(text, tmp_path)
    cut = list(pieces(path, JOB.split(path, tmp_path / "array", 4)))
    assert [bytes(piece).count(b"\n") for piece in cut] == [4, 4, 2]


def test_a_piece_that_has_too_many_bytes_ends_with_a_line_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordcount, "MOST_PIECE_BYTES", 100)
    path = put("a b c d e f g h\n" * 50, tmp_path)
    cut = list(pieces(path, JOB.split(path, tmp_path / "array", 1_000)))
    assert [bytes(piece).count(b"\n") for piece in cut] == [6] * 8 + [2]
    assert all(bytes(piece).endswith(b"\n") for piece in cut)


def test_a_long_line_is_cut_at_white_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordcount, "MOST_PIECE_BYTES", 100)
    text = "größer und größer " * 100
    done = run(JOB, put(text, tmp_path), tmp_path)
    assert len(done.split.pieces) > len(text) // 100
    assert counted(done) == {"grösser": 200, "und": 100}


def test_a_word_longer_than_a_piece_may_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordcount, "MOST_PIECE_BYTES", 100)
    assert "for more than 100 bytes" in str(refusal(b"word " * 10 + b"x" * 101, tmp_path))
    assert counted(run(JOB, put(b"word " * 10 + b"x" * 99 + b" ", tmp_path), tmp_path))["x" * 99] == 1


@pytest.mark.parametrize(
    "text", ["word\n" * (2 * MOST_PIECES + 1), "\n" * 20_000, "ab c " * 9_000 + "\n" * 8_000]
)
def test_no_text_is_cut_into_more_than_the_most_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(wordcount, "MOST_PIECE_BYTES", 4)
    done = run(JOB, put(text, tmp_path), tmp_path, chunk_size=1)
    assert 1_000 < len(done.split.pieces) <= MOST_PIECES
    assert counted(done) == Counter(words(text))


def test_the_text_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordcount, "MOST_PIECE_BYTES", 100_000)
    path = put(b"a few words in a line\n" * 400_000, tmp_path)
    tracemalloc.start()
    try:
        JOB.split(path, tmp_path / "array", 1_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000 < path.stat().st_size


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0", b"caf\xe9 au lait", "UTF-16".encode("utf-16"), b"\xe2\x82"],
    ids=["a picture", "zeros", "Latin-1", "UTF-16", "half a character"],
)
def test_what_is_no_text_in_utf_8_is_an_unknown_format(tmp_path: Path, content: bytes) -> None:
    answer = refusal(content, tmp_path)
    assert answer.unknown_format
    assert str(answer).startswith("the file is no text")


@pytest.mark.parametrize("content", [b"\xff", b"\0", b"\xe2\x82"])
def test_a_text_that_goes_wrong_later_is_refused_too(tmp_path: Path, content: bytes) -> None:
    path = put(b"line\n" * 20_000 + content, tmp_path)
    assert JOB.check(path) == ".json"
    answer = refusal(path.read_bytes(), tmp_path)
    assert not answer.unknown_format


@pytest.mark.parametrize("before", range(8))
def test_a_character_that_the_look_at_the_beginning_cuts_is_no_mistake(tmp_path: Path, before: int) -> None:
    for letter in "aé漢𝔘":
        assert JOB.check(put("x" * before + letter * 70_000, tmp_path)) == ".json"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert str(refusal(b"", tmp_path)) == "the file is empty"
    with pytest.raises(Unusable, match="empty"):
        JOB.split(put(b"", tmp_path), tmp_path / "array", 1)


def test_too_many_different_words_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordcount, "MOST_WORDS", 5)
    assert len(counted(run(JOB, put("a b c d e a b\n", tmp_path), tmp_path))) == 5
    assert "different words" in str(refusal(b"a b c\nd e f\n", tmp_path))


# --- the same arguments give the same bytes -----------------------------------------------------------------


@given(counts=st.dictionaries(st.text(max_size=3), st.integers(1, 3), max_size=6), data=st.data())
def test_results_don_t_depend_on_the_order_in_which_words_come(
    counts: dict[str, int], data: st.DataObject
) -> None:
    text = [word for word, count in counts.items() for _ in range(count)]
    one, other = (" ".join(data.draw(st.permutations(text))).encode(errors="ignore") for _ in range(2))
    assert JOB.map("counts", one, b"", {}) == JOB.map("counts", other, b"", {})


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    path = put("one two\nthree two\n" * 50, tmp_path)
    one, other = (run(JOB, path, tmp_path / name, 7) for name in ("one", "other"))
    assert (one.split, one.results, one.given) == (other.split, other.results, other.given)
    assert one.out.read_bytes() == other.out.read_bytes()
