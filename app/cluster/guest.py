"""A worker as the guest of one demo run: the mailbox through which the demo gives orders and asks.

Everything here goes over the worker's main session; what the orders harm is the guest's own second session,
behind a link of its own. A guest ends by itself when the demo tells it to leave, when the run's root is
gone, and when the run has had no owner for a while: then the demo is dead.
"""

import logging
import time
import uuid
from collections.abc import Callable

import eventlet
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoNodeError

from app.cluster.guest_role import GuestRole
from app.cluster.messages import Reply, Report, Request, this_machine
from app.consistency.engine.announcement import Announcement, put_ephemeral
from app.errors import InDoubt, LessonError, Refused
from app.zookeeper import client as zk, paths
from app.zookeeper.reconcile import Reconciler

log = logging.getLogger(__name__)

# A demo that has lost its session owns its run again with the next heartbeat, ten seconds or so later.
OWNERLESS_S = 20.0
# Seconds for which a reply is delivered; after that the demo no longer waits for it.
_REPLY_S = 10.0
# More than the clients that a demo can have (64): an order never waits behind their requests.
_HANDS = 100
# A report brings this much of the log; a demo that has missed more asks for it.
_TAIL = 16
_NOT_ANSWERED: tuple[type[Exception], ...] = (*zk.NO_REPLY, zk.TransactionFailed, OSError)


class Guest:
    """One invitation, from its acceptance to its end.

    Args:
        client: the worker's main session.
        name: the pod's.
        run_id: whose guest it is.
        make_role: makes the part, given what to call when there is something new to report.
        on_end: called once, with this guest, when it is over; must return quickly.
    """

    def __init__(
        self,
        client: KazooClient,
        name: str,
        run_id: str,
        make_role: Callable[[Callable[[], None]], GuestRole],
        on_end: Callable[["Guest"], None],
    ) -> None:
        self.run_id = run_id
        self._client = client
        self._name = name
        self._root = paths.run(run_id)
        self._here = self._root + paths.here(name)
        self._life = uuid.uuid4().hex[:12]
        self._number = 0
        self._on_end = on_end
        self._serving = Reconciler(client, self._root, self._serve, recheck_s=OWNERLESS_S / 4)
        self._reporting = Announcement(client, self._here, self._report_bytes, after_s=0)
        self._hands = eventlet.GreenPool(_HANDS)
        self._taken: set[str] = set()
        self._ownerless_at: float | None = None
        self._leaving = False
        self._role = make_role(self._reporting.wake)

    def start(self) -> None:
        self._serving.start()
        self._reporting.start()

    def stop(self) -> None:
        """End the part and its session, and listen no more. Returns within a few seconds."""
        self._serving.stop()
        self._reporting.stop()
        for thread in list(self._hands.coroutines_running):
            eventlet.kill(thread)
        self._role.close()
        self._client.delete_async(self._here)  # a demo that still looks sees that we have left

    # -- reporting --

    def _report(self) -> Report:
        self._number += 1
        tail, first = self._role.log[-_TAIL:], max(0, len(self._role.log) - _TAIL)
        state = self._role.state()
        return Report(
            incarnation=self._life,
            machine=this_machine(),
            number=self._number,
            first=first,
            log=tuple(tail),
            **state,
        )

    def _report_bytes(self) -> bytes:
        report = self._report().to_bytes()
        zk.check_size(report, "a guest's report")  # or it would cost the worker its connection
        return report

    # -- serving --

    def _serve(self) -> None:
        """Look into the mailbox, unless this is over."""
        try:
            if not self._leaving and not self._forsaken():
                self._look()
                return
        except NoNodeError:  # the run is over
            self._leaving = True
        log.info("%s: no longer a guest of %s", self._name, self.run_id)
        self._on_end(self)

    def _forsaken(self) -> bool:
        return self._ownerless_at is not None and time.monotonic() - self._ownerless_at > OWNERLESS_S

    def _look(self) -> None:
        """Take what is new in the mailbox. Raises NoNodeError if there is none any more."""
        deadline = zk.Deadline(zk.STEP_S)
        owner = self._client.exists_async(self._root + paths.OWNER, watch=self._serving.wake)
        asked = self._client.get_children_async(self._root + paths.asks(self._name), watch=self._serving.wake)
        waiting = set(zk.wait(asked, deadline))
        if zk.wait(owner, deadline) is not None:
            self._ownerless_at = None
        elif self._ownerless_at is None:
            self._ownerless_at = time.monotonic()
        self._taken &= waiting
        for ask_id in sorted(waiting - self._taken):
            self._taken.add(ask_id)
            self._hands.spawn_n(self._take, ask_id)

    def _take(self, ask_id: str) -> None:
        path = f"{self._root}{paths.asks(self._name)}/{ask_id}"
        try:
            found = zk.get(self._client, path, zk.Deadline(zk.STEP_S))
        except zk.NO_REPLY as error:
            log.info("%s: %r; looking again", path, error)
            self._taken.discard(ask_id)
            self._serving.wake()
            return
        if found is not None and found[1].version == 0:  # else no one waits any more, or it is answered
            self._reply(path, self._answer(found[0]))

    def _answer(self, data: bytes) -> Reply:
        try:
            ask = Request.from_bytes(data)
            if ask.incarnation != self._life:
                message = f"{self._name} has been restarted since: what it was asked is unknown to it"
                raise InDoubt(message)
            answer = self._role.answer(ask)
        except LessonError as error:
            return Reply.of_error(error)
        except _NOT_ANSWERED as error:
            return Reply.of_error(InDoubt(f"{self._name} can't tell: {error!r}"))
        if ask.do == "leave":
            self._leaving = True
        # What the asker sees of us is never older than our answer; a log entry may have been made by it.
        return answer.model_copy(update={"report": self._report()}) if ask.changes_something else answer

    def _reply(self, path: str, answer: Reply) -> None:
        """Put the answer in the ask's place, once."""
        words, deadline = answer.to_bytes(), zk.Deadline(_REPLY_S)
        while not deadline.passed:
            try:
                zk.check_size(words, "an answer")
                zk.wait(self._client.set_async(path, words, version=0), deadline)
                break
            except (BadVersionError, NoNodeError):
                break  # our own try, answered too late; or no one waits any more
            except Refused as error:
                words = Reply.of_error(error).to_bytes()
            except zk.NO_REPLY as error:
                log.info("%s: not answered yet: %r", path, error)
                zk.wait_connected(self._client, deadline)
        if self._leaving:
            self._serving.wake()


def decline(client: KazooClient, name: str, run_id: str, why: str) -> None:
    """Say that this worker can't take part. Raises one of zk.NO_REPLY, or NoNodeError: the run is over."""
    said = Report(incarnation="declined", machine=this_machine(), declined=why)
    put_ephemeral(client, paths.run(run_id) + paths.here(name), said.to_bytes())
