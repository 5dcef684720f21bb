"""A job's reduced value, as a quorum object: ``/objects/<job>_matrix/replica_1..5``, hosted by the workers.

Written once by the master, read by every worker that maps with it; it can be read with two hosts gone.
A value too large for a znode is a file on the shared volume, and the object holds its name and checksum.
"""

import zlib

from eventlet import tpool
from kazoo.client import KazooClient
from pydantic import Field

from app.consistency.engine.replicas import Replicas
from app.consistency.engine.transactions import Stored
from app.consistency.engine.versions import UNWRITTEN
from app.consistency.quorum import N, Quorum, R, Register, W
from app.jobs.job import Buffer
from app.mapreduce import volume
from app.mapreduce.volume import Volume
from app.zookeeper import client as zk, paths

# Five replicas of it travel through the store's log: a 16-bit picture's table fits, a dictionary doesn't.
_MOST_INLINE_BYTES = 256 * 1024
TIMEOUT_S = 3.0


class _Elsewhere(Stored):
    """A value on the shared volume."""

    file: str
    size: int = Field(ge=0)
    crc32: int


class ReducedValue:
    """One job's reduced value.

    Args:
        client: this worker's session. All replicas are reached through it, so what can fail here is a host.
    """

    def __init__(self, client: KazooClient, job_id: str, shared: Volume) -> None:
        self._client = client
        self._job_id = job_id
        self._shared = shared
        replicas = Replicas(paths.matrix(job_id), [client] * N)
        self._register = Register(replicas, Quorum(N, W, R), timeout_s=TIMEOUT_S)

    def read(self) -> Buffer | None:
        """The value; None before it is written. Raises Refused (too few hosts), InDoubt or Damaged."""
        held = self._register.read()
        if held == UNWRITTEN:
            return None
        kind, value = held.value[:1], held.value[1:]
        if kind == b"=":
            return value
        there = _Elsewhere.from_bytes(value)
        path = self._shared.scratch(self._job_id, there.file)
        data: Buffer = tpool.execute(volume.read, path, 0, there.size, there.crc32)
        return data

    def write(self, value: Buffer, attempt: str) -> None:
        """Store it at W replicas; ``attempt`` makes a file's name new. Raises Refused, InDoubt or OSError."""
        data = bytes(value)
        if len(data) <= _MOST_INLINE_BYTES:
            self._register.write(b"=" + data)
            return
        name = f"matrix.{attempt}"
        tpool.execute(volume.write, self._shared.scratch(self._job_id, name), data, synced=True)
        there = _Elsewhere(file=name, size=len(data), crc32=zlib.crc32(data))
        self._register.write(b">" + there.to_bytes())

    def create(self) -> bool:
        """Make the object, unwritten; False if it exists. Raises Refused or InDoubt."""
        return self._register.create()

    def close(self) -> None:
        self._register.close()

    def forget(self, deadline: zk.Deadline) -> None:
        """Delete the object. Raises one of zk.NO_REPLY."""
        self._register.close()
        name = paths.matrix(self._job_id)
        doomed = [paths.replica(name, index) for index in range(1, N + 1)]
        zk.delete_all(self._client, [*doomed, paths.object_root(name)], deadline)
