"""Who harms the simulated workers: faults at any time or at a moment, stale claims, damaged files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import eventlet
from eventlet import hubs

from app import jobs
from app.demo.faults import OF_A_TRANSACTION, Fault, Moment, Powers
from proof.simulation.clock import acting
from proof.simulation.nemesis import Moments, Nemesis, harm_servers
from proof.simulation.stage import Stage
from proof.simulation.worlds.worker_hosts import Host

_FAULTS = (Fault.CUT, Fault.SLOW, Fault.CRASH, Fault.PAUSE)
_MOMENTS = (Moment.CLAIMED, *OF_A_TRANSACTION)
_REST_S = ((0.05, 1.0), (0.3, 4.0), (2.0, 10.0))
# From less than a message takes to longer than a session, or than a primary waits for its backup.
_LASTING_S = ((0.003, 15.0), (0.2, 15.0), (3.0, 25.0))
# How often, of all seeds: servers are harmed, a claimant's lease is outlived, files are damaged;
# and how often nobody is harmed but files.
_SERVERS, _STALE, _DAMAGE, _CALM, _DEATHS = 0.4, 0.5, 0.2, 0.1, 0.3
_STALE_FIRST, _DAMAGE_FIRST, _DEATHS_FIRST = 20_000, 30_000, 40_000
# In one seed, at most.
_MOST_SCENES, _MOST_DAMAGES, _MOST_DEATHS = 3, 4, 3
# One task in so many kills its worker, within so many seconds after it was computed.
_KILLS, _AFTER_S = 0.15, (0.0, 0.02)
# A claimant stands still for so long after its session's end; the next one after the first goes on.
_LATE_S = (0.5, 4.0)
_NEXT_S = (0.5, 6.0)


class Harm:
    """All of them.

    Attributes:
        faults: by kind; ``struck``: the numbers of those that happened.
    """

    def __init__(self, stage: Stage, hosts: Sequence[Host], moments: Moments, shared: Path) -> None:
        choose = stage.chance("nemesis")
        self._nemeses: list[Nemesis] = []
        self._stale: StaleClaims | None = None
        self._damage: Damage | None = None
        # An upload's second copy is its master's: it is damaged only where the master stays.
        calm, damages = choose.random() < _CALM, choose.random() < _DAMAGE
        kinds: tuple[Fault, ...] = (Fault.SLOW,) if calm else _FAULTS
        if calm or damages:
            self._damage = Damage(stage, shared, uploads=calm)
        if not calm and choose.random() < _STALE:
            self._stale = StaleClaims(stage, hosts)
        self._deaths = Deaths(stage, hosts) if not calm and choose.random() < _DEATHS else None
        aims = _MOMENTS if choose.random() < 0.7 else ()
        powers = Powers(
            kinds,
            len(hosts),
            choose.choice((1, 1, 2, 2, 3)),
            choose.choice(_REST_S),
            choose.choice(_LASTING_S),
            aims,
        )
        names = [host.name for host in hosts]
        self._nemeses.append(
            Nemesis(stage, powers, names, _harming(hosts, choose), choose=choose, moments=moments)
        )
        if not calm and choose.random() < _SERVERS:
            self._nemeses.append(harm_servers(stage))

    def claimed(self, task: str, name: str, attempt: int) -> None:
        """A task's claim has taken effect; called by the hub."""
        if self._stale is not None:
            self._stale.claimed(task, name, attempt)
        if self._damage is not None:
            self._damage.strike()

    def stop(self) -> None:
        for one in self._all():
            one.stop()

    @property
    def faults(self) -> Counter[str]:
        return sum((one.faults for one in self._all()), Counter())

    @property
    def struck(self) -> list[int]:
        return [number for one in self._all() for number in one.struck]

    def _all(self) -> list[Any]:
        return [one for one in (*self._nemeses, self._stale, self._damage, self._deaths) if one is not None]


def _harming(hosts: Sequence[Host], choose: Any) -> Callable[[Fault, int, float], Callable[[], object]]:
    def harm(fault: Fault, victim: int, delay_s: float) -> Callable[[], object]:
        host = hosts[victim - 1]
        if fault == Fault.CRASH:
            host.crash()
            return host.start
        if fault == Fault.PAUSE:
            host.pause()
            return host.go_on
        if fault == Fault.CUT:
            host.line.cut_at_random(choose)
        else:
            host.line.slow(delay_s)
        return host.line.heal

    return harm


