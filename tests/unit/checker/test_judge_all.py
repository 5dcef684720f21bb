"""All guarantees of one history: what a table and a timeline are told, and how long it takes."""

import json
import random
import string
import time

import pytest
from hypothesis import given, settings, strategies as st

from app.checker.guarantees import GUARANTEES, Finding, Guarantee, judge_all
from app.checker.history import Fault, History, HistoryError, Operation, Value
from app.checker.models import MODELS
from tests.unit.checker.figures import figure
from tests.unit.checker.making import read, write
from tests.unit.checker.model_histories import EXAMPLES, clients_histories, replicas_histories

ONLY_A_SEARCH_REFUTES_IT = """
    P1: Wy(u2)  Wx(w1)  Rz(v2)
    P2: Wz(v2)  Wx(w2)  Ry(u2)
    P3: Wy(u1)  Rx(w1)  Rz(v1)
    P4: Wz(v1)  Rx(w2)  Ry(u1)
"""


def test_every_guarantee_has_a_finding() -> None:
    assert tuple(judge_all(figure("P1: W(a)  R(a)"))) == GUARANTEES
    assert tuple(judge_all(History())) == GUARANTEES


def test_nothing_recorded_says_nothing() -> None:
    found = judge_all(History())
    assert {finding.verdict for finding in found.values()} == {"undecided"}
    assert found["linearizable"] == Finding("undecided", 0, "nothing happened")


def test_what_nobody_was_asked_of_is_undecided() -> None:
    found = judge_all(figure("P1: W(a)  W(b)"))
    undecided = {guarantee: one.sentence for guarantee, one in found.items() if one.verdict == "undecided"}
    assert undecided == {
        "eventually convergent": "nobody read",
        "monotonic reads": "no process read a key twice",
        "monotonic writes": "the order of a process's writes was not recorded",
        "read your writes": "no process read a key that it had written",
        "writes follow reads": "the order of a write and of what its process had read was not recorded",
    }


def test_held_says_of_how_many_operations() -> None:
    found = judge_all(figure("P1: W(a)1  R(a)1  W(b)2  R(b)2  R(b)2"))
    assert {guarantee: one.operations for guarantee, one in found.items()} == {
        "linearizable": 5,
        "sequential": 5,
        "real-time causal": 5,
        "causal": 5,
        "eventually convergent": 1,
        "monotonic reads": 2,
        "monotonic writes": 1,
        "read your writes": 3,
        "writes follow reads": 1,
    }
    assert found["monotonic reads"].sentence == "no process went back to an older value (2 operations)"


def test_a_cell_is_json_and_names_the_guilty() -> None:
    history = figure("""
        P1: W(a)  R(-)
    """)
    cell = judge_all(history)["read your writes"].cell()
    assert json.loads(json.dumps(cell)) == {
        "verdict": "violated",
        "operations": 1,
        "witness": 'P1 wrote "a" at 0.000 s, then read null at 6.000 s: it missed a write of its own',
        "indexes": [0, 1],
    }
    assert judge_all(figure("P1: W(a)  R(a)"))["causal"].cell()["witness"] is None


def test_the_indexes_are_those_of_the_guilty_in_the_whole_history() -> None:
    history = figure("""
        P0: Wy(other)   Ry(other)
        P1:     W(a)
        P2:                       R(a)   R(-)
    """)
    found = judge_all(history)["monotonic reads"]
    assert [history.operations[index].process for index in found.indexes] == ["P2", "P2"]


def test_of_several_keys_the_guilty_one_is_named_and_the_shortest_witness_is_told() -> None:
    history = figure("""
        P1: Wx(a)  Wx(b)           Wy(c)
        P2:               Rx(b) Rx(a)    Ry(c) Ry(-)
    """)
    found = judge_all(history)
    assert found["monotonic reads"].sentence.startswith('"y": P2 read "c" at')
    assert found["sequential"].sentence.startswith('"y": P2 read "c" at')
    assert found["causal"].sentence.startswith('"y": ')
    assert judge_all(history, together=True)["causal"].sentence.startswith("P2 read ")


def test_what_is_not_known_to_have_happened_is_not_counted() -> None:
    nobody_read_it, somebody_did = (
        write("P1", "b", 2, 3, "unknown"),
        write("P1", "c", 4, 5, "unknown"),
    )
    found = judge_all(
        History.of(
            [
                write("P1", "a", 0, 1, "refused"),
                nobody_read_it,
                somebody_did,
                read("P2", "c", 6, 7),
                read("P2", None, 8, 9, "unknown"),
            ]
        )
    )
    assert {found[guarantee].operations for guarantee in ("linearizable", "sequential", "causal")} == {2}


