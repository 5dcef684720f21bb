"""The nemesis of the matrix: one for all rows, out of a seed, and everything that it harms comes back."""

import pytest

from app.demo.faults import Fault
from proof.matrix.schedule import REPLICAS, STORM_AT_S, Deed, Schedule

SEEDS = range(20)
UNDONE_BY = {
    "cut": "heal",
    "crash": "restart",
    "maim": "unmaim",
    "partition": "unite",
    "kill leader": "restart servers",
    "kill other": "restart servers",
    "all write": "one writes",
}
# A follower that hears no leader for so long serves nobody any more.
NOTICED_S = 3.0


def test_the_same_seed_gives_the_same_deeds_and_another_one_others() -> None:
    assert Schedule.of(7) == Schedule.of(7)
    assert len({Schedule.of(seed) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_happens_while_it_is_calm_and_deeds_are_in_order(seed: int) -> None:
    schedule = Schedule.of(seed)
    moments = [deed.at_s for deed in schedule.deeds]
    assert moments == sorted(moments)
    assert moments[0] > STORM_AT_S
    assert moments[-1] < schedule.end_s


@pytest.mark.parametrize("seed", SEEDS)
def test_every_harm_is_undone_before_the_end(seed: int) -> None:
    harms: list[Deed] = []
    for deed in Schedule.of(seed).deeds:
        undone = [
            harm for harm in harms if UNDONE_BY[harm.verb] == deed.verb and deed.whom in ((), harm.whom)
        ]
        if deed.verb in UNDONE_BY:
            harms.append(deed)
        else:
            assert undone, deed
            harms = [harm for harm in harms if harm not in undone]
    assert harms == []


@pytest.mark.parametrize("seed", SEEDS)
def test_never_more_than_two_replicas_are_down_and_one_server(seed: int) -> None:
    down: set[int] = set()
    servers = 0
    for deed in Schedule.of(seed).deeds:
        down |= set(deed.whom) if deed.verb in ("cut", "crash") else set()
        down -= set(deed.whom) if deed.verb in ("heal", "restart") else set()
        servers += deed.verb in ("partition", "kill leader", "kill other")
        servers -= deed.verb in ("unite", "restart servers")
        assert len(down) <= 2
        assert servers in (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_writer_is_left_with_one_replica_and_with_two(seed: int) -> None:
    kept = [deed.whom for deed in Schedule.of(seed).deeds if deed.verb == "maim"]
    assert sorted(map(len, kept)) == [1, 1, 2, 2]
    assert all(1 <= replica <= REPLICAS for whom in kept for replica in whom)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_follower_is_healed_before_it_notices_that_it_is_alone(seed: int) -> None:
    deeds = Schedule.of(seed).deeds
    cut = [deed.at_s for deed in deeds if deed.verb == Fault.PARTITION]
    healed = [deed.at_s for deed in deeds if deed.verb == "unite"]
    assert all(end - begin < NOTICED_S for begin, end in zip(cut, healed, strict=True))
