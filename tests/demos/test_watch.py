"""`demo_hard_quorum.py --watch`: a load on the live workers' own replicas, while workers are killed."""

import signal
import time
from pathlib import Path

import pytest

from app.checker.linearizability import check_registers
from app.checker.parsing import read_history
from tests.demos.conftest import Pods, SingleServer
from tests.demos.playing import Playing, assert_one_line, play, roots, within
from tests.demos.test_options import only_object

pytestmark = [pytest.mark.whole, pytest.mark.timeout(180)]

USAGE = 2
WATCH = ("hard", "--watch")


def test_who_dies_is_named_and_so_is_who_takes_the_replica_over(pods: Pods) -> None:
    killed, stopped = pods.workers.all[0], pods.workers.all[3]
    within(60, lambda: pods.hosting() == set(pods.names), "each hosts a replica")
    with Playing(*WATCH, zookeeper=pods.zookeeper) as playing:
        playing.wait_for("delete some pods")
        killed.send(signal.SIGKILL)
        stopped.send(signal.SIGTERM)
        for worker in (killed, stopped):
            playing.wait_for(f": {worker.pod} is gone")
        pods.heal()
        for worker in (killed, stopped):
            playing.wait_for(f": {worker.pod} hosts it")
        playing.send(signal.SIGINT)
        played = playing.finish()

    assert played.status == 0, str(played)
    assert played.verdict.startswith("VERDICT held: every read returned the newest"), str(played)
    assert "up to 0 replicas down" not in played.verdict
    assert (played.stderr, played.left) == ("", [])


def test_after_the_given_time_all_is_checked_and_nothing_is_left(pods: Pods, tmp_path: Path) -> None:
    before, file = roots(pods.hosts), tmp_path / "history.jsonl"

    played = play(*WATCH, "5", "--json", "--history", str(file), zookeeper=pods.zookeeper)

    told = only_object(played.stdout)
    assert (told["verdict"], told["protocol"]) == ("held", "full"), str(played)
    assert sorted(told["participants"]) == sorted(pods.names)
    with file.open(encoding="utf-8") as lines:
        history = read_history(lines)
    assert len(history.operations) == told["operations"] > 0
    assert check_registers(history).outcome == "held"
    assert (played.stderr, played.left, roots(pods.hosts) - before) == ("", [], set())


def test_ctrl_c_ends_the_load_and_is_no_interruption(pods: Pods) -> None:
    with Playing(*WATCH, zookeeper=pods.zookeeper) as playing:
        playing.wait_for("delete some pods")
        time.sleep(4)
        playing.send(signal.SIGINT)
        played = playing.finish()
    assert "stopping: finishing open operations" in played.stdout, str(played)
    assert played.status == 0, str(played)


def test_without_live_workers_there_is_nothing_to_watch(single_server: SingleServer) -> None:
    played = play(*WATCH, zookeeper=single_server.zookeeper)
    assert played.status == USAGE, str(played)
    assert_one_line(played.stderr, "of 5 replicas 0 have a live host", "make lab")
    assert roots(single_server.hosts) == set()


@pytest.mark.parametrize("option", [("--n", "3"), ("--protocol", "notes")])
def test_what_is_watched_is_the_clusters_own(option: tuple[str, str]) -> None:
    played = play(*WATCH, "5", *option, zookeeper={"ZK_HOSTS": "127.0.0.1:1"})
    assert played.status == USAGE
    assert_one_line(played.stderr, "--watch is about the live workers")