def test_what_is_linearizable_key_by_key_is_sequential_together_and_no_order_is_looked_for() -> None:
    history = figure("""
        P1: Wx(1)      Ry(1)      Wx(2)
        P2:      Wy(1)      Rx(1)       Rx(2)
    """)
    found = judge_all(history, together=True, budget=0)
    assert found["linearizable"].verdict == "held"
    assert found["sequential"] == Finding("held", 6, "a single order explains every read (6 operations)")


def test_keys_are_judged_together_only_if_asked() -> None:
    assert judge_all(figure(ONLY_A_SEARCH_REFUTES_IT))["sequential"].verdict == "held"


def test_what_must_come_before_what_refutes_without_a_single_step_of_a_search() -> None:
    both_read_nothing = """
        P1: Wx(1)  Ry(-)
        P2: Wy(1)  Rx(-)
    """
    each_replaces_two_writes_of_which_the_other_reads_one = """
        P1: Wx(1)  Wy(1)  Wa(1)
        P2:  Wx(2)  Wy(2)  Wb(2)
        P3:                        Ra(1)  Rb(2)  Wx(3)  Ry(1)
        P4:                        Ra(1)  Rb(2)  Wy(4)  Rx(1)
    """
    for drawing in (both_read_nothing, each_replaces_two_writes_of_which_the_other_reads_one):
        found = judge_all(figure(drawing), together=True, budget=0)
        assert found["sequential"].verdict == "violated"


def test_a_single_key_needs_no_search() -> None:
    found = judge_all(figure("P1: W(a)  R(a)"), budget=0)
    assert found["sequential"].verdict == "held"


def test_a_search_comes_to_the_same_place_only_once() -> None:
    found = judge_all(figure(ONLY_A_SEARCH_REFUTES_IT), together=True, budget=50)
    assert found["sequential"].verdict == "violated"


def test_where_nothing_forced_refutes_it_every_order_is_tried() -> None:
    found = judge_all(figure(ONLY_A_SEARCH_REFUTES_IT), together=True)
    assert found["sequential"].verdict == "violated"
    assert len(found["sequential"].indexes) == 12
    assert found["causal"].verdict == "held"


def test_who_had_nothing_to_do_with_it_is_not_among_the_guilty() -> None:
    history = figure(ONLY_A_SEARCH_REFUTES_IT + "    P5: Wx(w3)  Wa(1)  Ra(1)")
    found = judge_all(history, together=True)["sequential"]
    assert {history.operations[index].process for index in found.indexes} == {"P1", "P2", "P3", "P4"}


def test_of_a_story_too_long_to_follow_only_the_length_is_told() -> None:
    finding = judge_all(
        figure("""
            P1: Wy(u2)  Wx(w1)  Rz(v2)
            P2: Wz(v2)  Wx(w2)  Ry(u2)
            P3: Wy(u1)  Wa(1)
            P4:                 Ra(1)   Rx(w1)  Rz(v1)
            P5: Wz(v1)  Rx(w2)  Ry(u1)
        """),
        together=True,
    )["sequential"]
    assert len(finding.indexes) == 14
    assert finding.sentence == "14 operations: no single order explains what was read"


def test_a_search_that_takes_too_long_is_given_up() -> None:
    found = judge_all(figure(ONLY_A_SEARCH_REFUTES_IT), together=True, budget=5)
    assert found["sequential"] == Finding(
        "undecided", 12, "in 5 steps no order was found that explains what was read"
    )
    assert found["causal"].verdict == "held"


def test_quiet_is_as_long_as_one_says() -> None:
    history = figure("""
        P1: W(a)
        P2:            R(a)
    """)
    assert judge_all(history, quiet_s=8)["eventually convergent"].verdict == "held"
    assert judge_all(history, quiet_s=9)["eventually convergent"].verdict == "undecided"


def test_while_the_nemesis_is_at_work_it_is_not_quiet() -> None:
    history = figure("""
        P1: W(a)
        P2:            R(a)
    """)
    healed = History.of([*history.operations, Fault("heal", "P2", 22_000_000_000)])
    assert judge_all(history)["eventually convergent"].verdict == "held"
    assert judge_all(healed, quiet_s=2)["eventually convergent"].verdict == "undecided"


def test_what_does_two_things_at_once_needs_two_names() -> None:
    with pytest.raises(HistoryError, match='client-1 did two things at once, with "a" and "b"'):
        judge_all(History.of([write("client-1", "a", 0, 2), write("client-1", "b", 1, 3)]))


def test_two_keys_at_once_need_two_names_only_if_they_are_judged_together() -> None:
    history = History.of([write("client-1", "a", 0, 2), write("client-1", "b", 1, 3, key="y")])
    assert judge_all(history)["sequential"].verdict == "held"
    with pytest.raises(HistoryError, match="two things at once"):
        judge_all(history, together=True)


