"""Real processes are killed, paused and cut off, and the job ends with the right picture all the same.

Dean & Ghemawat, OSDI 2004, section 3.3: what a worker's failure costs is time. Here that holds for the
master, too: a job's state is in ZooKeeper and on the shared volume, and in nobody's memory.
"""

import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from app.consistency.engine.disk import sha256
from app.consistency.engine.transactions import Outcome
from app.demo.servers import Servers
from app.zookeeper import client as zk, paths
from lab.workers import COMMAND
from tests.client import PATIENCE_S
from tests.conftest import leader_of, visit
from tests.lab.conftest import until
from tests.worker.conftest import Cluster, Picture, as_file, as_pixels, equalized, noise

# Big enough, and in small enough tasks, that a phase takes long enough to be hit in its middle.
CHUNK = 24
SHAPE = (3000, 2200)
PHASES = ("histograms", "equalize")
LONG_SESSION_S = 40.0


@pytest.fixture
def picture(cluster: Cluster) -> Picture:
    cluster.configure(CHUNK)
    return noise(*SHAPE)


def is_right(cluster: Cluster, job_id: str, picture: Picture) -> bool:
    """Whether the job ends with the picture that one process makes, and leaves nothing but its record."""
    assert np.array_equal(as_pixels(cluster.result(job_id)), equalized(picture))
    cluster.heal()  # a dead worker's disk keeps its copies until it is back
    cluster.leaves_only_its_record(job_id)
    return True


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("role", ["worker", "master"])
def test_a_job_survives_a_worker_and_its_master(
    cluster: Cluster, picture: Picture, role: str, phase: str
) -> None:
    victim = cluster.who(role)
    job_id = cluster.caught(as_file(picture), phase, at_least=10)

    cluster.kill(victim)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_a_job_survives_a_master_that_dies_before_it_is_planned(cluster: Cluster, picture: Picture) -> None:
    master = cluster.who("master")
    job_id = cluster.stored(as_file(picture))

    cluster.kill(master)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_a_job_survives_two_workers_at_once(cluster: Cluster, picture: Picture) -> None:
    victims = cluster.plain()[:2]
    job_id = cluster.caught(as_file(picture), "equalize", at_least=10)

    for victim in victims:
        victim.send(signal.SIGKILL)
    assert all(victim.gone(time.monotonic() + PATIENCE_S) for victim in victims)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_a_job_survives_master_and_backup_one_after_the_other(cluster: Cluster, picture: Picture) -> None:
    job_id = cluster.stored(as_file(picture))
    for _ in range(2):
        master = cluster.who("master")
        cluster.who("backup")
        cluster.kill(master)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
@pytest.mark.parametrize("phase", PHASES)
def test_a_master_that_was_stopped_beyond_its_session_changes_nothing(
    cluster: Cluster, picture: Picture, phase: str
) -> None:
    old = cluster.who("master")
    job_id = cluster.caught(as_file(picture), phase, at_least=10)

    with cluster.stopped(old):
        cluster.who("master")
        during = cluster.ended(job_id)

    assert during["state"] == "done"
    assert is_right(cluster, job_id, picture)
    assert cluster.settle()[old.pod] != "master"
    assert cluster.ended(job_id)["download"] == during["download"]


def test_an_upload_survives_the_backup_that_dies_before_its_ack(cluster: Cluster, picture: Picture) -> None:
    backup = cluster.who("backup")
    data = as_file(picture)

    with cluster.stopped(backup):  # it can't acknowledge
        sending = Told(lambda: cluster.insist(data, key=named("before its ack")))
        time.sleep(0.5)
        cluster.kill(backup)
    cluster.heal()
    cluster.configure(CHUNK)

    # An aborted id stays aborted: then the client has been told so, and takes a new one.
    job_id = sending.answer() if sending.succeeded() else cluster.insist(data, key=named("a new attempt"))
    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_an_upload_survives_the_backup_that_dies_after_its_ack(cluster: Cluster, picture: Picture) -> None:
    backup = cluster.who("backup")
    job_id = cluster.stored(as_file(picture))

    cluster.kill(backup)

    assert is_right(cluster, job_id, picture)


