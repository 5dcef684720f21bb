"""What the acts of a demo play on: participants, a recorder, a story, a load under faults, a way to wait."""

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

import eventlet
from eventlet.green import socket as green_socket
from kazoo.client import KazooClient

from app.checker.history import Recorder
from app.cluster.guest_actor import Actor, Role
from app.cluster.messages import Part
from app.demo.faults import TO_PARTICIPANTS, Moment, Powers
from app.demo.load import THINK_S, crowd
from app.demo.nemesis import SHORTEST_S, Aim, nemesis
from app.demo.options import Options
from app.demo.participants import Participant
from app.demo.pod_selection import GuestPods
from app.demo.pods import Heard, Pod, played_by
from app.demo.recording import NOT_A_RESULT, Records
from app.demo.run import Run
from app.demo.servers import Servers
from app.demo.story import Story
from app.demo.waiting import Waiting
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# ZooKeeper may be away for this long (its leader dies, a server restarts) before a run gives up.
LOST_AFTER_S = 30.0
# An act that ZooKeeper's absence has spoilt is played again, with new values: this often in all.
_TAKES = 3
# A pod that has died is started again by its controller, if it has one, within this time.
RETURN_S = 20.0
# Between two orders of the nemesis to participants, in seconds.
_FAULT_EVERY_S = (0.1, 0.6)
_SESSIONS = 2  # that the longest fault outlives
_UNDOING = ("heal", "mend", "restart")

Group = TypeVar("Group")  # the participants as an act uses them: Copies, a Pair, a ReplicaSet


class CannotGoOn(Exception):
    """The run ends here, in doubt. It is no operation's ending, so no act catches it."""


