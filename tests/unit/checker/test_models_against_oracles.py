"""Every guarantee against its definition, on thousands of small histories."""

import pytest
from hypothesis import given, settings, strategies as st

from app.checker.guarantees import Guarantee, judge_all
from app.checker.history import History, Operation
from tests.unit.checker import model_oracles as oracle
from tests.unit.checker.model_histories import EXAMPLES, clients_histories, replicas_histories

QUIET_S = 2.0
ONE_KEY = st.one_of(clients_histories(), clients_histories(clock=False), replicas_histories())
TWO_KEYS = st.one_of(clients_histories(keys="xy"), clients_histories(keys="xy", clock=False))


def verdict(operations: list[Operation], guarantee: Guarantee, *, together: bool = False) -> str:
    found = judge_all(History.of(operations), together=together, quiet_s=QUIET_S)[guarantee]
    if found.sentence == "nothing happened":
        return "held"  # to an oracle: there is an order of nothing
    return found.verdict


def said(kept: bool) -> str:
    return "held" if kept else "violated"


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_sequential_is_that_some_interleaving_explains_all(operations: list[Operation]) -> None:
    assert verdict(operations, "sequential") == said(oracle.is_sequential(operations))


@pytest.mark.whole
@given(TWO_KEYS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_sequential_of_several_keys_is_that_some_interleaving_explains_all(
    operations: list[Operation],
) -> None:
    assert verdict(operations, "sequential", together=True) == said(oracle.is_sequential(operations))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_is_that_each_process_has_an_order_that_explains_it(operations: list[Operation]) -> None:
    assert verdict(operations, "causal") == said(oracle.is_causal(operations))


@pytest.mark.whole
@given(TWO_KEYS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_of_several_keys_is_that_each_process_has_an_order(operations: list[Operation]) -> None:
    assert verdict(operations, "causal", together=True) == said(oracle.is_causal(operations))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_is_all_four_session_guarantees_at_once_without_a_clock(operations: list[Operation]) -> None:
    assert verdict(operations, "causal") == said(oracle.keeps_all_four_without_a_clock(operations))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_monotonic_reads_are_that_the_reads_of_each_process_may_have_seen_more_and_more(
    operations: list[Operation],
) -> None:
    kept = oracle.keeps_monotonic_reads(operations)
    assert (verdict(operations, "monotonic reads") == "violated") == (not kept)


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_read_your_writes_is_that_each_read_may_have_seen_its_own_writes(operations: list[Operation]) -> None:
    kept = oracle.keeps_read_your_writes(operations)
    assert (verdict(operations, "read your writes") == "violated") == (not kept)


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_order_of_writes_is_judged_by_the_end_and_by_who_saw_what_first(
    operations: list[Operation],
) -> None:
    late, _ = oracle.late_reads(operations, QUIET_S)
    for guarantee, expected in (
        ("monotonic writes", oracle.monotonic_writes(operations, late)),
        ("writes follow reads", oracle.writes_follow_reads(operations, late)),
    ):
        found = judge_all(History.of(operations), quiet_s=QUIET_S)[guarantee]  # type: ignore[index]
        asked_nobody = not found.operations and not found.indexes
        assert found.verdict == ("undecided" if asked_nobody and expected == "held" else expected)


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_convergence_is_that_all_who_look_late_read_a_last_value(operations: list[Operation]) -> None:
    assert verdict(operations, "eventually convergent") == oracle.convergence(operations, QUIET_S)