def test_a_former_primary_drops_its_copy_of_what_was_aborted_without_it(cluster: Cluster) -> None:
    """It had published when it died; the next one settled that, and only a primary or a backup is told."""
    worker = cluster.who("worker")
    cluster.kill(worker)
    job_id, digest = str(uuid.uuid4()), sha256(b"its manifest")
    kept = [worker.backup_dir / folder / f"{job_id}.{digest}" for folder in ("copies", "uploads")]
    for file in kept:
        file.write_bytes(b"its manifest")
    outcome = Outcome(decision="aborted", by="worker-9", epoch=1, size=12, sha256=digest)
    with visit(cluster.hosts) as client:
        aborting = client.transaction()
        aborting.create(paths.job(job_id), b"")
        aborting.create(paths.outcome(job_id), outcome.to_bytes())
        zk.commit(aborting, zk.Deadline(20))

    cluster.heal()

    deadline = time.monotonic() + PATIENCE_S
    while left := [file for file in kept if file.exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    with visit(cluster.hosts) as client:
        zk.delete_all(client, [paths.outcome(job_id), paths.job(job_id)], zk.Deadline(20))


@pytest.mark.whole
def test_a_job_survives_the_leader_of_the_ensemble(
    cluster: Cluster, picture: Picture, servers: Servers
) -> None:
    job_id = cluster.caught(as_file(picture), "histograms", at_least=5)

    leader = leader_of(servers)
    servers.kill(leader)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_a_job_survives_twenty_seconds_without_zookeeper(
    cluster: Cluster, picture: Picture, servers: Servers
) -> None:
    job_id = cluster.caught(as_file(picture), "histograms", at_least=5)

    for server in (1, 2, 3):
        servers.kill(server)
    time.sleep(20)
    for server in (1, 2, 3):
        servers.restart(server)

    assert is_right(cluster, job_id, picture)


def test_an_acknowledged_upload_is_there_after_its_primary_and_the_shared_copy_are_gone(
    cluster: Cluster, picture: Picture
) -> None:
    master = cluster.who("master")
    job_id = cluster.stored(as_file(picture))

    cluster.kill(master)
    for upload in cluster.workers.shared_dir.glob(f"uploads/{job_id}.*"):
        upload.unlink()
    for array in cluster.workers.shared_dir.glob(f"jobs/{job_id}/input.*"):
        array.unlink()

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
@pytest.mark.parametrize("kept", [0, 1000, 3_000_000])
def test_a_shared_copy_that_is_truncated_in_mid_job_is_made_anew(
    cluster: Cluster, picture: Picture, kept: int
) -> None:
    job_id = cluster.caught(as_file(picture), "histograms")

    for path in cluster.workers.shared_dir.glob(f"*/*{job_id}*"):
        for file in [path] if path.is_file() else path.glob("input.*"):
            with file.open("r+b") as opened:
                opened.truncate(kept)

    assert is_right(cluster, job_id, picture)


@pytest.mark.whole
def test_a_result_that_is_damaged_is_computed_again(cluster: Cluster, picture: Picture) -> None:
    job_id = cluster.caught(as_file(picture), "equalize", at_least=20)

    bands = list(cluster.workers.shared_dir.glob(f"jobs/{job_id}/equalize.*"))
    bands[0].write_bytes(b"other bytes")

    assert is_right(cluster, job_id, picture)


# --- one request is one job -------------------------------------------------------------------------------


def test_the_same_key_twice_is_one_job(cluster: Cluster) -> None:
    data = as_file(noise(300, 300))

    first = cluster.insist(data, key=named("twice"))
    again_at_once = cluster.insist(data, key=named("twice"))
    cluster.ended(first)
    again_later = cluster.insist(data, key=named("twice"))

    assert first == again_at_once == again_later


@pytest.mark.whole
def test_the_same_key_from_two_clients_at_once_is_one_job(cluster: Cluster) -> None:
    data = as_file(noise(1500, 1500))

    clients = [Told(lambda: cluster.insist(data, key=named("both at once"))) for _ in range(2)]

    ids = {client.answer() for client in clients}
    assert len(ids) == 1
    assert cluster.ended(ids.pop())["state"] == "done"


def test_a_key_with_another_file_is_refused(cluster: Cluster) -> None:
    first = as_file(noise(200, 200))
    job_id = cluster.insist(first, key=named("mine"))

    answer = cluster.upload(as_file(noise(201, 200)), key=named("mine"))

    assert answer.status_code == 422
    assert "belongs to another" in answer.json()["error"]
    assert cluster.ended(job_id)["state"] == "done"


@pytest.mark.whole
def test_a_stubborn_client_with_a_key_gets_one_job_through_a_change_of_masters(cluster: Cluster) -> None:
    data = as_file(noise(1200, 1200))
    cluster.kill(cluster.who("master"))
    cluster.heal()

    first = cluster.insist(data, key=named("stubborn"))
    cluster.kill(cluster.who("master"))
    cluster.heal()

    assert cluster.insist(data, key=named("stubborn")) == first
    assert cluster.ended(first)["state"] == "done"


# --- taking over ------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_an_orderly_end_hands_over_before_a_session_could_expire(
    cluster_of_long_sessions: Cluster, picture: Picture
) -> None:
    cluster = cluster_of_long_sessions
    job_id = cluster.stored(as_file(picture))
    master = cluster.who("master")
    began = time.monotonic()

    master.send(signal.SIGTERM)
    cluster.new_master(other_than=master)

    # Less than a crash would cost: its session. The bench has the seconds.
    assert time.monotonic() - began < LONG_SESSION_S
    assert master.gone(time.monotonic() + PATIENCE_S)
    ended = master.ended()
    assert ended is not None
    assert ended.endswith("has ended with status 0")
    assert is_right(cluster, job_id, picture)


