"""Who takes which task, and when a task is given up: rules that one can check with a pencil."""

import random

from hypothesis import given, strategies as st

from app.mapreduce.records import Attempt, Manifest, Result
from app.mapreduce.runner import Progress, Runner
from app.mapreduce.tasks import (
    MOST_CLAIMS,
    MOST_ERRORS,
    claimed,
    given_up,
    offer_again,
    raised,
    shares,
)


@given(st.lists(st.integers(0, 5000), unique=True), st.integers(1, 9))
def test_everybodys_own_tasks_together_are_all_tasks_once(left: list[int], of: int) -> None:
    own = [shares(left, share, of, random.Random(1))[0] for share in range(of)]

    assert sorted(task for tasks in own for task in tasks) == sorted(left)


@given(st.lists(st.integers(0, 5000), unique=True), st.integers(1, 9), st.data())
def test_own_and_others_tasks_are_all_tasks(left: list[int], of: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, of - 1))

    own, others = shares(left, share, of, random.Random(1))

    assert sorted(own + others) == sorted(left)


@given(st.integers(0, 5000), st.integers(1, 9))
def test_shares_differ_by_one_task_at_most(count: int, of: int) -> None:
    sizes = [len(shares(range(count), share, of, random.Random(1))[0]) for share in range(of)]

    assert max(sizes) - min(sizes) <= 1


def test_a_task_that_raises_three_times_is_given_up_with_its_reason() -> None:
    attempt = Attempt()
    for number in range(MOST_ERRORS):
        assert given_up(attempt) is None
        attempt = raised(claimed(attempt, "worker-1"), f"ValueError: number {number}")

    reason = given_up(attempt)
    assert reason is not None
    assert "ValueError: number 2" in reason


def test_a_task_that_loses_ten_claims_is_given_up() -> None:
    attempt = Attempt()
    for _ in range(MOST_CLAIMS):
        attempt = claimed(attempt, "worker-1")
        assert given_up(attempt) is None

    assert given_up(claimed(attempt, "worker-2")) is not None


def test_a_claim_remembers_what_was_raised_before() -> None:
    attempt = claimed(raised(claimed(Attempt(), "worker-1"), "KeyError: 1"), "worker-2")

    assert (attempt.number, attempt.by, attempt.errors) == (2, "worker-2", ["KeyError: 1"])


def test_the_rest_is_offered_again_when_half_of_it_is_done() -> None:
    assert not offer_again(60, 100)
    assert offer_again(50, 100)
    assert not offer_again(2, 100), "the last few are in hand already"


def test_the_end_of_a_job_is_told_also_where_it_was_known_before_an_older_read() -> None:
    """A server that lags may show a runner its job without the result that it has seen already."""
    runner = Runner.__new__(Runner)  # its end needs no server
    runner.progress = Progress("job-1", Manifest(job="x", name="x", size=1, sha256="0" * 64), "running")
    runner.progress.result = Result(state="done", job="x", name="x")
    told: list[str] = []
    runner._on_progress = lambda: told.append(runner.progress.state)
    runner._tell_end()
    runner._tell_end()
    assert told == ["done"], "and once"
