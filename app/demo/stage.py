"""What the acts of a demo play on: participants, a recorder, a story, and a way to wait."""

import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import eventlet
from eventlet import event
from eventlet.green import socket as green_socket

from app import paths, zk
from app.checker.history import History, Recorder, Value
from app.demo.nemesis import nemesis
from app.demo.options import Options
from app.demo.participants import Participant, Role
from app.demo.recording import NOT_A_RESULT, recorded_write
from app.demo.run import Run, remove
from app.demo.servers import Servers
from app.demo.story import Story
from app.errors import InDoubt

log = logging.getLogger(__name__)

# ZooKeeper may be away for this long (its leader dies, a server restarts) before a run gives up.
LOST_AFTER_S = 30.0
# An act that ZooKeeper's absence has spoilt is played again, with new values, so often.
_TAKES = 3
# What nobody tells of (a link's state, a session's) is looked at this often, in seconds.
_GLANCE_S = 0.05


class Stage:
    """What the acts play on.

    Attributes:
        client: a session of its own, in the run's chroot, on no link: the audience's.
        participants: those who have been brought on stage.
        servers: orders to the ZooKeeper servers, where this run's starter owns them; else None.
        folder: for the participants' disks; gone with the run.
    """

    def __init__(
        self,
        options: Options,
        story: Story,
        recorder: Recorder,
        run: Run,
        client: Any,
        hosts: str,
        folder: Path,
        sink: TextIO | None = None,
    ) -> None:
        self.options = options
        self.story = story
        self.recorder = recorder
        self.client = client
        self.hosts = hosts
        self.chroot = run.chroot
        self.folder = folder
        self.choose = random.Random(options.seed)
        self.participants: list[Participant] = []
        self.servers = Servers.from_environment(os.environ, socket_module=green_socket)
        self._closing: list[Callable[[], object]] = []
        self._sink = sink
        self._loaded = History()
        self._happened = event.Event()
        self._unique = 0
        self.protocol = "full"

    def bring(self, name: str, roles: Callable[[Any], list[Role]], root: str = "") -> Participant:
        """A new participant, started, and ended with the run; below ``root`` if it lives apart."""
        participant = Participant(
            name, self.hosts, self.chroot + root, self.options.session_timeout_s, roles, self.recorder
        )
        self._closing.append(participant.close)
        self.participants.append(participant)
        participant.start()
        return participant

    def dismiss(self, participant: Participant) -> None:
        """It has played its part: ended now, and nobody's victim any more."""
        self.participants.remove(participant)
        participant.close()

    def apart(self, root: str) -> None:
        """Make an empty corner below the run's root, for those who live by other rules."""
        deadline = zk.Deadline(10)
        remove(self.client, root, deadline)
        zk.ensure(self.client, tuple(root + path for path in paths.ROOTS), deadline)

    def peek(self, path: str) -> str:
        """A znode's text as it is now, for the screen."""
        found = zk.get(self.client, path, zk.Deadline(5))
        return found[0].decode(errors="replace") if found else "(nothing)"

    def wipe(self, path: str) -> None:
        """Empty a znode, so that what is read afterwards can't come from there."""
        zk.wait(self.client.set_async(path, b""), zk.Deadline(5))

    def session(self, participant: Participant | None = None, root: str = "") -> Any:
        """Another session, on ``participant``'s link or on none; ended with the run."""
        if participant is not None:
            client = participant.connect()
        else:
            timeout_s = self.options.session_timeout_s
            client = zk.connect(self.hosts, chroot=self.chroot + root, session_timeout_s=timeout_s)
        self._closing.append(partial(zk.disconnect, client))
        return client

    def at_the_end(self, action: Callable[[], object]) -> None:
        """Do this when the run ends, however it ends."""
        self._closing.append(action)

    def tell(self, *_: object) -> None:
        """Something has happened that somebody may be waiting for."""
        happened, self._happened = self._happened, event.Event()
        happened.send()

    def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Wait until ``condition`` holds, looking again whenever somebody tells; says whether it does."""
        deadline = zk.Deadline(timeout_s)
        while not (met := condition()) and not deadline.passed:
            self._happened.wait(timeout=min(deadline.left_s, _GLANCE_S))
        return met  # of that look: another might see something else

    def require(self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds. Raises InDoubt if it doesn't come to."""
        if not self.until(condition, timeout_s):
            message = f"waited {timeout_s:g} s in vain until {what}"
            raise InDoubt(message)

    def together(self, *actions: Callable[[], object]) -> list[object]:
        """Do all of them at the same time; their results, or the first error when all have ended."""
        threads = [eventlet.spawn(_ending, action) for action in actions]
        endings = [thread.wait() for thread in threads]
        for _, error in endings:
            if error is not None:
                raise error
        return [result for result, _ in endings]

    def rest(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        eventlet.sleep(seconds)

    @contextmanager
    def faults(self, at_most: int, every_s: tuple[float, float] = (0.15, 0.6)) -> Iterator[None]:
        """Random faults, if asked for, to at most so many participants at once; healed at the end."""
        if self.options.faults == "none":
            yield
        else:
            with nemesis(self.participants, at_most, every_s, self.servers, self.choose, self.recorder):
                yield

    def unique(self, prefix: str) -> str:
        """A text that nobody has written before."""
        return f"{prefix}-{self.fresh() - 3000}"

    def fresh(self) -> int:
        """A number that nobody has written before: unique values make a history decidable."""
        self._unique += 1
        return 3000 + self._unique

    def faults_since(self, start_ns: int) -> str:
        """What the nemesis has done since then, counted; empty if nothing."""
        done = Counter(fault.op for fault in self.recorder.history().faults if fault.at_ns >= start_ns)
        return ", ".join(
            f"{count} x {op}" for op, count in sorted(done.items()) if "heal" not in op and "mend" not in op
        )

    def key(self, name: str) -> str:
        """The history's key; the two protocols use different ones."""
        return f"{self.protocol}/{name}"

    def write(self, process: str, key: str, value: Value, action: Callable[[], Any]) -> Any:
        """Do and record a write; its ending is recorded as it was, and raised if it isn't a result."""
        return recorded_write(self.recorder, process, key, value, action)

    def perform(self, act: Callable[["Stage"], None]) -> None:
        """Play one act; if ZooKeeper was away and spoilt it, once more."""
        for take in range(1, _TAKES + 1):
            try:
                act(self)
                return
            except NOT_A_RESULT as error:
                if take == _TAKES:
                    raise
                log.info("an act was spoilt", exc_info=True)
                self.story.say(f"(disturbed: {first_line(error)}; the act is played again)")
                zk.wait_connected(self.client, zk.Deadline(LOST_AFTER_S))
                self.heal()

    def heal(self) -> None:
        """Everybody whole again."""
        for participant in self.participants:
            participant.heal()

    def include(self, history: History) -> None:
        """Take in what other processes have recorded."""
        self._loaded = History.merged([self._loaded, history])
        if self._sink is not None:
            self._sink.writelines(f"{line}\n" for line in history.lines())

    def history(self, protocol: str | None = None) -> History:
        """Everything recorded, by all processes; of one protocol if it is named."""
        whole = History.merged([self.recorder.history(), self._loaded])
        if protocol is None:
            return whole
        wanted = [operation for operation in whole.operations if operation.key.startswith(f"{protocol}/")]
        return History.of([*wanted, *whole.faults])

    def close(self) -> None:
        """End everybody, all at once: where ZooKeeper doesn't answer, each takes a few seconds."""
        pool = eventlet.GreenPool()
        while self._closing:
            pool.spawn_n(self._closing.pop())
        pool.waitall()


def _ending(action: Callable[[], object]) -> tuple[object, Exception | None]:
    """Its result, or its error: eventlet prints what leaves a green thread, even if somebody waits for it."""
    try:
        return action(), None
    except NOT_A_RESULT as error:
        return None, error


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
