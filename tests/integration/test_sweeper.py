"""A worker's copies of uploads go when their jobs have ended, also where ZooKeeper is away just then."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import eventlet
import pytest

from app.mapreduce.records import Manifest
from app.mapreduce.sweeper import Sweeper
from app.mapreduce.uploads import UploadDisk
from app.mapreduce.volume import Volume
from app.zookeeper import client as zk, paths
from tests.conftest import Place, eventually

JOB_ID = "00000000-0000-4000-8000-000000000001"
DATA = b"an upload"
MANIFEST = Manifest(job="equalize", name="a.tif", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def disk(tmp_path: Path) -> UploadDisk:
    """It has a copy of one upload."""
    disk = UploadDisk(tmp_path / "own", Volume(tmp_path / "shared"))
    spool = disk.spool(len(DATA))
    spool.write(DATA)
    spool.finish()
    disk.name(spool, JOB_ID)
    spool.close()
    disk.copies.save(JOB_ID, MANIFEST.to_bytes())
    return disk


@pytest.fixture
def end_job(place: Place) -> Callable[[], None]:
    client = place.client()

    def create_result() -> None:
        zk.wait(client.create_async(paths.result(JOB_ID), b"", makepath=True), zk.Deadline(20))
        place.all_servers_know()  # the sweeper's own hears of an end after the result is there

    return create_result


def test_a_copy_goes_when_its_job_ends_and_not_before(
    place: Place, disk: UploadDisk, end_job: Callable[[], None]
) -> None:
    sweeper = place.started(Sweeper(place.client(), disk))
    sweeper.job_ended(JOB_ID)  # it has left the board, as far as a lagging server shows
    eventlet.sleep(0.3)
    assert disk.kept() == {JOB_ID}

    end_job()
    sweeper.job_ended(JOB_ID)

    eventually(lambda: not disk.kept())


def test_what_has_ended_while_the_worker_was_away_goes_at_its_start(
    place: Place, disk: UploadDisk, end_job: Callable[[], None]
) -> None:
    end_job()

    place.started(Sweeper(place.client(), disk))

    eventually(lambda: not disk.kept())


def test_a_job_that_ends_while_zookeeper_is_away_is_asked_about_again(
    place: Place, disk: UploadDisk, end_job: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zk, "STEP_S", 0.3)
    link = place.link()
    sweeper = place.started(Sweeper(place.client(link), disk))
    link.down()
    end_job()

    sweeper.job_ended(JOB_ID)
    eventlet.sleep(1)  # its patience has ended by then
    link.heal()

    eventually(lambda: not disk.kept())
