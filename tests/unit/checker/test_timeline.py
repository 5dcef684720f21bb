"""A history's page: what it is told, how faults last, and that no text of a history is more than text."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from app.checker.history import Fault, History, HistoryError, Operation
from app.checker.linearizability import check_registers
from app.checker.timeline import Chapter, page
from app.checker.timeline.__main__ import main
from app.checker.timeline.chapters import told, visible
from app.checker.timeline.spans import Span, spans
from app.checker.verdict import Verdict
from tests.unit.checker.making import SECOND, read, write

HELD = Verdict("held", "all is well")
STALE = History.of(
    [
        write("client-1", "v1", 1, 2),
        write("client-1", "v2", 3, 4),
        read("client-2", "v1", 5, 6),
        Fault("cut", "host-1", 2 * SECOND),
        Fault("heal", "host-1", 3 * SECOND),
    ]
)
USAGE = 2


def book_of(text: str) -> Any:
    """What the page's scripts read, found as a browser finds it."""
    found = re.search(r'<script type="application/json" id="history">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def lasted(*faults: tuple[str, object, int]) -> list[tuple[str, str, int, int | None]]:
    found = spans(Fault(op, value, at) for op, value, at in faults)
    return [(span.target, span.kind, span.from_ns, span.to_ns) for span in found]


# --- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begins", "ends"),
    [("cut", "heal"), ("slow", "heal"), ("crash", "restart"), ("gone", "back"), ("pause", "resume"),
     ("partition", "heal")],
)  # fmt: skip
def test_a_fault_lasts_until_its_own_ending(begins: str, ends: str) -> None:
    assert lasted((begins, "host-1", 1), (ends, "host-2", 2), (ends, "host-1", 3)) == [
        ("host-1", begins, 1, 3)
    ]


def test_a_fault_that_nobody_ended_has_no_end() -> None:
    assert lasted(("crash", "host-1", 1)) == [("host-1", "crash", 1, None)]


def test_who_is_healed_is_not_back_from_the_dead() -> None:
    found = lasted(("cut", "a", 1), ("crash", "a", 2), ("heal", "a", 3), ("restart", "a", 4))
    assert found == [("a", "cut", 1, 3), ("a", "crash", 2, 4)]


def test_who_restarts_has_a_whole_link() -> None:
    found = lasted(("slow", "a", 1), ("crash", "a", 2), ("restart", "a", 4), ("heal", "a", 9))
    assert found == [("a", "slow", 1, 4), ("a", "crash", 2, 4)]


def test_faults_of_servers_have_lanes_of_their_own_and_are_all_mended_at_once() -> None:
    found = spans(
        [
            Fault("pause server", 1, 1),
            Fault("heal server", 1, 2),
            Fault("partition server", 2, 3),
            Fault("cut", "host-1", 4),
            Fault("mend servers", None, 5),
        ]
    )
    assert found == [
        Span("server 1", "pause", 1, 2, is_server=True),
        Span("server 2", "partition", 3, 5, is_server=True),
        Span("host-1", "cut", 4, None),
    ]


def test_a_fault_said_twice_is_one() -> None:
    assert lasted(("slow", "a", 1), ("slow", "a", 2), ("heal", "a", 3)) == [("a", "slow", 1, 3)]


def test_a_word_that_nobody_knows_is_drawn_where_it_stands() -> None:
    assert lasted(("flood", {"room": 3}, 7)) == [('{"room": 3}', "flood", 7, 7)]
    assert lasted(("flood", "cellar", 7), ("heal", "cellar", 9)) == [("cellar", "flood", 7, 9)]


# --- what the page is told ------------------------------------------------------------------------------


def test_the_stale_read_of_the_notes_is_marked_and_has_no_moment() -> None:
    chapter = told(Chapter("notes", STALE, check_registers(STALE)))
    assert chapter["witness"] == [0, 1, 2]
    assert [one["fits"] for one in chapter["operations"]] == [True, True, False]
    assert [one["nth"] for one in chapter["operations"]] == [1, 2, None]
    assert [one["from"] for one in chapter["operations"]] == [0, 2000, 4000]
    (key,) = chapter["keys"]
    assert not key["ordered"]
    assert "Without the read marked with a cross" in key["why"]
    assert chapter["spans"] == [{"lane": 2, "kind": "cut", "from": 1000, "to": 2000}]


def test_lanes_come_clients_first_then_who_took_part_then_servers() -> None:
    history = History.of(
        [*STALE.operations, write("client-10", "v3", 7, 8), Fault("kill server", 3, 5 * SECOND)]
    )
    chapter = told(Chapter("notes", history, HELD, participants=("host-2", "host-10")))
    assert [lane["name"] for lane in chapter["lanes"]] == [
        "client-1", "client-2", "client-10", "host-2", "host-10", "server 3",
    ]  # fmt: skip
    assert [lane["group"] for lane in chapter["lanes"]] == [0, 0, 0, 1, 1, 2]


def test_faults_before_and_after_the_history_are_left_out() -> None:
    history = History.of(
        [
            write("c", "v", 5, 6),
            Fault("cut", "a", SECOND),
            Fault("heal", "a", 2 * SECOND),
            Fault("cut", "b", 9 * SECOND),
        ]
    )
    assert told(Chapter("x", history, HELD))["spans"] == []


