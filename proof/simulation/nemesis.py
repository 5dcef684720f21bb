"""Faults: orders drawn from the seed, carried out on lines and servers, at any time or at a moment.

The vocabulary and the plans are those of every other nemesis here (``app.demo.faults``). Each order has a
number, so that shrinking can leave it out and nothing else changes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import eventlet
from eventlet import event

from app.demo.faults import HEALED_BY, TO_SERVERS, Fault, Moment, Order, Powers, orders
from proof.simulation.stage import Stage

# How long it waits for a moment that doesn't come, in seconds.
_PATIENCE_S = 5.0
# Half of those that aim strike a little after the moment: by then some messages have arrived, and others not.
_AFTER_S = (0.0, 0.004)
# Between two faults to servers, and how long one lasts, in seconds: an election takes up to two.
_SERVERS_REST_S = (0.3, 12.0)
_SERVERS_LASTING_S = (0.05, 8.0)

Harm = Callable[[Fault, int, float], Callable[[], object] | None]


@dataclass
class Moments:
    """Where a world says "now": a nemesis that waits for this moment strikes before the world goes on."""

    _waiting: dict[Moment, list[Any]] = field(default_factory=dict)

    def now(self, moment: Moment | None, victim: int | None = None) -> None:
        """``victim``: whom it concerns, if one; must not be called from the hub."""
        for struck in self._waiting.pop(moment, []) if moment else []:
            struck.send(victim)
            eventlet.sleep(0)

    def wait(self, moment: Moment, patience_s: float) -> int | None:
        struck: Any = event.Event()
        self._waiting.setdefault(moment, []).append(struck)
        with eventlet.Timeout(patience_s, False):
            found: int | None = struck.wait()
            return found
        if struck in self._waiting.get(moment, []):
            self._waiting[moment].remove(struck)
        return None


class Nemesis:
    """Harms until it is stopped, then heals everything.

    Args:
        names: of the victims, in the order of their numbers (from 1).
        harm: does it to the victim of a number, and returns what heals it; None: that may not happen now.
        first: number of its first order; several have a thousand each.
    """

    def __init__(
        self,
        stage: Stage,
        powers: Powers,
        names: Sequence[str],
        harm: Harm,
        *,
        choose: random.Random,
        moments: Moments | None = None,
        first: int = 0,
    ) -> None:
        self._orders = orders(powers, choose)
        self._at_most = powers.at_most
        self._names, self._harm = names, harm
        self._choose = choose
        self._script, self._recorder = stage.script, stage.recorder
        self._moments = moments or Moments()
        self._next = first
        self._healing: dict[int, Callable[[], None]] = {}
        self.faults: Counter[str] = Counter()
        self.struck: list[int] = []
        self._thread = eventlet.spawn(self._go_on)

    def stop(self) -> None:
        self._thread.kill()
        for heal in list(self._healing.values()):
            heal()

    def _go_on(self) -> None:
        for order in self._orders:
            number, self._next = self._next, self._next + 1
            eventlet.sleep(order.after_s)
            aimed = self._moments.wait(order.moment, _PATIENCE_S) if order.moment else None
            if order.moment and self._choose.random() < 0.5:
                eventlet.sleep(self._choose.uniform(*_AFTER_S))
            if self._script.happens(number):
                self._strike(number, order, aimed)

    def _strike(self, number: int, order: Order, aimed: int | None) -> None:
        victims = [victim for victim in order.victims if victim not in self._healing]
        if aimed is not None and aimed not in self._healing:
            victims = [aimed, *victims][: max(1, len(victims))]
        for victim in victims[: self._at_most - len(self._healing)]:
            heals = self._harm(order.fault, victim, order.delay_s)
            if heals is None:
                continue
            self._recorder.fault(order.fault, self._names[victim - 1])
            self.faults[order.fault] += 1
            self.struck.append(number)
            self._healing[victim] = self._heal(victim, order.fault, heals)
            eventlet.spawn_after(order.for_s, self._healing[victim])

    def _heal(self, victim: int, fault: Fault, heals: Callable[[], object]) -> Callable[[], None]:
        def heal() -> None:
            if self._healing.get(victim) is heal:
                del self._healing[victim]
                self._recorder.fault(HEALED_BY[fault], self._names[victim - 1])
                heals()

        return heal


def harm_servers(stage: Stage) -> Nemesis:
    """One server at a time, of three; two of five."""
    servers = stage.ensemble.servers
    does: Mapping[Fault, Callable[[Any], tuple[Callable[[], object], Callable[[], object]]]] = {
        Fault.PAUSE: lambda server: (server.pause, server.resume),
        Fault.PARTITION: lambda server: (server.cut_off, server.heal),
        Fault.KILL: lambda server: (server.kill, server.restart),
    }

    def harm(fault: Fault, victim: int, _: float) -> Callable[[], object]:
        hurt, heal = does[fault](servers[victim - 1])
        hurt()
        return heal

    count = len(servers)
    powers = Powers(TO_SERVERS, count, (count - 1) // 2, _SERVERS_REST_S, _SERVERS_LASTING_S)
    names = [f"server {server.number}" for server in servers]
    return Nemesis(stage, powers, names, harm, choose=stage.chance("servers' nemesis"), first=10_000)
