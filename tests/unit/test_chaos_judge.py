"""What convicts a chaos run, on made-up histories: every promise can be broken, and only by its own."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from app.checker.history import Action, History, Operation, Outcome, Value
from proof.chaos.audit import (
    AckSeen,
    Ending,
    TaskSeen,
    Upload,
    Violation,
    ZnodeValue,
    of_acks,
    of_histories,
    of_leftovers,
    of_tasks,
    of_uploads,
)
from proof.chaos.report import Report, as_json, as_text, keep

NOTHING = History()


def promises(violations: Iterable[Violation]) -> list[str]:
    return [violation.promise for violation in violations]


def upload(ending: Ending, found: ZnodeValue) -> Upload:
    return Upload("0123456789", "equalize", ending, found)


# --- uploads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["wrong", "failed", "unfinished", "absent"])
def test_an_upload_that_was_answered_200_and_is_not_done_right_is_lost(found: ZnodeValue) -> None:
    (violation,) = of_uploads([upload("stored", found)])
    assert violation.promise == "nothing acknowledged is lost"
    assert "equalize 01234567 was answered 200" in violation.sentence
    assert found in violation.sentence


@pytest.mark.parametrize("found", ["right", "wrong", "failed", "unfinished"])
def test_an_upload_that_was_refused_and_is_there_was_no_refusal(found: ZnodeValue) -> None:
    assert promises(of_uploads([upload("refused", found)])) == ["what is refused never happens"]


def test_a_refused_upload_that_nobody_could_look_for_leaves_the_run_in_doubt() -> None:
    unseen = upload("refused", "unseen")
    assert promises(of_uploads([unseen])) == []
    assert Report(7, operations=Counter(upload=1), uploads=[unseen]).verdict.outcome == "in doubt"


def test_a_run_in_which_nothing_was_done_shows_nothing() -> None:
    assert Report(7).verdict.outcome == "in doubt"


@pytest.mark.parametrize("found", ["right", "absent", "unfinished", "unknown"])
def test_an_upload_in_doubt_may_have_happened_or_not(found: ZnodeValue) -> None:
    assert promises(of_uploads([upload("in doubt", found)])) == []


@pytest.mark.parametrize("found", ["wrong", "failed"])
def test_an_upload_in_doubt_that_happened_has_the_right_result(found: ZnodeValue) -> None:
    assert promises(of_uploads([upload("in doubt", found)])) == ["results are right"]


def test_what_was_promised_and_kept_is_no_violation() -> None:
    kept = [upload("stored", "right"), upload("stored", "unknown"), upload("refused", "absent")]
    assert promises(of_uploads(kept)) == []


# --- tasks ------------------------------------------------------------------------------------------------


def task(claimed_zxid: int, done_zxid: int, done_attempt: int) -> TaskSeen:
    return TaskSeen("task 3", 2, "worker-2", claimed_zxid, done_zxid, done_attempt, f"worker-{done_attempt}")


def test_a_result_of_a_claimant_that_was_fenced_off_counts_for_nothing() -> None:
    (violation,) = of_tasks([task(claimed_zxid=10, done_zxid=11, done_attempt=1)])
    assert violation.promise == "a task counts for its last claimant alone"
    assert "held by worker-2 (attempt 2), and worker-1 (attempt 1)" in violation.sentence


@pytest.mark.parametrize(
    "seen",
    [
        task(claimed_zxid=10, done_zxid=11, done_attempt=2),  # the last claimant's
        task(claimed_zxid=12, done_zxid=11, done_attempt=1),  # claimed once more, after it was done
    ],
)
def test_a_result_of_the_last_claimant_counts_and_a_later_claim_changes_nothing(seen: TaskSeen) -> None:
    assert promises(of_tasks([seen])) == []


# --- copies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("disks", "broken"), [(0, True), (1, True), (2, False), (3, False)])
def test_an_acknowledged_payload_needs_two_disks(disks: int, broken: bool) -> None:
    expected = ["an acknowledged payload is on two disks"] if broken else []
    assert promises(of_acks([AckSeen("order-7", disks)])) == expected


# --- leftovers ---------------------------------------------------------------------------------------------


def test_what_is_left_leaks_and_is_named() -> None:
    (violation,) = of_leftovers({"files": ["d", "b", "a", "c"], "jobs on the board": []})
    assert violation == Violation("nothing leaks", "4 files: a, b, c, ...")


def test_where_nothing_is_left_nothing_leaks() -> None:
    assert promises(of_leftovers({"files": [], "jobs on the board": []})) == []


# --- histories --------------------------------------------------------------------------------------------


def operation(
    process: str, op: Action, value: Value, at: int, outcome: Outcome = "ok", version: int | None = None
) -> Operation:
    named = None if version is None else (version, "")
    return Operation(process, op, "key", value, at * 10, at * 10 + 5, outcome, named)


def broken(
    registers: History = NOTHING, transactions: History = NOTHING, configuration: History = NOTHING
) -> list[str]:
    found = of_histories(registers, transactions, configuration)
    return [promise for promise, verdict in found if verdict.outcome == "violated"]


def history(*operations: Operation) -> History:
    return History.of(operations)


WRITE, READ = operation("ada", "write", "v-1", 1), operation("bob", "read", "v-1", 2)
NOTHING_READ = operation("bob", "read", None, 2)


@pytest.mark.parametrize(
    ("lacking", "poor"),
    [
        ("write", [replace(WRITE, outcome="refused"), NOTHING_READ]),
        ("read", [WRITE, replace(READ, outcome="refused")]),
    ],
)
def test_a_history_without_a_write_or_a_read_that_ended_ok_shows_nothing(
    lacking: str, poor: list[Operation]
) -> None:
    """On a machine that is too busy for any: a refusal breaks no promise, and keeps none."""
    whole = history(WRITE, READ)
    assert [verdict.outcome for _, verdict in of_histories(whole, whole, NOTHING)][:2] == ["held", "held"]
    for _, verdict in list(of_histories(history(*poor), history(*poor), NOTHING))[:2]:
        assert (verdict.outcome, verdict.sentence) == (
            "in doubt",
            f"no {lacking} ended ok, so nothing was shown",
        )


def test_a_run_in_which_no_upload_was_stored_is_in_doubt() -> None:
    refused = Report(7, operations=Counter(upload=1), uploads=[upload("refused", "absent")])
    assert refused.verdict.outcome == "in doubt"
    stored = Report(7, operations=Counter(upload=1), uploads=[upload("stored", "right")])
    assert stored.verdict.outcome == "held"


def test_a_read_that_misses_what_another_had_read_convicts_the_register() -> None:
    inversion = history(
        operation("ada", "write", "v-1", 1),
        operation("ada", "write", "v-2", 2, "unknown"),
        operation("bob", "read", "v-2", 3),
        operation("carol", "read", "v-1", 4),
    )
    assert broken(registers=inversion) == ["the quorum object is linearizable"]


def test_a_stale_read_convicts_primary_backup() -> None:
    stale = history(operation("ada", "write", "order", 1), operation("bob", "read", None, 2))
    assert broken(transactions=stale) == [
        "primary-backup is linearizable",
        "what the primary acknowledged is kept, what it aborted is not",
    ]


def test_what_was_aborted_and_is_there_convicts_primary_backup() -> None:
    aborted = history(operation("ada", "write", "order", 1, "refused"), operation("bob", "read", "order", 2))
    assert "what the primary acknowledged is kept, what it aborted is not" in broken(transactions=aborted)


def test_a_copy_that_goes_back_is_convicted() -> None:
    back = history(
        operation("publisher-1", "write", 1, 1, version=1),
        operation("publisher-1", "write", 2, 2, version=2),
        operation("copy-1", "read", 2, 3, version=2),
        operation("copy-1", "read", 1, 4, version=1),
        operation("copy-1", "read", 2, 5, version=2),
    )
    assert broken(configuration=back) == ["no copy of the configuration goes back"]


def test_a_published_change_that_no_copy_ends_with_is_lost() -> None:
    lost = history(
        operation("publisher-1", "write", 1, 1, version=1),
        operation("publisher-1", "write", 2, 2, version=2),
        operation("copy-1", "read", 1, 3, version=1),
        operation("copy-1", "read", 1, 4, version=1),
    )
    assert broken(configuration=lost) == ["all copies of the configuration converge, and no change is lost"]


def test_copies_that_end_apart_are_convicted() -> None:
    apart = history(
        operation("publisher-1", "write", 1, 1, version=1),
        operation("publisher-1", "write", 2, 1, "unknown"),
        operation("copy-1", "read", 1, 3, version=1),
        operation("copy-1", "read", 1, 4, version=1),
        operation("copy-2", "read", 2, 5, version=2),
        operation("copy-2", "read", 2, 6, version=2),
    )
    assert broken(configuration=apart) == ["all copies of the configuration converge, and no change is lost"]


def test_a_copy_that_ends_with_nothing_is_convicted() -> None:
    empty = history(
        operation("publisher-1", "write", 1, 1, version=1),
        operation("copy-1.1", "read", 1, 2, version=1),
        operation("copy-1.1", "read", 1, 3, version=1),
        operation("copy-2.1", "read", 1, 2, version=1),
        operation("copy-2.2", "read", None, 3, version=-1),
    )
    assert broken(configuration=empty) == ["all copies of the configuration converge, and no change is lost"]


def test_histories_as_they_should_be_break_nothing() -> None:
    register = history(operation("ada", "write", "v-1", 1), operation("bob", "read", "v-1", 2))
    copies = history(
        operation("publisher-1", "write", 1, 1, version=1),
        operation("copy-1", "read", 1, 2, version=1),
        operation("copy-1", "read", 1, 3, version=1),
    )
    assert broken(register, register, copies) == []
    assert broken() == []


def test_what_this_machine_does_not_let_us_do_is_said() -> None:
    report = Report(7, left_out=["the workers' disk is full (only root may mount one)"])
    assert "left out: the workers' disk is full" in as_text(report)
    assert as_json(report)["left_out"] == report.left_out


def test_of_a_run_that_broke_something_all_is_kept_and_how_to_repeat_it(tmp_path: Path) -> None:
    lost = upload("stored", "absent")
    report = Report(7, violations=list(of_uploads([lost])), histories={"register": NOTHING}, uploads=[lost])

    keep(report, tmp_path / "kept", "make chaos OPTIONS='--seed 7'")

    kept = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "kept").iterdir()}
    assert set(kept) == {"register.jsonl", "uploads.jsonl", "violations.txt"}
    assert json.loads(kept["uploads.jsonl"])["found"] == "absent"
    assert "make chaos OPTIONS='--seed 7'" in kept["violations.txt"]
