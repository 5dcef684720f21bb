"""A nemesis that lies in wait: it strikes at the moment that an operation says it has come to."""

import random
from collections.abc import Iterator

import eventlet
import pytest
from eventlet.green import socket

from app.checker.history import Recorder
from app.consistency.engine.versions import UNWRITTEN, Version
from app.consistency.quorum import Quorum
from app.demo.faults import Moment
from app.demo.nemesis import Aim
from app.demo.ways import Progress, Ways

LONG_S = 30.0


def waiting(aim: Aim, moment: Moment) -> list[str]:
    """A list that has an entry as soon as the wait for the moment is over."""
    over: list[str] = []

    def wait() -> None:
        aim.wait(moment)
        over.append("struck")

    eventlet.spawn(wait)
    eventlet.sleep(0)
    return over


def test_it_waits_for_its_moment_and_no_other() -> None:
    aim = Aim(LONG_S)
    over = waiting(aim, Moment.COPIED)
    aim.reached(Moment.PUBLISHED)
    aim.reached(None)
    eventlet.sleep(0)
    assert not over
    aim.reached(Moment.COPIED)
    aim.reached(Moment.COPIED)  # the next operation's: nobody waits any more
    eventlet.sleep(0)
    assert over == ["struck"]


def test_it_waits_for_no_moment_that_has_passed() -> None:
    aim = Aim(LONG_S)
    aim.reached(Moment.COPIED)
    assert not waiting(aim, Moment.COPIED)


def test_without_a_moment_or_where_it_does_not_come_it_strikes_at_any_time() -> None:
    Aim(LONG_S).wait(None)
    Aim(0.001).wait(Moment.CLAIMED)


def test_a_writes_moments_are_its_last_answer_and_its_first_acknowledgement() -> None:
    aim = Aim(LONG_S)
    progress = Progress(aim, 3)
    progress.begins()
    over = waiting(aim, Moment.VERSION_KNOWN)
    for answers in (1, 2, 3):
        assert not over
        progress.on_answer(answers, UNWRITTEN)
        eventlet.sleep(0)
    assert over
    over = waiting(aim, Moment.FIRST_ACK)
    progress.on_ack(Version(1, "a"), 1)
    eventlet.sleep(0)
    assert over


def test_a_read_is_no_moment() -> None:
    aim = Aim(LONG_S)
    progress = Progress(aim, 1)
    progress.begins()
    progress.on_answer(1, UNWRITTEN)
    over = waiting(aim, Moment.VERSION_KNOWN)
    for _ in range(5):
        progress.on_answer(1, UNWRITTEN)
    eventlet.sleep(0)
    assert not over


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets."""
    listener = eventlet.listen(("127.0.0.1", 0))

    def serve(connection: socket.socket, _: object) -> None:
        while data := connection.recv(100):
            connection.sendall(data)

    thread = eventlet.spawn(eventlet.serve, listener, serve)
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    thread.kill()
    listener.close()


def test_most_ways_are_harmed_until_the_block_ends_and_then_all_are_whole(
    echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.demo.ways._REST_S", (0.001, 0.002))
    monkeypatch.setattr("app.demo.ways._LONGEST_S", 0.01)
    recorder = Recorder()
    ways = Ways([echo] * 5, 1, "clients 1 to 4", recorder)
    with eventlet.Timeout(LONG_S), ways.harmed(Quorum(), random.Random(1), Aim(0.001)):
        while {fault.op for fault in recorder.history().faults} < {"cut way", "slow way", "heal way"}:
            eventlet.sleep(0.001)
    assert {fault.value for fault in recorder.history().faults} == {"clients 1 to 4"}
    assert recorder.history().faults[-1].op == "heal way"
    for hosts in ways.hosts:
        host, _, port = hosts.split(",")[0].rpartition(":")
        with eventlet.Timeout(LONG_S), socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
