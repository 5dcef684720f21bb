"""Disks that are full: the primary's, the backup's, the shared volume, in each step. Each is a tmpfs."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lab.workers import Worker
from tests.client import PATIENCE_S
from tests.worker.conftest import Cluster, as_file, as_pixels, equalized, noise

SIZE_MIB = 48
_BLOCK = 1 << 20

pytestmark = [pytest.mark.whole, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")]


def folders(cluster: Cluster) -> list[Path]:
    return [cluster.workers.shared_dir, *(worker.backup_dir for worker in cluster.workers.all)]


@pytest.fixture(scope="module")
def small_disks(cluster_of_five: Cluster) -> Iterator[Cluster]:
    cluster = cluster_of_five
    cluster.heal()

    def mount() -> None:
        for folder in folders(cluster):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", folder], check=True)

    def unmount() -> None:
        for folder in folders(cluster):
            subprocess.run(["umount", folder], check=True)

    cluster.restart_all(mount)
    try:
        yield cluster
    finally:
        for worker in cluster.workers.all:
            worker.send(signal.SIGCONT)
        cluster.heal()
        cluster.restart_all(unmount)


@pytest.fixture
def fill(small_disks: Cluster) -> Iterator[Callable[[Path, float], None]]:
    """Fill a disk, but for so many MiB; emptied again afterwards."""
    small_disks.heal()
    made: list[Path] = []

    def fill(folder: Path, free_mib: float) -> None:
        stuff = folder / "somebody-elses-file"
        made.append(stuff)
        with stuff.open("wb") as file:
            for _ in range(20):
                free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
                with contextlib.suppress(OSError):  # a job has taken some of it since we asked
                    os.posix_fallocate(file.fileno(), 0, max(4096, free - int(free_mib * _BLOCK)))
                    return
        raise AssertionError(f"{folder} can't be filled")

    yield fill
    for stuff in made:
        stuff.unlink(missing_ok=True)


def nothing_is_left(cluster: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := [path for path in cluster.files() if "somebody" not in path and "/results/" not in path]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def goes_on(cluster: Cluster, fill_file: Path) -> None:
    fill_file.unlink()
    picture = noise(200, 200)
    assert np.array_equal(as_pixels(cluster.result(cluster.stored(as_file(picture)))), equalized(picture))


def own_disk(worker: Worker) -> Path:
    return worker.backup_dir


def test_the_primarys_disk_is_full(small_disks: Cluster, fill: Callable[[Path, float], None]) -> None:
    folder = own_disk(small_disks.who("master"))
    fill(folder, 2)

    answer = small_disks.upload(as_file(noise(2000, 2000)))

    assert answer.status_code == 507, answer.text
    assert "No space left" in answer.json()["error"]
    nothing_is_left(small_disks)
    goes_on(small_disks, folder / "somebody-elses-file")


def test_the_shared_volume_is_full(small_disks: Cluster, fill: Callable[[Path, float], None]) -> None:
    folder = small_disks.workers.shared_dir
    fill(folder, 2)

    answer = small_disks.upload(as_file(noise(2000, 2000)))

    assert answer.status_code == 507, answer.text
    nothing_is_left(small_disks)
    goes_on(small_disks, folder / "somebody-elses-file")


def test_the_backups_disk_is_full(small_disks: Cluster, fill: Callable[[Path, float], None]) -> None:
    folder = own_disk(small_disks.who("backup"))
    fill(folder, 2)

    answer = small_disks.upload(as_file(noise(2000, 2000)))

    assert answer.status_code == 503, answer.text
    assert "not stored" in answer.json()["error"]
    nothing_is_left(small_disks)
    goes_on(small_disks, folder / "somebody-elses-file")


@pytest.mark.parametrize("phase", ["histograms", "equalize"])
def test_the_shared_volume_fills_up_while_a_job_runs(
    small_disks: Cluster, fill: Callable[[Path, float], None], phase: str
) -> None:
    folder = small_disks.workers.shared_dir
    small_disks.configure(8)
    # In map, bands of 9 MB don't fit any more; in finish, the bands are there and the result doesn't fit.
    job_id = small_disks.caught(as_file(noise(3000, 3000)), phase)
    fill(folder, 1)

    ended = small_disks.ended(job_id)

    assert ended["state"] == "failed"
    assert "No space left" in ended["error"]
    nothing_is_left(small_disks)
    goes_on(small_disks, folder / "somebody-elses-file")
