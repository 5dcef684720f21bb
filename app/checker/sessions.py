"""The four guarantees for a single client, and the two of them that are about what it reads.

They are those of Terry, Demers, Petersen, Spreitzer, Theimer & Welch ("Session guarantees for weakly
consistent replicated data", PDIS 1994; van Steen & Tanenbaum, section 7.3). There a server holds a set of
writes, which it has applied in an order that is the same at all servers. Where nobody sees the servers, the
guarantees are those of Viotti & Vukolić (ACM Computing Surveys 2016): each read *sees* a set of
writes and returns the last of them in an order of all writes, and a guarantee is violated if, whatever the
reads may have seen, it can't have been kept. Two things are decided otherwise than there:

- Without any knowledge of the order hardly anything would be a violation: who reads new and then old may take
  the old value for the newer one. So the order agrees with the clock wherever the clock can tell which value
  is older (app.checker.register; to Viotti & Vukolić "real-time writes"), and that is what a client means by
  "older". For sequential and causal consistency the clock doesn't count, so they imply less: that no process
  goes back to what is older by causality. (One order for each process that keeps all four, with no clock, is
  causal consistency: Brzeziński, Sobaniec & Wawrzyniak, PDP 2004.)
- "No guarantees are given concerning concurrent accesses by different clients" (van Steen & Tanenbaum). So
  each process is asked alone, and two may see concurrent writes in two orders, as with causal consistency.

The other two are about the order of the writes itself: app.checker.write_order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from app.checker.history import Operation, Value
from app.checker.register import Register
from app.checker.verdict import Examined, Verdict, violated
from app.checker.wording import Wording

Sessions: TypeAlias = Mapping[str, Sequence[Operation]]


def monotonic_reads(register: Register, sessions: Sessions, say: Wording) -> Examined:
    """Each read sees all that the reads of its process before it saw. Asked of all reads but the first.

    What a read returns is the last of what it sees. So the next read may return nothing older, and no value
    that was there before, was gone, and is back.
    """
    reads = [[step for step in session if step.op == "read"] for session in sessions.values()]
    complaints = tuple(register.impossible_reads(say)) or tuple(
        complaint for successive in reads for complaint in _going_back(register, successive, say)
    )
    return Examined(sum(max(0, len(successive) - 1) for successive in reads), complaints)


def _going_back(register: Register, reads: Sequence[Operation], say: Wording) -> Iterator[Verdict]:
    newest: Operation | None = None
    latest: dict[Value, Operation] = {}
    for earlier, read in pairwise(reads):
        newest = max(earlier, newest or earlier, key=lambda one: register.sources[one.value].invoked_ns)
        latest[earlier.value] = earlier
        if register.older(read.value, newest.value):
            yield register.stale(read, newest).verdict(say)
        if earlier.value != read.value and read.value in latest:
            again = (latest[read.value], earlier, read)
            yield violated(f"{say.told(again)}: in whatever order they were written, it went back", *again)


def read_your_writes(register: Register, sessions: Sessions, say: Wording) -> Examined:
    """Each read sees all completed writes of its process before it. Asked of all reads after such a write.

    The last of those is the newest, so a read may return nothing that is older than that one.
    """
    pairs = [pair for session in sessions.values() for pair in _reads_after_writes(session)]
    complaints = tuple(register.impossible_reads(say)) or tuple(
        register.stale(read, write).verdict(say)
        for write, read in pairs
        if register.older(read.value, write.value)
    )
    return Examined(len(pairs), complaints)


def _reads_after_writes(session: Sequence[Operation]) -> Iterator[tuple[Operation, Operation]]:
    """Each read with the last completed write before it."""
    last: Operation | None = None
    for step in session:
        if step.op == "read" and last is not None:
            yield last, step
        elif step.op == "write" and step.outcome == "ok":
            last = step
