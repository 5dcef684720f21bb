"""The shared volume: large arrays go through it, and never through a znode.

ZooKeeper can't fence a volume: a paused worker may write long after its task was given to another. So every
file carries its attempt in its name, is complete before the transaction that names it, and is never opened
for writing again; a file that no record names doesn't count. An upload and a job's output are synced before
they are named. A decoded picture or a task's result is not: its record has its checksum, and what
a power failure takes is noticed when it is read, and made again. Files are read, not mapped into memory: a
mapped file that somebody truncates kills its reader (SIGBUS), a read that is short is noticed.
All of it blocks; a caller with green threads runs it in ``tpool``.
"""

import hashlib
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from app.consistency.engine.disk import fsync
from app.jobs.job import Buffer
from app.zookeeper import paths

# Large enough that Python's part vanishes beside it.
_BLOCK_BYTES = 1 << 20
# How the name of a copy ends that isn't whole yet.
PART = ".part"


class Damaged(Exception):
    """A file on the shared volume is missing, or isn't what its record says."""


class Volume:
    """Where things stand on the shared volume.

    Args:
        folder: the volume's root, which all workers mount.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in (self.uploads, self.jobs, self.results):
            part.mkdir(parents=True, exist_ok=True)

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def upload(self, job_id: str, sha256: str) -> Path:
        """The shared copy of an upload."""
        return self.uploads / f"{paths.checked(job_id)}.{sha256}"

    def scratch(self, job_id: str, name: str) -> Path:
        """A file that goes with its job."""
        return self.jobs / paths.checked(job_id) / paths.checked(name)

    def discard(self, job_id: str, name: str) -> None:
        """Remove a file that goes with its job, and that no record will name."""
        self.scratch(job_id, name).unlink(missing_ok=True)

    def result(self, name: str) -> Path:
        return self.results / paths.checked(name)

    def forget_outputs(self, job_id: str, but: str | None) -> None:
        """Remove outputs that attempts have left, ``but`` for the one that was named."""
        for path in self.results.glob(f"{paths.checked(job_id)}.*"):
            if path.name != but:
                path.unlink(missing_ok=True)

    def forget(self, job_id: str) -> None:
        """Remove what a job has left beside its result."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.jobs / paths.checked(job_id))
        for upload in self.uploads.glob(f"{paths.checked(job_id)}.*"):
            upload.unlink(missing_ok=True)


def write(path: Path, data: Buffer, *, synced: bool) -> None:
    """A new file; on the disk when this returns, if ``synced``. Raises OSError; then nothing is left."""
    with new_file(path):
        with path.open("xb", buffering=0) as handle:
            view = memoryview(data).cast("B")
            while view:
                view = view[handle.write(view) :]
        if synced:
            sync(path)


def copy(source: Path, target: Path, described: tuple[int, str] | None = None) -> None:
    """Copy a file by the kernel; it appears whole, and synced, also when others copy the same.

    ``described``: the size in bytes and the sha256 that it must have; without them, who relies on it checks.
    Raises Damaged if ``source`` is missing or another one, or OSError; then nothing is left.
    """
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}{PART}")
    with new_file(part):
        try:
            shutil.copyfile(source, part)
        except FileNotFoundError as error:
            raise Damaged(f"{source.name} is missing") from error
        with _syncing(part):  # what was copied is what is checked; the disk writes it meanwhile
            whole = described is None or is_whole(part, *described)
        if not whole:
            raise Damaged(f"{source.name} is damaged: its size or its bytes are other ones")
        part.rename(target)
        fsync(target.parent)


def is_whole(path: Path, size: int, sha256: str) -> bool:
    """Whether a file is there, byte for byte."""
    try:
        with path.open("rb") as handle:
            same_size = os.fstat(handle.fileno()).st_size == size
            return same_size and hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def settle(path: Path) -> tuple[int, int]:
    """Bring a file to the disk, and describe it meanwhile: its size in bytes, and its crc32."""
    size, crc32 = 0, 0
    block = memoryview(bytearray(_BLOCK_BYTES))
    with _syncing(path), path.open("rb", buffering=0) as handle:
        while count := handle.readinto(block):
            size, crc32 = size + count, zlib.crc32(block[:count], crc32)
    return size, crc32


@contextmanager
def _syncing(path: Path) -> Iterator[None]:
    """The file is on the disk when the block has ended; the disk is at it while the block runs."""
    with ThreadPoolExecutor(1) as other:
        syncing = other.submit(sync, path)
        yield
        syncing.result()


def read(path: Path, offset: int, length: int, crc32: int, into: bytearray | None = None) -> Buffer:
    """These bytes of a file, checked; in ``into`` if that is given and large enough. Raises Damaged.

    One buffer for many reads saves more than a copy: memory that is fresh from the system is slow.
    """
    try:
        with path.open("rb", buffering=0) as handle:
            handle.seek(offset)
            if into is None or len(into) < length:
                data: Buffer = handle.read(length)
            else:
                data = memoryview(into)[: handle.readinto(memoryview(into)[:length])]
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    if len(data) != length or zlib.crc32(data) != crc32:  # a piece is far below the 2 GiB of one read
        raise Damaged(f"{path.name} is damaged: bytes {offset:,} to {offset + length:,}")
    return data


def sync(path: Path) -> None:
    """Bring a file that somebody has written, and its name, to the disk."""
    fsync(path)
    fsync(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[None]:
    """Make the folder of a file that is to be; if that fails in the block, the file is gone again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except FileExistsError:
        raise  # somebody else's
    except BaseException:
        path.unlink(missing_ok=True)
        raise
