"""A replica's own disk: a copy is there whole, or not at all, also after the power fails.

Written as Pillai et al. (OSDI 2014) say it must be: temporary file, fsync, rename, fsync of the folder.
All of it blocks; a caller with green threads runs it in ``tpool``.
"""

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from eventlet import semaphore

from app.zookeeper import paths

log = logging.getLogger(__name__)

_TEMPORARY = ".writing-"  # the dot tells it from a copy
# Saving takes a moment; a temporary file that is older than this has no writer any more.
_ABANDONED_AFTER_S = 60.0
# Over the largest payload, so that a copy is read at once.
_PART_BYTES = 1 << 20


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


class KeyedLock:
    """One green thread at a time for each transaction; different transactions don't wait for each other."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Any, int]] = {}  # id -> (semaphore, how many hold it or wait for it)

    @contextmanager
    def hold(self, job_id: str) -> Iterator[None]:
        turn, others = self._taken.get(job_id, (semaphore.Semaphore(), 0))
        self._taken[job_id] = (turn, others + 1)
        try:
            with turn:
                yield
        finally:
            turn, users = self._taken.pop(job_id)
            if users > 1:
                self._taken[job_id] = (turn, users - 1)


class Attachments(Protocol):
    """What payloads stand for, where a payload only names it: kept beside the copies, on the same disk."""

    def fetch(self, job_id: str, payload: bytes) -> None:
        """Have it here, synced. Raises OSError or PayloadUnavailable."""

    def has(self, job_id: str, payload: bytes) -> bool:
        """Whether it is here."""

    def drop(self, job_id: str) -> None:
        """Remove it."""


class Files(Protocol):
    """The calls of ``os`` that a disk is made of."""

    def open(self, path: Path, flags: int, mode: int = ..., /) -> int: ...
    def read(self, handle: int, length: int, /) -> bytes: ...
    def write(self, handle: int, data: memoryview, /) -> int: ...
    def fsync(self, handle: int, /) -> None: ...
    def close(self, handle: int, /) -> None: ...
    def rename(self, source: Path, target: Path, /) -> None: ...
    def unlink(self, path: Path, /) -> None: ...
    def mkdir(self, path: Path, /) -> None: ...
    def listdir(self, path: Path, /) -> list[str]: ...
    def stat(self, path: Path, /) -> os.stat_result: ...


class Disk:
    """Copies of payloads, each under its transaction's id and digest, so that none overwrites another.

    Args:
        folder: made if missing; one participant's alone.
        attachments: to have a copy is to have what it stands for as well.
        files: where it keeps them: the machine's own, or what answers as it does.

    Attributes:
        locks: who saves a copy and may yet drop it, or relies on one that is there, takes turns. One
            participant's former primary and present backup may be at it together.
    """

    def __init__(self, folder: Path, attachments: Attachments | None = None, files: Files = os) -> None:
        self.folder = folder
        self._attachments = attachments
        self._files = files
        self.locks = KeyedLock()
        _make(folder, files)
        _clear_away(folder, files)
        self._ids = {Path(name).stem for name in files.listdir(folder) if not name.startswith(".")}

    def save(self, job_id: str, payload: bytes) -> bool:
        """Keep a copy, synced when this returns. False if it was there already.

        Raises OSError; or PayloadUnavailable, where what it stands for can't be fetched.
        """
        if self._attachments is not None:
            self._attachments.fetch(job_id, payload)
        digest, files = sha256(payload), self._files
        target = self._path(job_id, digest)
        if self.load(job_id, digest) is not None:
            fsync(self.folder, files)  # who put it there may have died between rename and fsync
            return False
        with _temporary_file(self.folder, files) as (handle, temporary):
            view = memoryview(payload)
            while view:
                view = view[files.write(handle, view) :]
            files.fsync(handle)
            files.rename(temporary, target)
        fsync(self.folder, files)
        self._ids.add(job_id)
        return True

    def load(self, job_id: str, digest: str) -> bytes | None:
        """The copy, byte for byte, or None: not here, or lost, since it can't be read or has changed."""
        try:
            payload = _read(self._path(job_id, digest), self._files)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("the copy of %s can't be read: %s", job_id, error)
            return None
        if sha256(payload) != digest or (self._attachments and not self._attachments.has(job_id, payload)):
            return None
        return payload

    def discard(self, job_id: str, digest: str) -> None:
        """Drop a copy: only on an explicit "aborted", or if its transaction was provably never published."""
        with suppress(FileNotFoundError):
            self._files.unlink(self._path(job_id, digest))
            fsync(self.folder, self._files)
        if self._attachments is not None:
            self._attachments.drop(job_id)

    def may_hold(self, job_id: str) -> bool:
        """Whether any copy was ever kept here under this id; asks no disk."""
        return job_id in self._ids

    def _path(self, job_id: str, digest: str) -> Path:
        return self.folder / f"{paths.checked(job_id)}.{digest}"


def _make(folder: Path, files: Files) -> None:
    """Make a folder and its parents, each synced into its parent: else it may be gone with all its copies.

    One that is there is synced, too: who made it may have died before that.
    """
    try:
        files.mkdir(folder)
    except FileNotFoundError:
        _make(folder.parent, files)
        files.mkdir(folder)
    except FileExistsError:
        pass  # if it is no folder, it can't be listed
    fsync(folder.parent, files)


def _clear_away(folder: Path, files: Files) -> None:
    """Remove what writers left unfinished when they died, and nothing that another is writing now."""
    for name in files.listdir(folder):
        if name.startswith(_TEMPORARY):
            with suppress(FileNotFoundError):
                if time.time() - files.stat(folder / name).st_mtime > _ABANDONED_AFTER_S:
                    files.unlink(folder / name)


def _read(path: Path, files: Files) -> bytes:
    with _opened(path, os.O_RDONLY, files) as handle:
        parts = []
        while part := files.read(handle, _PART_BYTES):
            parts.append(part)
        return b"".join(parts)


def fsync(path: Path, files: Files = os) -> None:
    """Bring a file to the disk, or a folder's entries: a file's name is not synced with the file."""
    with _opened(path, os.O_RDONLY, files) as handle:
        files.fsync(handle)


@contextmanager
def _temporary_file(folder: Path, files: Files) -> Iterator[tuple[int, Path]]:
    """An open file that is gone again if it was not renamed."""
    path = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files) as handle:
            yield handle, path
    finally:
        with suppress(FileNotFoundError):
            files.unlink(path)


@contextmanager
def _opened(path: Path, flags: int, files: Files) -> Iterator[int]:
    handle = files.open(path, flags, 0o600)
    try:
        yield handle
    finally:
        files.close(handle)
