"""The demos with live workers as participants: `--participants pods`, and `auto`.

The three run once, at the same time, on the same five workers; many tests look at that.
"""

import signal
import time
from dataclasses import dataclass

import pytest

from app.checker.history import History
from app.checker.parsing import read_history
from lab.workers import COMMAND
from tests.demos.conftest import Pods, SingleServer
from tests.demos.playing import (
    DEMOS,
    SCRIPTS,
    Played,
    Playing,
    assert_one_line,
    play,
    play_at_once,
    roots,
    within,
)
from tests.demos.test_options import only_object

pytestmark = [pytest.mark.whole, pytest.mark.timeout(240)]

CAST = {"easy": 5, "medium": 2, "hard": 5}
USAGE, IN_DOUBT, INTERRUPTED = 2, 4, 130
SLOW_S = 200.0
PODS = ("--participants", "pods")


@dataclass(frozen=True)
class AtOnce:
    """All three demos, on the same workers at the same time."""

    played: dict[str, Played]
    histories: dict[str, History]
    sessions: tuple[dict[str, int], dict[str, int]]  # the workers', before and after
    left_in_zookeeper: set[str]


@pytest.fixture(scope="module")
def at_once(five_workers: Pods, tmp_path_factory: pytest.TempPathFactory) -> AtOnce:
    five_workers.heal()
    files = {demo: tmp_path_factory.mktemp(demo) / "history.jsonl" for demo in DEMOS}
    before = five_workers.sessions()
    runs = [(demo, *PODS, "--history", str(files[demo])) for demo in DEMOS]
    played = dict(zip(DEMOS, play_at_once(runs, five_workers.zookeeper, SLOW_S), strict=True))
    histories = {}
    for demo, file in files.items():
        with file.open(encoding="utf-8") as lines:
            histories[demo] = read_history(lines)
    after = five_workers.sessions()
    left = {root for root in roots(five_workers.hosts) if root.startswith(DEMOS)}
    return AtOnce(played, histories, (before, after), left)


@pytest.mark.parametrize("demo", DEMOS)
def test_with_pods_the_notes_are_violated_and_the_full_protocol_holds(demo: str, at_once: AtOnce) -> None:
    played = at_once.played[demo]
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.lines[-2].startswith("NOTES violated: "), str(played)
    assert played.status == 0
    assert (played.stderr, played.left) == ("", [])


@pytest.mark.parametrize("demo", DEMOS)
def test_the_workers_are_named_on_the_screen_and_in_the_history(demo: str, at_once: AtOnce) -> None:
    names = [f"worker-{number}" for number in range(1, CAST[demo] + 1)]
    assert all(name in at_once.played[demo].stdout for name in names), str(at_once.played[demo])
    history = at_once.histories[demo]
    processes = {operation.process for operation in history.operations}
    if demo == "easy":
        assert processes >= set(names)
    if demo == "medium":
        assert processes >= {"disk of worker-1", "disk of worker-2"}
    hurt = {str(fault.value) for fault in history.faults if fault.op in ("cut", "crash")}
    assert hurt
    assert hurt <= {*names, "notes-backup"}
    ops = {fault.op for fault in history.faults if fault.value in names}
    assert ops & {"cut", "crash"}
    assert ops & {"heal", "restart"}
    assert not ops & {"gone", "back"}


@pytest.mark.parametrize("demo", DEMOS)
def test_every_act_with_pods_fits_on_a_screen(demo: str, at_once: AtOnce) -> None:
    for act in at_once.played[demo].acts:
        assert len(act) <= 20, "\n".join(act)
        assert max(map(len, act)) <= 80, "\n".join(line for line in act if len(line) > 80)


def test_what_a_copy_in_a_pod_applied_is_told_with_the_moment_when_it_did(at_once: AtOnce) -> None:
    """Every value that was published in the load was seen, in order, before the run asked at its end."""
    reads = [
        op for op in at_once.histories["easy"].operations if op.process == "worker-1" and op.op == "read"
    ]
    versions = [op.version for op in reads if op.version]
    assert versions == sorted(versions)
    assert len(set(versions)) > 20


def test_three_runs_at_once_disturb_no_worker(at_once: AtOnce) -> None:
    before, after = at_once.sessions
    assert len(before) == 5
    assert after == before


def test_nothing_of_the_runs_is_left_in_zookeeper_nor_in_any_worker(
    at_once: AtOnce, five_workers: Pods
) -> None:
    assert at_once.left_in_zookeeper == set()
    within(60, five_workers.without_guests, f"no guest is left: {five_workers.folders()}")


def test_ctrl_c_in_the_middle_leaves_no_guest(pods: Pods) -> None:
    sessions = pods.sessions()
    with Playing("medium", *PODS, "--protocol", "full", zookeeper=pods.zookeeper) as playing:
        playing.wait_for("Act 3")
        assert pods.listening("worker-1") > 1
        assert len(pods.folders()) == 2
        playing.send(signal.SIGINT)
        played = playing.finish(SLOW_S)
    assert played.status == INTERRUPTED, str(played)
    assert "Traceback" not in played.stdout + played.stderr
    assert not [root for root in roots(pods.hosts) if root.startswith("medium-")]
    within(60, pods.without_guests, "no guest is left")
    assert pods.sessions() == sessions


