"""The ACK trail of the last uploads: what happened when, until it is on two disks.

Two clocks, each named on the page: the primary measures its own steps (monotonic, from when its own copy was
on disk), and ZooKeeper's leader has stamped the record, the ACK and the outcome when it made them.
Only the backup knows when its copy was on its disk; its ACK is created after that.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import eventlet

from app.consistency.engine.fencing import Epoch
from app.web.stream import PAGE, Stream
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

_KEPT = 5
# The primary's steps, as it names them.
_FIRST = "primary has it on disk"
_STEPS = {
    _FIRST: "copied",
    "published": "published",
    "ACK received": "acknowledged",
    "committed": "committed",
    "aborted": "aborted",
    "known as committed": "known",  # by an earlier attempt of the same request
    "known as aborted": "known",
}


@dataclass
class _Upload:
    job: str
    epoch: Epoch
    began: float
    ms: dict[str, float] = field(default_factory=dict)
    store_ms: dict[str, int] | None = None

    def view(self) -> dict[str, Any]:
        return {
            "job": self.job,
            "primary": self.epoch.primary,
            "backup": self.epoch.backup,
            "epoch": self.epoch.number,
            "ms": self.ms,
            "store_ms": self.store_ms,
        }


class Trail:
    """The last uploads.

    Args:
        epoch: the one in which this worker leads now.
        client: the session to read the store's clock with.
    """

    def __init__(self, stream: Stream, epoch: Callable[[], Epoch], client: Any) -> None:
        self._stream = stream
        self._epoch = epoch
        self._client = client
        self._uploads: dict[str, _Upload] = {}

    def take(self, step: str, job_id: str) -> None:
        """A step of the primary's. Never blocks."""
        name, now = _STEPS.get(step), time.monotonic()
        if name is None:
            return
        epoch = self._epoch()
        if step == _FIRST:
            self._uploads.pop(job_id, None)
            self._uploads[job_id] = _Upload(job_id, epoch, now)
            for old in list(self._uploads)[:-_KEPT]:
                del self._uploads[old]
        upload = self._uploads.get(job_id)
        if upload is None:
            return  # what a former primary had begun
        upload.epoch = epoch
        upload.ms[name] = round((now - upload.began) * 1000, 1)
        self._tell(upload)
        if name in ("committed", "aborted") and self._stream.there(PAGE):
            eventlet.spawn(self._read_clock, upload)

    def view(self) -> dict[str, Any] | None:
        """The last upload's, for a page that has just come."""
        return list(self._uploads.values())[-1].view() if self._uploads else None

    def _tell(self, upload: _Upload) -> None:
        self._stream.tell("trail", "trail", upload.view)

    def _read_clock(self, upload: _Upload) -> None:
        """When the store created the three znodes: milliseconds after the first of them."""
        client, deadline = self._client, zk.Deadline(zk.STEP_S)
        named = {"acknowledged": paths.backup_ack(upload.job), "decided": paths.outcome(upload.job)}
        try:
            asked = {name: client.exists_async(path) for name, path in named.items()}
            record = zk.wait(client.exists_async(paths.job(upload.job)), deadline)
            stats = {name: zk.wait(result, deadline) for name, result in asked.items()}
        except zk.NO_REPLY as error:
            log.info("the trail of %s stays without the store's clock: %r", upload.job, error)
            return
        if record is not None:
            upload.store_ms = {name: stat.ctime - record.ctime for name, stat in stats.items() if stat}
            self._tell(upload)
