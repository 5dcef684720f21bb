"""The bench's arithmetic, on made-up figures: exponents, what counts of a crowd, shares of a load."""

import math
from pathlib import Path

import pytest

from app.checker.history import Operation
from proof.__main__ import _parser
from proof.bench import SECTIONS
from proof.bench.clients import all_at_it, p50_ms, per_s
from proof.bench.growth import Growth, Point, Series, fitted, last_step
from proof.bench.measuring import Figure, Row
from proof.bench.report import Report
from proof.bench.watchers import PROCESSES, shares

LOADS = (3, 5, 9, 17, 33, 51)


def power(exponent: float, factor: float = 7.0) -> list[Point]:
    return [Point(load, factor * load**exponent) for load in LOADS]


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.62, 1.0, 2.0])
def test_a_power_law_is_found_as_it_is(exponent: float) -> None:
    fit = fitted(power(exponent))

    assert fit.exponent == pytest.approx(exponent)
    assert fit.factor == pytest.approx(7.0)
    assert fit.off_by == pytest.approx(1.0)
    assert fit.at(100) == pytest.approx(7 * 100**exponent)


def test_a_point_off_the_line_shows_in_how_far_the_worst_is_off() -> None:
    points = [Point(1, 1.0), Point(10, 10.0), Point(100, 200.0)]

    fit = fitted(points)

    assert fit.exponent == pytest.approx(1 + math.log10(2) / 2)
    # The line passes so that the middle point is the worst: 2 ** (1/3) below it.
    assert fit.off_by == pytest.approx(2 ** (1 / 3))


def test_the_last_step_tells_where_a_curve_is_going() -> None:
    flat_then_linear = [Point(1, 5.0), Point(10, 5.0), Point(100, 50.0)]

    assert last_step(flat_then_linear) == pytest.approx(1.0)
    assert fitted(flat_then_linear).exponent == pytest.approx(0.5)


@pytest.mark.parametrize(
    "points", [[], [Point(3, 1.0)], [Point(3, 1.0), Point(3, 2.0)], [Point(1, 0.0), Point(2, 1.0)]]
)
def test_there_is_no_power_law_through_fewer_than_two_loads_or_nothing(points: list[Point]) -> None:
    with pytest.raises(ValueError, match="two loads"):
        fitted(points)


def operation(process: str, begun: int, ended: int | None, op: str = "read") -> Operation:
    outcome = "ok" if ended is not None else "unknown"
    return Operation(process, op, "key", "value", begun, ended, outcome)  # type: ignore[arg-type]


def test_of_a_crowd_what_counts_is_the_time_in_which_all_were_at_it() -> None:
    early = [operation("early", at, at + 9) for at in (0, 10, 20, 30)]
    late = [operation("late", at, at + 9) for at in (20, 30, 40)]

    assert [(one.process, one.invoked_ns) for one in all_at_it([*early, *late])] == [
        ("early", 20),
        ("early", 30),
        ("late", 20),
        ("late", 30),
    ]


def test_what_has_not_ended_well_does_not_count() -> None:
    done = [operation("client", at, at + 9) for at in (0, 10, 20)]

    assert all_at_it([*done, operation("client", 30, None)]) == done


def test_median_and_rate_of_a_crowd() -> None:
    done = [
        operation("a", 0, 2_000_000),
        operation("b", 0, 4_000_000),
        operation("a", 2_000_000, 5_000_000, "write"),
    ]

    assert p50_ms(done, "read") == 3
    assert p50_ms(done, "write") == 3
    assert per_s(done) == pytest.approx(2 / 0.003)


@pytest.mark.parametrize("load", [5, 15, 500])
def test_shares_of_a_load_are_all_of_it_and_nearly_even(load: int) -> None:
    assert sum(shares(load)) == load
    assert len(shares(load)) == PROCESSES
    assert max(shares(load)) - min(shares(load)) <= 1


def test_only_what_is_named_is_measured_in_the_usual_order() -> None:
    assert _parser().parse_args(["bench", "--only", "watchers,quorum"]).only == ("quorum", "watchers")
    assert _parser().parse_args(["bench"]).only == tuple(SECTIONS)


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (["--samples", "0"], "no number of samples"),
        (["--samples", "many"], "no number of samples"),
        (["--only", "quorums"], "there is no section 'quorums': choose from primary-backup"),
        (["--svg", "/no/such/folder/x.svg"], "a folder that exists"),
        (["--into", "/dev/null"], "is not a folder"),
    ],
)
def test_what_can_not_be_meant_is_said_in_one_line(
    argv: list[str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["bench", *argv])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert cause in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--svg", "--into"])
def test_without_matplotlib_the_remedy_is_named_before_anything_is_measured(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("proof.bench.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["bench", option, str(tmp_path / "new")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "the chart needs matplotlib" in said
    assert "pip install -r requirements-dev.txt" in said
    assert said.count("\n") == 1


def report() -> Report:
    told = Report(5, {"cores": 2, "system": "<&>"})
    told.take(
        [
            Row("a write", 3.0, 2.0, 1.5, 1.0, "no <copy> & no check"),
            Row("a read", 4.0, 2.0, 1.5),
            Figure("idle", 0.5, "%", 1),
            Growth(
                "Replicas", "replicas", "milliseconds", (Series("a write", tuple(power(1.0))),), "the order."
            ),
        ]
    )
    return told


def test_the_table_has_ratio_target_notes_and_exponents() -> None:
    lines = report().as_text().splitlines()

    assert any(line.split() == ["a", "write", "3.00", "2.00", "1.50", "1.5", "1.00"] for line in lines)
    assert any(line.split() == ["a", "read", "4.00", "2.00", "2.00", "1.5", "-", "over"] for line in lines)
    assert "  a write: no <copy> & no check." in lines
    assert any(
        "exponent 1.00 over 3 to 51 (worst point 1.00 times off; last step 1.00)" in line for line in lines
    )
    assert "  Limited by: the order." in lines
