"""What is left when all is healed: on both disks, for the primary to read, and then for its successor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import eventlet

from app.checker.history import History, Operation
from app.checker.judges import judge_payloads
from app.checker.verdict import Verdict
from app.consistency.engine.disk import sha256
from app.consistency.engine.transactions import Outcome, job_id_for
from app.demo.recording import NOT_A_RESULT
from app.zookeeper import client as zk, paths
from proof.simulation.pair.log import Complaint, Log
from proof.simulation.pair.members import FOLDER, Members
from proof.simulation.pair.users import Ledger
from proof.simulation.stage import Stage

# Within this long everything must be whole again, in seconds: sessions end, and a long history is copied.
_WHOLE_S = 900.0
# Within this long a backup has dropped what was aborted.
_DROPPED_S = 60.0
_PATIENCE_S = 60.0
_TRIES = 10

DURABLE = "acknowledged is kept, refused is not"


class Audit:
    """One look at everything, after the nemeses have healed what they harmed."""

    def __init__(self, stage: Stage, members: Members, ledger: Ledger, log: Log, director: Any) -> None:
        self._stage, self._members, self._ledger, self._log = stage, members, ledger, log
        self._director = director

    def is_whole(self) -> bool:
        """Whether there is a pair again in the end."""
        return _comes_true(self._members.whole, _WHOLE_S)

    def look(self) -> None:
        """What the primary reads, and what is on the disks of the pair."""
        _comes_true(lambda: not any(self._strays(key) for key in self._ledger.values), _DROPPED_S)
        for key in self._ledger.values:
            if key not in self._ledger.used:
                self._read("primary", key)
                self._observe_disks(key)
        self._look_for_the_undecided()

    def lose_the_primary(self) -> None:
        """Its machine is lost, and the store's payloads, too: what the backup has on its disk is enough."""
        self._log.close()  # a backup to be has nothing to copy from now on
        primary, backup = self._members.pair() or (0, 0)
        kept = [key for key in self._ledger.values if self._is_kept(key)]
        for key in kept:
            self._blank(key)
        self._stage.recorder.fault("lost", self._members.names[primary - 1])
        self._members.lives[primary - 1].end()
        heir = self._members.lives[backup - 1]
        if _comes_true(lambda: heir.member is not None and heir.member.primary is not None, _WHOLE_S):
            for key in kept:
                self._read("successor", key, missing_is_none=True)

    def _blank(self, key: str) -> None:
        director, path = self._director, paths.job(job_id_for(key))
        zk.insist(
            director,
            lambda: zk.wait(director.set_async(path, b""), zk.Deadline(zk.STEP_S)),
            zk.Deadline(_PATIENCE_S),
        )

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """(what was asked, the verdict)."""
        history = self._stage.recorder.history()
        # Of what has been used nothing is promised any more.
        kept = [one for one in history.operations if one.key not in self._ledger.used]
        yield DURABLE, judge_payloads(History.of([*kept, *history.faults]))
        for complaint in self._log.complaints:
            yield complaint.promise, Verdict("violated", complaint.sentence, self._witness(complaint))

    def _witness(self, complaint: Complaint) -> tuple[Operation, ...]:
        keys = [key for key in self._ledger.values if job_id_for(key) == complaint.job_id]
        operations = self._stage.recorder.history().operations
        return tuple(operation for operation in operations if operation.key in keys)

    # -- one transaction --

    def _outcome(self, key: str) -> Outcome | None:
        node = self._stage.ensemble.nodes.get(paths.outcome(job_id_for(key)))
        return None if node is None else Outcome.from_bytes(node.data)

    def _is_kept(self, key: str) -> bool:
        outcome = self._outcome(key)
        return outcome is not None and outcome.decision == "committed" and key not in self._ledger.used

    def _read(self, who: str, key: str, *, missing_is_none: bool = False) -> None:
        """A primary that hasn't the copy says that it is in doubt, each time that it is asked."""
        error: Exception | None = None
        for _ in range(_TRIES):
            for life, primary in self._members.leading():
                try:
                    payload = life.ask(_PATIENCE_S, primary.read, job_id_for(key))
                except NOT_A_RESULT as error_:
                    error = error_
                else:
                    self._stage.recorder.observe(who, key, payload.decode() if payload is not None else None)
                    return
            eventlet.sleep(1.0)
        if missing_is_none and error is not None:
            self._stage.recorder.observe(who, key, None)

    def _pair(self) -> Iterator[tuple[str, Any]]:
        for number in self._members.pair() or ():
            yield self._members.names[number - 1], self._members.disks[number - 1]

    def _observe_disks(self, key: str) -> None:
        """What was committed must be there after a power cut, too; of the rest, nothing that one can see."""
        for name, disk in self._pair():
            found = self._strays_on(disk, key)
            outcome = self._outcome(key)
            if outcome is not None and outcome.decision == "committed":
                copy = disk.certain(FOLDER).get(f"{job_id_for(key)}.{outcome.sha256}")
                found = [copy if copy is not None and sha256(copy) == outcome.sha256 else None, *found]
            for copy in found or [None]:
                self._stage.recorder.observe(f"disk of {name}", key, _text(copy))

    def _strays(self, key: str) -> bool:
        return any(self._strays_on(disk, key) for _, disk in self._pair())

    def _strays_on(self, disk: Any, key: str) -> list[bytes | None]:
        """Copies of what was not committed. One of an attempt in doubt, that was never published, may stay:
        nobody knows of it."""
        outcome, job_id = self._outcome(key), job_id_for(key)
        recorded = outcome.sha256 if outcome is not None else ""
        excused = {sha256(one.value.encode()) for one in self._ledger.open.get(key, ())} - {recorded}
        if outcome is not None and outcome.decision == "committed":
            excused.add(recorded)
        strays: list[bytes | None] = [
            data
            for name, data in disk.seen(FOLDER).items()
            if name.startswith(f"{job_id}.") and name.removeprefix(f"{job_id}.") not in excused
        ]
        return strays

    def _look_for_the_undecided(self) -> None:
        nodes = self._stage.ensemble.nodes
        for key in self._ledger.values:
            job_id = job_id_for(key)
            record = nodes.get(paths.job(job_id))
            if (
                record is not None
                and paths.outcome(job_id) not in nodes
                and record.czxid < self._log.led_since
            ):
                sentence = f"{key} was published before the present primary took over, and is undecided"
                self._log.complaints.append(
                    Complaint("a take-over leaves nothing undecided", sentence, job_id)
                )


def _text(copy: bytes | None) -> str | None:
    return None if copy is None else copy.decode(errors="replace")


def _comes_true(condition: Callable[[], bool], for_s: float) -> bool:
    deadline = zk.Deadline(for_s)
    while not (met := condition()) and not deadline.passed:
        eventlet.sleep(0.25)
    return met