def test_guests_of_a_demo_that_was_killed_end_by_themselves(pods: Pods) -> None:
    with Playing("easy", *PODS, "--operations", "5000", zookeeper=pods.zookeeper) as playing:
        playing.wait_for_the_load()
        playing.kill()
    assert not pods.without_guests()
    within(60, pods.without_guests, "no guest is left")


@pytest.mark.parametrize("when", ["Act 3", "; faults: "])
def test_a_host_that_is_killed_is_named_and_the_verdict_is_still_decided(when: str, pods: Pods) -> None:
    """A real SIGKILL of a worker; the four that are left are enough."""
    with Playing("hard", *PODS, "--protocol", "full", zookeeper=pods.zookeeper) as playing:
        playing.wait_for(when, SLOW_S)
        kill(pods, "worker-4")
        played = playing.finish(SLOW_S)
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0
    assert "(worker-4 is gone" in played.stdout
    assert ("(without worker-4 this act can't be played" in played.stdout) == (when == "Act 3")
    assert "Traceback" not in played.stdout + played.stderr


def test_a_copy_whose_pod_is_killed_early_is_left_out_and_the_others_converge(pods: Pods) -> None:
    with Playing("easy", *PODS, "--protocol", "full", zookeeper=pods.zookeeper) as playing:
        playing.wait_for("Act 2")
        kill(pods, "worker-2")
        played = playing.finish(SLOW_S)
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert "(worker-2 is gone" in played.stdout


def test_a_pod_that_dies_and_returns_plays_on_from_its_disk(pods: Pods) -> None:
    """As under a StatefulSet: the same name, the same disk, another process."""
    with Playing(
        "medium", *PODS, "--protocol", "full", "--operations", "150", zookeeper=pods.zookeeper
    ) as playing:
        playing.wait_for_the_load()
        kill(pods, "worker-2")
        time.sleep(1)
        restart(pods, "worker-2")
        played = playing.finish(SLOW_S)
    assert "(worker-2 is gone" in played.stdout, str(played)
    assert "(worker-2 is back)" in played.stdout, str(played)
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0


def test_a_pair_that_loses_a_pod_for_good_is_in_doubt_in_one_sentence(pods: Pods) -> None:
    with Playing("medium", *PODS, "--protocol", "full", zookeeper=pods.zookeeper) as playing:
        playing.wait_for("Act 3")
        kill(pods, "worker-1")
        played = playing.finish(SLOW_S)
    assert played.verdict.startswith("VERDICT in doubt: worker-1 did not come back"), str(played)
    assert played.status == IN_DOUBT


def test_fewer_workers_than_the_demo_needs_are_counted_in_one_line(pods: Pods) -> None:
    quorum = ("--n", "7", "--w", "4", "--r", "4")
    played = play("hard", *PODS, *quorum, zookeeper=pods.zookeeper)
    assert played.status == USAGE, str(played)
    assert played.stdout == ""
    said = ("7 live workers are needed", "there are 5", "make lab", "--participants local")
    assert_one_line(played.stderr, SCRIPTS["hard"], *said)
    auto = play("hard", *quorum, "--operations", "12", "--faults", "none", zookeeper=in_a_pod(pods.zookeeper))
    assert auto.status == 0, str(auto)
    assert "worker-1" not in auto.stdout


@pytest.mark.parametrize("demo", DEMOS)
def test_where_no_worker_ever_was_it_says_so(demo: str, single_server: SingleServer) -> None:
    played = play(demo, *PODS, zookeeper=single_server.zookeeper)
    assert played.status == USAGE, str(played)
    assert_one_line(played.stderr, SCRIPTS[demo], "there are none", "--participants local")
    assert roots(single_server.hosts) == set()


def test_inside_a_pod_the_workers_take_part_without_being_asked_for(pods: Pods) -> None:
    options = ("--json", "--operations", "8", "--faults", "none")
    inside = play("easy", *options, zookeeper=in_a_pod(pods.zookeeper))
    assert only_object(inside.stdout)["participants"] == pods.names
    local = play("easy", "--participants", "local", *options, zookeeper=in_a_pod(pods.zookeeper))
    assert only_object(local.stdout)["participants"][0] == "replica-1"
    outside = play("easy", *options, zookeeper=pods.zookeeper)
    assert only_object(outside.stdout)["participants"][0] == "replica-1"
    assert inside.status == local.status == outside.status == 0


def in_a_pod(zookeeper: dict[str, str]) -> dict[str, str]:
    return {**zookeeper, "POD_NAME": "worker-1"}


def kill(pods: Pods, pod: str) -> None:
    worker = pods.workers.named(pod)
    assert worker is not None
    worker.send(signal.SIGKILL)
    assert worker.gone(time.monotonic() + 60)


def restart(pods: Pods, pod: str) -> None:
    worker = pods.workers.named(pod)
    assert worker is not None
    assert worker.ended()
    worker.start(COMMAND)
