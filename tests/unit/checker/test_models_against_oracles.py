"""Every model against its definition, on thousands of small histories."""

import pytest
from hypothesis import given, settings, strategies as st

from app.checker.guarantees import Guarantee, judge_all
from app.checker.history import History, Operation
from tests.unit.checker import model_oracles as oracle
from tests.unit.checker.model_histories import (
    EXAMPLES,
    clients_histories,
    recorded_histories,
    replicas_histories,
)

QUIET_S = 2.0
UNRECORDED = st.one_of(clients_histories(), clients_histories(clock=False), replicas_histories())
ONE_KEY = st.one_of(UNRECORDED, recorded_histories(UNRECORDED))
_TWO = st.one_of(clients_histories(keys="xy"), clients_histories(keys="xy", clock=False))
TWO_KEYS = st.one_of(_TWO, recorded_histories(_TWO))


def broken(operations: list[Operation], guarantee: Guarantee, *, together: bool = False) -> bool:
    found = judge_all(History.of(operations), together=together, quiet_s=QUIET_S)[guarantee]
    assert found.verdict != "undecided" or not found.operations
    return found.verdict == "violated"


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_linearizable_is_that_an_order_that_agrees_with_the_clock_explains_all(
    operations: list[Operation],
) -> None:
    assert broken(operations, "linearizable") == (not oracle.is_linearizable(operations))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_sequential_is_that_some_interleaving_explains_all(operations: list[Operation]) -> None:
    assert broken(operations, "sequential") == (not oracle.is_sequential(operations))


@pytest.mark.whole
@given(TWO_KEYS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_sequential_of_several_keys_is_that_some_interleaving_explains_all(
    operations: list[Operation],
) -> None:
    assert broken(operations, "sequential", together=True) == (not oracle.is_sequential(operations))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_is_that_each_process_has_an_order_that_explains_it(operations: list[Operation]) -> None:
    assert broken(operations, "causal") == (not oracle.is_causal(operations))


@pytest.mark.whole
@given(TWO_KEYS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_of_several_keys_is_that_each_process_has_an_order(operations: list[Operation]) -> None:
    assert broken(operations, "causal", together=True) == (not oracle.is_causal(operations))


@pytest.mark.parametrize("guarantee", oracle.AXIOMS)
@given(operations=ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_model_is_that_each_client_has_a_visibility_and_an_arbitration_that_keep_its_axioms(
    guarantee: Guarantee, operations: list[Operation]
) -> None:
    """Causal has all four axioms: it is the four guarantees for one client, in one explanation."""
    assert broken(operations, guarantee) == (not oracle.keeps(operations, oracle.AXIOMS[guarantee]))


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_convergence_is_that_all_who_look_late_read_a_last_value(operations: list[Operation]) -> None:
    found = judge_all(History.of(operations), quiet_s=QUIET_S)["eventually convergent"]
    assert found.verdict == oracle.convergence(operations, QUIET_S)
