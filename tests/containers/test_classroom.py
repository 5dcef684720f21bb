"""What `kubectl apply` brings up: who is there, what it takes, and the three demos in it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.zookeeper import paths
from tests.containers.conftest import Classroom, until
from tests.worker.conftest import as_file, as_pixels, equalized, noise

pytestmark = [pytest.mark.whole, pytest.mark.docker, pytest.mark.timeout(300)]

DEMOS = ("demo_easy_eventual.py", "demo_medium_primary_backup.py", "demo_hard_quorum.py")
# What the issue asks for, in MB: a worker that idles, and all eight containers.
IDLE_MB, ALL_MB = 120, 2000


@pytest.fixture(scope="module")
def played(classroom_of_five: Classroom) -> Iterator[dict[str, tuple[int, str]]]:
    """(status, output) of each demo, by `docker exec` in three pods at the same time, with no options."""
    classroom_of_five.mend()

    def play(number: int) -> tuple[int, str]:
        worker = classroom_of_five.workers[number]
        done = worker.container.exec_run(["python3", DEMOS[number]])
        assert isinstance(done.output, bytes)
        return int(done.exit_code or 0), done.output.decode()

    with ThreadPoolExecutor(len(DEMOS)) as pool:
        yield dict(zip(DEMOS, pool.map(play, range(len(DEMOS))), strict=True))


@pytest.mark.parametrize("demo", DEMOS)
def test_a_demo_in_a_pod_holds_with_the_live_pods_as_participants(
    demo: str, played: dict[str, tuple[int, str]], classroom_of_five: Classroom
) -> None:
    status, output = played[demo]

    assert status == 0, output
    assert output.splitlines()[-1].startswith("VERDICT held: "), output
    named = [worker.name for worker in classroom_of_five.workers if worker.name in output]
    assert len(named) == (2 if "medium" in demo else 5), output


def test_a_demo_in_a_pod_may_keep_to_itself(classroom: Classroom) -> None:
    command = ["python3", "demo_easy_eventual.py", "--participants", "local", "--protocol", "full"]
    status, output = classroom.workers[0].container.exec_run(command)

    assert status == 0, output
    assert isinstance(output, bytes)
    assert "replica-1" in output.decode() or "pod-1" in output.decode(), output


def test_a_watch_sees_a_deleted_pod_and_the_one_that_takes_its_place(classroom: Classroom) -> None:
    watcher, doomed = classroom.workers[0], classroom.workers[3]
    command = ["python3", "demo_hard_quorum.py", "--watch", "60"]
    with ThreadPoolExecutor(1) as other:
        watching = other.submit(watcher.container.exec_run, command)
        time.sleep(8)
        classroom.remove(doomed)
        successor = classroom.add()
        status, output = watching.result(200)

    assert isinstance(output, bytes)
    said = output.decode()
    assert status == 0, said
    assert f"{doomed.name} is gone" in said, said
    assert f"{successor.name} hosts it" in said, said


def test_an_upload_gives_the_picture_that_one_process_makes(classroom: Classroom) -> None:
    picture = noise(900, 1100)

    job_id = classroom.stored(as_file(picture))

    assert np.array_equal(as_pixels(classroom.result(job_id)), equalized(picture))


def test_the_master_has_the_label_that_its_service_selects_by(classroom: Classroom) -> None:
    until(
        lambda: classroom.api.with_role_master() == {classroom.who("master").name},
        lambda: classroom.api.labels,
    )
    assert classroom.api.denied == [], "k8s/rbac.yaml allows all that is asked"


def test_idle_it_all_fits_on_a_laptop(classroom: Classroom) -> None:
    used = {pod.name: pod.used_mb() for pod in [*classroom.workers, *classroom.servers]}

    assert all(used[worker.name] < IDLE_MB for worker in classroom.workers), used
    assert sum(used.values()) < ALL_MB, used


def test_a_pod_that_is_stopped_hands_over_and_leaves_nothing_behind(classroom: Classroom) -> None:
    for role in ("master", "backup", "worker"):
        pod = classroom.who(role)

        status = classroom.remove(pod)

        assert status in (0, 143), "137 would be a kill after its grace period"
        left = classroom.znodes(paths.NODES, paths.ELECTION, paths.HOSTS, paths.BOARD, paths.JOBS)
        assert not [path for path in left if pod.name in path]
        assert pod.name not in classroom.api.with_role_master()
        classroom.add()
        classroom.settle()


def test_a_pod_that_is_stopped_while_zookeeper_is_away_ends_all_the_same(classroom: Classroom) -> None:
    for server in classroom.servers:
        server.pause()

    status = classroom.remove(classroom.workers[0])

    assert status in (0, 143), "137 would be a kill after its grace period"
    classroom.add()
