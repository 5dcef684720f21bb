"""What the store's own log says of a pair: each decision is one, by who leads, of what is on two disks.

The log is the one order of everything that was asked of the store. So what a client can see only by luck, for
an instant or at a server that lags, shows here each time.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from app.cluster.election import in_line
from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.consistency.engine.transactions import KEEP_S, Ack, Outcome
from app.zookeeper import paths
from proof.simulation import tree
from proof.simulation.ensemble import Ensemble, Entry
from proof.simulation.pair.members import MEMBERS, Members

_RECORD = re.compile(f"{paths.JOBS}/([^/]+)/(outcome|backup_ack|result)")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A promise that the log shows broken. ``job_id``: of which transaction, if it is of one."""

    promise: str
    sentence: str
    job_id: str | None = None


class Log:
    """Listens to an ensemble.

    Attributes:
        outcomes: by transaction, with the seconds at which each was decided; of those that there are.
        used: transactions with a result: their copies may be gone.
        led_since: zxid at which who leads now has begun to.
    """

    def __init__(self, ensemble: Ensemble, members: Members) -> None:
        self._ensemble, self._members = ensemble, members
        self._epoch = NO_EPOCH
        self.outcomes: dict[str, tuple[Outcome, float]] = {}
        self.used: dict[str, None] = {}
        self.led_since = 0
        self.complaints: list[Complaint] = []
        ensemble.listeners.append(self._heard)

    def close(self) -> None:
        """Listen no more."""
        self._ensemble.listeners.remove(self._heard)

    def _heard(self, entry: Entry) -> None:
        for change in entry.changes:
            if change.path == paths.EPOCH and change.node is not None:
                self._raised(change.node, entry.zxid)
            elif (found := _RECORD.fullmatch(change.path)) and change.kind != "children":
                job_id, what = found.groups()
                if what == "result":
                    self.used[job_id] = None
                elif what == "backup_ack" and change.node is not None:
                    self._acknowledged(job_id, Ack.from_bytes(change.node.data))
                elif what == "outcome" and change.node is None:
                    self._forgotten(job_id)
                elif what == "outcome" and change.node is not None:
                    self._decided(job_id, Outcome.from_bytes(change.node.data))

    def _complain(self, promise: str, sentence: str, job_id: str | None = None) -> None:
        self.complaints.append(Complaint(promise, sentence, job_id))

    def _raised(self, node: tree.Node, zxid: int) -> None:
        """By who is first in line; a backup that it names has every copy."""
        old, new = self._epoch, Epoch.from_znode(node.data, node.version)
        self._epoch = new
        if new.primary_seat != old.primary_seat:
            self.led_since = zxid
        first = (*in_line(list(self._ensemble.nodes[paths.ELECTION].children)), None)[0]
        if new.number != old.number + 1 or new.primary_seat != first:
            self._complain(
                "one leads",
                f"epoch {new.number} of {new.primary_seat} follows {old.number}; first is {first}",
            )
        backup = self._members.at(new.backup_seat)
        for job_id, (outcome, _) in self.outcomes.items():
            if (
                outcome.decision == "committed"
                and backup is not None
                and job_id not in self.used
                and not self._members.keeps(backup, job_id, outcome.sha256)
            ):
                sentence = f"{new.backup} is recorded as the backup of epoch {new.number} without {job_id}"
                self._complain("a recorded backup has every copy", sentence, job_id)

    def _acknowledged(self, job_id: str, ack: Ack) -> None:
        number = self._members.names.index(ack.author) + 1
        if not self._members.had(number, job_id, ack.sha256):
            sentence = f"{ack.author} acknowledges {job_id}, which is not on its disk"
            self._complain("what is acknowledged is on the backup's disk", sentence, job_id)

    def _decided(self, job_id: str, outcome: Outcome) -> None:
        if job_id in self.outcomes:
            before = self.outcomes[job_id][0]
            sentence = (
                f"{job_id} was {before.decision} by {before.by}, then {outcome.decision} by {outcome.by}"
            )
            self._complain("a transaction is decided once", sentence, job_id)
        self.outcomes[job_id] = outcome, time.time()
        if (outcome.epoch, outcome.by) != (self._epoch.number, self._epoch.primary):
            sentence = (
                f"{job_id} is {outcome.decision} by {outcome.by} of epoch {outcome.epoch}, "
                f"while {self._epoch.primary} leads epoch {self._epoch.number}"
            )
            self._complain("who leads decides", sentence, job_id)
        if outcome.decision == "committed":
            disks = sum(self._members.had(number, job_id, outcome.sha256) for number in range(1, MEMBERS + 1))
            if disks < 2:
                self._complain("stored means on two disks", f"{job_id} is committed with {disks}", job_id)

    def _forgotten(self, job_id: str) -> None:
        outcome, decided_s = self.outcomes.pop(job_id, (None, 0.0))
        if outcome is not None and time.time() - decided_s < KEEP_S:
            sentence = f"{job_id} is forgotten {time.time() - decided_s:.0f} s after it was decided"
            self._complain("a record stays for an hour", sentence, job_id)
