"""A participant whose body is a pod: a guest in a live worker, which gets its orders by requests."""

import logging
from collections.abc import Callable
from typing import Any

import eventlet

from app.checker.history import Recorder
from app.cluster.messages import Entry, Part, Report
from app.demo.participants import Participant
from app.demo.pod_client import PodClient
from app.demo.remote import Remote, RemoteConfig, RemoteHost, RemoteMember
from app.errors import InDoubt, LessonError
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# At the run's end: a guest that misses "leave" leaves by itself, since the run's root is gone.
_LEAVE_S = 4.0
# A worker that has just returned may have to wait until its former session has expired.
_AGAIN_S = 1.0

Heard = Callable[[Entry, int], None]


class Pod:
    """A participant's body in another process.

    Args:
        pod_client: for requests to the pod.
        hosts, chroot: the servers, and the run's root, for sessions that reach its replica.
        part: what it is to play.
        heard: called with each entry of its log, and when that was by our clock (ns).
        changed: called when something that it says of itself has changed; must return quickly.
    """

    def __init__(
        self,
        pod_client: PodClient,
        hosts: str,
        chroot: str,
        part: Part,
        heard: Heard,
        changed: Callable[[], None],
    ) -> None:
        self._pod_client = pod_client
        self.hosts = hosts
        self._chroot = chroot
        self._part = part
        self._heard = heard
        self._changed = changed
        self._incarnation: str | None = None
        self._plays = False
        self._return: Any = None
        self._role: Remote = _remote_role(pod_client, part)
        self.roles: list[Any] = [self._role]
        # Set by the participant: called when the pod is lost, and when it plays again. The latter says
        # whether its memory is new; else it was only out of reach.
        self.on_lost: Callable[[], None] = lambda: None
        self.on_return: Callable[[bool], None] = lambda fresh: None

    @property
    def connected(self) -> bool:
        return self._pod_client.report is not None and self._pod_client.report.connected

    @property
    def session(self) -> int | None:
        return self._pod_client.report.session if self._pod_client.report is not None else None

    def start(self) -> None:
        """Give it its part. Raises Unreachable, or InDoubt if it is silent."""
        report = self._pod_client.report
        if report is None:
            message = f"{self._pod_client.pod} is gone before it could take its part"
            raise InDoubt(message)
        self._incarnation = report.incarnation
        self._pod_client.on_entry = self._heard
        self._pod_client.on_report = self._hear
        self._pod_client.order("start", part=self._part)
        self._plays = True

    def connect(self) -> Any:
        """A session that reaches what the pod hosts: on no link, for only its host's death is a fault."""
        return zk.connect(self.hosts, chroot=self._chroot, session_timeout_s=self._part.session_timeout_s)

    def cut(self) -> None:
        self._pod_client.order("cut")

    def slow(self, delay_s: float) -> None:
        self._pod_client.order("slow", delay_s=delay_s)

    def heal(self) -> None:
        self._pod_client.order("heal")

    def crash(self) -> None:
        self._pod_client.order("crash")

    def restart(self) -> None:
        self._pod_client.order("restart")

    def close(self) -> None:
        """Let it leave the run."""
        if self._return is not None:
            self._return.kill()
        self._pod_client.on_report = lambda report: None
        try:
            self._pod_client.ask("leave", _LEAVE_S)
        except LessonError as error:
            log.info("no order to leave reached %s: %s", self._pod_client.pod, error)

    def _hear(self, report: Report | None) -> None:
        self._role.hear(report)
        if report is None:
            self.on_lost()
        elif report.incarnation != self._incarnation:
            self._incarnation, self._plays = report.incarnation, False
            self.on_lost()
            self._welcome(report.incarnation)
        elif self._plays:
            self.on_return(False)
        self._changed()

    def _welcome(self, incarnation: str) -> None:
        if self._return is not None:
            self._return.kill()
        self._return = eventlet.spawn(self._come_back, incarnation)

    def _come_back(self, incarnation: str) -> None:
        """Its worker has died and returned: it plays its part again, from its disk."""
        while self._incarnation == incarnation:
            try:
                self._pod_client.order("start", part=self._part)
            except LessonError as error:
                log.info("%s is back, but doesn't play yet: %s", self._pod_client.pod, error)
                eventlet.sleep(_AGAIN_S)
            else:
                self._plays = True
                self.on_return(True)
                self._changed()
                return


def _remote_role(pod_client: PodClient, part: Part) -> Remote:
    if part.kind == "config":
        return RemoteConfig(pod_client)
    if part.kind == "member":
        return RemoteMember(pod_client, part.ack_timeout_s)
    return RemoteHost()


def played_by(body: Pod, name: str, recorder: Recorder, say: Callable[[str], None]) -> Participant:
    """The participant that this pod is; its real death and its return are recorded, and said on screen."""
    participant = Participant(name, body, recorder)

    def lost() -> None:
        if participant.state != "gone":
            participant.lost()
            say(f"({name} is gone: its pod has died, or lost its session)")

    def returned(fresh: bool) -> None:
        if participant.state == "gone":
            participant.returned(fresh=fresh)
            say(f"({name} is back)")

    body.on_lost, body.on_return = lost, returned
    return participant
