"""The figures of the textbooks, and what each is there to show."""

import pytest

from app.checker.guarantees import GUARANTEES, Finding, Guarantee, judge_all
from app.checker.history import History
from tests.unit.checker.figures import figure
from tests.unit.checker.making import read, write

FOUR = {"monotonic reads", "monotonic writes", "read your writes", "writes follow reads"}


def found(drawing: str, guarantee: Guarantee, *, together: bool = False) -> Finding:
    return judge_all(figure(drawing), together=together)[guarantee]


def held(drawing: str) -> set[str]:
    return {guarantee for guarantee, one in judge_all(figure(drawing)).items() if one.verdict == "held"}


def violated(drawing: str) -> set[str]:
    return {guarantee for guarantee, one in judge_all(figure(drawing)).items() if one.verdict == "violated"}


# --- van Steen & Tanenbaum, section 7.2: models for everybody -------------------------------------------


def test_a_register_that_shows_every_write_at_once_keeps_everything() -> None:
    drawing = """
        P1: W(a)1         W(b)2                R(b)2
        P2:        R(a)1         R(b)2         R(b)2
        P3:        R(a)1  W(c)?         R(b)2  R(b)2
    """
    assert violated(drawing) == set()
    assert held(drawing) == set(GUARANTEES) - {"writes follow reads"}  # of its only write nobody knows


ALL_READ_B_THEN_A = """
    P1: W(a)
    P2:       W(b)
    P3:             R(b)       R(a)
    P4:                 R(b)        R(a)
"""


def test_a_sequential_store_need_not_be_linearizable() -> None:
    assert {"sequential", "causal", "monotonic reads"} <= held(ALL_READ_B_THEN_A)
    assert violated(ALL_READ_B_THEN_A) == {"linearizable", "real-time causal", "eventually convergent"}


def test_it_is_the_clock_that_says_so_unless_the_system_recorded_the_order() -> None:
    assert "no order that agrees with the clock" not in found(ALL_READ_B_THEN_A, "linearizable").sentence
    assert found(ALL_READ_B_THEN_A, "real-time causal").sentence == (
        'P3 read "b" at 12.000 s, then read "a" at 23.000 s, although P2 wrote "b" at 6.000 s, and '
        'P1 wrote "a" at 0.000 s: '
        "no order that keeps causes before effects and agrees with the clock explains what P3 read"
    )
    recorded = ALL_READ_B_THEN_A.replace("(a)", "(a)1").replace("(b)", "(b)2")
    assert {"sequential", "causal", "monotonic reads"} <= violated(recorded)


def test_a_copy_that_lags_keeps_the_clock_s_order_and_is_not_linearizable() -> None:
    drawing = """
        P1: W(a)  W(b)
        P2:             R(a)  R(b)
    """
    assert violated(drawing) == {"linearizable"}
    assert {"sequential", "real-time causal", "causal"} <= held(drawing)


def test_what_the_values_don_t_show_the_recorded_order_does() -> None:
    drawing = """
        P1: W(a){}
        P2:        W(b){}  R(b){}
    """
    assert violated(drawing.format(1, 2, 2)) == set()
    one = found(drawing.format(2, 1, 1), "linearizable")
    assert one.sentence == (
        'P2 wrote "b" at 7.000 s, although P1 wrote "a" at 0.000 s: '
        'no order that agrees with the clock explains what was read (the system recorded "b" before "a")'
    )


def test_it_is_not_sequential_if_two_see_the_writes_in_different_orders() -> None:
    one = found(
        """
        P1: W(a)
        P2:       W(b)
        P3:             R(b)       R(a)
        P4:                 R(a)        R(b)
        """,
        "sequential",
    )
    assert one.verdict == "violated"
    assert one.indexes == (2, 3, 4, 5)
    assert one.sentence == (
        'P4 read "a" at 16.000 s, then read "b" at 28.000 s, '
        'although P3 read "b" at 12.000 s, then read "a" at 23.000 s: no single order explains what was read'
    )


