"""What is done to the replicas, the primary-backup trio and the copies; each harm undoes itself."""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import eventlet

from app.checker.history import Recorder
from app.cluster.guest_actor import Actor
from app.demo.faults import Fault
from app.demo.recording import NOT_A_RESULT
from app.errors import Refused
from app.zookeeper import client as zk
from proof.chaos.groups import LiveRegister, Trio
from proof.chaos.harms import Harm, Harms
from proof.chaos.site import Site
from proof.matrix.schedule import REPLICAS

# Shorter than what a server takes to notice that it hears no leader.
_PARTED_S = 2.7
_MAIMED_S = 1.8
_DISK_OUT_S = 1.5
# A member that is cut off loses its session, and another leads with a backup.
_ATTEMPTS, _BREATH_S, _DEPOSED_S = 4, 0.5, 2.5
# A group that still recovers is not harmed again: it would only refuse, and show nothing.
_STAND_S = 10.0


class GroupHarms(Harms):
    """The harms, by name.

    Args:
        of_the_trio: where what the trio is asked in the course of a harm is recorded.
    """

    def __init__(
        self,
        site: Site,
        register: LiveRegister,
        trio: Trio,
        copies: Sequence[Actor],
        recorder: Recorder,
        of_the_trio: Recorder,
        choose: random.Random,
        turn: Any,
    ) -> None:
        super().__init__(site, recorder, choose, turn)
        self._register = register
        self._trio = trio
        self._copies = copies
        self._of_the_trio = of_the_trio

    def by_name(self) -> Mapping[str, Harm]:
        return {
            "a writer is cut off during a write": self._maim,
            "two ways to replicas are cut": self._cut_replicas,
            "a member is cut off": lambda: self._member(Fault.CUT),
            "the trio's primary is deposed unheard": self._depose,
            "a member crashes": lambda: self._member(Fault.CRASH),
            "the backup's disk is taken out": self._disk_out,
            "a copy of the configuration is cut off": lambda: self._copy(Fault.CUT),
            "a copy of the configuration crashes": lambda: self._copy(Fault.CRASH),
        }

    # -- the register --

    def _maim(self) -> None:
        kept = self._choose.sample(range(1, REPLICAS + 1), self._choose.choice((1, 2)))
        self._record(Fault.CUT, "way of ada")
        self._register.maim(kept)
        eventlet.sleep(_MAIMED_S)
        self._register.unmaim()
        self._record("heal", "way of ada")

    def _cut_replicas(self) -> None:
        pair = self._choose.sample(range(1, REPLICAS + 1), 2)
        for replica in pair:
            self._record(Fault.CUT, f"replica-{replica}")
        self._register.cut(pair)
        self._later(0.01, 3.0)
        self._register.heal(pair)
        for replica in pair:
            self._record("heal", f"replica-{replica}")

    # -- the trio --

    def _depose(self) -> None:
        """The server of the trio's primary is cut off from its leader, so that the others elect another.

        At ZooKeeper's leader a deposed primary is notified: its own server takes the session away. So a
        primary there is cut off first, and another leads.
        """
        with self._turn:
            self._depose_in_turn()

    def _depose_in_turn(self) -> None:
        for _ in range(_ATTEMPTS):
            self._trio.stands(_STAND_S)
            number = self._trio.primary_at()
            if number is None:
                eventlet.sleep(_BREATH_S)
            elif number != self._site.servers.leader():
                with self._trio.sparing(number), self._harmed(Fault.PARTITION, number):
                    self._trio.ask_both(number, self._of_the_trio, _PARTED_S)
                return
            else:
                self._record(Fault.CUT, f"node-{number}")
                self._trio.harm(number, Fault.CUT)
                eventlet.sleep(_DEPOSED_S)
                self._trio.harm(number, "heal")
                self._record("heal", f"node-{number}")
                eventlet.sleep(_DEPOSED_S)  # a new pair is there, and the old primary at the end of the line
        raise Refused("no primary was at a server that could be cut off")

    def _member(self, verb: Fault) -> None:
        self._trio.stands(_STAND_S)
        number = self._choose.randint(1, 3)
        self._record(verb, f"node-{number}")
        self._trio.harm(number, verb)
        self._later(0.05, 3.0)
        self._record("heal", f"node-{number}")
        self._insist(lambda: self._trio.harm(number, "heal"))

    def _disk_out(self) -> None:
        self._trio.stands(_STAND_S)
        if (whose := self._trio.take_a_disk_out()) is None:
            raise Refused("no member backed up, so there was no disk to take out")
        self._record(Fault.CUT, f"disk of {whose}")
        eventlet.sleep(_DISK_OUT_S)
        self._trio.put_it_back()
        self._record("heal", f"disk of {whose}")

    # -- the copies --

    def _copy(self, verb: Fault) -> None:
        copy = self._choose.choice(self._copies)
        getattr(copy, verb)()
        self._later(0.05, 4.0)
        self._insist(copy.heal)

    # -- small --

    @staticmethod
    def _insist(heal: Callable[[], object]) -> None:
        """A restart needs a server, which may be away for a moment."""
        deadline = zk.Deadline(20)
        while not deadline.passed:
            with suppress(*NOT_A_RESULT):
                heal()
                return
            eventlet.sleep(0.3)
