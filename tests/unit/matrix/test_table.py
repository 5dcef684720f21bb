"""What the matrix says: never more than was seen, and aloud what theory forbids."""

import dataclasses
from pathlib import Path

import pytest

from app.checker.guarantees import GUARANTEES, Finding, Guarantee, judge_all
from app.checker.history import Fault, History
from proof.__main__ import main
from proof.matrix import html, table
from proof.matrix.mechanisms import EVERYTHING, MECHANISMS, Mechanism, named
from proof.matrix.play import Measured
from tests.unit.checker.making import SECOND, read, write

STALE = History.of(
    [
        write("ada", "v1", 0, 1, key="storm"),
        write("ada", "v2", 2, 3, key="storm"),
        read("bob", "v1", 4, 5, key="storm"),
        Fault("cut", "replica-1", SECOND),
        Fault("heal", "replica-1", 2 * SECOND),
    ]
)
FRESH = History.of([write("ada", "v1", 0, 1, key="storm"), read("bob", "v1", 2, 3, key="storm")])


def measured(mechanism: Mechanism, history: History, faults: str = "standard") -> Measured:
    return Measured(mechanism, faults, history, judge_all(history))


def row_of(text: str, label: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(label))


def test_held_is_said_over_so_many_operations_and_starred_where_theory_forbids_otherwise() -> None:
    text = table.as_text([measured(named("quorum"), FRESH), measured(named("notes-quorum"), FRESH)], 1)
    promised, not_promised = (line for line in text.splitlines() if line.startswith("  faults"))
    assert "held 2*" in promised
    assert "held 2" in not_promised
    assert "*" not in not_promised
    assert "theory forbids that it be broken" in text


def test_nothing_that_was_not_seen_is_called_impossible() -> None:
    text = table.as_text([measured(mechanism, FRESH) for mechanism in MECHANISMS], 1).lower()
    assert "impossible" not in text
    assert "never" not in text
    assert "seen no more than that" in text


def test_what_nobody_asked_for_is_not_called_held() -> None:
    text = table.as_text([measured(named("quorum"), FRESH)], 1)
    assert "not asked" in row_of(text, "faults, 2 operations")  # nobody read a key twice


def test_a_violated_cell_leads_to_its_witness() -> None:
    rows = [measured(named("follower"), STALE)]
    text = table.as_text(rows, 1)
    assert "VIOLATED 1" in row_of(text, "faults, 3 operations")
    assert 'bob read "v1" at 4.000 s although' in " ".join(text.split())


def test_what_falls_by_one_witness_is_told_once() -> None:
    refused = History.of(
        [write("ada", "v1", 0, 1, "refused", key="storm"), read("bob", "v1", 2, 3, key="storm")]
    )
    rows = [measured(named("notes-quorum"), refused)]
    assert list(table.numbered(rows).values()) == [1]
    assert table.as_text(rows, 1).count("that the write of it was refused") == 1


def test_a_broken_promise_is_a_violation_and_a_broken_weak_one_is_a_conviction() -> None:
    broken = table.verdict([measured(named("quorum"), STALE)])
    assert broken.outcome == "violated"
    assert broken.sentence.startswith("a quorum with write-back is not linearizable: bob read")
    rows = [measured(named("small-quorums"), STALE), measured(named("sync"), FRESH)]
    assert table.verdict(rows).outcome == "held"
    assert table.convictions(rows).startswith("convicted: R+W <= N: 2 of 9")
    assert table.convictions(rows).endswith("not caught this time: sync, then a read")


def test_a_promise_that_nobody_could_decide_is_in_doubt() -> None:
    row = measured(named("quorum"), FRESH)
    findings: dict[Guarantee, Finding] = {**row.findings, "causal": Finding("undecided", 2, "who knows")}
    assert table.verdict([dataclasses.replace(row, findings=findings)]).outcome == "in doubt"


def test_a_row_of_which_nothing_was_seen_leaves_the_verdict_in_doubt() -> None:
    silent = measured(named("quorum"), History.of([write("ada", "v1", 0, 1, "refused", key="storm")]))
    verdict = table.verdict([measured(named("primary"), FRESH), silent])
    assert verdict.outcome == "in doubt"
    assert "a quorum with write-back, faults" in verdict.sentence


def test_the_verdict_says_how_many_promised_cells_were_not_asked() -> None:
    assert table.verdict([measured(named("quorum"), FRESH)]).sentence.endswith("promised cells not asked)")


def test_json_has_every_cell_with_verdict_operations_and_witness() -> None:
    told = table.as_json([measured(named("follower"), STALE)], 5)
    assert told["seed"] == 5
    (row,) = told["rows"]
    assert (row["mechanism"], row["faults"]) == ("follower", "standard")
    assert list(row["cells"]) == list(GUARANTEES)
    assert row["cells"]["linearizable"]["verdict"] == "violated"
    assert row["cells"]["linearizable"]["witness"].startswith("bob read")
    assert row["cells"]["sequential"] == {
        "verdict": "held", "operations": 3, "witness": None, "indexes": [], "promised": True,
    }  # fmt: skip


def test_the_pages_have_the_table_and_a_timeline_behind_each_witness(tmp_path: Path) -> None:
    index = html.write(tmp_path / "pages", [measured(named("follower"), STALE)], 1).read_text(
        encoding="utf-8"
    )
    assert '<a href="1.html"' in index
    assert "R+W" not in index  # only the rows that were measured
    timeline = (tmp_path / "pages" / "1.html").read_text(encoding="utf-8")
    assert "a plain read from a follower, faults" in timeline


def test_what_a_mechanism_is_called_is_text_and_not_html(tmp_path: Path) -> None:
    small = measured(named("small-quorums"), STALE)
    index = html.write(tmp_path, [small], 1).read_text(encoding="utf-8")
    assert "R+W &lt;= N" in index
    assert "R+W <= N" not in index


def test_only_what_checks_everything_promises_everything() -> None:
    whole = {mechanism.name for mechanism in MECHANISMS if mechanism.promised == EVERYTHING}
    assert whole == {"conditional", "primary", "quorum"}


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--rows", "gossip"], "there is no row 'gossip', there are datawatch"),
        (["--html", __file__], "is a file: name a folder for the pages"),
        (["--seed", "x"], "invalid int value: 'x'"),
        (["--surprise"], "unrecognized arguments: --surprise"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    options: list[str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["matrix", *options])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert cause in said
    assert said.count("\n") == 1
