"""What a primary and its backup promise: kept, broken, and never looked at."""

import pytest

from app.checker.durability import durable
from app.checker.history import History, Operation, Outcome, Value
from app.checker.verdict import Verdict
from tests.unit.checker.making import read, write


def submitted(value: Value, at: float, outcome: Outcome = "ok", key: str = "job-1") -> Operation:
    return write("client-1", value, at, at + 1, outcome, key)


def found(value: Value, at: float, key: str = "job-1", process: str = "node-2") -> Operation:
    return read(process, value, at, at + 1, key=key)


def verdict_on(*operations: Operation) -> Verdict:
    return durable(History.of(operations))


def test_what_was_acknowledged_and_is_found_is_durable() -> None:
    verdict = verdict_on(
        found(None, 0),
        submitted("a", 2),
        found("a", 4),
        submitted("b", 5, key="job-2"),
        found("b", 7, "job-2"),
    )
    assert verdict == Verdict(
        "held",
        "all that was acknowledged is stored, and nothing that was aborted (2 acknowledged transactions)",
    )


def test_an_acknowledged_job_that_is_gone_is_lost() -> None:
    told, gone = submitted("a", 0), found(None, 2)
    verdict = verdict_on(told, gone, found("a", 4))
    assert verdict.witness == (told, gone)
    assert verdict.sentence == (
        'client-1 was told at 1.000 s that "job-1" is stored, yet node-2 found nothing there at 2.000 s'
    )


def test_a_read_that_began_before_the_acknowledgement_may_find_nothing() -> None:
    assert verdict_on(submitted("a", 0), found(None, 0.5), found("a", 2)).outcome == "held"


def test_an_acknowledged_job_that_nobody_read_is_in_doubt() -> None:
    sentence = 'client-1 was told at 1.000 s that "job-1" is stored, but nobody read it afterwards'
    assert verdict_on(submitted("a", 0)) == Verdict("in doubt", sentence)
    assert verdict_on(submitted("a", 0), found("a", 0.5)).outcome == "in doubt"
    assert verdict_on().outcome == "in doubt"


def test_a_job_told_aborted_may_never_be_found() -> None:
    told, stored = submitted("a", 1.01, "refused"), found("a", 4.5)
    verdict = verdict_on(found(None, 0), told, stored)
    assert verdict.witness == (told, stored)
    assert (
        verdict.sentence
        == 'client-1 was told at 2.010 s that "job-1" was aborted, yet node-2 read it at 4.500 s'
    )


def test_an_aborted_job_that_is_not_found_is_as_promised() -> None:
    assert verdict_on(submitted("a", 0, "refused"), found(None, 2)).outcome == "held"


@pytest.mark.parametrize("outcome", ["ok", "unknown"])
def test_a_refused_request_may_succeed_when_it_is_sent_again(outcome: Outcome) -> None:
    assert (
        verdict_on(submitted("a", 0, "refused"), submitted("a", 2, outcome), found("a", 5)).outcome == "held"
    )


def test_a_request_in_doubt_that_is_then_told_aborted_may_never_be_found() -> None:
    verdict = verdict_on(submitted("a", 0, "unknown"), submitted("a", 2, "refused"), found("a", 5))
    assert verdict.outcome == "violated"


def test_a_request_in_doubt_may_be_found_or_not() -> None:
    for value in ("a", None):
        assert verdict_on(submitted("a", 0, "unknown"), found(value, 2)).outcome == "held"


def test_what_nobody_submitted_is_invented() -> None:
    invented = found("a", 2)
    sentence = 'node-2 read "a" at 2.000 s, which nobody had submitted as "job-1"'
    assert verdict_on(submitted("a", 0, key="job-2"), found("a", 2, "job-2"), invented).outcome == "violated"
    assert verdict_on(write("c", "b", 0, 1, "unknown", "job-1"), invented) == Verdict(
        "violated", sentence, (invented,)
    )
    assert verdict_on(found("a", 2), submitted("a", 4), found("a", 6)).outcome == "violated"


def test_one_id_is_not_acknowledged_with_two_values() -> None:
    one, other = submitted("a", 0), submitted("b", 0.5)
    verdict = verdict_on(one, other)
    assert verdict.witness == (one, other)
    assert verdict.sentence.startswith('"a" and "b" were both acknowledged as "job-1"')


def test_another_payload_under_a_used_id_is_refused_and_changes_nothing() -> None:
    assert verdict_on(submitted("a", 0), submitted("b", 2, "refused"), found("a", 4)).outcome == "held"


def test_one_id_is_not_read_with_two_values() -> None:
    one, other = found("a", 2), found("b", 4)
    verdict = verdict_on(submitted("a", 0, "unknown"), submitted("b", 0, "unknown"), one, other)
    assert verdict.witness == (one, other)
    assert verdict.sentence.startswith('"job-1" has two values: node-2 read "a"')


def test_a_request_sent_under_two_ids_is_not_stored_twice() -> None:
    one, other = found("a", 4), found("a", 6, "job-2")
    verdict = verdict_on(submitted("a", 0), submitted("a", 2, key="job-2"), one, other)
    assert verdict.witness == (one, other)
    assert verdict.sentence == (
        'stored twice: node-2 read "a" at 4.000 s as "job-1" and node-2 read "a" at 6.000 s as "job-2"'
    )
