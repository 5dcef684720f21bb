"""Who has to do what, seeing which line: every combination of a small world, not a sample."""

from collections.abc import Iterator
from itertools import permutations, product

import pytest

from app.cluster.election import Line, Step, holder, in_line, next_step
from app.consistency.engine.fencing import NO_EPOCH, Epoch

SEATS = ("a~1~0000000001", "b~2~0000000002", "c~3~0000000003")
GONE = "gone~0~0000000000"


def lines() -> Iterator[Line]:
    """Up to three in line, any of them or one who is gone in any office, the second ready or not."""
    in_office = (None, GONE, *SEATS)
    for length in range(4):
        for seats in {tuple(sorted(chosen)) for chosen in permutations(SEATS, length)}:
            for primary, backup, ready in product(in_office, in_office, (None, 6, 7)):
                yield Line(seats, Epoch(7, "p", primary, "q", backup, 3), ready)


EVERY_LINE = list(lines())
EVERY_CASE = [(mine, line) for line in EVERY_LINE for mine in (None, GONE, *SEATS)]
CHANGES = {Step.RAISE, Step.DROP_BACKUP, Step.RECORD_BACKUP}


def test_the_world_is_not_empty() -> None:
    assert len(EVERY_CASE) == 8 * 5 * 5 * 3 * 5
    assert {next_step(mine, line) for mine, line in EVERY_CASE} == set(Step)


def test_who_has_no_seat_sits_down_and_does_nothing_else() -> None:
    for mine, line in EVERY_CASE:
        assert (next_step(mine, line) is Step.SIT_DOWN) == (mine not in line.seats)


def test_only_the_first_in_line_leads_or_changes_the_epoch() -> None:
    for mine, line in EVERY_CASE:
        if next_step(mine, line) in CHANGES | {Step.LEAD}:
            assert mine == line.seats[0]


def test_never_two_lead_in_one_epoch() -> None:
    """Whatever parts of the line they see: who leads is who the epoch names."""
    for mine, line in EVERY_CASE:
        if next_step(mine, line) in {Step.LEAD, Step.DROP_BACKUP, Step.RECORD_BACKUP}:
            assert line.epoch.primary_seat == mine


def test_nobody_leads_and_backs_up_at_once() -> None:
    for line in EVERY_LINE:
        if line.epoch.backup_seat != line.epoch.primary_seat:
            leading = [mine for mine in line.seats if next_step(mine, line) is Step.LEAD]
            backing_up = [mine for mine in line.seats if next_step(mine, line) is Step.BACK_UP]
            assert not set(leading) & set(backing_up)


def test_the_first_in_line_raises_the_epoch_exactly_if_it_names_another() -> None:
    for mine, line in EVERY_CASE:
        expected = bool(line.seats) and mine == line.seats[0] and line.epoch.primary_seat != mine
        assert (next_step(mine, line) is Step.RAISE) == expected


def test_a_backup_is_recorded_only_if_it_is_the_next_and_ready_for_this_very_epoch() -> None:
    for mine, line in EVERY_CASE:
        if next_step(mine, line) is Step.RECORD_BACKUP:
            assert len(line.seats) > 1
            assert line.next_ready_for == line.epoch.number
            assert line.epoch.backup_seat is None


def test_a_backup_that_is_gone_or_no_longer_the_next_is_dropped_before_anything_else() -> None:
    for mine, line in EVERY_CASE:
        if line.seats and mine == line.seats[0] == line.epoch.primary_seat and line.epoch.backup_seat:
            following = line.seats[1] if len(line.seats) > 1 else None
            dropped = next_step(mine, line) is Step.DROP_BACKUP
            assert dropped == (line.epoch.backup_seat != following)


def test_only_the_next_in_line_joins_and_only_while_the_first_leads_without_a_backup() -> None:
    for mine, line in EVERY_CASE:
        if next_step(mine, line) is Step.JOIN:
            assert mine == line.seats[1]
            assert line.epoch.backup_seat is None
            assert line.epoch.primary_seat == line.seats[0]


def test_who_backs_up_is_who_the_epoch_names() -> None:
    for mine, line in EVERY_CASE:
        if next_step(mine, line) is Step.BACK_UP:
            assert line.epoch.backup_seat == mine


@pytest.mark.parametrize("length", [1, 2, 3])
def test_from_any_start_the_first_leads_and_the_next_backs_it_up_once_it_is_ready(length: int) -> None:
    """A run of the rules: who has to change something does, until nobody has to any more."""
    for start in EVERY_LINE:
        if len(start.seats) != length:
            continue
        seats, epoch, ready = start.seats, start.epoch, None
        for _ in range(10):
            line = Line(seats, epoch, ready)
            steps = [next_step(mine, line) for mine in seats]
            if steps[0] is Step.RAISE:
                epoch = epoch.led_by("p", seats[0])
            elif steps[0] is Step.DROP_BACKUP:
                epoch = epoch.backed_up_by(None, None)
            elif steps[0] is Step.RECORD_BACKUP:
                epoch = epoch.backed_up_by("q", seats[1])
            elif Step.JOIN in steps:
                ready = epoch.number
        assert steps == [Step.LEAD, Step.BACK_UP, Step.STAND_BY][:length]


def test_before_the_first_epoch_the_first_in_line_raises_it() -> None:
    assert next_step(SEATS[0], Line(SEATS, NO_EPOCH)) is Step.RAISE
    assert next_step(SEATS[1], Line(SEATS, NO_EPOCH)) is Step.STAND_BY


def test_seats_are_in_the_order_in_which_they_were_taken_whoever_took_them() -> None:
    assert in_line(["b~ff~0000000002", "z~00~0000000001", "a~aa~0000000010"]) == (
        "z~00~0000000001",
        "b~ff~0000000002",
        "a~aa~0000000010",
    )


def test_a_seat_names_its_holder() -> None:
    assert holder("worker-0~1f2e3d~0000000007") == "worker-0"
    assert holder("with.dots_and-more~1f2e3d~0000000007") == "with.dots_and-more"