@pytest.fixture
def cluster_of_long_sessions(cluster: Cluster) -> Iterator[Cluster]:
    """Their expiry is far beyond what a hand-over takes on the busiest machine."""
    cluster.restart_all(command=("env", f"SESSION_TIMEOUT_S={LONG_SESSION_S:g}", *COMMAND))
    yield cluster
    cluster.restart_all()


RUN = uuid.uuid4().hex


def named(key: str) -> str:
    """A key of this run: the store remembers an earlier run's for an hour."""
    return f"{key} {RUN}"


class Told:
    """What a client in a thread of its own is told in the end."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._answer: str | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except AssertionError as error:
            self._error = error

    def succeeded(self) -> bool:
        self._thread.join(90)
        return self._answer is not None

    def answer(self) -> str:
        assert self.succeeded(), self._error
        assert self._answer is not None
        return self._answer


@pytest.mark.whole
def test_an_upload_that_is_lost_everywhere_fails_its_job_and_nothing_else(
    cluster: Cluster, picture: Picture
) -> None:
    job_id = cluster.stored(as_file(picture))
    for worker in cluster.workers.all:
        cluster.kill(worker)
    folders = [cluster.workers.shared_dir, *(worker.backup_dir for worker in cluster.workers.all)]
    for path in [path for folder in folders for path in folder.rglob(f"*{job_id}*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    cluster.heal()

    ended = cluster.ended(job_id)

    assert ended["state"] == "failed"
    assert "lost" in ended["error"]
    assert cluster.ended(cluster.stored(as_file(picture)))["state"] == "done"


@pytest.mark.whole
def test_a_znode_that_nobody_here_would_have_made_keeps_nobody_from_leading(cluster: Cluster) -> None:
    strange = "/jobs/my job"
    with visit(cluster.hosts) as client:
        client.create(strange, b"by a student, in zkCli.sh")
    try:
        old = cluster.who("master")
        cluster.kill(old)

        cluster.new_master(other_than=old)

        cluster.heal()
        assert cluster.ended(cluster.stored(as_file(noise(100, 100))))["state"] == "done"
    finally:
        with visit(cluster.hosts) as client:
            client.delete(strange)


@pytest.mark.whole
def test_a_master_whose_connection_breaks_and_comes_back_goes_on_as_the_same(
    cluster: Cluster, picture: Picture, servers: Servers
) -> None:
    epoch = max(node["epoch"] or 0 for node in nodes(cluster))
    job_id = cluster.stored(as_file(picture))
    earlier = cluster.stored(as_file(noise(50, 50)))
    cluster.ended(earlier)

    for server in (1, 2, 3):  # every session moves at least once, none expires
        servers.kill(server)
        servers.restart(server)
        servers.mend()  # until it serves again: without a majority, sessions expire

    assert is_right(cluster, job_id, picture)
    assert max(node["epoch"] or 0 for node in nodes(cluster)) >= epoch
    assert cluster.result(earlier), "its result is still kept"


def nodes(cluster: Cluster) -> list[dict[str, Any]]:
    answer = until(lambda: (told := cluster.of_master("/cluster")).status_code == 200 and told, cluster.roles)
    return list(answer.json()["nodes"])
