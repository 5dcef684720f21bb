"""The engine's faults on the manifests' containers: whatever was acknowledged is done, once, and right."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from app.consistency.engine.transactions import job_id_for
from app.zookeeper import paths
from tests.containers.conftest import Classroom, until
from tests.containers.pods import Pod
from tests.worker.conftest import Picture, as_file, as_pixels, equalized, noise

pytestmark = [pytest.mark.whole, pytest.mark.docker, pytest.mark.timeout(300)]

WHO = ("master", "backup", "worker", "ZooKeeper leader")
# Longer than a worker's session (6 s), so that others have noticed.
BEYOND_A_SESSION_S = 9.0


def who(classroom: Classroom, what: str) -> Pod:
    return classroom.leader() if what == "ZooKeeper leader" else classroom.who(what)


def under_way(classroom: Classroom) -> tuple[str, Picture]:
    """An acknowledged upload whose job has just begun."""
    picture = noise(1600, 2500)
    return classroom.stored(as_file(picture)), picture


def is_right(classroom: Classroom, job_id: str, picture: Picture) -> bool:
    return bool(np.array_equal(as_pixels(classroom.result(job_id)), equalized(picture)))


@pytest.mark.parametrize("what", WHO)
def test_an_acknowledged_upload_survives_docker_kill(classroom: Classroom, what: str) -> None:
    job_id, picture = under_way(classroom)

    who(classroom, what).kill()

    assert is_right(classroom, job_id, picture)


@pytest.mark.parametrize("what", WHO)
def test_an_acknowledged_upload_survives_a_network_that_is_disconnected_and_comes_back(
    classroom: Classroom, what: str
) -> None:
    job_id, picture = under_way(classroom)
    victim = who(classroom, what)

    victim.cut()
    time.sleep(BEYOND_A_SESSION_S)
    victim.mend()

    assert is_right(classroom, job_id, picture)
    classroom.settle()


def test_a_master_that_was_paused_beyond_its_session_changes_nothing(classroom: Classroom) -> None:
    job_id, picture = under_way(classroom)
    paused = classroom.who("master")

    paused.pause()
    successor = classroom.who("master")
    paused.mend()

    assert successor is not paused
    assert is_right(classroom, job_id, picture)
    classroom.settle()
    assert classroom.who("master") is successor
    until(lambda: classroom.api.with_role_master() == {successor.name}, lambda: classroom.api.labels)


@pytest.mark.timeout(600)
def test_a_rolling_restart_of_everything_loses_no_upload_and_does_none_twice(classroom: Classroom) -> None:
    before = set(classroom.znodes(paths.JOBS))
    with uploads(classroom) as acknowledged:
        roll_out(classroom)
        for server in classroom.servers:
            server.restart()
            until(server.probed, server.last_words)
    classroom.settle()

    assert len(acknowledged) >= 3, "there was a stream of uploads"
    jobs = {path.split("/")[2] for path in classroom.znodes(paths.JOBS) - before}
    assert jobs == {job_id_for(key) for key in acknowledged}, "each is one job, and there is no other"


def roll_out(classroom: Classroom) -> None:
    """As the Deployment has it: a new pod is ready before an old one is asked to go."""
    for old in list(classroom.workers):
        new = classroom.add()
        until(new.probed, new.last_words)
        status = classroom.remove(old)
        assert status in (0, 143)


@contextmanager
def uploads(classroom: Classroom) -> Iterator[list[str]]:
    """A stubborn client meanwhile: each of its uploads ends right, or this fails. Yields their keys."""
    acknowledged: list[str] = []
    enough = threading.Event()
    failed: list[BaseException] = []

    def upload() -> None:
        while not enough.is_set():
            key, picture = f"rolling-{uuid.uuid4()}", noise(400, 600)
            acknowledged.append(key)  # or in doubt, in the end
            assert classroom.insist(as_file(picture), key) == job_id_for(key)
            assert is_right(classroom, job_id_for(key), picture)

    thread = threading.Thread(target=_noting(failed, upload))
    thread.start()
    try:
        yield acknowledged
    finally:
        enough.set()
        thread.join(120)
    assert not failed, failed


def _noting(failed: list[BaseException], action: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 (a thread's failure is its test's)
            failed.append(error)

    return run
