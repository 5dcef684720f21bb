"""How much is measured; operations timed in turn; and what came out of it."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import eventlet

from proof.bench import SAMPLES

# Taken first and thrown away: the servers' compiler and our caches warm up.
_WARM_UP = 20
# Between two samples: what the last one has left under way (the slower replicas' answers) comes to its end.
_SETTLE_S = 0.01

PAYLOAD = b"x" * 300
# With fewer samples it is only looked at whether all works: the three smallest loads are enough for that.
_A_LOOK = 20
_LOADS_OF_A_LOOK = 3


class NotDone(RuntimeError):
    """Something could not be measured to its end. The message is one line: why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: medians in milliseconds, and the ratio that we aim at.

    ``notes_ms``: the same by the notes' protocol; ``notes``: what that saves, and thereby loses.
    """

    operation: str
    ours_ms: float
    floor_ms: float
    target: float
    notes_ms: float | None = None
    notes: str = ""

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.floor_ms

    @property
    def over(self) -> bool:
        return round(self.ratio, 2) > self.target

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio, "over": self.over}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its target: at most that."""

    what: str
    value: float
    unit: str
    target: float

    @property
    def over(self) -> bool:
        return round(self.value, 2) > self.target

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "over": self.over}


@dataclass(slots=True)
class Watch:
    """A stopwatch: ``with watch.timing(): ...`` adds one sample."""

    seconds: list[float] = field(default_factory=list)

    @contextmanager
    def timing(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)

    def p50_ms(self, warm_up: int = 0) -> float:
        return 1000 * statistics.median(self.seconds[warm_up:])


# One sample: it prepares what it needs, then times the rest with the watch that it is given.
Sample = Callable[[Watch], None]


def in_turn(kinds: Sequence[Sample], samples: int) -> list[float]:
    """The median of each kind in milliseconds, sampled in turn; another goes first every time."""
    turn = [(sample, Watch()) for sample in kinds]
    watches = [watch for _, watch in turn]
    warm_up = min(_WARM_UP, samples)
    for _ in range(warm_up + samples):
        for sample, watch in turn:
            sample(watch)
            eventlet.sleep(_SETTLE_S)
        turn.append(turn.pop(0))
    return [watch.p50_ms(warm_up) for watch in watches]


@dataclass(frozen=True, slots=True)
class Effort:
    """``samples``: of each operation; 200 is a whole measurement."""

    samples: int = SAMPLES

    def times(self, whole: int) -> int:
        """How often something is done that a whole measurement does ``whole`` times; never less than once."""
        return max(1, round(self.seconds(whole)))

    def seconds(self, whole: float) -> float:
        """How long, as :meth:`times`."""
        return whole * min(1.0, self.samples / SAMPLES)

    def loads(self, every: Sequence[int]) -> Sequence[int]:
        return every[:_LOADS_OF_A_LOOK] if self.samples < _A_LOOK else every
