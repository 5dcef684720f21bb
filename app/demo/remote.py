"""Roles that a pod plays, as the acts see them: what they say of themselves, and what one can ask them.

Each looks like the role that a local participant has (``ConfigReplica``, ``Member``), as far as the acts go.
"""

import time
from dataclasses import dataclass
from typing import Protocol

from app.cluster.messages import Report
from app.consistency.engine.fencing import Epoch
from app.consistency.eventual import Copy
from app.demo.pod_client import PodClient

# A request may wait for the ACK, for a decision, and for a store that is away; the pod says when it gives up.
_REQUEST_EXTRA_S = 15.0


class Remote(Protocol):
    """A role in a pod."""

    def hear(self, report: Report | None) -> None:
        """Take what its pod reports; None: it is gone."""


class RemoteConfig:
    """A pod's copy of the configuration.

    Attributes:
        copy, rejected: as the pod has last reported.
        applied_at: when the copy was last replaced, by our clock.
    """

    def __init__(self, pod_client: PodClient) -> None:
        self._pod_client = pod_client
        self.copy = Copy()
        self.rejected: str | None = None
        self.applied_at = time.monotonic()

    def hear(self, report: Report | None) -> None:
        if report is None:
            return
        if report.copy_mzxid != self.copy.mzxid and report.copy_mzxid >= 0:
            self.applied_at = self._pod_client.moment_ns(report.applied_ns) / 1e9
        self.copy = Copy(report.copy_mzxid, report.copy_value)
        self.rejected = report.rejected

    @property
    def silent_s(self) -> float:
        """Seconds since ZooKeeper last answered this copy, as it says now."""
        return self._pod_client.ask("silent").silent_s


class RemoteHost:
    """A pod that hosts a replica: whether it does is seen in ``/hosts``, so there is nothing to hear."""

    def hear(self, report: Report | None) -> None:
        pass


class RemotePrimary:
    """A primary in a pod. It stays the same one when it is deposed, and may not know of it."""

    def __init__(self, pod_client: PodClient, number: int, epoch: Epoch, ack_timeout_s: float) -> None:
        self._pod_client = pod_client
        self._number = number
        self.epoch = epoch
        self._timeout_s = ack_timeout_s + _REQUEST_EXTRA_S

    def submit(self, job_id: str, payload: bytes) -> object:
        """As Primary.submit, and raises as it does; InDoubt also if the pod is silent."""
        return self._pod_client.ask(
            "submit", self._timeout_s, primary=self._number, job_id=job_id, payload=payload
        )

    def read(self, job_id: str) -> bytes | None:
        return self._pod_client.ask("read", self._timeout_s, primary=self._number, job_id=job_id).payload


@dataclass(frozen=True, slots=True)
class RemoteBackup:
    """The backup that a pod's member is."""

    epoch: Epoch


class RemoteDisk:
    """A pod's disk, asked through its worker: it is there also while its guest has crashed."""

    def __init__(self, pod_client: PodClient) -> None:
        self._pod_client = pod_client

    def load(self, job_id: str, digest: str) -> bytes | None:
        """The copy, byte for byte, or None. Raises InDoubt if the pod is silent."""
        return self._pod_client.ask("load", job_id=job_id, digest=digest).payload


class RemoteMember:
    """A pod's member of the pair: its roles as it has last reported them."""

    def __init__(self, pod_client: PodClient, ack_timeout_s: float) -> None:
        self._pod_client = pod_client
        self._ack_timeout_s = ack_timeout_s
        self._known: dict[tuple[str, int], RemotePrimary] = {}
        self.primary: RemotePrimary | None = None
        self.backup: RemoteBackup | None = None
        self.disk = RemoteDisk(pod_client)

    def hear(self, report: Report | None) -> None:
        self.primary = self._primary(report) if report else None
        over = report is None or report.backs_up is None
        self.backup = None if over or report is None else RemoteBackup(Epoch(report.backs_up or 0))

    def _primary(self, report: Report) -> RemotePrimary | None:
        leads = report.leads
        if leads is None:
            return None
        known = self._known.get((report.incarnation, leads.id))
        if known is None:
            known = RemotePrimary(self._pod_client, leads.id, leads.epoch(), self._ack_timeout_s)
            self._known[report.incarnation, leads.id] = known
        known.epoch = leads.epoch()
        return known
