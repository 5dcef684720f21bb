"""Verdicts: the worst of several, and those without substance; and how values are quoted in them."""

import pytest

from app.checker.verdict import Verdict, substance, worst
from app.checker.wording import Wording, quoted
from tests.unit.checker.making import read, write

HELD = Verdict("held", "all is well")
IN_DOUBT = Verdict("in doubt", "nobody looked")
VIOLATED = Verdict("violated", "it is lost")


def test_the_worst_verdict_counts_and_among_equals_the_first() -> None:
    assert worst([HELD, IN_DOUBT, VIOLATED, Verdict("violated", "another")]) is VIOLATED
    assert worst([HELD, IN_DOUBT]) is IN_DOUBT
    assert worst([HELD, Verdict("held", "another")]) is HELD


@pytest.mark.parametrize(("ok", "outcome"), [(10, "held"), (6, "held"), (5, "in doubt"), (0, "in doubt")])
def test_held_needs_six_of_ten_operations_to_end_ok(ok: int, outcome: str) -> None:
    operations = [write("client-1", f"v{n}", n, n, "ok" if n < ok else "refused") for n in range(10)]
    assert substance(operations, HELD).outcome == outcome


def test_a_verdict_without_substance_says_so() -> None:
    operations = [write("client-1", "v1", 0, 1), *(read("client-1", None, 2, 3, "unknown") for _ in range(3))]
    sentence = 'only 1 of 4 operations ended ok, and "held" needs 60% of them'
    assert substance(operations, HELD) == Verdict("in doubt", sentence)
    assert substance(operations, HELD, least=0.25) is HELD


def test_nothing_recorded_has_no_substance() -> None:
    assert substance([], HELD).outcome == "in doubt"


def test_a_violation_stays_one_however_little_happened() -> None:
    assert substance([write("client-1", "v1", 0, 1, "refused")], VIOLATED) is VIOLATED


def test_long_values_are_shortened_in_the_middle() -> None:
    assert quoted("v1") == '"v1"'
    assert quoted(2048) == "2048"
    assert quoted(None) == "null"
    assert quoted("0123456789" * 9) == '"0123456789012345678…123456789"'


def test_times_are_seconds_from_the_start_with_three_decimals() -> None:
    operation = write("client-1", "v1", 10.5, 12.0004)
    say = Wording(start_ns=10_000_000_000)
    assert say.began(operation) == 'client-1 began to write "v1" at 0.500 s'
    assert say.had_ended(operation) == 'client-1\'s write of "v1" had been completed at 2.000 s'