class Stage(Waiting, Records):
    """What the acts play on.

    Attributes:
        client: a session of its own, in the run's chroot, on no link: no fault of a participant harms it.
        participants: those that have been brought on stage.
        watched: live workers that host what is only watched: they weren't invited.
        aim: where operations say how far they have come.
        servers: orders to the ZooKeeper servers, where this run's starter owns them; else None.
        folder: for the participants' disks; gone with the run.
        guests: the pods that take part; none where all participants live in this process.
    """

    def __init__(
        self,
        options: Options,
        story: Story,
        recorder: Recorder,
        run: Run,
        client: KazooClient,
        hosts: str,
        folder: Path,
        sink: TextIO | None = None,
        guests: GuestPods | None = None,
    ) -> None:
        Waiting.__init__(self)
        Records.__init__(self, recorder, sink)
        self.options = options
        self.story = story
        self.client = client
        self.hosts = hosts
        self.chroot = run.chroot
        self.folder = folder
        self.guests = guests or GuestPods(client, ())
        self.choose = random.Random(options.seed)
        self.participants: list[Participant] = []
        self.watched: list[str] = []
        self.servers = Servers.from_environment(os.environ, socket_module=green_socket)
        self.aim = Aim()
        self._closing: list[Callable[[], object]] = []
        self._given_up = False

    @property
    def pods(self) -> tuple[str, ...]:
        """The names of the pods that take part; none where all participants live in this process."""
        return self.guests.pods

    def introduce(self) -> None:
        """The last lines of an opening: the guests, if there are any, and what repeats the run."""
        if self.pods:
            self.story.say(f"live workers take part as guests of this run: {', '.join(self.pods)}")
        self.story.say(f"sessions of {self.options.session_timeout_s:g} s; seed {self.options.seed}")

    def names(self, prefix: str, count: int) -> list[str]:
        """What the participants are called: the pods' names, or numbered ones in this process."""
        return list(self.pods) or [f"{prefix}-{number}" for number in range(1, count + 1)]

    def bring(
        self,
        name: str,
        roles: Callable[[Any], Sequence[Role]],
        root: str = "",
        part: Part | None = None,
        heard: Heard = lambda entry, at_ns: None,
    ) -> Participant:
        """A new participant, started, and ended with the run; below ``root`` if it lives apart.

        If ``name`` is a pod's, it plays ``part`` there, and each entry of its log is ``heard``; else it runs
        ``roles`` in this process.
        """
        if part is not None and name in self.pods:
            participant = self._bring_pod(name, part, heard)
        else:
            timeout_s = self.options.session_timeout_s
            body = Actor(self.hosts, self.chroot + root, timeout_s, roles)
            participant = Participant(name, body, self.recorder)
        self._closing.append(participant.close)
        self.participants.append(participant)
        participant.body.start()
        return participant

    def _bring_pod(self, name: str, part: Part, heard: Heard) -> Participant:
        options = self.options
        whole = part.model_copy(
            update={"session_timeout_s": options.session_timeout_s, "ack_timeout_s": options.ack_timeout_s}
        )
        body = Pod(self.guests.pod_client(name), self.hosts, self.chroot, whole, heard, self.notify)
        return played_by(body, name, self.recorder, self.story.say)

    @property
    def present(self) -> list[Participant]:
        """All participants except those that are gone with their pods."""
        return [participant for participant in self.participants if participant.state != "gone"]

    def dismiss(self, participant: Participant) -> None:
        """Its part is over: end it now, and let the nemesis leave it alone."""
        self.participants.remove(participant)
        participant.close()

    def session(self, participant: Participant | None = None, chroot: str | None = None) -> Any:
        """Another session, on ``participant``'s link or on none, by default in the run's chroot."""
        chroot, timeout_s = self.chroot if chroot is None else chroot, self.options.session_timeout_s
        if participant is not None:
            client = participant.body.connect()
        else:
            client = zk.connect(self.hosts, chroot=chroot, session_timeout_s=timeout_s)
        self._closing.append(partial(zk.disconnect, client))
        return client

    def at_the_end(self, action: Callable[[], object]) -> None:
        """Do this when the run ends, however it ends."""
        self._closing.append(action)

    @contextmanager
    def load(
        self, what: str, at_most: int, every_s: tuple[float, float] = _FAULT_EVERY_S,
        moments: Sequence[Moment] = (),
    ) -> Iterator[None]:  # fmt: skip
        """The act with the load: ``what`` completes its title, and the block does it.

        Meanwhile, if the options say so, random faults hit at most ``at_most`` participants at once, where
        there are ``moments`` at one of these.
        """
        options, begun_ns = self.options, time.monotonic_ns()
        self.story.act(f"{options.operations} {what}; faults: {options.faults}")
        if options.faults == "none":
            yield
        else:
            lasting_s = (SHORTEST_S, _SESSIONS * options.session_timeout_s)
            powers = Powers(TO_PARTICIPANTS, len(self.participants), at_most, every_s, lasting_s, moments)
            with nemesis(self.participants, powers, self.servers, self.choose, self.recorder, self.aim):
                yield
        done = Counter(fault.op for fault in self.history().faults if fault.at_ns >= begun_ns)
        harms = [f"{n} x {op}" for op, n in sorted(done.items()) if not op.startswith(_UNDOING)]
        self.story.say(f"meanwhile: {', '.join(harms) or 'no fault'}")

    def crowd(self, one: Callable[[int], None], think_s: tuple[float, float] = THINK_S) -> None:
        """The load's operations by its clients, in this process; ``one``: client i's next operation."""
        crowd(self.options.clients, self.options.operations, one, self.choose, think_s)

    def perform(self, act: Callable[[Group], None], group: Group) -> None:
        """Play one act; if ZooKeeper's absence has spoilt it, once more; without a pod, perhaps never."""
        for take in range(1, _TAKES + 1):
            self._require_enough()
            try:
                act(group)
                return
            except NOT_A_RESULT as error:
                log.info("an act was spoilt", exc_info=True)
                if take == _TAKES and not self.missing:
                    raise
                zk.wait_connected(self.client, zk.Deadline(LOST_AFTER_S))
                self._require_enough()
                self.heal()
                if take > 1 and self.missing:
                    self.story.say(f"(without {self.missing} this act can't be played: it is left out)")
                    return
                self.story.say(f"(disturbed: {first_line(error)}; the act is played again)")

    @property
    def missing(self) -> str:
        """The names of the participants that are gone with their pods, for a sentence."""
        return ", ".join(one.name for one in self.participants if one.state == "gone")

    def enough(self) -> bool:
        """Whether enough pods are left. Where they aren't, one may be on its way back: waits for it, once."""
        least = self.guests.least
        if len(self.present) >= least or not self.missing:
            return True
        if not self._given_up:
            self._given_up = not self.until(lambda: len(self.present) >= least, RETURN_S)
        return not self._given_up

    def _require_enough(self) -> None:
        if not self.enough():
            message = (
                f"{self.missing} did not come back within {RETURN_S:g} s: too few pods are left to go on"
            )
            raise CannotGoOn(message)

    def heal(self) -> None:
        """Undo every fault to a participant."""
        for participant in self.present:
            participant.heal()

    def close(self) -> None:
        """End all sessions and participants at once: without ZooKeeper's answer each takes a few seconds."""
        pool = eventlet.GreenPool()
        while self._closing:
            pool.spawn_n(self._closing.pop())
        pool.waitall()


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
