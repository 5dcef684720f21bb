"""The checker against the oracle, against known good and known bad histories, and what it says of each."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from app.checker.history import History, HistoryError, Operation, Outcome
from app.checker.linearizability import check_register, check_registers
from app.checker.verdict import Verdict
from tests.unit.checker.making import (
    any_histories,
    histories_with_a_stale_read,
    large_history,
    read,
    real_histories,
    write,
)
from tests.unit.checker.oracle import is_linearizable

IN_ORDER = [
    write("client-1", "v1", 0, 0.1),
    write("client-1", "v2", 0.2, 0.3),
    write("client-1", "v3", 1, 1.18),
]


def violation(*operations: Operation) -> Verdict:
    """The verdict on a history that must be convicted, by the checker and by the oracle."""
    assert not is_linearizable(operations)
    verdict = check_register(operations)
    assert verdict.outcome == "violated"
    return verdict


def held(*operations: Operation) -> bool:
    verdict = check_register(operations)
    assert (verdict.outcome == "held") == is_linearizable(operations)
    return verdict.outcome == "held"


@given(any_histories())
@settings(max_examples=500, deadline=None)
def test_the_checker_agrees_with_a_search_of_every_order(operations: list[Operation]) -> None:
    expected = "held" if is_linearizable(operations) else "violated"
    assert check_register(operations).outcome == expected


@given(real_histories())
@settings(max_examples=200, deadline=None)
def test_what_a_real_register_records_is_never_convicted(operations: list[Operation]) -> None:
    assert check_register(operations).outcome == "held"
    assert is_linearizable(operations)


@given(histories_with_a_stale_read())
@settings(max_examples=150, deadline=None)
def test_one_stale_read_planted_in_a_good_history_is_convicted(operations: list[Operation]) -> None:
    assert check_register(operations).outcome == "violated"
    assert not is_linearizable(operations)


@given(any_histories())
@settings(max_examples=500, deadline=None)
def test_a_witness_is_at_most_four_operations_that_are_a_violation_by_themselves(
    operations: list[Operation],
) -> None:
    verdict = check_register(operations)
    assert bool(verdict.witness) == (verdict.outcome == "violated")
    if verdict.witness:
        assert len(verdict.witness) <= 4
        assert not is_linearizable(verdict.witness)
        assert not is_linearizable([*verdict.witness, *_unseen_writes_of(verdict.witness, operations)])


def _unseen_writes_of(witness: Sequence[Operation], operations: Sequence[Operation]) -> list[Operation]:
    """The writes of the values in the witness, where it is only reads that tell of them."""
    values = {operation.value for operation in witness}
    return [
        operation
        for operation in operations
        if operation.op == "write" and operation.value in values and operation not in witness
    ]


def test_nothing_recorded_breaks_nothing() -> None:
    assert check_register([]).outcome == "held"
    assert check_registers(History()).outcome == "held"


def test_the_counterexample_of_the_notes_is_a_stale_read_of_v2() -> None:
    stale = read("client-2", "v2", 1.204, 1.3)
    verdict = violation(*IN_ORDER, stale)
    assert verdict.witness == (IN_ORDER[1], IN_ORDER[2], stale)
    assert verdict.sentence == (
        'client-2 read "v2" at 1.204 s although client-1\'s write of "v3" had been completed at 1.180 s '
        '("v2" was older: client-1\'s write of "v2" had been completed at 0.300 s, '
        'before client-1 began to write "v3" at 1.000 s)'
    )


def test_the_initial_value_is_stale_once_a_write_has_been_completed() -> None:
    stale = read("client-2", None, 1.204, 1.3)
    verdict = violation(*IN_ORDER, stale)
    assert verdict.witness == (IN_ORDER[0], stale)
    assert verdict.sentence == (
        'client-2 read null at 1.204 s although client-1\'s write of "v1" had been completed at 0.100 s '
        "(null is the value before any write)"
    )


def test_the_initial_value_may_be_read_while_the_first_write_is_under_way() -> None:
    assert held(write("client-1", "v1", 0, 2), read("client-2", None, 1, 3), read("client-3", "v1", 1, 3))


def test_two_reads_after_one_another_may_not_see_new_then_old() -> None:
    under_way = write("client-3", "v4", 2, 9)
    new, old = read("client-2", "v4", 2.1, 2.2), read("client-4", "v3", 2.3, 2.4)
    verdict = violation(*IN_ORDER, under_way, new, old)
    assert verdict.witness == (IN_ORDER[2], under_way, new, old)
    assert verdict.sentence == (
        'client-4 read "v3" at 2.300 s although client-2 had already read "v4" at 2.200 s '
        '("v3" was older: client-1\'s write of "v3" had been completed at 1.180 s, '
        'before client-3 began to write "v4" at 2.000 s)'
    )


def test_two_readers_may_not_see_concurrent_writes_in_different_orders() -> None:
    writes = [write("client-1", "a", 0, 9), write("client-2", "b", 0, 9)]
    one = [read("client-3", "a", 1, 2), read("client-3", "b", 3, 4)]
    other = [read("client-4", "b", 1, 2), read("client-4", "a", 3, 4)]
    verdict = violation(*writes, *one, *other)
    assert set(verdict.witness) == {*one, *other}
    assert "had already read" in verdict.sentence
    assert held(*writes, *one, *one)


def test_a_long_write_in_between_does_not_hide_a_stale_read() -> None:
    long = [write("client-2", "long", 2, 20), read("client-3", "long", 12, 25)]
    one, other = write("client-1", "v1", 0, 1), write("client-1", "v2", 3, 4)
    stale = read("client-4", "v1", 10, 11)
    assert violation(one, *long, other, stale).witness == (one, other, stale)


def test_a_value_gone_by_may_not_come_back() -> None:
    reads = [read("client-3", "a", 1, 2), read("client-3", "b", 3, 4), read("client-3", "a", 5, 6)]
    verdict = violation(write("client-1", "a", 0, 9), write("client-2", "b", 0, 9), *reads)
    assert verdict.witness == tuple(reads)


def test_a_refused_write_never_happened() -> None:
    refused = write("client-3", "v4", 2, 4, "refused")
    assert held(*IN_ORDER, refused, read("client-2", "v3", 5, 6))
    seen = read("client-2", "v4", 2.1, 2.2)
    verdict = violation(*IN_ORDER, refused, seen)
    assert verdict.witness == (refused, seen)
    assert verdict.sentence == (
        'client-2 read "v4" at 2.100 s, yet client-3 was told at 4.000 s that the write of it was refused'
    )


def test_a_value_that_nobody_wrote_is_invented() -> None:
    invented = read("client-2", "v9", 2, 3)
    verdict = violation(*IN_ORDER, invented)
    assert verdict == Verdict(
        "violated", 'client-2 read "v9" at 2.000 s, which nobody ever wrote', (invented,)
    )


@pytest.mark.parametrize("outcome", ["ok", "unknown"])
def test_a_read_may_not_return_what_is_written_only_later(outcome: Outcome) -> None:
    written = write("client-3", "v4", 3, 4, outcome)
    early = read("client-2", "v4", 2, 2.5)
    verdict = violation(*IN_ORDER, early, written)
    assert verdict.witness == (early, written)
    assert verdict.sentence == (
        'client-2 had already read "v4" at 2.500 s before client-3 began to write "v4" at 3.000 s'
    )


def test_an_unknown_write_may_take_effect_after_its_client_gave_up() -> None:
    gave_up = write("client-3", "v4", 2, 3, "unknown")
    never_answered = write("client-3", "v5", 2, None, "unknown")
    assert held(*IN_ORDER, gave_up, read("client-2", "v3", 4, 5), read("client-2", "v4", 6, 7))
    assert held(*IN_ORDER, never_answered, read("client-2", "v3", 4, 5), read("client-2", "v5", 6, 7))


def test_an_unknown_write_that_nobody_read_may_never_have_happened() -> None:
    assert held(*IN_ORDER, write("client-3", "v4", 2, 3, "unknown"), read("client-2", "v3", 4, 5))


def test_an_unknown_write_has_happened_once_it_was_read() -> None:
    unknown = write("client-3", "v4", 2, 3, "unknown")
    violation(*IN_ORDER, unknown, read("client-2", "v4", 4, 5), read("client-2", "v3", 6, 7))


@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_a_read_that_returned_nothing_counts_for_nothing(outcome: Outcome) -> None:
    assert held(*IN_ORDER, read("client-2", None, 2, 3, outcome))


def test_operations_that_touch_at_one_instant_are_concurrent() -> None:
    assert held(write("client-1", "a", 0, 1), write("client-2", "b", 1, 2), read("client-3", "a", 2, 3))


def test_a_completed_write_makes_a_better_witness_than_a_read() -> None:
    under_way = write("client-3", "v4", 2, 9)
    new, old = read("client-2", "v4", 2.1, 2.2), read("client-4", "v3", 2.3, 2.4)
    stale = read("client-5", "v1", 3, 4)
    assert violation(*IN_ORDER, under_way, new, old, stale).witness == (IN_ORDER[0], IN_ORDER[1], stale)


@pytest.mark.parametrize("value", ["v1", None])
def test_a_value_that_is_not_new_makes_the_history_useless(value: str | None) -> None:
    with pytest.raises(HistoryError, match="the values written must be unique, and not null"):
        check_register([*IN_ORDER, write("client-2", value, 5, 6)])


def test_each_key_is_a_register_of_its_own_and_the_guilty_one_is_named() -> None:
    elsewhere = [write("client-1", "v2", 0.5, 1, key="y"), read("client-1", "v2", 7, 8, key="y")]
    good = check_registers(History.of([*IN_ORDER, *elsewhere]))
    assert good == Verdict(
        "held", "every read returned the newest completed write (5 operations, linearizable)"
    )
    bad = check_registers(History.of([*IN_ORDER, *elsewhere, read("client-2", None, 9, 9, key="y")]))
    assert bad.outcome == "violated"
    assert bad.sentence.startswith('"y": client-2 read null at 9.000 s although')


def test_two_thousand_operations_a_tenth_of_them_unknown_are_decided() -> None:
    good = large_history(operations=2000, unknown=200)
    assert sum(operation.outcome == "unknown" for operation in good) == 200
    assert check_register(good).outcome == "held"
    end = max(operation.returned_ns or 0 for operation in good) / 1e9
    first = next(operation for operation in good if operation.op == "write" and operation.outcome == "ok")
    stale = read("late", first.value, end + 1, end + 2)
    verdict = check_register([*good, stale])
    assert verdict.outcome == "violated"
    assert stale in verdict.witness
    assert len(verdict.witness) == 3