class StaleClaims:
    """A task's claimant stands still beyond its session, and the next one as well: then the first goes on.

    It has been fenced off: its token, the version of the task's znode when it claimed it, is old.
    """

    def __init__(self, stage: Stage, hosts: Sequence[Host]) -> None:
        self._stage, self._hosts = stage, {host.name: host for host in hosts}
        self._choose = stage.chance("stale claims")
        self._paused: dict[str, Host] = {}  # task -> its first claimant
        self._next = _STALE_FIRST
        self.faults: Counter[str] = Counter()
        self.struck: list[int] = []

    def claimed(self, task: str, name: str, attempt: int) -> None:
        host = self._hosts.get(name)
        first = self._paused.get(task)
        if host is None or not host.is_well:
            return
        if first is not None and first is not host:
            del self._paused[task]
            late_s = self._choose.uniform(*_NEXT_S)
            self._pause(host, late_s + self._choose.uniform(*_NEXT_S))
            eventlet.spawn_after(late_s, first.go_on)
        elif first is None and not self._paused and self._next < _STALE_FIRST + _MOST_SCENES:
            number, self._next = self._next, self._next + 1
            if self._stage.script.happens(number) and self._choose.random() < 0.5:
                self.struck.append(number)
                self._paused[task] = host
                self._pause(host, 4 * self._stage.session_s + self._choose.uniform(*_LATE_S))

    def _pause(self, host: Host, for_s: float) -> None:
        self._stage.recorder.fault(Fault.PAUSE, host.name)
        self.faults[Fault.PAUSE] += 1
        host.pause()
        eventlet.spawn_after(for_s, self._go_on, host)

    def _go_on(self, host: Host) -> None:
        self._paused = {task: first for task, first in self._paused.items() if first is not host}
        host.go_on()

    def stop(self) -> None:
        self._next = _STALE_FIRST + _MOST_SCENES
        for host in self._hosts.values():
            host.go_on()
        self._paused.clear()


class Deaths:
    """A worker dies when it has computed a task, before that is told or when it just has been."""

    def __init__(self, stage: Stage, hosts: Sequence[Host]) -> None:
        self._stage, self._hosts = stage, hosts
        self._choose = stage.chance("deaths")
        self._next, self._over = _DEATHS_FIRST, False
        self.faults: Counter[str] = Counter()
        self.struck: list[int] = []
        job: Any = jobs.find("seals")
        job.mapped.append(self._mapped)

    def _mapped(self) -> None:
        if self._next >= _DEATHS_FIRST + _MOST_DEATHS or self._choose.random() > _KILLS:
            return
        number, self._next = self._next, self._next + 1
        host = next(host for host in self._hosts if host.process is hubs.get_hub().acting)
        if self._stage.script.happens(number):
            self.struck.append(number)
            with acting(None):
                eventlet.spawn_after(self._choose.uniform(*_AFTER_S), self._kill, host)

    def _kill(self, host: Host) -> None:
        if not host.process.is_dead and not self._over:
            self._stage.recorder.fault(Fault.CRASH, host.name)
            self.faults[Fault.CRASH] += 1
            host.crash()
            eventlet.spawn_after(self._choose.uniform(0.0, 2 * self._stage.session_s), host.start)

    def stop(self) -> None:
        self._over = True
        self._next = _DEATHS_FIRST + _MOST_DEATHS
        for host in self._hosts:
            host.start()


class Damage:
    """A file of a running job is lost, cut short, or has another byte.

    Of what tasks read and what they have made; ``uploads``: the shared copies of these as well. Not of a
    reduced value, which is synced before it is named, and which nobody makes anew (seed 205 showed that).
    """

    def __init__(self, stage: Stage, shared: Path, *, uploads: bool) -> None:
        self._uploads = uploads
        self._stage, self._shared = stage, shared
        self._choose = stage.chance("damage")
        self._next = _DAMAGE_FIRST
        self.faults: Counter[str] = Counter()
        self.struck: list[int] = []

    def strike(self) -> None:
        if self._next >= _DAMAGE_FIRST + _MOST_DAMAGES or self._choose.random() < 0.5:
            return
        files = sorted(
            path
            for path in (self._shared / "jobs").glob("*/*")
            if path.stat().st_size and not path.name.startswith("matrix.")
        )
        if self._uploads:
            files += sorted(path for path in (self._shared / "uploads").glob("*") if path.suffix != ".part")
        if not files:
            return
        number, self._next = self._next, self._next + 1
        victim, way = self._choose.choice(files), self._choose.randrange(3)
        if not self._stage.script.happens(number):
            return
        self.struck.append(number)
        self.faults["damage"] += 1
        data = bytearray(victim.read_bytes())
        self._stage.recorder.fault("damage", ("lose", "cut short", "flip")[way])
        if way == 0:
            victim.unlink()
        elif way == 1:
            victim.write_bytes(data[:-1])
        else:
            data[self._choose.randrange(len(data))] ^= 1
            victim.write_bytes(data)

    def stop(self) -> None:
        self._next = _DAMAGE_FIRST + _MOST_DAMAGES