def test_a_causal_store_need_not_be_sequential() -> None:
    drawing = """
        P1: W(a)              W(c)
        P2:       R(a)  W(b)
        P3:       R(a)              R(c)     R(b)
        P4:       R(a)              R(b)     R(c)
    """
    assert "causal" in held(drawing)
    assert "sequential" in violated(drawing)


AN_EFFECT_BEFORE_ITS_CAUSE = """
    P1: W(a)
    P2:       R(a)  W(b)
    P3:                   R(b)     R(a)
    P4:                   R(a)     R(b)
"""


def test_it_is_not_causal_if_an_effect_is_seen_before_its_cause() -> None:
    one = found(AN_EFFECT_BEFORE_ITS_CAUSE, "causal")
    assert one.verdict == "violated"
    assert one.indexes == (1, 2, 3, 5)
    assert one.sentence == (
        'P3 read "b" at 18.000 s, then read "a" at 27.000 s, '
        'although P2 read "a" at 6.000 s, then wrote "b" at 12.000 s: '
        "no order that keeps causes before effects explains what P3 read"
    )


def test_it_is_causal_if_the_writes_have_nothing_to_do_with_one_another() -> None:
    without_the_read = AN_EFFECT_BEFORE_ITS_CAUSE.replace("R(a)  W(b)", "      W(b)")
    assert "causal" in held(without_the_read)
    assert "sequential" in violated(without_the_read)


def test_a_cause_may_be_several_steps_away() -> None:
    drawing = """
        P1: W(a)
        P2:       R(a)  W(b)
        P3:                   R(b)  W(c)
        P4:                               R(c)     R(a)
    """
    one = found(drawing, "causal")
    assert one.verdict == "violated"
    assert one.indexes == (1, 2, 3, 4, 5, 6)
    assert found(drawing.replace("R(b)  W(c)", "      W(c)"), "causal").verdict == "held"


def test_two_keys_may_each_be_sequential_but_not_the_two_together() -> None:
    """Attiya & Welch 1994: who wants to exclude this must wait, with its read or with its write."""
    drawing = """
        P1: Wx(1)  Ry(-)
        P2: Wy(1)  Rx(-)
    """
    assert found(drawing, "sequential").verdict == "held"
    one = found(drawing, "sequential", together=True)
    assert one.verdict == "violated"
    assert one.indexes == (0, 1, 2, 3)
    assert one.sentence == (
        'P2 wrote "y" = "1" at 0.000 s, then read "x" = null at 7.000 s, although '
        'P1 wrote "x" = "1" at 0.000 s, then read "y" = null at 7.000 s: '
        "no single order explains what was read"
    )
    assert found(drawing, "causal", together=True).verdict == "held"


def test_an_answer_may_not_be_seen_without_the_question() -> None:
    drawing = """
        P1: Wx(question)
        P2:               Rx(question)  Wy(answer)
        P3:                                        Ry(answer)  Rx(-)
    """
    assert found(drawing, "causal", together=True).verdict == "violated"
    assert found(drawing, "causal").verdict == "held"


# --- Bouajjani et al. 2017: the bad patterns ------------------------------------------------------------


def test_no_operation_is_its_own_cause() -> None:
    assert "causal" in violated("""
        P1: R(b)  W(a)
        P2: R(a)  W(b)
    """)
    assert found("P1: R(a)  W(a)", "causal").sentence == (
        'P1 read "a" at 0.000 s, then wrote "a" at 6.000 s: '
        "no order that keeps causes before effects explains what P1 read"
    )


def test_a_process_that_has_seen_two_concurrent_writes_may_not_change_its_mind_about_their_order() -> None:
    drawing = """
        P1: W(a)
        P2: W(b)
        P3:       R(a)  R(b)  R(a)
    """
    one = found(drawing, "causal")
    assert one.verdict == "violated"
    assert one.indexes == (2, 3, 4)


