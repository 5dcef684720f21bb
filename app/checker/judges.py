"""The last word on each demo's run: what its checkers say of a history, in the demo's words where it held."""

from __future__ import annotations

from dataclasses import replace

from app.checker.durability import durable
from app.checker.history import History, writes
from app.checker.linearizability import check_registers
from app.checker.replicas import converged, monotonic_reads
from app.checker.verdict import Verdict, worst


def judge_copies(history: History) -> Verdict:
    """Copies of a configuration: they converge, and none goes back to an older value."""
    return _where_it_held(
        worst([converged(_of_the_living(history)), monotonic_reads(history)]),
        f"all copies converged, none went back, no acknowledged update was lost "
        f"({len(history.operations)} operations, {len(history.faults)} faults)",
    )


def judge_payloads(history: History) -> Verdict:
    """Payloads of a primary and its backup: the answers "stored" and "not stored" are both true."""
    requests = writes(history.operations)
    return _where_it_held(
        durable(history),
        f"what was acknowledged is on two disks, what was refused on none, nothing twice "
        f"({len(requests)} requests, {len(writes(requests, 'ok'))} acknowledged; "
        f"{len(history.faults)} faults)",
    )


def judge_registers(history: History) -> Verdict:
    """Registers over replicas: each is linearizable."""
    return _where_it_held(
        check_registers(history),
        f"every read returned the newest completed write ({len(history.operations)} operations, "
        f"linearizable; up to {most_down(history)} replicas down)",
    )


def most_down(history: History) -> int:
    """How many replicas were down at the same time, at most: their hosts cut off, crashed or gone."""
    down: set[object] = set()
    most = 0
    for fault in history.faults:
        if fault.op in ("cut", "crash", "gone"):
            down.add(fault.value)
        elif fault.op in ("heal", "restart", "back"):
            down.discard(fault.value)
        most = max(most, len(down))
    return most


def _of_the_living(history: History) -> History:
    """Without the reads of pods that are dead at the end: those copies converge when they return."""
    ends = {fault.value: fault.op for fault in history.faults if fault.op in ("gone", "back")}
    kept = [operation for operation in history.operations if ends.get(operation.process) != "gone"]
    return History.of([*kept, *history.faults])


def _where_it_held(verdict: Verdict, sentence: str) -> Verdict:
    return replace(verdict, sentence=sentence) if verdict.outcome == "held" else verdict
