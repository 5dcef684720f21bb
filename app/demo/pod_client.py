"""A demo's requests to one pod, and the pod's reports.

They go over the demo's own session, without a link, and on the other side over the worker's main session: so
a participant that is cut off still gets the order to heal. A request without a reply is in doubt, not failed.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from eventlet import queue, semaphore
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError

from app.cluster.messages import Entry, Reply, Report, Request, this_machine
from app.errors import InDoubt, LessonError, Malformed
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# An order or a quick question; a restart has to connect, which may take seven seconds.
ORDER_S = 12.0
_QUESTION_S = 6.0


class PodClient:
    """Asks one pod, and hears what it reports.

    Args:
        client: a connected client in the run's chroot.
        pod: its name.

    Attributes:
        report: what the pod said last; None while it isn't there.
        on_entry: called with each entry of its log, in order, and when it happened by our clock (ns).
        on_report: called with (report or None, when it came by our clock) after each change.
    """

    def __init__(self, client: KazooClient, pod: str) -> None:
        self._client = client
        self.pod = pod
        self.report: Report | None = None
        self.on_entry: Callable[[Entry, int], None] = lambda entry, at_ns: None
        self.on_report: Callable[[Report | None], None] = lambda report: None
        self._reconciler = Reconciler(client, pod, self._look)
        self._turn = semaphore.Semaphore()  # reports come by the watch, and with the answers to orders
        self._heard: tuple[str, int] = ("", 0)  # (incarnation, entries of its log that we have had)
        self._waiting: set[Any] = set()

    def open(self) -> None:
        self._reconciler.start()

    def close(self) -> None:
        self._reconciler.stop()

    def moment_ns(self, at_ns: int) -> int:
        """A moment of the pod's clock by ours: its own on one machine, else the moment when we heard."""
        now = time.monotonic_ns()
        same = self.report is not None and self.report.machine == this_machine()
        return min(at_ns, now) if same else now

    # -- asking --

    def order(self, do: Any, **words: Any) -> None:
        """Give an order; returns when it is carried out, and reported. Raises as the pod does, or InDoubt."""
        self.ask(do, ORDER_S, **words)

    def ask(self, do: Any, timeout_s: float = _QUESTION_S, **words: Any) -> Reply:
        """Its answer. Raises what the pod raised (an ending of app.errors), or InDoubt if it is silent."""
        report = self.report
        doubt = InDoubt(
            f"no reply from {self.pod}: what became of the request is unknown", ask_again=words.get("job_id")
        )
        if report is None:
            raise doubt
        path = paths.ask(self.pod, uuid.uuid4().hex[:12])
        question = Request(incarnation=report.incarnation, do=do, **words).to_bytes()
        deadline, changed = zk.Deadline(timeout_s), queue.LightQueue()
        self._waiting.add(changed)
        try:
            while not deadline.passed and self._same_incarnation(report):
                try:
                    answer = self._exchange(path, question, report, changed, deadline)
                except zk.NO_REPLY:
                    zk.wait_connected(self._client, deadline)  # the same id again: it is taken once
                else:
                    if answer.report is not None:
                        self._hear(answer.report)
                    return answer.checked(str(words.get("job_id", "")))
        except (queue.Empty, NoNodeError) as error:  # too late, or the run is over
            raise doubt from error
        finally:
            self._waiting.discard(changed)
            self._client.delete_async(path)
        raise doubt

    def _same_incarnation(self, report: Report) -> bool:
        return self.report is not None and self.report.incarnation == report.incarnation

    def _exchange(
        self, path: str, question: bytes, report: Report, changed: Any, deadline: zk.Deadline
    ) -> Reply:
        """Put the request there, and wait until the reply stands in its place."""
        created = self._client.create_async(path, question)
        got = self._client.get_async(path, watch=changed.put)  # pipelined
        with suppress(NodeExistsError):
            zk.wait(created, deadline)
        while True:
            data, stat = zk.wait(got, deadline)
            if stat.version > 0:
                return Reply.from_bytes(data)
            changed.get(timeout=deadline.left_s)
            if not self._same_incarnation(report):
                raise queue.Empty  # it has died: no reply will come
            got = self._client.get_async(path, watch=changed.put)

    # -- hearing --

    def _look(self) -> None:
        deadline, path = zk.Deadline(zk.STEP_S), paths.here(self.pod)
        seen = self._client.exists_async(path, watch=self._reconciler.wake)  # also before it has come
        found = zk.get(self._client, path, deadline)
        zk.wait(seen, deadline)
        if found is not None:
            try:
                self._hear(Report.from_bytes(found[0]))
            except Malformed as error:
                log.warning("%s: %s", self.pod, error)
        elif self.report is not None:
            self.report = None
            self._disturb()
            self.on_report(None)

    def _hear(self, report: Report) -> None:
        with self._turn:
            before = self.report
            if (
                before is not None
                and before.incarnation == report.incarnation
                and before.number >= report.number
            ):
                return
            self._take_entries(report)
            self.report = report
            if before is not None and before.incarnation != report.incarnation:
                self._disturb()
            self.on_report(report)

    def _disturb(self) -> None:
        """Wake all that wait for a reply: that incarnation will give none."""
        for changed in self._waiting:
            changed.put(None)

    def _take_entries(self, report: Report) -> None:
        """Pass on what is new in its log, and ask for what we have missed."""
        incarnation, had = self._heard
        had = had if incarnation == report.incarnation else 0
        same = report.machine == this_machine()
        now = time.monotonic_ns()
        if had < report.first:
            had += self._catch_up(report, had, same)
        for entry in report.log[max(0, had - report.first) :]:
            self.on_entry(entry, min(entry.at_ns, now) if same else now)
        self._heard = (report.incarnation, max(had, report.first + len(report.log)))

    def _catch_up(self, report: Report, since: int, same: bool) -> int:
        missed: list[Entry] = []
        try:
            while since + len(missed) < report.first:
                more = self.ask("log", since=since + len(missed)).log[: report.first - since - len(missed)]
                if not more:
                    break
                missed += more
        except LessonError as error:
            log.warning("%s: some of its log is not seen: %s", self.pod, error)
        now = time.monotonic_ns()
        for entry in missed:
            self.on_entry(entry, min(entry.at_ns, now) if same else now)
        return len(missed)