def test_a_client_that_gave_up_a_write_may_go_on() -> None:
    history = History.of([write("client-1", "a", 0, 2, "unknown"), read("client-1", None, 1, 3)])
    assert judge_all(history)["sequential"].verdict == "held"


def test_what_one_client_did_the_clock_must_tell_apart() -> None:
    """Or a history could be linearizable by the clock, and not sequential by what the client did."""
    history = History.of([write("client-1", "a", 0, 1), write("client-1", "b", 1, 2)])
    with pytest.raises(HistoryError, match="two things at once"):
        judge_all(history)


@pytest.mark.parametrize("value", ["a", None])
def test_a_value_that_is_not_new_makes_the_history_useless(value: Value) -> None:
    with pytest.raises(HistoryError, match="unique"):
        judge_all(History.of([write("p", "a", 0, 1), write("p", value, 2, 3)]))


@given(st.one_of(clients_histories(), clients_histories(clock=False), replicas_histories()))
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_guilty_are_guilty_by_themselves_and_none_of_them_can_be_left_out(
    operations: list[Operation],
) -> None:
    history = History.of(operations)
    for guarantee in ("sequential", "causal"):
        finding = judge_all(history)[guarantee]
        if finding.verdict != "violated" or "nobody ever wrote" in finding.sentence:
            continue
        if "was refused" in finding.sentence:
            continue
        guilty = [history.operations[index] for index in finding.indexes]
        assert _refutes(guilty, operations, guarantee)
        for one in guilty:
            assert not _refutes([other for other in guilty if other is not one], operations, guarantee)


def _refutes(part: list[Operation], operations: list[Operation], guarantee: str) -> bool:
    """Whether this part of the operations is a violation; what it read was written by somebody else."""
    values = {one.value for one in part}
    strangers = [
        write(f"stranger-{n}", one.value, 0, 0)
        for n, one in enumerate(operations)
        if one.op == "write" and one.value in values and one not in part
    ]
    found = judge_all(History.of([*part, *strangers]))
    return found[guarantee].verdict == "violated"  # type: ignore[index]


def recorded(operations: int, clients: int, *, lag: int, sticky: bool, keys: str = "x") -> History:
    """What clients record of replicas that are up to so many writes behind; sticky ones keep to theirs."""
    chance = random.Random(7)
    log: list[tuple[str, Value]] = [(key, None) for key in keys]
    seen = [0] * clients
    entries = []
    for number in range(operations):
        client, key = number % clients, chance.choice(keys)
        began, ended = number / 100 + chance.random() / 200, number / 100 + (clients - 1) / 100
        if chance.random() < 0.5:
            log.append((key, f"v{number}"))
            seen[client] = len(log)
            entries.append(
                write(f"client-{client}", f"v{number}", began, ended, key=key, version=(len(log), ""))
            )
            continue
        at = chance.randint(max(len(keys), len(log) - lag), len(log))
        seen[client] = at = max(at, seen[client]) if sticky else at
        rank = max(rank for rank, (its, _) in enumerate(log[:at], 1) if its == key)
        version = (rank, "")
        entries.append(read(f"client-{client}", log[rank - 1][1], began, ended, key=key, version=version))
    return History.of(entries)


@pytest.mark.parametrize(
    ("lag", "sticky", "broken"),
    [
        (0, True, set()),
        (30, True, {"linearizable"}),
        (30, False, {*MODELS} - {"monotonic writes", "writes follow reads"}),
    ],
)
def test_two_thousand_operations_of_eight_clients_take_a_second_or_two(
    lag: int, sticky: bool, broken: set[Guarantee]
) -> None:
    history = recorded(2000, 8, lag=lag, sticky=sticky)
    began = time.process_time()
    found = judge_all(history)
    assert time.process_time() - began < 8  # on a slow and busy machine
    assert {guarantee for guarantee, one in found.items() if one.verdict == "violated"} == broken
    assert all(len(found[guarantee].indexes) <= 4 for guarantee in broken)


def test_trying_first_what_began_first_finds_an_order_almost_without_a_detour() -> None:
    history = recorded(400, 30, lag=60, sticky=True, keys=string.ascii_letters)
    assert judge_all(history, together=True, budget=300)["sequential"].verdict == "held"


def test_two_thousand_operations_on_three_keys_have_an_order_that_is_found_at_once() -> None:
    found = judge_all(recorded(2000, 8, lag=30, sticky=True, keys="xyz"), together=True, budget=2000)
    assert found["sequential"].verdict == "held"
    assert found["causal"].verdict == "held"
