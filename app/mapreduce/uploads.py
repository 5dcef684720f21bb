"""Uploads on a worker's own disk: the bytes beside the transaction that stands for them.

An upload's transaction holds a manifest (name, size, sha256). For the protocol that is the payload; its disk
has a copy of a manifest only together with the bytes that it names (``Attachments``). So the protocol's
promise covers them, unchanged: the primary has them before it publishes; the backup takes them from the
shared volume, checks and syncs them before it acknowledges; they go when the transaction is aborted, or its
job has ended.
"""

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import eventlet
from eventlet import tpool

from app.consistency.engine.disk import Disk
from app.errors import PayloadUnavailable, TooLarge
from app.mapreduce import volume
from app.mapreduce.records import Manifest
from app.mapreduce.volume import Damaged, Volume
from app.zookeeper import paths

_RECEIVING = ".receiving-"
# Hashed and written by a thread at once: large enough that handing it over costs little beside.
_BATCH_BYTES = 1 << 20
# Longer than anybody takes from the first byte of an upload to its manifest.
_ABANDONED_AFTER_S = 3600.0


class Spool:
    """An upload while it is received: a file without a name that counts, hashed on the way.

    Args:
        folder: on the worker's own disk.
        most_bytes: the limit.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        handle, name = tempfile.mkstemp(prefix=_RECEIVING, dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._most_bytes = most_bytes
        self._digest = hashlib.sha256()
        self._blocks: list[bytes | bytearray] = []
        self._waiting = 0
        self._storing: Any = None
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Take more bytes. Raises TooLarge or OSError."""
        self.size += len(data)
        if self.size > self._most_bytes:
            message = f"an upload may have {self._most_bytes >> 20} MiB: send a smaller file"
            raise TooLarge(message)
        self._blocks.append(data)
        self._waiting += len(data)
        if self._waiting >= _BATCH_BYTES:
            self._flush()

    def finish(self) -> None:
        """All is here: after this, ``size`` and ``sha256`` are final. Not yet synced. Raises OSError."""
        self._flush()
        self._stored()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        """Drop it, unless it has been moved to its place."""
        if self._storing is not None:
            self._storing.wait()
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Hash and write in a thread, while more is received."""
        self._stored()
        blocks, self._blocks, self._waiting = self._blocks, [], 0
        self._storing = eventlet.spawn(tpool.execute, self._store, blocks)
        eventlet.sleep(0)  # else it would begin only when we wait for it

    def _stored(self) -> None:
        """Wait for the block under way. Raises OSError if it could not be written."""
        storing, self._storing = self._storing, None
        if storing is not None and (error := storing.wait()) is not None:
            raise error

    def _store(self, blocks: list[bytes | bytearray]) -> OSError | None:
        try:
            view = memoryview(b"".join(blocks))  # one large step: each small one would fight for the GIL
            self._digest.update(view)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            return error  # raised in the receiving green thread
        return None


class UploadDisk:
    """A worker's disk: the manifests that the protocol copies, and beside them the uploads.

    Args:
        folder: the worker's own.
        shared: where the primary has put the shared copy.

    Attributes:
        copies: the protocol's disk; the uploads are its attachments.
    """

    def __init__(self, folder: Path, shared: Volume) -> None:
        self.copies = Disk(folder / "copies", self)
        self._shared = shared
        self._blobs = folder / "uploads"
        self._blobs.mkdir(parents=True, exist_ok=True)
        for unfinished in [*self._blobs.glob(f"{_RECEIVING}*"), *self._blobs.glob(f"*{volume.PART}")]:
            unfinished.unlink(missing_ok=True)  # one process to a disk, and it has just begun

    def spool(self, most_bytes: int) -> Spool:
        """A new upload is about to be received. Raises OSError."""
        return Spool(self._blobs, most_bytes)

    def blob(self, job_id: str, sha256: str) -> Path:
        """This worker's own copy of an upload."""
        return self._blobs / f"{paths.checked(job_id)}.{sha256}"

    def name(self, spool: Spool, job_id: str) -> None:
        """What was received is this job's upload. Not yet synced."""
        spool.path.rename(self.blob(job_id, spool.sha256))

    # -- as the attachments of the protocol's disk --

    def fetch(self, job_id: str, payload: bytes) -> None:
        """Have a manifest's bytes; those that aren't here are taken from the shared volume.

        Raises OSError, or PayloadUnavailable.
        """
        manifest = Manifest.from_bytes(payload)
        blob = self.blob(job_id, manifest.sha256)
        if not _has(blob, manifest.size):
            shared = self._shared.upload(job_id, manifest.sha256)
            try:
                volume.copy(shared, blob, (manifest.size, manifest.sha256))
            except Damaged as error:
                raise PayloadUnavailable(str(error)) from error

    def has(self, job_id: str, payload: bytes) -> bool:
        manifest = Manifest.from_bytes(payload)
        return _has(self.blob(job_id, manifest.sha256), manifest.size)

    def drop(self, job_id: str) -> None:
        for blob in self._blobs.glob(f"{paths.checked(job_id)}.*"):
            blob.unlink(missing_ok=True)

    # -- when the protocol needs a copy no more --

    def forget(self, job_id: str) -> None:
        """The job has ended: neither the manifest nor its bytes are needed any more."""
        for copy in self.copies.folder.glob(f"{paths.checked(job_id)}.*"):
            copy.unlink(missing_ok=True)
        self.drop(job_id)

    def drop_strays(self, job_id: str) -> None:
        """Remove bytes that no manifest stands for: their submission was refused."""
        if not any(self.copies.folder.glob(f"{paths.checked(job_id)}.*")):
            self.drop(job_id)

    def drop_abandoned(self) -> None:
        """Remove bytes that have had no manifest for long: their primary died before it published any."""
        for blob in self._blobs.iterdir():
            if blob.name[0] != "." and time.time() - blob.stat().st_mtime > _ABANDONED_AFTER_S:
                self.drop_strays(blob.name.partition(".")[0])

    def kept(self) -> set[str]:
        """The ids of all jobs of which something is here."""
        here = [*self._blobs.iterdir(), *self.copies.folder.iterdir()]
        return {path.name.partition(".")[0] for path in here if path.name[0] != "."}

    def restore(self, job_id: str, manifest: Manifest) -> None:
        """Put the shared copy right from our own. Raises Damaged if ours is no better, or OSError."""
        shared = self._shared.upload(job_id, manifest.sha256)
        volume.copy(self.blob(job_id, manifest.sha256), shared, (manifest.size, manifest.sha256))


def _has(path: Path, size: int) -> bool:
    """Whether a file of this size is there. That its bytes are right was checked when it was written."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def whole(job_id: str, manifest: Manifest, shared: Volume, disk: UploadDisk) -> Path:
    """An upload's shared copy, restored from our own disk if it was damaged. Raises Damaged or OSError."""
    path = shared.upload(job_id, manifest.sha256)
    if not volume.is_whole(path, manifest.size, manifest.sha256):
        disk.restore(job_id, manifest)
    return path
