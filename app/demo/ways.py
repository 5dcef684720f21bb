"""The ways of one process of clients to the replicas, which break in the middle of a write.

A host that is cut off is cut off from all clients: a write waits, or does without it, and in either case
nobody sees it half done. A client that is cut off leaves its write behind at one or two replicas, and all
others see it. So a process of clients has a link of its own to each replica. Most of its sessions are at one
server, and another process's at the next: so one sees old data where the other writes.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import eventlet

from app.checker.history import Recorder
from app.consistency.engine.versions import Version, Versioned
from app.consistency.quorum import Quorum
from app.demo.faults import OF_A_QUORUM_WRITE, Fault, Moment, Powers, orders
from app.demo.nemesis import ORDERS_A_PLAN, SHORTEST_S, Aim
from app.zookeeper.link import Link

_REST_S = (0.3, 1.5)
# Longer than an operation's patience, so that some writes are left half done.
_LONGEST_S = 3.0
# A client chooses among the servers at random: one that is named so often more is the usual choice.
_NEAR = 3


class Ways:
    """Links to the replicas, from the hosts of each; ``name``: of those that use them."""

    def __init__(self, upstream: Sequence[str], number: int, name: str, recorder: Recorder) -> None:
        self._links = [Link(_near(number, hosts)) for hosts in upstream]
        self._name = name
        self._recorder = recorder
        self.hosts = [link.hosts for link in self._links]

    @contextmanager
    def harmed(self, quorum: Quorum, choose: random.Random, aim: Aim) -> Iterator[None]:
        """Until the block ends: now and then most of them are cut or slow, if possible during a write."""
        most = quorum.n - 1
        powers = Powers(
            (Fault.CUT, Fault.SLOW),
            quorum.n,
            most,
            _REST_S,
            (SHORTEST_S, _LONGEST_S),
            OF_A_QUORUM_WRITE,
            at_least=min(quorum.n // 2 + 1, most),
        )
        thread = eventlet.spawn(self._torment, powers, choose, aim)
        try:
            yield
        finally:
            thread.kill()
            self._heal()

    def _torment(self, powers: Powers, choose: random.Random, aim: Aim) -> None:
        for order in orders(powers, choose, ORDERS_A_PLAN):
            eventlet.sleep(order.after_s)
            victims = [self._links[number - 1] for number in order.victims]
            if order.fault is Fault.SLOW or order.moment is Moment.FIRST_ACK:
                self._recorder.fault("slow way", self._name)
                for link in victims:  # so that one acknowledges, and the others are on their way
                    link.slow(order.delay_s)
            aim.wait(order.moment)
            if order.fault is Fault.CUT:
                self._recorder.fault("cut way", self._name)
                for link in victims:
                    link.cut()
            eventlet.sleep(order.for_s)
            self._heal()

    def _heal(self) -> None:
        for link in self._links:
            link.heal()
        self._recorder.fault("heal way", self._name)


class Progress:
    """Says how far a client's write has come; ``answers``: so many give its version."""

    def __init__(self, aim: Aim, answers: int) -> None:
        self._aim = aim
        self._answers = answers
        self._to_come, self._acknowledged = 0, False

    def begins(self) -> None:
        self._to_come, self._acknowledged = self._answers, False

    def on_answer(self, replica: int, held: Versioned) -> None:
        self._to_come -= 1
        if self._to_come == 0:
            self._aim.reached(Moment.VERSION_KNOWN)

    def on_ack(self, version: Version, replica: int) -> None:
        if not self._acknowledged:
            self._acknowledged = True
            self._aim.reached(Moment.FIRST_ACK)


def _near(number: int, hosts: str) -> str:
    """The servers; one of them, another for each number, so often that most sessions are there."""
    servers = hosts.split(",")
    return ",".join([servers[number % len(servers)]] * _NEAR + servers)
