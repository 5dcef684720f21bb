"""ZooKeeper's own servers die in the middle of a run: one of three, or all there are."""

import time
from contextlib import ExitStack

import pytest

from app.demo.servers import Servers
from tests.conftest import Ensemble, leader_of
from tests.demos.conftest import SingleServer
from tests.demos.playing import DEMOS, Playing

pytestmark = pytest.mark.whole

IN_DOUBT = 4


@pytest.mark.parametrize("demo", DEMOS)
def test_a_load_survives_the_sigkill_of_the_leader(demo: str, ensemble: Ensemble, servers: Servers) -> None:
    options = ("--protocol", "full", "--operations", "300", "--faults", "none")
    with Playing(demo, *options, zookeeper={"ZK_HOSTS": ensemble.hosts}) as playing:
        playing.wait_for_the_load()
        leader = leader_of(servers)
        servers.kill(leader)
        assert "meanwhile: " not in playing.stdout, "the load was over before the leader was killed"
        time.sleep(4)
        servers.mend()
        played = playing.finish()
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0
    assert (played.stderr, played.left) == ("", [])


def test_runs_hold_if_all_of_zookeeper_is_away_for_five_seconds(single_server: SingleServer) -> None:
    """All three at the same time."""
    options = ("--protocol", "full", "--operations", "60", "--faults", "none")
    with ExitStack() as closing:
        playing = [
            closing.enter_context(Playing(demo, *options, zookeeper=single_server.zookeeper))
            for demo in DEMOS
        ]
        for one in playing:
            one.wait_for("Act 3")
        single_server.servers.stop(1)
        assert not any("VERDICT" in one.stdout for one in playing), "a run was over too soon"
        time.sleep(5)
        single_server.servers.restart(1)
        for one in playing:
            played = one.finish()
            assert played.verdict.startswith("VERDICT held: "), str(played)
            assert played.status == 0
            assert (played.stderr, played.left) == ("", [])


def test_runs_are_in_doubt_if_zookeeper_does_not_come_back(single_server: SingleServer) -> None:
    """All three at the same time, for each takes the thirty seconds of patience."""
    with ExitStack() as closing:
        playing = [
            closing.enter_context(Playing(demo, "--operations", "1000", zookeeper=single_server.zookeeper))
            for demo in DEMOS
        ]
        for one in playing:
            one.wait_for("Act 3")
        single_server.servers.stop(1)
        for one in playing:
            played = one.finish()
            assert played.verdict.startswith("VERDICT in doubt: ZooKeeper was lost "), str(played)
            assert "30 s" in played.verdict
            assert played.status == IN_DOUBT
            assert "Traceback" not in played.stdout + played.stderr, str(played)
            assert played.left == []
