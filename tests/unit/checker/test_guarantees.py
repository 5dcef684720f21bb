"""What replicas of a configuration promise: kept, broken, and impossible to tell."""

from app.checker.guarantees import converged, monotonic_reads
from app.checker.history import History, Operation, Outcome, Value, Version
from app.checker.verdict import Verdict
from tests.unit.checker.making import read, write

OLD, NEW = (1, "a"), (2, "b")


def seen(process: str, value: Value, at: float, version: Version | None = None) -> Operation:
    return read(process, value, at, at, key="chunk_size", version=version)


def published(process: str, value: Value, at: float, outcome: Outcome = "ok") -> Operation:
    return write(process, value, at, at + 1, outcome, key="chunk_size")


def monotonic(*operations: Operation) -> Verdict:
    return monotonic_reads(History.of(operations))


def convergence(*operations: Operation) -> Verdict:
    return converged(History.of(operations))


def test_reads_that_go_forward_or_stay_are_monotonic() -> None:
    verdict = monotonic(
        seen("r1", None, 1), seen("r1", 1024, 2, OLD), seen("r1", 1024, 3, OLD), seen("r1", 7, 4, NEW)
    )
    assert verdict == Verdict("held", "no process read an older version after a newer one (3 steps)")


def test_a_read_of_an_older_version_is_not_monotonic() -> None:
    newer, older = seen("r1", 2048, 1.5, NEW), seen("r1", 1024, 3, OLD)
    verdict = monotonic(seen("r1", 1024, 1, OLD), newer, older)
    assert verdict.witness == (newer, older)
    assert verdict.sentence == (
        'r1 read 1024 at 2.000 s, an older version of "chunk_size", '
        "although r1 had already read 2048 at 0.500 s"
    )


def test_forgetting_what_was_read_is_not_monotonic() -> None:
    assert monotonic(seen("r1", 1024, 1, OLD), seen("r1", None, 2)).outcome == "violated"


def test_different_processes_and_keys_may_be_of_different_age() -> None:
    elsewhere = read("r1", 3, 4, 4, key="retries", version=OLD)
    verdict = monotonic(seen("r1", 1, 1, NEW), seen("r2", 0, 2, OLD), seen("r1", 1, 3, NEW), elsewhere)
    assert verdict.outcome == "held"


def test_monotonic_reads_are_in_doubt_if_nobody_read_twice_or_versions_are_missing() -> None:
    assert monotonic().outcome == "in doubt"
    assert monotonic(seen("r1", 1024, 1, OLD), seen("r2", 1024, 2, OLD)).outcome == "in doubt"
    assert monotonic(seen("r1", 1024, 1), seen("r1", 2048, 2)).outcome == "in doubt"


def test_one_read_of_unknown_age_hides_no_other_that_went_back() -> None:
    ageless = read("r2", "x", 0.5, 0.5, key="retries")
    assert monotonic(ageless, seen("r1", 2, 1, NEW), seen("r1", 1, 2, OLD)).outcome == "violated"


def test_replicas_that_end_with_the_last_value_have_converged() -> None:
    verdict = convergence(
        published("p1", 1024, 0),
        published("p2", 2048, 2),
        seen("r1", 1024, 2.5),
        seen("r1", 2048, 4),
        seen("r2", 2048, 5),
    )
    assert verdict == Verdict("held", "every replica ended with the last value (2 readers, 1 key)")


def test_replicas_that_end_apart_have_not_converged() -> None:
    one, other = seen("r1", 2048, 4), seen("r2", 1024, 5)
    verdict = convergence(published("p1", 1024, 0), published("p1", 2048, 2), one, other)
    assert verdict == Verdict("violated", 'r1 ended "chunk_size" with 2048, but r2 with 1024', (one, other))


def test_an_acknowledged_update_that_every_replica_lost_is_named() -> None:
    lost, end = published("publisher-1", 2048, 2), seen("r1", 1024, 4)
    verdict = convergence(published("publisher-2", 1024, 0), lost, end, seen("r2", 1024, 5))
    assert verdict.witness == (lost, end)
    assert verdict.sentence == (
        'publisher-1 was told at 3.000 s that "chunk_size" = 2048 was published, '
        "but every replica ended with 1024"
    )


def test_ending_with_the_initial_value_loses_every_acknowledged_update() -> None:
    assert (
        "every replica ended with null" in convergence(published("p1", 1024, 0), seen("r1", None, 4)).sentence
    )


def test_of_concurrent_updates_either_may_be_the_last() -> None:
    for end in (1024, 2048):
        assert (
            convergence(published("p1", 1024, 0), published("p2", 2048, 0.5), seen("r1", end, 4)).outcome
            == "held"
        )


def test_an_unknown_update_may_be_the_last_and_a_refused_one_may_not() -> None:
    before, after = published("p2", 2048, 2), seen("r1", 1024, 4)
    assert convergence(published("p1", 1024, 0, "unknown"), before, after).outcome == "held"
    verdict = convergence(published("p1", 1024, 0, "refused"), before, after)
    assert verdict.outcome == "violated"
    assert verdict.sentence.endswith("yet p1 was told at 1.000 s that the write of it was refused")


def test_a_value_that_nobody_published_is_not_converged_on() -> None:
    verdict = convergence(published("p1", 1024, 0), seen("r1", 7, 2), seen("r2", 7, 2))
    assert verdict.outcome == "violated"
    assert verdict.sentence.endswith("which nobody ever wrote")


def test_a_replica_that_was_not_seen_after_the_last_update_has_not_converged() -> None:
    late = seen("r2", 1024, 0.5)
    verdict = convergence(published("p1", 1024, 0), seen("r1", 1024, 2), late)
    assert verdict.outcome == "violated"
    assert late in verdict.witness
    assert verdict.sentence.startswith('r2 never read "chunk_size" after p1\'s write of 1024')


def test_convergence_is_in_doubt_where_nobody_read() -> None:
    assert convergence().outcome == "in doubt"
    verdict = convergence(published("p1", 1024, 0), write("p1", 3, 2, 3, key="retries"), seen("r1", 1024, 4))
    assert verdict == Verdict("in doubt", 'nobody read "retries"')


def test_an_update_is_lost_to_one_whose_ending_nobody_knows_but_that_was_read_before_it() -> None:
    before, after = (seen("r1", 1, 2), seen("r2", 1, 2.1)), (seen("r1", 1, 10), seen("r2", 1, 10.1))
    verdict = convergence(published("p", 1, 0, "unknown"), *before, published("p", 2, 3), *after)
    assert verdict.outcome == "violated"
    assert "= 2 was published, but every replica ended with 1" in verdict.sentence


def test_an_update_is_not_lost_to_one_that_may_still_have_been_on_its_way() -> None:
    ends = (seen("r1", 1, 10), seen("r2", 1, 10.1))
    verdict = convergence(published("p", 1, 0, "unknown"), published("p", 2, 3), *ends)
    assert verdict.outcome == "held"
