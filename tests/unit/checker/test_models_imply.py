"""Which model implies which, on any history without exception; that no arrow turns round is in figures."""

import random

from hypothesis import given, settings, strategies as st

from app.checker.guarantees import judge_all
from app.checker.history import History, Operation
from tests.unit.checker.figures import figure
from tests.unit.checker.implications import FOUR, counterexamples, kept, random_history
from tests.unit.checker.model_histories import (
    EXAMPLES,
    clients_histories,
    recorded_histories,
    replicas_histories,
)

_UNRECORDED = st.one_of(clients_histories(), replicas_histories(), clients_histories(keys="xy"))
HISTORIES = st.one_of(_UNRECORDED, recorded_histories(_UNRECORDED))


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_linearizable_implies_sequential_and_this_causal_and_this_the_four_and_the_four_together_causal(
    operations: list[Operation],
) -> None:
    assert counterexamples(operations) == []


def test_the_same_holds_of_histories_out_of_a_seed() -> None:
    chance = random.Random(1)
    for _ in range(300):
        assert counterexamples(random_history(chance)) == []


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_history_is_never_said_to_keep_a_model_and_to_break_one_that_it_implies(
    operations: list[Operation],
) -> None:
    for together in (False, True):
        found = judge_all(History.of(operations), together=together, quiet_s=2.0)
        broken = {name for name, one in found.items() if one.verdict == "violated"}
        if broken & set(FOUR):
            assert "causal" in broken
        if "causal" in broken:
            assert {"sequential", "real-time causal"} <= broken
        if broken - {"eventually convergent"}:
            assert "linearizable" in broken


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_linearizable_implies_that_all_end_with_a_last_value(operations: list[Operation]) -> None:
    found = judge_all(History.of(operations), quiet_s=2.0)
    if found["linearizable"].verdict == "held":
        assert found["eventually convergent"].verdict != "violated"


def test_each_of_the_four_alone_is_weaker_than_the_four_together() -> None:
    """P2 needs b before a, P1's own order is a before b: two explanations, and no single one."""
    models = kept(
        figure("""
        P1: W(a)  W(b)
        P2:             R(b)  R(a)
        """).operations
    )
    assert set(FOUR) <= models
    assert "causal" not in models
