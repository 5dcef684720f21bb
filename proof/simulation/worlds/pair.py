"""A primary, its backup and a third member: is what they acknowledge kept, whatever befalls one of them?

Two to five users store payloads through whom they take for the primary, ask again with the same id, ask for
another payload under it, and read back. The nemesis cuts lines (also for replies alone), slows lines and
disks, fills disks, stops and ends processes and cuts the power, mostly where a transaction is half done; and
it harms the servers.

What is promised is that one pod lost at a time loses nothing. So, at the same time, one disk at most forgets
what it hasn't synced; and a disk is lost as a whole only while the epoch in force has a primary and a backup
that live, so that the other of the two has everything. Lines and processes may fail two at a time: a process
that comes back has its disk. A store that forgets is no part of it.

In a few seeds the pair has a long history, so that old records are forgotten. At the end all is healed and
looked at (``pair.audit``); in half of the seeds the primary's machine is lost then, and the store's payloads.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import eventlet

from app.checker.verdict import Verdict, worst
from app.cluster import election
from app.consistency.engine.transactions import KEEP_LAST, KEEP_S, Outcome, job_id_for
from app.demo.faults import OF_A_TRANSACTION, TO_DISKS, TO_PARTICIPANTS, Fault, Powers
from app.zookeeper import client as zk, paths
from proof.simulation.nemesis import Moments, Nemesis, harm_servers
from proof.simulation.pair.audit import Audit
from proof.simulation.pair.log import Log
from proof.simulation.pair.members import MEMBERS, Members
from proof.simulation.pair.users import Habits, Ledger, User
from proof.simulation.script import Played, Script
from proof.simulation.stage import Stage

# By all users together, each try and each read counted.
OPERATIONS = 120
# Enough for a look at what may be forgotten, which is taken at every hundredth decision of one primary.
_LONG_OPERATIONS = 600
_LONG_HISTORY = 0.02
_REST_S = ((0.05, 1.0), (0.3, 4.0), (2.0, 12.0))
# From below an operation's time to beyond a session's; in some seeds mostly beyond.
_LASTING_S = ((0.003, 15.0), (0.003, 15.0), (1.0, 30.0))
_THINK_S = ((0.0, 0.05), (0.05, 0.5), (0.2, 2.0))
_DEADLINE_S = 60.0


@dataclass(frozen=True)
class _Plot:
    """What happens, as the seed says."""

    users: int
    operations: int
    habits: Habits
    long_history: bool
    settles: bool
    loses_the_primary: bool

    @classmethod
    def drawn(cls, stage: Stage) -> _Plot:
        choose, script = stage.chance("plot"), stage.script
        is_long = choose.random() < _LONG_HISTORY
        return cls(
            stage.at_most(choose.randint(2, 5), script.clients),
            stage.at_most(_LONG_OPERATIONS if is_long else OPERATIONS, script.operations),
            Habits(
                patience_s=choose.choice((0.3, 2.0, 30.0, 30.0)),
                stays=choose.choice((0.0, 0.3, 0.9)),
                looks_back=choose.choice((0.0, 0.1, 0.3)),
                insists=choose.choice((0.3, 0.9)),
                think_s=_THINK_S[0] if is_long else choose.choice(_THINK_S),
                uses=choose.random() < 0.2,
            ),
            is_long,
            settles=choose.random() < 0.5,
            loses_the_primary=choose.random() < 0.5,
        )


def play(script: Script) -> Played:
    stage = Stage(script)
    plot, moments, ledger = _Plot.drawn(stage), Moments(), Ledger()
    director = stage.connect(stage.line(), 60.0)
    election.prepare(director, zk.Deadline(_DEADLINE_S))
    if plot.long_history:
        _remember(director)
    members = Members(stage, moments)
    log = Log(stage.ensemble, members)
    audit = Audit(stage, members, ledger, log, director)
    whole = audit.is_whole()
    users = [
        User(stage, members, ledger, plot.habits, f"user-{number + 1}", director)
        for number in range(plot.users)
    ]
    nemeses = _nemeses(stage, members, moments, plot)
    for thread in [stage.spawn(user.act, plot.operations // plot.users) for user in users]:
        thread.wait()
    for nemesis in nemeses:
        nemesis.stop()
    whole = audit.is_whole() and whole
    if whole:
        if plot.settles:
            for key, attempts in list(ledger.open.items()):
                for value in dict.fromkeys(attempt.value for attempt in attempts):
                    users[0].insist(key, value)
        audit.look()
        if plot.loses_the_primary:
            audit.lose_the_primary()
    return _played(stage, plot, nemeses, audit, whole)


def _played(stage: Stage, plot: _Plot, nemeses: list[Nemesis], audit: Audit, whole: bool) -> Played:
    verdicts = dict.fromkeys(audit.verdicts())
    if not whole:
        verdicts["a pair again", Verdict("in doubt", "there was no pair again after all was healed")] = None
    verdict = worst(verdict for _, verdict in verdicts)
    judge = next(judge for judge, found in verdicts if found is verdict)
    history = stage.recorder.history()
    return Played(
        stage.script, verdict, judge, list(history.lines()),
        Counter(operation.outcome for operation in history.operations),
        sum((nemesis.faults for nemesis in nemeses), Counter()),
        [number for nemesis in nemeses for number in nemesis.struck], plot.users, stage.hub.now_s,
    )  # fmt: skip


def _remember(director: Any) -> None:
    """So many used transactions that some may be forgotten, and an hour in which none was added."""
    job_ids = [job_id_for(f"old-{number}") for number in range(KEEP_LAST)]
    for job_id in job_ids:
        outcome = Outcome(decision="committed", by="", epoch=0, size=0, sha256="")
        remembered = director.transaction()
        remembered.create(paths.job(job_id), b"")
        remembered.create(paths.outcome(job_id), outcome.to_bytes())
        remembered.create(paths.result(job_id), b"used")
        zk.commit(remembered, zk.Deadline(_DEADLINE_S))
    eventlet.sleep(KEEP_S)


def _nemeses(stage: Stage, members: Members, moments: Moments, plot: _Plot) -> list[Nemesis]:
    choose = stage.chance("nemesis")
    harms = _Harms(members, choose)
    aims = OF_A_TRANSACTION if choose.random() < 0.7 else ()
    rest_s = _REST_S[2] if plot.long_history else choose.choice(_REST_S)
    powers = Powers(
        (*TO_PARTICIPANTS, *TO_DISKS, Fault.PAUSE),
        MEMBERS,
        choose.choice((1, 1, 2)),
        rest_s,
        choose.choice(_LASTING_S),
        aims,
    )
    nemeses = [Nemesis(stage, powers, members.names, harms, choose=choose, moments=moments)]
    if choose.random() < 0.5 and not plot.long_history:
        nemeses.append(harm_servers(stage))
    return nemeses


class _Harms:
    """Does what the nemesis orders, as far as the promise reaches."""

    def __init__(self, members: Members, choose: random.Random) -> None:
        self._members, self._choose = members, choose
        self._forgetting: set[int] = set()

    def __call__(self, fault: Fault, victim: int, delay_s: float) -> Callable[[], object] | None:
        life, disk = self._members.lives[victim - 1], self._members.disks[victim - 1]
        if fault in (Fault.OUTAGE, Fault.LOSS) and not self._may_forget(fault, victim):
            return None
        if fault in (Fault.CRASH, Fault.OUTAGE, Fault.LOSS):
            life.end()
            return lambda: self._restart(fault, victim)
        if fault == Fault.PAUSE:
            life.pause()
            return life.go_on
        if fault == Fault.FULL:
            disk.is_full = True
        elif fault == Fault.CUT:
            life.line.cut_at_random(self._choose, one_way=0.3)
        elif self._choose.random() < 0.5:
            life.line.slow(delay_s)
        else:
            disk.delay_s = 10 * delay_s

        def heal() -> None:
            life.line.heal()
            disk.is_full, disk.delay_s = False, 0.0

        return heal

    def _may_forget(self, fault: Fault, victim: int) -> bool:
        if self._forgetting:
            return False
        if fault == Fault.LOSS and self._members.pair() is None:
            return False
        self._forgetting.add(victim)
        return True

    def _restart(self, fault: Fault, victim: int) -> None:
        disk = self._members.disks[victim - 1]
        if fault == Fault.OUTAGE:
            disk.lose_power()
        elif fault == Fault.LOSS:
            disk.replace()
        self._forgetting.discard(victim)
        self._members.restart(victim)
