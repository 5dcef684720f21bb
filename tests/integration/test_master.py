"""The master's answer to an upload, where ZooKeeper is lost between what it is told and what it asks."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import InDoubt
from app.mapreduce.master import Master
from app.mapreduce.records import Manifest
from app.mapreduce.uploads import UploadDisk
from app.mapreduce.volume import Volume
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import Place

JOB_ID = "00000000-0000-4000-8000-000000000001"
PICTURE = b"an upload that was stored before"


class Decides:
    """In the primary's place: the transaction is committed, and with its answer the last one has come."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def submit(self, job_id: str, payload: bytes) -> None:
        del job_id, payload
        self._link.cut()


def test_an_upload_asked_for_again_is_in_doubt_when_its_record_cannot_be_read(
    place: Place, tmp_path: Path
) -> None:
    manifest = Manifest(
        job="equalize", name="a.tif", size=len(PICTURE), sha256=hashlib.sha256(PICTURE).hexdigest()
    )
    record = place.client().create_async(paths.job(JOB_ID), manifest.to_bytes(), makepath=True)
    zk.wait(record, zk.Deadline(20))
    link = place.link()
    master = _master(place.client(link), Decides(link), tmp_path)
    spool = SimpleNamespace(size=manifest.size, sha256=manifest.sha256)

    with pytest.raises(InDoubt, match=f"{JOB_ID} is stored") as ending:
        master.submit(JOB_ID, manifest.job, manifest.name, spool)  # type: ignore[arg-type] # not read again

    assert ending.value.ask_again == JOB_ID


def _master(client: Any, primary: Any, folder: Path) -> Master:
    shared = Volume(folder / "shared")
    (folder / "own").mkdir()
    nodes: Any = SimpleNamespace(live=range(5))
    return Master(
        client,
        primary,
        UploadDisk(folder / "own", shared),
        shared,
        nodes,
        min_nodes=5,
        chunk_size=lambda: 64,
        on_event=lambda progress: None,
    )
