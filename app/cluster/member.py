"""One member of a primary-backup pair: a client, a disk, and the role that the election gives it.

The same in a demo's participant and in a worker. Roles are taken, never configured.
"""

from collections.abc import Callable
from typing import Any

from eventlet import event
from kazoo.client import KazooClient

from app.cluster.election import Candidate, Roles
from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.leader import ACK_TIMEOUT_S
from app.consistency.engine.records import OnStep, quiet
from app.consistency.primary_backup import Backup, Primary
from app.zookeeper import client as zk


class Member:
    """Stands for election, and is primary or backup when its turn comes.

    Args:
        client: its own connected client; ``election.prepare`` has been called on the store.
        name: its name in the election and on its ACKs.
        disk: its own disk.
        on_step: called with (what has just happened, transaction's id); must return quickly.
        on_change: called when its role may have changed; must return quickly.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        disk: Disk,
        *,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        on_step: OnStep = quiet,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self.name = name
        self._disk = disk
        self._ack_timeout_s = ack_timeout_s
        self._on_step = on_step
        self._on_change = on_change
        self._primary: Primary | None = None
        self._backup: Backup | None = None
        self._acting = False
        self._changed = event.Event()
        self.lost: list[str] = []  # committed transactions whose payload could be had nowhere on taking over
        self._candidate = Candidate(
            client, name, Roles(self._lead, self._back_up, self._join, self._stand_by, self._pause)
        )

    def start(self) -> None:
        self._candidate.start()

    def stop(self) -> None:
        """Stop acting. The seat goes with the session, which is the caller's."""
        self._candidate.stop()
        self._stand_by()

    @property
    def primary(self) -> Primary | None:
        """The primary that this member is, while it is and while its connection holds."""
        return self._primary if self._acting else None

    @property
    def leadership(self) -> Primary | None:
        """The primary that this member is until it is deposed; while its connection is away, too."""
        return self._primary

    @property
    def backup(self) -> Backup | None:
        """The backup that this member is, while it is."""
        return self._backup

    def wait_for(self, condition: Any, timeout_s: float) -> bool:
        """Wait until ``condition(self)`` holds, looking again as roles change; says whether it does."""
        deadline = zk.Deadline(timeout_s)
        while not (met := condition(self)) and not deadline.passed:
            self._changed.wait(timeout=deadline.left_s)
        return bool(met)

    # -- roles, called from the candidate's green thread --

    def _lead(self, epoch: Epoch, previous: Epoch) -> None:
        self._end_backup()
        if self._primary is not None and self._primary.epoch.primary_seat == epoch.primary_seat:
            self._primary.backup_changed(epoch)
            self._acting = True
        else:
            primary = Primary(
                self._client, self._disk, epoch, ack_timeout_s=self._ack_timeout_s, on_step=self._on_step
            )
            self.lost = primary.take_over(previous)  # InDoubt is the candidate's: it looks again
            self._primary, self._acting = primary, True
        self._tell()

    def _back_up(self, epoch: Epoch) -> None:
        self._primary, self._acting = None, False
        if self._backup is not None and self._backup.epoch == epoch:
            return
        self._end_backup()
        self._backup = Backup(self._client, self._disk, epoch, self.name, on_step=self._on_step)
        self._backup.start()
        self._tell()

    def _join(self, epoch: Epoch) -> None:
        self._end_backup()
        Backup(self._client, self._disk, epoch, self.name, on_step=self._on_step).catch_up()

    def _stand_by(self) -> None:
        self._primary, self._acting = None, False
        self._end_backup()
        self._tell()

    def _pause(self) -> None:
        self._acting = False  # a backup may go on copying: its ACKs are checked against the epoch anyway
        self._tell()

    def _end_backup(self) -> None:
        if self._backup is not None:
            self._backup.stop()
            self._backup = None

    def _tell(self) -> None:
        changed, self._changed = self._changed, event.Event()
        changed.send()
        self._on_change()
