"""A run that is ended in the middle removes what it made; what a killed one leaves, a later one sweeps."""

import signal
from pathlib import Path

import pytest

from app.demo import run as run_of_a_demo
from app.zookeeper import client as zk, paths
from tests.demos.conftest import SingleServer
from tests.demos.playing import DEMOS, Played, Playing, play, roots, within

pytestmark = pytest.mark.whole

INTERRUPTED = 130


@pytest.mark.parametrize("demo", DEMOS)
def test_ctrl_c_in_the_middle_of_an_act_leaves_nothing(demo: str, single_server: SingleServer) -> None:
    played, left = interrupt(demo, signal.SIGINT, single_server, "Act 3")
    assert_interrupted(played)
    assert left == set()


@pytest.mark.parametrize("demo", DEMOS)
def test_sigterm_in_the_middle_of_the_load_leaves_nothing(demo: str, single_server: SingleServer) -> None:
    played, left = interrupt(demo, signal.SIGTERM, single_server, "; faults: ")
    assert_interrupted(played)
    assert left == set()


def test_ctrl_c_while_waiting_for_enter_leaves_nothing(single_server: SingleServer) -> None:
    with Playing("easy", "--step", zookeeper=single_server.zookeeper, talkative=True) as playing:
        playing.wait_for("[Enter]")
        (root,) = roots(single_server.hosts)
        assert root.startswith("easy-")
        playing.send(signal.SIGINT)
        assert_interrupted(playing.finish())
    assert roots(single_server.hosts) == set()


def test_ctrl_c_before_zookeeper_has_answered_ends_at_once() -> None:
    with Playing("easy", zookeeper={"ZK_HOSTS": "127.0.0.1:1"}) as playing:
        within(60, lambda: catches_ctrl_c(playing.process.pid), "its handlers are in place")
        playing.send(signal.SIGINT)
        assert_interrupted(playing.finish())


def test_what_a_killed_run_leaves_a_later_one_sweeps_once_it_is_ownerless_and_old(
    single_server: SingleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Playing("hard", "--protocol", "full", zookeeper=single_server.zookeeper) as playing:
        playing.wait_for_the_load()
        playing.kill()
        playing.process.wait(10)
        within(60, lambda: not processes(playing), f"its client processes end: {processes(playing)}")
    (root,) = (f"{paths.DEMOS}/{name}" for name in roots(single_server.hosts))

    client = zk.connect(single_server.hosts, session_timeout_s=10, deadline_s=30)
    try:
        mine = f"{paths.DEMOS}/later"
        zk.ensure(client, (mine,), zk.Deadline(20))
        monkeypatch.setattr(run_of_a_demo, "ORPHANED_AFTER_S", 0.0)
        assert run_of_a_demo.sweep(client, mine) == []  # its session is not over yet
        within(60, lambda: zk.get(client, root + paths.OWNER, zk.Deadline(20)) is None, "it has no owner")
        monkeypatch.setattr(run_of_a_demo, "ORPHANED_AFTER_S", 3600.0)
        assert run_of_a_demo.sweep(client, mine) == []  # it may yet come back with a new session
        monkeypatch.setattr(run_of_a_demo, "ORPHANED_AFTER_S", 0.0)
        zk.wait(client.set_async(mine, b"a heartbeat"), zk.Deadline(20))
        assert run_of_a_demo.sweep(client, mine) == [root]
        run_of_a_demo.remove(client, mine, zk.Deadline(20))
    finally:
        zk.disconnect(client)
    assert roots(single_server.hosts) == set()


def test_a_run_does_not_sweep_what_another_has_just_left(single_server: SingleServer) -> None:
    with Playing("easy", zookeeper=single_server.zookeeper) as playing:
        playing.wait_for("Act 3")
        playing.kill()
    (root,) = roots(single_server.hosts)
    options = ("--protocol", "notes", "--operations", "4")
    assert play("easy", *options, zookeeper=single_server.zookeeper).status == 1
    assert roots(single_server.hosts) == {root}


def interrupt(demo: str, number: signal.Signals, server: SingleServer, where: str) -> tuple[Played, set[str]]:
    """Play until it prints ``where``, then send the signal; what it left under ``/demos``."""
    protocol = "full" if where == "; faults: " else "both"
    with Playing(demo, "--protocol", protocol, zookeeper=server.zookeeper) as playing:
        if where == "; faults: ":
            playing.wait_for_the_load()
        else:
            playing.wait_for(where)
        (root,) = roots(server.hosts)
        assert root.startswith(f"{demo}-")
        playing.send(number)
        played = playing.finish()
    return played, roots(server.hosts)


def assert_interrupted(played: Played) -> None:
    assert played.status == INTERRUPTED, str(played)
    assert "VERDICT" not in played.stdout
    assert "Traceback" not in played.stdout + played.stderr, str(played)
    assert played.left == []


def processes(playing: Playing) -> list[str]:
    return [line for line in playing.left() if not line.startswith(playing.mark)]


def catches_ctrl_c(pid: int) -> bool:
    """Whether this process has put a handler of its own in Python's place; told by /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("no /proc here to tell")
    for line in status.read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False
