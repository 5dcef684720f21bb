"""The epoch: the number that fences, with who leads and who backs up.

``/epoch`` holds one configuration of the pair. Its writer writes number + 1 in a transaction that
also checks the writer's own seat in the election; whatever a primary decides is checked, in the same
transaction, against the version of ``/epoch`` that it knows. So of two who both believe to lead, the store
listens to one. (The viewstamp of Oki & Liskov, PODC 1988; the fencing token of Gray & Cheriton's leases,
SOSP 1989.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from kazoo.client import KazooClient
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import Fenced, InDoubt, Malformed
from app.zookeeper import client as zk, paths


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)
    primary: str | None = None
    primary_seat: str | None = None
    backup: str | None = None
    backup_seat: str | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """One configuration of the pair.

    Attributes:
        number: grows by one with every change; 0 before the first primary.
        primary, backup: their names, or None where there is none.
        primary_seat, backup_seat: the election znodes they hold; a restarted pod holds a new one.
        znode_version: version of ``/epoch`` when this was read: what a transaction checks.
    """

    number: int
    primary: str | None = None
    primary_seat: str | None = None
    backup: str | None = None
    backup_seat: str | None = None
    znode_version: int = 0

    def led_by(self, name: str, seat: str) -> "Epoch":
        """The next epoch, after ``name`` has taken over; it has no backup yet."""
        return Epoch(self.number + 1, name, seat, None, None, self.znode_version + 1)

    def backed_up_by(self, name: str | None, seat: str | None) -> "Epoch":
        """The next epoch, with the same primary and another backup, or none."""
        return replace(
            self, number=self.number + 1, backup=name, backup_seat=seat, znode_version=self.znode_version + 1
        )

    def to_bytes(self) -> bytes:
        return (
            _Stored(
                number=self.number,
                primary=self.primary,
                primary_seat=self.primary_seat,
                backup=self.backup,
                backup_seat=self.backup_seat,
            )
            .model_dump_json()
            .encode()
        )

    @classmethod
    def from_znode(cls, data: bytes, znode_version: int) -> "Epoch":
        """Parse ``/epoch``. Raises Malformed."""
        try:
            stored = _Stored.model_validate_json(data)
        except ValidationError as error:
            message = f"{paths.EPOCH} holds {data[:60]!r}, which is no epoch ({error.error_count()} faults)"
            raise Malformed(message) from error
        return cls(**stored.model_dump(), znode_version=znode_version)

    def guard(self, transaction: Any) -> Any:
        """Add to ``transaction`` (as its first operation) the check that this epoch is still in force."""
        transaction.check(paths.EPOCH, self.znode_version)
        return transaction


NO_EPOCH = Epoch(0)


class Fence:
    """Commits what a primary decides, each time checked against its epoch in the same transaction.

    Attributes:
        epoch: another one when the backup changes; the primary in it is always this one.
    """

    def __init__(self, client: KazooClient, epoch: Epoch) -> None:
        self._client = client
        self.epoch = epoch

    def commit(self, build: Callable[[Any], object], deadline: zk.Deadline) -> list[Any]:
        """Commit what ``build`` adds to a transaction; returns its results.

        Raises Fenced, zk.TransactionFailed (with the index among what was added) or one of zk.NO_REPLY.
        """
        while True:
            epoch = self.epoch
            transaction = epoch.guard(self._client.transaction())
            build(transaction)
            try:
                return zk.commit(transaction, deadline)[1:]
            except zk.TransactionFailed as failed:
                if failed.index > 0:
                    raise zk.TransactionFailed(failed.index - 1, failed.cause) from failed
                if not self.renewed(epoch):
                    raise self.fenced() from failed

    def check(self) -> None:
        """Commit a check of our epoch, which the store orders after every decision of an earlier one.

        Raises Fenced, or one of zk.NO_REPLY.
        """
        self.commit(lambda transaction: None, zk.Deadline(zk.STEP_S))

    def renewed(self, over: Epoch) -> bool:
        """Whether the epoch that is over was followed by another one of ours: the backup has changed.

        The seat tells: one session holds it, and no other writes it into ``/epoch``.
        """
        found = zk.get(self._client, paths.EPOCH, zk.Deadline(zk.STEP_S))
        current = Epoch.from_znode(found[0], found[1].version) if found else None
        if current is None or current.primary_seat != over.primary_seat:
            return False
        self.epoch = current
        return current != over

    def fenced(self) -> Fenced:
        return Fenced(
            f"epoch {self.epoch.number} is over: another leads now, and the store listens to it alone"
        )

    def deposed(self, job_id: str) -> InDoubt:
        ended = f"{job_id} was published, then epoch {self.epoch.number} ended"
        return InDoubt(f"{ended}: the new primary decides; ask it", ask_again=job_id)
