"""The moments at which operations take effect, against the definition and against a search of every order."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from app.checker.history import HistoryError, Operation, Value
from app.checker.points import Effect, explain, linearization
from app.checker.wording import Wording
from tests.unit.checker.making import (
    any_histories,
    histories_with_a_stale_read,
    large_history,
    read,
    real_histories,
    write,
)
from tests.unit.checker.oracle import is_linearizable

SAY = Wording(0)
NOTES = [
    write("client-1", "v1", 0, 1),
    write("client-1", "v2", 2, 3),
    write("client-1", "v3", 4, 5),
    read("client-1", "v2", 6, 7),
]


def assert_explains(effects: Sequence[Effect], operations: Sequence[Operation]) -> None:
    """Herlihy & Wing's definition: each at a moment between its ends, and each read finds the last write."""
    value: Value = None
    before = -(10**18)
    for effect in effects:
        operation = effect.operation
        assert before <= effect.at_ns
        assert operation.invoked_ns <= effect.at_ns <= operation.ended_ns
        assert operation.outcome == "ok" or (operation.op, operation.outcome) == ("write", "unknown")
        before = effect.at_ns
        if operation.op == "write":
            value = operation.value
        assert operation.value == value
    answered = [operation for operation in operations if operation.outcome == "ok"]
    explained = [effect.operation for effect in effects if effect.operation.outcome == "ok"]
    assert sorted(map(repr, answered)) == sorted(map(repr, explained))


@given(real_histories(most=30))
@settings(max_examples=300, deadline=None)
def test_the_moments_of_what_a_real_register_recorded_explain_it(operations: list[Operation]) -> None:
    effects = linearization(operations)
    assert effects is not None
    assert_explains(effects, operations)


@given(any_histories())
@settings(max_examples=500, deadline=None)
def test_there_are_moments_if_and_only_if_some_order_explains_the_history(
    operations: list[Operation],
) -> None:
    effects = linearization(operations)
    assert (effects is not None) == is_linearizable(operations)
    if effects is not None:
        assert_explains(effects, operations)


@given(any_histories())
@settings(max_examples=500, deadline=None)
def test_without_the_reads_that_fit_no_moment_the_rest_is_explained(operations: list[Operation]) -> None:
    found = explain(operations, SAY)
    assert (found.complaint is None) == is_linearizable(operations) == (not found.misfits)
    assert all(misfit.op == "read" for misfit in found.misfits)
    assert_explains(found.effects, [one for one in operations if one not in found.misfits])


@given(histories_with_a_stale_read())
@settings(max_examples=100, deadline=None)
def test_a_planted_stale_read_is_what_does_not_fit(operations: list[Operation]) -> None:
    assert [misfit.value for misfit in explain(operations, SAY).misfits] == ["old"]


def test_in_the_counterexample_of_the_notes_the_three_writes_have_moments_and_the_read_has_none() -> None:
    found = explain(NOTES, SAY)
    assert [effect.operation for effect in found.effects] == NOTES[:3]
    assert found.misfits == (NOTES[3],)
    assert found.complaint is not None


def test_operations_that_share_the_same_time_get_moments_of_their_own() -> None:
    found = linearization([write(f"client-{number}", f"v{number}", 0, 12) for number in range(5)])
    assert found is not None
    moments = [effect.at_ns for effect in found]
    assert len(set(moments)) == 5
    assert min(moments) > 0
    assert max(moments) < 12 * 10**9


def test_an_unknown_write_takes_effect_when_somebody_reads_it_and_else_never() -> None:
    late = write("client-1", "late", 0, 1, "unknown")
    never = write("client-2", "never", 0, None, "unknown")
    seen = read("client-3", "late", 5, 6)
    found = linearization([late, never, seen])
    assert found is not None
    assert [effect.operation for effect in found] == [late, seen]


def test_of_two_writes_of_one_value_nobody_can_say_which_was_read() -> None:
    twice = [write("client-1", "v1", 0, 1), write("client-2", "v1", 2, 3)]
    with pytest.raises(HistoryError, match="brings no new value"):
        explain(twice, SAY)


def test_thousands_of_operations_are_ordered_in_an_instant() -> None:
    operations = large_history(5_000, 100)
    effects = linearization(operations)
    assert effects is not None
    assert_explains(effects, operations)


def test_where_every_read_is_stale_it_still_ends() -> None:
    writes = [write("client-1", f"v{number}", 2 * number, 2 * number + 1) for number in range(200)]
    reads = [read("client-2", f"v{number}", 500 + 2 * number, 501 + 2 * number) for number in range(199)]
    found = explain([*writes, *reads], SAY)
    assert len(found.misfits) == 199
    assert len(found.effects) == 200


def test_nothing_has_no_moments() -> None:
    assert linearization([]) == []
    assert explain([], SAY).effects == ()
