"""Runs at the same time, of one demo or of all, disturb neither each other nor what they find there."""

import pytest

from app.demo.run import remove
from app.zookeeper import client as zk, paths
from tests.conftest import Ensemble, Place, visit
from tests.demos.playing import play, play_at_once, roots

pytestmark = pytest.mark.whole


@pytest.mark.timeout(180)
def test_all_three_and_each_twice_hold_side_by_side(ensemble: Ensemble) -> None:
    before = roots(ensemble.hosts)
    runs = [(demo, "--operations", "40", "--protocol", "full") for demo in ("easy", "medium", "hard")] * 2
    for played in play_at_once(runs, {"ZK_HOSTS": ensemble.hosts}):
        assert played.verdict.startswith("VERDICT held: "), str(played)
        assert played.status == 0
        assert (played.stderr, played.left) == ("", [])
    assert roots(ensemble.hosts) <= before  # what an earlier test has left may be swept


def test_a_run_touches_no_live_configuration_and_nobody_elses_root(ensemble: Ensemble, place: Place) -> None:
    with visit(ensemble.hosts) as client:
        there = set(client.get_children("/"))
    played = play("easy", "--operations", "8", "--faults", "none", zookeeper={"ZK_HOSTS": ensemble.hosts})
    assert played.status == 0, str(played)
    with visit(ensemble.hosts) as client:
        assert set(client.get_children("/")) == there
        assert client.exists(place.chroot + paths.CONFIG) is None
        assert client.exists(place.chroot) is not None


def test_removing_a_tree_removes_all_of_it_and_nothing_else(place: Place) -> None:
    client = place.client()
    zk.ensure(client, ("/a/b/c", "/a/d", "/ab"), zk.Deadline(20))
    remove(client, "/a", zk.Deadline(20))
    assert zk.get(client, "/a", zk.Deadline(20)) is None
    assert zk.get(client, "/ab", zk.Deadline(20)) is not None
    remove(client, "/a", zk.Deadline(20))  # again is harmless
