"""The disk that forgets keeps what was synced, and app's own Disk relies on nothing else."""

import errno
import os
import random
from pathlib import Path

import pytest
from greenlet import GreenletExit  # type: ignore[import-untyped]  # it has no annotations

from app.consistency.engine.disk import Disk, fsync, sha256
from proof.simulation.disk import Files, ForgetfulDisk

TOP, FOLDER = Path("/data"), Path("/data/copies")
SEEDS = range(40)


def machine(seed: int = 1) -> tuple[ForgetfulDisk, Files]:
    disk = ForgetfulDisk(random.Random(seed))
    return disk, Files(disk)


def folder_on(files: Files) -> None:
    """Both folders, synced into their parents."""
    files.mkdir(TOP)
    files.mkdir(FOLDER)
    fsync(Path("/"), files)
    fsync(TOP, files)


def written(files: Files, name: str, data: bytes, *, synced: bool) -> Path:
    path = FOLDER / name
    handle = files.open(path, os.O_CREAT | os.O_WRONLY)
    view = memoryview(data)
    while view:
        view = view[files.write(handle, view) :]
    if synced:
        files.fsync(handle)
    files.close(handle)
    return path


def after_power_cut(seed: int, *, file: bool, folder: bool) -> bytes | None:
    """What is left of a file: itself synced or not, and its folder."""
    disk, files = machine(seed)
    folder_on(files)
    written(files, "a", b"0123456789", synced=file)
    if folder:
        fsync(FOLDER, files)
    files.end()
    disk.lose_power()
    return disk.seen(FOLDER).get("a")


def test_what_was_synced_with_its_folder_is_there_after_every_power_cut() -> None:
    assert {after_power_cut(seed, file=True, folder=True) for seed in SEEDS} == {b"0123456789"}


def test_a_name_that_was_not_synced_may_be_gone() -> None:
    assert {after_power_cut(seed, file=True, folder=False) for seed in SEEDS} == {b"0123456789", None}


def test_a_file_that_was_not_synced_may_be_empty_torn_zeros_or_whole() -> None:
    left = {after_power_cut(seed, file=False, folder=True) for seed in SEEDS}
    assert {b"", b"0123456789"} < left
    assert any(torn and b"0123456789".startswith(torn) and len(torn) < 10 for torn in left)
    assert any(torn and not torn.strip(b"\0") for torn in left)


def test_a_rename_is_on_the_disk_only_when_its_folder_is_synced() -> None:
    left = set()
    for seed in SEEDS:
        disk, files = machine(seed)
        folder_on(files)
        path = written(files, "a", b"whole", synced=True)
        fsync(FOLDER, files)
        files.rename(path, FOLDER / "b")
        assert list(disk.seen(FOLDER)) == ["b"]
        assert disk.certain(FOLDER) == {}
        disk.lose_power()
        left |= set(disk.seen(FOLDER).items())
    assert left == {("a", b"whole"), ("b", b"whole")}


def test_without_a_power_cut_a_process_that_died_loses_nothing_that_it_wrote() -> None:
    disk, files = machine()
    folder_on(files)
    written(files, "a", b"text", synced=False)
    files.end()
    assert disk.seen(FOLDER) == {"a": b"text"}
    assert disk.certain(FOLDER) == {}


def test_a_process_that_has_ended_does_nothing_more() -> None:
    disk, files = machine()
    folder_on(files)
    files.end()
    for act in (
        lambda: files.unlink(FOLDER),
        lambda: files.listdir(FOLDER),
        lambda: files.mkdir(FOLDER / "x"),
    ):
        with pytest.raises(GreenletExit):
            act()
    assert disk.seen(FOLDER) == {}


# --- app's own Disk on it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"text", bytes(3000)], ids=["nothing", "text", "zeros"])
def test_a_saved_copy_survives_every_power_cut_byte_for_byte(payload: bytes) -> None:
    for seed in SEEDS:
        disk, files = machine(seed)
        assert Disk(FOLDER, files=files).save("job", payload) is True
        assert disk.certain(FOLDER) == {f"job.{sha256(payload)}": payload}
        files.end()
        disk.lose_power()
        again = Disk(FOLDER, files=Files(disk))
        assert again.load("job", sha256(payload)) == payload
        assert again.may_hold("job")
        assert again.save("job", payload) is False


def _save_and_discard(copies: Disk) -> None:
    copies.save("job", b"payload")
    copies.discard("job", sha256(b"payload"))


@pytest.mark.parametrize("last", ["open", "write", "fsync", "rename", "unlink"])
def test_a_copy_in_the_making_is_whole_or_not_there_and_can_be_made_again(last: str) -> None:
    """The process dies before it does ``last``, and then the power fails."""
    for seed in SEEDS:
        disk, files = machine(seed)
        copies = Disk(FOLDER, files=files)

        def dies(*_: object, files: Files = files) -> None:
            files.end()
            raise GreenletExit

        setattr(files, last, dies)
        with pytest.raises(GreenletExit):
            _save_and_discard(copies)
        disk.lose_power()
        again = Disk(FOLDER, files=Files(disk))
        assert again.load("job", sha256(b"payload")) in (None, b"payload")
        again.save("job", b"payload")
        assert disk.certain(FOLDER)[f"job.{sha256(b'payload')}"] == b"payload"


def test_a_folder_whose_maker_died_before_it_was_synced_is_synced_by_who_finds_it() -> None:
    for seed in SEEDS:
        disk, files = machine(seed)
        files.mkdir(TOP)
        fsync(Path("/"), files)
        files.mkdir(FOLDER)
        files.end()
        Disk(FOLDER, files=Files(disk)).save("job", b"payload")
        disk.lose_power()
        assert list(disk.seen(FOLDER).values()) == [b"payload"]


def test_a_full_disk_keeps_nothing_of_a_copy_and_later_works_again() -> None:
    disk, files = machine()
    copies = Disk(FOLDER, files=files)
    disk.is_full = True
    with pytest.raises(OSError, match="No space") as refused:
        copies.save("job", b"payload")
    assert refused.value.errno == errno.ENOSPC
    assert disk.seen(FOLDER) == {}
    disk.is_full = False
    assert copies.save("job", b"payload") is True


def test_a_discarded_copy_is_gone_also_after_a_power_cut() -> None:
    for seed in SEEDS:
        disk, files = machine(seed)
        copies = Disk(FOLDER, files=files)
        copies.save("job", b"payload")
        copies.discard("job", sha256(b"payload"))
        disk.lose_power()
        assert disk.seen(FOLDER) == {}


def test_a_replaced_disk_is_empty_and_remembers_only_what_was_once_on_it() -> None:
    disk, files = machine()
    Disk(FOLDER, files=files).save("job", b"payload")
    disk.replace()
    assert disk.seen(FOLDER) == disk.certain(FOLDER) == {}
    assert disk.had == {f"job.{sha256(b'payload')}": b"payload"}