def test_one_guilty_process_is_easier_to_follow_than_three() -> None:
    one = found(
        """
        P1: W(a)
        P2:       R(a)  W(b)
        P3:                   R(b)  W(c)
        P4:                               R(c)     R(a)  R(b)  R(a)
        """,
        "causal",
    )
    assert one.indexes == (6, 7, 8)


def test_one_guilty_process_is_easier_to_follow_than_two() -> None:
    one = found(
        """
        P1: W(a)  W(b)
        P2:             R(b)  R(a)  R(b)
        """,
        "causal",
    )
    assert one.indexes == (2, 3, 4)


def test_what_a_process_sees_of_one_key_can_tell_it_the_order_of_another() -> None:
    drawing = """
        P1: Wx(1)  Wy(1)
        P2: Wx(2)  Wz(2)
        P3:               Rz(2)  Rx(1)  Ry(1)  {}
    """
    assert found(drawing.format("Rx(1)"), "causal", together=True).verdict == "held"
    assert found(drawing.format("Rx(2)"), "causal", together=True).verdict == "violated"


# --- section 7.3: what a single client is promised; x1, x2 stand as the system recorded them ------------


@pytest.mark.parametrize(
    ("guarantee", "drawing"),
    [
        ("monotonic reads", "P1: R(x1){0}  R(x2){1}"),
        ("monotonic writes", "P1: W(x1){0}  W(x2){1}"),
        ("read your writes", "P1: W(x1){0}  R(x2){1}"),
        ("writes follow reads", "P1: R(x1){0}  W(x2){1}"),
    ],
)
def test_what_comes_second_stands_second_in_the_order_of_the_writes(
    guarantee: Guarantee, drawing: str
) -> None:
    others = "\nP2: W(x1)" if "W(x1)" not in drawing else ""
    others += "\nP3: W(x2)" if "W(x2)" not in drawing else ""
    assert found(drawing.format(1, 2) + others, guarantee).verdict == "held"
    assert violated(drawing.format(2, 1) + others) >= {guarantee, "causal", "sequential", "linearizable"}
    others_of_the_four = FOUR - {guarantee}
    assert not violated(drawing.format(2, 1) + others) & others_of_the_four


def test_reading_new_and_then_old_is_not_monotonic() -> None:
    one = found(
        """
        P1: W(a)1
        P2:        W(b)2
        P3:               R(b)2  R(a)1
        """,
        "monotonic reads",
    )
    assert (one.verdict, one.operations, one.indexes) == ("violated", 1, (2, 3))
    assert one.sentence == (
        'P3 read "b" at 14.000 s, then read "a" at 21.000 s: '
        'it went back (the system recorded "a" before "b")'
    )


def test_reading_nothing_after_something_is_not_monotonic() -> None:
    one = found(
        """
        P1: W(a)
        P2:       R(a)  R(-)
        """,
        "monotonic reads",
    )
    assert one.indexes == (1, 2)
    assert one.sentence == 'P2 read "a" at 6.000 s, then read null at 12.000 s: it went back'


def test_where_no_order_was_recorded_either_value_may_be_read_first_but_not_again() -> None:
    drawing = """
        P1: W(a)
        P2:       W(b)
        P3:             R(a)  R(b)  {}
        P4:             R(b)  R(a)
    """
    assert "monotonic reads" in held(drawing.format("R(b)"))
    one = found(drawing.format("R(a)"), "monotonic reads")
    assert one.indexes == (2, 4, 6)


def test_the_order_of_an_unknown_write_is_known_from_who_read_it() -> None:
    one = found(
        """
        P1: W(a)?
        P2:        R(a)1
        P3:               W(b)2
        P4:                      R(b)2  R(a)1
        """,
        "monotonic reads",
    )
    assert one.indexes == (3, 4)


