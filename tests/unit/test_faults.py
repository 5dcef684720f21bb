"""A nemesis's plan: values out of a seed, which use every power in some run and none that it lacks."""

import random
from itertools import islice

import pytest

from app.demo import faults
from app.demo.faults import HEALED_BY, Fault, Moment, Order, Plan, Powers, log_uniform, moment_of, orders

POWERS = Powers(
    faults=tuple(Fault),
    victims=5,
    at_most=2,
    rest_s=(0.1, 0.5),
    lasting_s=(0.002, 3.0),
    moments=tuple(Moment),
)
SEEDS = range(50)


def drawn(seed: int, powers: Powers = POWERS, count: int = 60) -> list[Order]:
    return list(islice(orders(powers, random.Random(seed)), count))


def test_the_same_seed_gives_the_same_orders_and_another_one_others() -> None:
    assert drawn(7) == drawn(7)
    assert len({tuple(drawn(seed)) for seed in SEEDS}) == len(SEEDS)


def test_every_fault_and_every_moment_occurs_over_the_seeds() -> None:
    given = [order for seed in SEEDS for order in drawn(seed)]
    assert {order.fault for order in given} == set(Fault)
    assert {order.moment for order in given} == set(Moment)
    assert {victim for order in given for victim in order.victims} == {1, 2, 3, 4, 5}


def test_a_plan_leaves_something_out_and_never_everything() -> None:
    plans = [Plan.drawn(POWERS, random.Random(seed)) for seed in SEEDS]
    assert all(plan.faults and plan.moments for plan in plans)
    assert len({plan.faults for plan in plans}) > len(SEEDS) / 2
    assert any(set(plan.faults) != set(Fault) for plan in plans)


def test_faults_last_from_milliseconds_to_seconds_and_each_magnitude_is_common() -> None:
    lasting = [order.for_s for seed in SEEDS for order in drawn(seed)]
    assert all(0.002 <= seconds <= 3.0 for seconds in lasting)
    for below, above in ((0.002, 0.02), (0.02, 0.2), (0.2, 3.0)):
        assert sum(below <= seconds <= above for seconds in lasting) > len(lasting) / 5


@pytest.mark.parametrize("seed", SEEDS)
def test_an_order_has_different_victims_and_no_more_than_may_be_harmed_at_once(seed: int) -> None:
    for order in drawn(seed):
        assert 1 <= len(order.victims) == len(set(order.victims)) <= 2
        assert set(order.victims) <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize("seed", SEEDS)
def test_within_a_plan_all_have_their_turn_before_one_is_harmed_again(seed: int) -> None:
    """So replicas miss different writes: one that is stale never has the next write to itself."""
    choose = random.Random(seed)
    alone = Powers(tuple(Fault), 5, 1, (0, 1), (1, 2))
    turns = [order.victims[0] for order in islice(Plan.drawn(alone, choose).orders(choose), 20)]
    assert all(sorted(turns[start : start + 5]) == [1, 2, 3, 4, 5] for start in range(0, 20, 5))


def test_without_moments_it_strikes_at_any_time_and_without_victims_not_at_all() -> None:
    blind = Powers((Fault.CUT,), 3, 1, (0, 1), (1, 2))
    assert {order.moment for order in drawn(1, blind)} == {None}
    assert drawn(1, Powers((Fault.CUT,), 0, 1, (0, 1), (1, 2))) == []
    assert drawn(1, Powers((Fault.CUT,), 3, 0, (0, 1), (1, 2))) == []


def test_each_fault_has_its_healing_and_is_either_for_participants_or_for_servers() -> None:
    assert set(HEALED_BY) == set(Fault) == {*faults.TO_PARTICIPANTS, *faults.TO_SERVERS, *faults.TO_DISKS}


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("published", Moment.PUBLISHED),
        ("backup has it on disk", Moment.COPIED),
        ("ACK created", Moment.ACKNOWLEDGED),
        ("settled as committed", Moment.TAKE_OVER),
        ("primary has it on disk", None),
    ],
)
def test_a_step_of_a_transaction_begins_its_moment(step: str, moment: Moment | None) -> None:
    assert moment_of(step) is moment


def test_a_logarithm_is_drawn_evenly() -> None:
    choose = random.Random(1)
    below = sum(log_uniform((0.01, 1.0), choose) < 0.1 for _ in range(1000))
    assert 400 < below < 600
