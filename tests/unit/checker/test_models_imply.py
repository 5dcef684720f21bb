"""Which guarantee implies which, on any history; that no arrow can be turned round is in the figures."""

from hypothesis import given, settings, strategies as st

from app.checker.guarantees import Finding, Guarantee, judge_all
from app.checker.history import History, Operation
from tests.unit.checker.model_histories import EXAMPLES, clients_histories, replicas_histories
from tests.unit.checker.model_oracles import Axioms, each_client_is_explained

ONE_KEY = st.one_of(clients_histories(), replicas_histories())
HISTORIES = st.one_of(ONE_KEY, clients_histories(keys="xy"))
FOUR: tuple[Guarantee, ...] = (
    "monotonic reads",
    "monotonic writes",
    "read your writes",
    "writes follow reads",
)


def judged(operations: list[Operation], *, together: bool = False) -> dict[Guarantee, Finding]:
    return judge_all(History.of(operations), together=together, quiet_s=2.0)


def saw_the_wrong_order(finding: Finding) -> bool:
    """Undecided because somebody did, and not because nobody was asked."""
    return finding.verdict == "undecided" and bool(finding.indexes)


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_linearizable_implies_sequential_also_of_all_keys_together(operations: list[Operation]) -> None:
    if judged(operations)["linearizable"].verdict == "held":
        assert judged(operations)["sequential"].verdict == "held"
        assert judged(operations, together=True)["sequential"].verdict == "held"


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_sequential_implies_causal_and_both_imply_it_of_each_key(operations: list[Operation]) -> None:
    apart, together = judged(operations), judged(operations, together=True)
    for found in (apart, together):
        if found["sequential"].verdict == "held":
            assert found["causal"].verdict == "held"
    for guarantee in ("sequential", "causal"):
        if together[guarantee].verdict == "held":
            assert apart[guarantee].verdict == "held"


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_linearizable_implies_everything_for_single_clients_and_in_the_end(
    operations: list[Operation],
) -> None:
    found = judged(operations)
    if found["linearizable"].verdict == "held":
        for guarantee in (*FOUR, "eventually convergent"):
            assert found[guarantee].verdict != "violated"
        assert not any(saw_the_wrong_order(found[guarantee]) for guarantee in FOUR)


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_implies_that_nobody_sees_writes_in_the_wrong_order(operations: list[Operation]) -> None:
    found = judged(operations)
    if found["causal"].verdict == "held":
        assert not any(saw_the_wrong_order(found[guarantee]) for guarantee in FOUR)


@given(ONE_KEY)
@settings(max_examples=EXAMPLES, deadline=None)
def test_causal_implies_that_no_client_goes_back_by_causality(operations: list[Operation]) -> None:
    if judged(operations)["causal"].verdict == "held":
        for monotonic, own in ((True, False), (False, True)):
            assert each_client_is_explained(operations, Axioms(monotonic, own, clock=False, causes=True))


@given(HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_convergent_implies_that_no_write_stayed_in_the_wrong_place(operations: list[Operation]) -> None:
    found = judged(operations)
    if found["eventually convergent"].verdict == "held":
        assert found["monotonic writes"].verdict != "violated"
        assert found["writes follow reads"].verdict != "violated"
