"""What a primary needs besides its protocol: its client, disk and fence, and the housekeeping."""

import logging
from collections.abc import Callable
from typing import Any

from eventlet import tpool
from kazoo.client import KazooClient

from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import Epoch, Fence
from app.consistency.engine.records import OnStep, Tidying, known_outcome, quiet
from app.consistency.engine.transactions import Digest, Outcome
from app.errors import InDoubt, NoBackup, PayloadUnavailable, Refused
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# The notes' patience with the backup, in seconds.
ACK_TIMEOUT_S = 10.0


class DiskRefused(Refused):
    """Our own disk can't keep the payload. Nothing was written."""


class Leader:
    """Leads while its epoch is in force.

    Args:
        client: this participant's own connected client.
        disk: its own disk.
        epoch: the epoch in which it leads.
        ack_timeout_s: its patience with the backup, in seconds.
        on_step: called with (what has just happened, transaction's id); must return quickly.
    """

    def __init__(
        self,
        client: KazooClient,
        disk: Disk,
        epoch: Epoch,
        *,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        on_step: OnStep = quiet,
    ) -> None:
        self._client = client
        self._disk = disk
        self._fence = Fence(client, epoch)
        self.ack_timeout_s = ack_timeout_s
        self._on_step = on_step
        self._tidying = Tidying(client)

    @property
    def epoch(self) -> Epoch:
        """The epoch in which it leads: another one when the backup changes."""
        return self._fence.epoch

    def backup_changed(self, epoch: Epoch) -> None:
        """We still lead, and this is our epoch now."""
        self._fence.epoch = epoch

    def commit(self, build: Callable[[Any], object], deadline: zk.Deadline) -> list[Any]:
        """Commit what ``build`` adds to a transaction, checked against our epoch. As :meth:`Fence.commit`."""
        return self._fence.commit(build, deadline)

    def _save(self, job_id: str, payload: bytes) -> bool:
        """Have our own copy, synced. False if it was there. Raises DiskRefused."""
        try:
            is_new: bool = tpool.execute(self._disk.save, job_id, payload)
        except (OSError, PayloadUnavailable) as error:
            message = f"this primary's disk can't keep {job_id} ({error}): nothing was written"
            raise DiskRefused(message) from error
        self._on_step("primary has it on disk", job_id)
        return is_new

    def _discard(self, job_id: str, digest: Digest) -> None:
        try:
            tpool.execute(self._disk.discard, job_id, digest.sha256)
        except OSError as error:
            log.error("the copy of %s can't be dropped: %s", job_id, error)

    def _from_record(self, job_id: str, digest: Digest, refusal: Refused, is_new: bool) -> Outcome | None:
        """What an earlier attempt of this request has come to: None while it is undecided.

        Raises ``refusal`` if there was none (then a copy that ``is_new`` is dropped: no record needs it),
        IdConflict; or InDoubt, if it is undecided and our disk has no copy.
        """
        try:
            outcome = known_outcome(self._client, job_id, digest, refusal)
        except Refused:
            if is_new:
                self._discard(job_id, digest)
            raise
        if outcome is None and isinstance(refusal, DiskRefused):
            message = f"{job_id} is undecided, and this primary's disk can't keep it; ask again"
            raise InDoubt(message, ask_again=job_id) from refusal
        self._on_step(f"known as {outcome.decision}" if outcome else "known already", job_id)
        return outcome


def no_backup() -> NoBackup:
    return NoBackup(
        "no backup is ready, so two copies can't be promised: nothing was written; try again later"
    )
