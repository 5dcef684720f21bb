"""A task's result counts only while the task is its worker's, and leaves nothing where it doesn't."""

from pathlib import Path

import pytest

from app.mapreduce.records import Attempt, Done
from app.mapreduce.task_worker import Claim, TaskWorker
from app.mapreduce.volume import Volume, write
from app.zookeeper import client as zk, paths
from tests.conftest import Place

JOB_ID = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("meanwhile", ["another has it", "its lock is gone", "the job was cleaned up"])
def test_a_result_that_comes_too_late_leaves_no_file(place: Place, tmp_path: Path, meanwhile: str) -> None:
    """Its worker was paused, and wrote its file when it woke."""
    client, shared = place.client(), Volume(tmp_path)
    shared.upload(JOB_ID, "sha256").write_bytes(b"an upload")
    cleaned_up = meanwhile == "the job was cleaned up"
    if not cleaned_up:
        task = paths.task(JOB_ID, "equalize", 0)
        zk.wait(client.create_async(task, Attempt().to_bytes(), makepath=True), zk.Deadline(10))
    worker = TaskWorker(client, "worker-1", JOB_ID, shared, lambda: (0, 1), lambda job_id: None)
    version = 0 if meanwhile == "its lock is gone" else 5
    path = shared.scratch(JOB_ID, "equalize.0.5")
    write(path, b"a band", synced=False)

    worker._store(
        "equalize", Claim(0, Attempt(), version), Done(by="worker-1", attempt=1, size=6, file=path.name)
    )

    assert not path.exists()
    assert path.parent.exists() != cleaned_up
    assert shared.upload(JOB_ID, "sha256").exists() != cleaned_up
    assert not zk.wait(client.exists_async(paths.done(JOB_ID, "equalize", 0)), zk.Deadline(10))
