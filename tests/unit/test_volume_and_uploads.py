"""Files on the shared volume and uploads on a worker's disk: there whole, or not at all."""

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from app.errors import PayloadUnavailable, TooLarge
from app.mapreduce import volume
from app.mapreduce.records import Manifest
from app.mapreduce.uploads import UploadDisk, whole
from app.mapreduce.volume import Damaged, Volume

JOB = "6f6ff9a4-9fd0-4ff5-b9b1-0b5f6b2a4e11"
DATA = b"some bytes, " * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
MANIFEST = Manifest(job="equalize", name="a.png", size=len(DATA), sha256=SHA256)


@pytest.fixture
def shared(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "shared")


@pytest.fixture
def disk(tmp_path: Path, shared: Volume) -> UploadDisk:
    return UploadDisk(tmp_path / "own", shared)


def received(disk: UploadDisk, data: bytes = DATA, most_bytes: int = 1 << 20) -> Path:
    """An upload that has arrived on this disk."""
    spool = disk.spool(most_bytes)
    try:
        for begin in range(0, len(data), 777):
            spool.write(data[begin : begin + 777])
        spool.finish()
        assert (spool.size, spool.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        disk.name(spool, JOB)
    finally:
        spool.close()
    return disk.blob(JOB, hashlib.sha256(data).hexdigest())


def test_what_was_received_is_kept_byte_for_byte(disk: UploadDisk) -> None:
    assert received(disk).read_bytes() == DATA


def test_an_upload_over_the_limit_leaves_nothing(disk: UploadDisk) -> None:
    with pytest.raises(TooLarge):
        received(disk, most_bytes=5000)

    assert not list(disk._blobs.iterdir())


def test_to_keep_a_manifest_is_to_have_its_bytes(disk: UploadDisk, shared: Volume) -> None:
    shared.upload(JOB, SHA256).write_bytes(DATA)

    disk.copies.save(JOB, MANIFEST.to_bytes())

    assert disk.blob(JOB, SHA256).read_bytes() == DATA
    assert disk.copies.load(JOB, hashlib.sha256(MANIFEST.to_bytes()).hexdigest()) == MANIFEST.to_bytes()


@pytest.mark.parametrize("there", [None, DATA[:-1], DATA[:-1] + b"!", b""])
def test_a_manifest_is_not_kept_without_its_bytes(
    disk: UploadDisk, shared: Volume, there: bytes | None
) -> None:
    if there is not None:
        shared.upload(JOB, SHA256).write_bytes(there)

    with pytest.raises(PayloadUnavailable):
        disk.copies.save(JOB, MANIFEST.to_bytes())

    assert disk.copies.load(JOB, hashlib.sha256(MANIFEST.to_bytes()).hexdigest()) is None
    assert not disk.kept()


def test_a_manifest_whose_bytes_are_gone_is_not_there(disk: UploadDisk, shared: Volume) -> None:
    shared.upload(JOB, SHA256).write_bytes(DATA)
    disk.copies.save(JOB, MANIFEST.to_bytes())
    disk.blob(JOB, SHA256).unlink()

    assert disk.copies.load(JOB, hashlib.sha256(MANIFEST.to_bytes()).hexdigest()) is None


def test_discarding_a_manifest_drops_its_bytes(disk: UploadDisk, shared: Volume) -> None:
    shared.upload(JOB, SHA256).write_bytes(DATA)
    disk.copies.save(JOB, MANIFEST.to_bytes())

    disk.copies.discard(JOB, hashlib.sha256(MANIFEST.to_bytes()).hexdigest())

    assert not disk.kept()


def test_a_damaged_shared_copy_is_put_right_from_our_own(disk: UploadDisk, shared: Volume) -> None:
    received(disk)
    shared.upload(JOB, SHA256).write_bytes(DATA[:10])

    assert whole(JOB, MANIFEST, shared, disk).read_bytes() == DATA


def test_our_own_copy_is_checked_before_it_replaces_the_shared_one(disk: UploadDisk, shared: Volume) -> None:
    received(disk).write_bytes(b"x" * len(DATA))
    shared.upload(JOB, SHA256).write_bytes(DATA[:10])

    with pytest.raises(Damaged):
        whole(JOB, MANIFEST, shared, disk)

    assert shared.upload(JOB, SHA256).read_bytes() == DATA[:10]


def test_half_received_uploads_are_gone_after_a_restart(disk: UploadDisk, shared: Volume) -> None:
    left = disk.spool(1 << 20)
    left.write(DATA)

    again = UploadDisk(disk.copies.folder.parent, shared)

    assert not list(again._blobs.iterdir())
    left.close()


def test_a_read_that_finds_other_bytes_says_so(tmp_path: Path) -> None:
    path = tmp_path / "array"
    path.write_bytes(DATA)
    crc32 = zlib.crc32(DATA[100:300])

    assert bytes(volume.read(path, 100, 200, crc32)) == DATA[100:300]
    for offset, length in ((101, 200), (100, 199), (len(DATA) - 50, 200)):
        with pytest.raises(Damaged):
            volume.read(path, offset, length, crc32)
    os.truncate(path, 250)
    with pytest.raises(Damaged):
        volume.read(path, 100, 200, crc32)
    with pytest.raises(Damaged, match="missing"):
        volume.read(tmp_path / "nobody", 0, 1, 0)


def test_one_buffer_serves_many_reads(tmp_path: Path) -> None:
    path = tmp_path / "array"
    path.write_bytes(DATA)
    buffer = bytearray(500)

    for begin in (0, 300, 600):
        data = DATA[begin : begin + 400]
        assert bytes(volume.read(path, begin, 400, zlib.crc32(data), buffer)) == data


def test_a_file_is_never_opened_for_writing_again(tmp_path: Path) -> None:
    volume.write(tmp_path / "once", b"first", synced=True)

    with pytest.raises(FileExistsError):
        volume.write(tmp_path / "once", b"second", synced=True)

    assert (tmp_path / "once").read_bytes() == b"first"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", "a/b", ".hidden"])
def test_a_name_from_a_record_never_leads_out_of_the_volume(shared: Volume, name: str) -> None:
    with pytest.raises(ValueError, match="can't be a name"):
        shared.scratch(JOB, name)
