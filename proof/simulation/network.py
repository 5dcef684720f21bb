"""The way between a client and a server: bytes arrive in order, after a while, and none while it is cut."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proof.simulation.clock import Process, acting, after, now_s


@dataclass(frozen=True)
class Latency:
    """Seconds that a message takes: mostly ``usual``, one in ``rarely`` as long as ``spike``."""

    usual_s: tuple[float, float] = (0.0002, 0.002)
    spike_s: tuple[float, float] = (0.002, 0.05)
    rarely: float = 0.02

    def draw(self, choose: random.Random) -> float:
        return choose.uniform(*(self.spike_s if choose.random() < self.rarely else self.usual_s))


class Line:
    """One participant's way to every server, as ``app.zookeeper.link.Link`` is one to real ones.

    While it is cut nothing passes, new connections hang, and what was under way arrives after healing. While
    it is down its connections break at once, and new ones fail.
    """

    def __init__(self, latency: Latency, choose: random.Random, process: Process | None = None) -> None:
        """``process``: the participant's, if it can stop and die by itself."""
        self._latency, self._choose = latency, choose
        self.process = process
        self._delay_s = 0.0
        self._shut = {"requests": False, "replies": False}
        self._is_down = False
        self._channels: list[Channel] = []
        self._broken: list[Callable[[], object]] = []

    @property
    def is_down(self) -> bool:
        return self._is_down

    def cut(self, *, requests: bool = True, replies: bool = True) -> None:
        self._shut = {
            "requests": self._shut["requests"] or requests,
            "replies": self._shut["replies"] or replies,
        }

    def cut_at_random(self, choose: random.Random, one_way: float = 0.2) -> None:
        """Cut it both ways; with a probability of ``one_way`` for each, in one direction alone."""
        drawn = choose.random()
        self.cut(requests=drawn < 1 - one_way, replies=drawn > one_way)

    def slow(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def down(self) -> None:
        self._is_down = True
        self.cut()
        with acting(self.process):
            for broken in list(self._broken):
                broken()

    def heal(self) -> None:
        self._is_down = False
        self._delay_s = 0.0
        self._shut = dict.fromkeys(self._shut, False)
        with acting(None):
            for channel in self._channels:
                after(0, channel.opened)  # by the hub, which nothing interrupts

    def is_shut(self, direction: str) -> bool:
        return self._shut[direction]

    def takes_s(self) -> float:
        return self._delay_s + self._latency.draw(self._choose)

    def on_break(self, broken: Callable[[], object]) -> None:
        """Call it when the line goes down; :meth:`forget` undoes that."""
        self._broken.append(broken)

    def forget(self, broken: Callable[[], object], *channels: "Channel") -> None:
        if broken in self._broken:
            self._broken.remove(broken)
        self._channels = [channel for channel in self._channels if channel not in channels]

    def channel(self, direction: str, deliver: Callable[[Any], object]) -> "Channel":
        made = Channel(self, direction, deliver)
        self.open_with(made)
        return made

    def open_with(self, channel: "Channel") -> None:
        """Let go what the channel holds when the line is healed."""
        self._channels.append(channel)


class OnALine:
    """A process with a line of its own, which can stand still."""

    process: Process
    line: Line

    def pause(self) -> None:
        """It stands still, as by SIGSTOP; what is sent to it waits."""
        self.process.hold()
        self.line.cut(requests=False)

    def go_on(self) -> None:
        self.process.go_on()
        self.line.heal()


class Channel:
    """One direction of one connection: what is sent arrives once, in order, or the connection has ended."""

    def __init__(self, line: Line, direction: str, deliver: Callable[[Any], object]) -> None:
        self._line, self._direction, self._deliver = line, direction, deliver
        self._at = line.process if direction == "replies" else None  # where messages arrive
        self._last_s = 0.0
        self._held: deque[Any] = deque()
        self._closed = False

    def send(self, message: Any) -> None:
        self._last_s = max(self._last_s, now_s() + self._line.takes_s())
        with acting(None):  # it arrives, whatever becomes of its sender
            after(self._last_s - now_s(), self._arrive, message)

    def opened(self) -> None:
        """What was held arrives now, in order, and nothing overtakes it."""
        while self._held and not self._is_held_up:
            self._hand_over(self._held.popleft())

    def close(self) -> None:
        """What is under way is lost."""
        self._closed = True
        self._held.clear()

    @property
    def _is_held_up(self) -> bool:
        return self._line.is_shut(self._direction)

    def _arrive(self, message: Any) -> None:
        if self._closed:
            return
        if self._held or self._is_held_up:
            self._held.append(message)
        else:
            self._hand_over(message)

    def _hand_over(self, message: Any) -> None:
        with acting(self._at):
            self._deliver(message)