def test_a_key_that_is_no_register_says_why_and_the_others_are_ordered() -> None:
    twice = [write("c", "v", 1, 2, key="again"), write("c", "v", 3, 4, key="again")]
    chapter = told(Chapter("x", History.of([*twice, write("c", "v", 5, 6, key="once")]), HELD))
    why = {key["name"]: (key["ordered"], key["why"]) for key in chapter["keys"]}
    assert why["once"][0]
    assert not why["again"][0]
    assert "brings no new value" in why["again"][1]


def test_every_operation_of_an_endless_one_is_told_as_it_ended() -> None:
    history = History.of([write("c", "a", 0, None, "unknown"), write("d", "b", 1, 2, "refused")])
    first, second = told(Chapter("x", history, HELD))["operations"]
    assert (first["to"], first["outcome"], first["at"]) == (None, "unknown", None)
    assert (second["to"], second["outcome"], second["at"]) == (2000, "refused", None)


def test_nothing_cannot_be_drawn_nor_can_what_lasts_for_ever() -> None:
    with pytest.raises(HistoryError, match="nothing in it"):
        page("x", [Chapter("x", History(), HELD)])
    ages = History.of([write("c", "a", 0, 1), Operation("c", "write", "x", "b", 10**30, 10**30, "ok")])
    with pytest.raises(HistoryError, match="years"):
        page("x", [Chapter("x", ages, HELD)])


# --- hostile texts --------------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\u2028\u2029\u202egnirts\u0000",
    "\ud800",
    '"; alert(1); //',
    "${alert(1)} $title",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_stands_in_a_history_stays_text(text: str) -> None:
    history = History.of(
        [Operation(text, "write", text, text, 0, 1, "ok", (1, text)), Fault(f"cut {text}", text, 0)]
    )
    made = page(text, [Chapter(text, history, Verdict("held", text), text, (text,))])
    made.encode()
    plain = page("x", [Chapter("x", History.of([write("c", "v", 0, 1)]), HELD)])
    assert made.count("<script") == plain.count("<script")
    assert made.count("<") == plain.count("<")
    chapter = book_of(made)["chapters"][0]
    assert chapter["operations"][0]["value"] == visible(json.dumps(text, ensure_ascii=False))
    assert chapter["keys"][0]["name"] == visible(text)


@given(st.text(st.characters(codec=None), max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_of_a_history_reaches_html_as_anything_but_ascii_data(text: str) -> None:
    made = page("x", [Chapter("x", History.of([Operation("c", "write", text, text, 0, 1, "ok")]), HELD)])
    data = made.partition('id="history">')[2].partition("</script>")[0]
    assert data.isascii()
    assert not set("<>&") & set(data)
    assert book_of(made)["chapters"][0]["keys"][0]["name"] == visible(text)


def test_what_a_screen_would_hide_is_shown() -> None:
    assert visible("a\u202eb\u200b\n") == r"a\u202eb\u200b\u000a"
    assert len(visible("x" * 10**6)) < 300


def test_the_page_needs_nothing_else_and_admits_nothing_else() -> None:
    made = page("x", [Chapter("x", STALE, HELD)])
    assert "default-src 'none'" in made
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://""", made)


# --- from a command line --------------------------------------------------------------------------------


def drawn(*argv: str) -> int:
    try:
        return main(list(argv))
    except SystemExit as ended:
        return int(str(ended.code))


def test_a_history_file_becomes_a_page_with_a_chapter_for_each_folder_of_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "history.jsonl", tmp_path / "page.html"
    both = History.of([write("c", "v1", 0, 1, key="notes/x"), write("c", "v2", 2, 3, key="full/x")])
    source.write_text("\n".join(both.lines()))
    assert drawn(str(source), str(out)) == 0
    assert capsys.readouterr().out == f"{out}: 2 operations; open it in a browser\n"
    book = book_of(out.read_text(encoding="utf-8"))
    assert book["title"] == "history.jsonl"
    assert [chapter["name"] for chapter in book["chapters"]] == ["notes", "full"]


def test_a_history_comes_from_standard_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(STALE.lines())))
    out = tmp_path / "page.html"
    assert drawn("-", str(out)) == 0
    (chapter,) = book_of(out.read_text(encoding="utf-8"))["chapters"]
    assert chapter["verdict"]["outcome"] == "violated"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense\n", "line 1: not JSON"),
        ('\n{"process": "c"}\n', 'line 2: "op" is missing'),
        ("", "nothing in it to draw"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "history.jsonl", tmp_path / "page.html"
    source.write_text(text)
    assert drawn(str(source), str(out)) == USAGE
    assert_one_line(capsys, said)
    assert not out.exists()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "history.jsonl"
    source.write_bytes(b"\xff\xfe")
    assert drawn(str(source), str(tmp_path / "page.html")) == USAGE
    assert_one_line(capsys, "history.jsonl")


def test_files_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "history.jsonl"
    assert drawn(str(source), str(tmp_path / "page.html")) == USAGE
    assert_one_line(capsys, "history.jsonl: No such file")
    source.write_text("\n".join(STALE.lines()))
    assert drawn(str(source), str(tmp_path / "no" / "page.html")) == USAGE
    assert_one_line(capsys, "page.html: No such file")
    assert drawn(str(source)) == USAGE
    assert_one_line(capsys, "OUT.html")


def test_a_history_is_not_overwritten_with_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "history.jsonl"
    source.write_text("\n".join(STALE.lines()))
    assert drawn(str(source), str(source)) == USAGE
    assert_one_line(capsys, "the history itself")
    assert source.read_text().startswith("{")


def assert_one_line(capsys: pytest.CaptureFixture[str], said: str) -> None:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("timeline: ")
    assert said in printed.err
