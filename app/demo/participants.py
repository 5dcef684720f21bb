"""The participants: each has its own session, on its own link, and if need be its own disk.

Every fault to a participant is recorded here. Its body carries it out: one in this process
(``app.cluster.guest_actor``), or a pod's (``app.demo.pods``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from app.checker.history import Recorder

# "gone": its pod has really died. The others are what this run did to it.
State = Literal["up", "cut", "slow", "crashed", "gone"]


class Body(Protocol):
    """What a participant consists of; see ``app.cluster.guest_actor`` for the orders."""

    @property
    def roles(self) -> Sequence[Any]: ...
    @property
    def hosts(self) -> str:
        """The servers through its link: for sessions that reach *it*."""

    @property
    def connected(self) -> bool: ...
    @property
    def session(self) -> int | None: ...
    def start(self) -> None: ...
    def connect(self) -> Any:
        """Another session through its link."""

    def cut(self) -> None: ...
    def slow(self, delay_s: float) -> None: ...
    def heal(self) -> None: ...
    def crash(self) -> None: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class Participant:
    """One participant: a name for the screen, the history and the znodes, and a body."""

    def __init__(self, name: str, body: Body, recorder: Recorder) -> None:
        self.name = name
        self.body = body
        self._recorder = recorder
        self.state: State = "up"
        self._before: State = "up"  # it was gone

    @property
    def role(self) -> Any:
        """What it does here; participants have one role each."""
        return self.body.roles[0]

    @property
    def acts(self) -> bool:
        """Whether it can do anything: it is neither crashed nor gone."""
        return self.state not in ("crashed", "gone")

    def cut(self) -> None:
        if self._becomes("cut", "cut"):
            self.body.cut()

    def slow(self, delay_s: float) -> None:
        if self._becomes("slow", "slow"):
            self.body.slow(delay_s)

    def heal(self) -> None:
        """Undo a cut or a slow; a crashed participant is restarted. Raises Unreachable or InDoubt."""
        if self.state == "crashed":
            self.restart()
        elif self.state in ("cut", "slow"):
            self._recorder.fault("heal", self.name)
            self.body.heal()
            self._is_up()

    def crash(self) -> None:
        """Gone in the middle of whatever it did. The server finds out by its silence."""
        if self.state != "crashed" and self._becomes("crashed", "crash"):
            self.body.crash()

    def restart(self) -> None:
        """Back with an empty memory, a new session, and the disk as it was. Raises Unreachable or InDoubt."""
        if self.state != "gone":
            self._recorder.fault("restart", self.name)
            self.body.restart()
            self._is_up()

    def lost(self) -> None:
        """Its pod has died, or lost its session: not our doing, and nothing can be ordered."""
        self._recorder.fault("gone", self.name)
        self._before, self.state = self.state, "gone"

    def returned(self, *, fresh: bool) -> None:
        """Its pod is back; ``fresh``: with an empty memory, and it plays its part again."""
        self._recorder.fault("back", self.name)
        self.state = "up" if fresh else self._before

    def close(self) -> None:
        """End in an orderly way; harmless in any state."""
        self.body.close()

    def _becomes(self, state: State, fault: str) -> bool:
        """Record it before it is done: in doubt it may have happened. False if the participant is gone."""
        if self.state == "gone":
            return False
        self._recorder.fault(fault, self.name)
        self.state = state
        return True

    def _is_up(self) -> None:
        if self.state != "gone":  # it may have died while it was healed
            self.state = "up"


def disk_folder(parent: Path, name: str) -> Path:
    """A participant's own disk: a folder that outlives its crashes, and goes with the run."""
    folder = parent / name
    folder.mkdir(exist_ok=True)
    return folder