def test_two_clients_may_read_values_of_different_age() -> None:
    drawing = """
        P1: W(a)1  W(b)2
        P2:               R(b)2         R(b)2
        P3:                      R(a)1         R(a)1
    """
    assert {"monotonic reads", "sequential"} <= held(drawing)
    assert "linearizable" in violated(drawing)


def test_a_client_that_does_not_see_its_own_write_cannot_read_what_it_wrote() -> None:
    drawing = """
        P1: W(a)1
        P2:        R(a)1  W(b)2   R(a)1
    """
    one = found(drawing, "read your writes")
    assert (one.verdict, one.operations) == ("violated", 1)
    assert one.sentence == (
        'P2 wrote "b" at 14.000 s, then read "a" at 22.000 s: '
        'it missed a write of its own (the system recorded "a" before "b")'
    )
    unrecorded = drawing.replace(")1", ")").replace(")2", ")")
    assert found(unrecorded, "read your writes").verdict == "held"  # a may have been written after b
    assert found(unrecorded, "causal").verdict == "violated"  # but not if it was read before b


def test_a_client_may_find_its_write_overwritten() -> None:
    assert "read your writes" in held("""
        P1: W(a)1  R(b)2
        P2: W(b)2
    """)


def test_it_is_all_of_its_writes_that_a_client_must_see_and_not_only_the_last() -> None:
    one = found(
        """
        P1: W(a)3  W(b)1  R(c)2
        P2: W(c)2
        """,
        "read your writes",
    )
    assert one.indexes == (0, 3)


def test_a_client_may_miss_its_own_write_if_nobody_knows_whether_it_happened() -> None:
    drawing = """
        P1: W(a){}  R(-)
    """
    assert "read your writes" in violated(drawing.format(" "))
    assert "read your writes" not in violated(drawing.format("?"))


def test_what_is_led_by_an_unknown_write_may_stand_before_it() -> None:
    drawing = """
        P1: W(a){}  W(b)1
        P2:               R(a)2
    """
    assert "monotonic writes" in violated(drawing.format("2"))
    assert "monotonic writes" not in violated(drawing.format("?"))


def test_without_a_record_nobody_can_tell_the_order_of_a_client_s_writes() -> None:
    """Who sees b and then a may have been sent to an old copy, and the order be right."""
    drawing = """
        P1: W(a)  W(b)
        P2:             R(b)  R(a)
        P3:                         R(a)
    """
    one = found(drawing, "monotonic writes")
    assert (one.verdict, one.operations) == ("undecided", 0)
    assert one.sentence == "the order of a process's writes was not recorded"
    assert "causal" in violated(drawing)


def test_writes_of_different_clients_may_be_applied_in_any_order() -> None:
    drawing = """
        P1: W(a)2
        P2:        W(b)1
    """
    assert not {"monotonic writes", "writes follow reads", "sequential"} & violated(drawing)


def test_a_reply_stands_after_all_that_its_writer_had_read_and_not_only_the_last() -> None:
    one = found(
        """
        P1: W(a)1
        P2: W(b)3
        P3:        R(b)3  R(a)1  W(c)2
        """,
        "writes follow reads",
    )
    assert one.indexes == (2, 4)
    assert one.sentence == (
        'P3 read "b" at 7.000 s, then wrote "c" at 21.000 s: '
        'the order of the writes is another (the system recorded "c" before "b")'
    )


def test_who_had_read_nothing_replies_to_nothing() -> None:
    assert found("P1: R(-)  W(a)1", "writes follow reads").operations == 0


# --- the end --------------------------------------------------------------------------------------------


def test_replicas_converge_if_all_who_look_in_the_end_read_the_same() -> None:
    drawing = """
        P1: W(a)  W(b)
        P2:            R(a)     R(b)
        P3:            R(-)     R({})
    """
    one = found(drawing.format("b"), "eventually convergent")
    assert (one.verdict, one.operations) == ("held", 2)
    one = found(drawing.format("a"), "eventually convergent")
    assert one.verdict == "violated"
    assert one.sentence == 'in the end P2 read "b" at 20.000 s, but P3 read "a" at 20.000 s'


