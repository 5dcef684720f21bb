"""`demo_easy_eventual.py --live KEY=VALUE` publishes to the live workers, and to nobody else."""

import signal
import time

import pytest

from app.zookeeper import client as zk, paths
from tests.demos.conftest import Pods, SingleServer
from tests.demos.playing import assert_one_line, play
from tests.demos.test_options import KEYS, only_object

pytestmark = pytest.mark.whole

USAGE, IN_DOUBT = 2, 4


def live(hosts: str) -> tuple[bytes, int] | None:
    """The live configuration, and its version."""
    client = zk.connect(hosts, session_timeout_s=10, deadline_s=30)
    try:
        zk.wait(client.sync_async(paths.CONFIG), zk.Deadline(20))  # our server may lag behind theirs
        found = zk.get(client, paths.CONFIG, zk.Deadline(20))
        return (found[0], found[1].version) if found else None
    finally:
        zk.disconnect(client)


def test_it_is_published_and_each_live_worker_says_that_it_has_it(pods: Pods) -> None:
    played = play("easy", "--live", "chunk_size=2048", "--no-color", zookeeper=pods.zookeeper)
    assert played.verdict.startswith("VERDICT held: all 5 live workers have applied chunk_size=2048"), str(
        played
    )
    assert played.status == 0
    assert (played.stderr, played.left) == ("", [])
    for name in pods.names:
        assert sum(line.split()[:1] == [name] and line.endswith(" ms") for line in played.lines) == 1
    assert "50 ms later, on purpose" in " ".join(played.stdout.split())
    found = live(pods.hosts)
    assert found is not None
    assert b'"chunk_size":2048' in found[0]


def test_json_is_one_object_with_the_lag_of_each(pods: Pods) -> None:
    played = play("easy", "--json", "--live", "chunk_size=1024", zookeeper=pods.zookeeper)
    told = only_object(played.stdout)
    assert played.status == 0, str(played)
    assert set(told) == {*KEYS, "lags_ms"}
    assert told["verdict"] == "held"
    assert told["participants"] == pods.names
    assert set(told["lags_ms"]) == set(pods.names)
    assert all(0 < lag_ms < 10_000 for lag_ms in told["lags_ms"].values())


@pytest.mark.parametrize("setting", ["chunk_size=0", "chunk_size=many", "chunk_size=1.5", "chunk_size="])
def test_an_invalid_value_is_refused_in_one_line_and_nothing_is_written(setting: str, pods: Pods) -> None:
    before = live(pods.hosts)
    played = play("easy", "--live", setting, zookeeper=pods.zookeeper)
    assert played.status == USAGE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, "demo_easy_eventual.py: --live: ", "chunk_size")
    assert live(pods.hosts) == before


def test_without_a_live_worker_nothing_is_written(single_server: SingleServer) -> None:
    before = live(single_server.hosts)
    played = play("easy", "--live", "chunk_size=2048", zookeeper=single_server.zookeeper)
    assert played.status == USAGE, str(played)
    assert_one_line(played.stderr, "no live worker", "nothing was written")
    assert live(single_server.hosts) == before


def test_a_worker_that_stands_still_is_named_and_leaves_it_in_doubt(pods: Pods) -> None:
    worker = pods.workers.named("worker-5")
    assert worker is not None
    worker.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        played = play("easy", "--live", "chunk_size=4096", zookeeper=pods.zookeeper)
    finally:
        worker.send(signal.SIGCONT)
    assert played.status == IN_DOUBT, str(played)
    assert played.verdict.startswith("VERDICT in doubt: worker-5 did not say within 10 s"), str(played)
    assert time.monotonic() - began < 60
    assert "worker-5  not yet" in played.stdout


def test_the_other_demos_have_no_live_configuration() -> None:
    played = play("hard", "--live", "chunk_size=1", zookeeper={"ZK_HOSTS": "127.0.0.1:1"})
    assert played.status == USAGE
    assert_one_line(played.stderr, "--live")
