"""How much is measured: from one number, the samples of an operation, follows everything else."""

from collections.abc import Sequence
from dataclasses import dataclass

from proof.bench import SAMPLES

# With fewer samples it is only looked at whether all works: the three smallest loads are enough for that.
_A_LOOK = 20
_LOADS_OF_A_LOOK = 3


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