def test_all_may_end_alike_and_have_lost_the_last_write() -> None:
    one = found(
        """
        P1: W(a)
        P2:       W(b)
        P3:                 R(a)
        P4:                 R(a)
        """,
        "eventually convergent",
    )
    assert one.verdict == "violated"
    assert one.sentence.startswith('in the end P3 read "a" at 16.000 s although P2\'s write of "b" had been')


def test_of_concurrent_writes_either_may_be_the_last() -> None:
    assert "eventually convergent" in held("""
        P1: W(a)
        P2:   W(b)
        P3:            R(a)
    """)


def test_who_looked_too_early_leaves_it_undecided() -> None:
    one = found(
        """
        P1: W(a)  W(b)
        P2:          R(a)
        P3:                     R(b)
        """,
        "eventually convergent",
    )
    assert one.verdict == "undecided"
    assert one.indexes == (2,)
    assert one.sentence == (
        'P2 read "a" at 9.000 s and then never again "x": too soon after the last change to tell'
    )


def test_while_a_write_is_under_way_it_is_not_quiet_though_somebody_has_read_it() -> None:
    slow = write("P1", "a", 0, 20)
    seen, not_seen = read("P2", "a", 2, 4), read("P3", None, 8, 10)
    assert judge_all(History.of([slow, seen, not_seen]))["eventually convergent"].verdict == "undecided"


def test_an_unknown_write_that_was_read_can_change_nothing_any_more() -> None:
    assert "eventually convergent" in held("""
        P1: W(a)?
        P2:        R(a)
        P3:              R(a)
        P2:                    R(a)
    """)


def test_an_unknown_write_may_take_effect_between_the_last_two_reads() -> None:
    one = found(
        """
        P1: W(a)  W(b)?
        P2:              R(a)
        P3:                     R(b)
        """,
        "eventually convergent",
    )
    assert one.verdict == "undecided"


# --- what nobody wrote ----------------------------------------------------------------------------------


def test_what_nobody_wrote_breaks_every_promise() -> None:
    everything = set(judge_all(figure("P1: W(a)")))
    assert violated("P1: W(a)  R(z)") == everything
    one = found("P1: W(a)  R(z)", "causal")
    assert one.sentence == 'P1 read "z" at 6.000 s, which nobody ever wrote'
    assert violated("P1: W(a)!  R(a)") == everything
    assert "was refused" in found("P1: W(a)!  R(a)", "sequential").sentence


def test_what_is_written_only_later_can_be_read_only_where_no_clock_counts() -> None:
    drawing = """
        P1:       W(a)
        P2: R(a)
    """
    assert violated(drawing) == {"linearizable", "real-time causal", "eventually convergent"}


def test_a_refused_write_and_a_read_without_an_answer_count_for_nothing() -> None:
    drawing = """
        P1: W(a)  W(b)!
        P2:              R(a)   R(-)?  R(a)
    """
    assert violated(drawing) == set()
    assert {"linearizable", "sequential", "causal", "monotonic reads"} <= held(drawing)


def test_an_unknown_write_may_happen_long_after_its_client_went_on() -> None:
    drawing = """
        P1: W(a)?  W(b)
        P2:               R(b)   R(a)
    """
    assert violated(drawing) == set()
    assert {"sequential", "causal"} <= held(drawing)
    assert found(drawing, "monotonic writes").indexes == ()


def test_an_unknown_write_may_happen_after_what_its_client_wrote_to_another_key() -> None:
    drawing = """
        P1: Wx(1)?  Wy(2)
        P2:                Ry(2)  Rx(-)  Rx(1)
    """
    assert found(drawing, "sequential", together=True).verdict == "held"
    assert found(drawing.replace("?", " "), "sequential", together=True).verdict == "violated"
