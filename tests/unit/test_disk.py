"""A copy is on the disk whole or not at all, and synced before anybody relies on it."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from app.consistency.engine.disk import Disk, sha256

PAYLOADS = [b"", b"text", b"\xff\xfe\x00not UTF-8", os.urandom(1_000_000)]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


def everything(disk: Disk) -> list[str]:
    return [found.name for found in disk.folder.iterdir()]


@pytest.mark.parametrize("payload", PAYLOADS, ids=["nothing", "text", "not UTF-8", "a megabyte"])
def test_a_copy_is_read_back_byte_for_byte_also_by_the_next_process(disk: Disk, payload: bytes) -> None:
    assert disk.save("job", payload) is True
    for reader in (disk, Disk(disk.folder)):
        assert reader.load("job", sha256(payload)) == payload
        assert reader.may_hold("job")
    assert everything(disk) == [f"job.{sha256(payload)}"]


def test_the_same_copy_again_is_there_already(disk: Disk) -> None:
    assert disk.save("job", b"payload") is True
    assert disk.save("job", b"payload") is False
    assert Disk(disk.folder).save("job", b"payload") is False


def test_copies_of_different_payloads_stand_beside_each_other(disk: Disk) -> None:
    disk.save("job", b"one")
    disk.save("job", b"other")
    disk.discard("job", sha256(b"one"))
    assert disk.load("job", sha256(b"one")) is None
    assert disk.load("job", sha256(b"other")) == b"other"


def test_a_copy_that_is_not_there_is_none_and_is_discarded_in_silence(disk: Disk) -> None:
    assert disk.load("job", sha256(b"payload")) is None
    assert not disk.may_hold("job")
    disk.discard("job", sha256(b"payload"))


@pytest.mark.parametrize("damaged", [b"", b"paxload", b"payload and more"])
def test_a_damaged_copy_is_noticed_and_mended_by_saving_again(disk: Disk, damaged: bytes) -> None:
    disk.save("job", b"payload")
    (disk.folder / f"job.{sha256(b'payload')}").write_bytes(damaged)
    assert disk.load("job", sha256(b"payload")) is None
    assert disk.save("job", b"payload") is True
    assert disk.load("job", sha256(b"payload")) == b"payload"


def test_a_copy_that_cannot_be_read_is_lost(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.save("job", b"payload")

    def broken(handle: int, length: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    assert disk.load("job", sha256(b"payload")) is None


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a" * 101])
def test_an_id_that_is_no_name_never_reaches_the_disk(disk: Disk, name: str) -> None:
    with pytest.raises(ValueError, match="can't be a name"):
        disk.save(name, b"payload")
    assert everything(disk) == []


# --- the order of the calls (Pillai et al., OSDI 2014) ------------------------------------------------------


class Calls:
    """The calls that matter, in their order, each with what it was called on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, int]] = []  # (call, inode)
        for name in ("write", "fsync"):
            monkeypatch.setattr(os, name, self._seen(name, getattr(os, name)))
        rename = os.rename

        def see_rename(source: Any, target: Any) -> None:
            self.made.append(("rename", Path(source).stat().st_ino))
            rename(source, target)

        monkeypatch.setattr(os, "rename", see_rename)

    def _seen(self, name: str, real: Any) -> Any:
        def call(handle: int, *rest: Any) -> Any:
            found = os.fstat(handle)
            kind = " folder" if stat.S_ISDIR(found.st_mode) else ""
            self.made.append((name + kind, found.st_ino))
            return real(handle, *rest)

        return call


def test_a_copy_is_written_synced_renamed_and_its_folder_synced_in_this_order(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    disk.save("job", b"payload")
    file = (disk.folder / f"job.{sha256(b'payload')}").stat().st_ino
    folder = disk.folder.stat().st_ino
    assert calls.made == [("write", file), ("fsync", file), ("rename", file), ("fsync folder", folder)]


def test_a_copy_that_was_there_is_synced_before_anybody_relies_on_it(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who put it there may have died between its rename and the folder's fsync."""
    disk.save("job", b"payload")
    calls = Calls(monkeypatch)
    disk.save("job", b"payload")
    assert calls.made == [("fsync folder", disk.folder.stat().st_ino)]


def test_a_write_that_takes_only_a_part_goes_on(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    disk.save("job", b"0123456789")
    assert disk.load("job", sha256(b"0123456789")) == b"0123456789"


def test_a_discarded_copy_is_gone_also_after_the_power_fails(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.save("job", b"payload")
    calls = Calls(monkeypatch)
    disk.discard("job", sha256(b"payload"))
    assert calls.made == [("fsync folder", disk.folder.stat().st_ino)]
    assert everything(disk) == []


def test_a_new_folder_is_synced_into_its_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    Disk(tmp_path / "one" / "two")
    expected = [tmp_path, tmp_path / "one"]
    assert calls.made == [("fsync folder", folder.stat().st_ino) for folder in expected]


# --- a disk that fails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_fails_keeps_nothing_and_later_works_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fails)
        with pytest.raises(OSError, match="No space"):
            disk.save("job", b"payload")
    assert everything(disk) == []
    assert not disk.may_hold("job")
    assert disk.save("job", b"payload") is True


def test_a_folder_that_cannot_be_synced_is_an_error(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is whole, but nobody may rely on it yet."""
    fsync = os.fsync

    def fails_on_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(handle)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails_on_folders)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                disk.save("job", b"payload")
    assert disk.save("job", b"payload") is False


def test_what_a_writer_left_unfinished_when_it_died_is_no_copy_and_is_cleared_away(disk: Disk) -> None:
    disk.save("job", b"payload")
    for name, age_s in ((".writing-dead", 3600), (".writing-alive", 0)):
        (disk.folder / name).write_bytes(b"pay")
        os.utime(disk.folder / name, (time.time() - age_s,) * 2)
    again = Disk(disk.folder)
    assert set(everything(again)) == {f"job.{sha256(b'payload')}", ".writing-alive"}
    assert not again.may_hold(".writing-alive")
