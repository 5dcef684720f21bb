"""Two operations timed in turn, and the table of what came out."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import eventlet

SAMPLES = 200
# Taken first and thrown away: the servers' compiler and our caches warm up.
_WARM_UP = 20
# Between two samples: what the last one has left under way (the slower replicas' answers) comes to its end.
_SETTLE_S = 0.01

PAYLOAD = b"x" * 300


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: medians in milliseconds, and the ratio that we aim at."""

    operation: str
    ours_ms: float
    floor_ms: float
    target: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.floor_ms

    @property
    def over(self) -> bool:
        return round(self.ratio, 2) > self.target

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio, "over": self.over}


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


def in_turn(operation: str, target: float, ours: Sample, floor: Sample, samples: int) -> Row:
    """The medians of both, sampled in turn; who goes first changes every time."""
    watches = Watch(), Watch()
    pair = [(ours, watches[0]), (floor, watches[1])]
    for _ in range(_WARM_UP + samples):
        for sample, watch in pair:
            sample(watch)
            eventlet.sleep(_SETTLE_S)
        pair.reverse()
    return Row(operation, watches[0].p50_ms(_WARM_UP), watches[1].p50_ms(_WARM_UP), target)


def as_table(rows: Sequence[Row], samples: int) -> str:
    width = max(len(row.operation) for row in rows)
    lines = [
        f"p50 of {samples} samples each, ours and its floor in turn, on one ensemble",
        "",
        f"{'operation':{width}}  ours ms  floor ms  ratio  target",
    ]
    lines += [
        f"{row.operation:{width}}  {row.ours_ms:7.2f}  {row.floor_ms:8.2f}  {row.ratio:5.2f}  "
        f"{row.target:6.1f}{'  over' if row.over else ''}"
        for row in rows
    ]
    return "\n".join(lines)
