"""Eventual convergence: once nothing changes any more, everybody comes to read the same last value.

"If no updates take place for a long time, all replicas will gradually become consistent" (van Steen &
Tanenbaum, chapter 7; among the other models Viotti & Vukolić, ACM Computing Surveys 2016, section 3.2;
Terry et al., PDIS 1994: total propagation and consistent ordering). How long is a long time nobody says, so
it's a parameter, and only those who read after it are asked. The value must be that of a last write, one
that isn't older than another that happened; of concurrent writes any may be the last.

A process that looked too early leaves it undecided, for it may have converged later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.checker.history import Fault, Operation
from app.checker.register import Register
from app.checker.verdict import Examined, Verdict, violated
from app.checker.wording import Wording, quoted

QUIET_S = 1.0


@dataclass(frozen=True, slots=True)
class Ending:
    """The last read of each process: those after the quiet time, and those that came too early."""

    late: tuple[Operation, ...]
    early: tuple[Operation, ...]

    @classmethod
    def of(cls, register: Register, faults: Sequence[Fault], quiet_s: float = QUIET_S) -> Ending:
        """Quiet begins when every write that happened has ended, and the nemesis is done as well."""
        changes: list[float] = [fault.at_ns for fault in faults]
        # an unknown write never ended, but once it has been read it can change nothing any more
        changes += [register.proof(write).ended_ns for write in register.happened()]
        quiet = max(changes, default=-math.inf) + quiet_s * 1e9
        ends = {read.process: read for read in register.reads}.values()
        late = tuple(end for end in ends if end.invoked_ns >= quiet)
        return cls(late, tuple(end for end in ends if end.invoked_ns < quiet))


def convergence(register: Register, ending: Ending, say: Wording) -> Examined:
    """Asked of the last read of every process."""
    asked = len(ending.late) + len(ending.early)
    complaints = tuple(register.impossible_reads(say)) or tuple(_complaints(register, ending, say))
    return Examined(asked, complaints)


def _complaints(register: Register, ending: Ending, say: Wording) -> Iterator[Verdict]:
    for one, other in pairwise(sorted(ending.late, key=lambda end: end.invoked_ns)):
        if one.value != other.value:
            yield violated(f"in the end {say.began(one)}, but {say.began(other)}", one, other)
    for end in ending.late:
        for write in register.happened():
            if register.older(end.value, write.value):
                stale = register.stale(end, register.proof(write))
                yield violated(f"in the end {stale.sentence(say)}", *stale.witness)
    for end in ending.early:
        soon = f"{say.began(end)} and then never again {quoted(end.key)}"
        yield Verdict("in doubt", f"{soon}: too soon after the last change to tell", (end,))
