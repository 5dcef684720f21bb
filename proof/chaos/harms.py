"""What every list of harms has: the place, the choices, the record, and a server that is harmed."""

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import eventlet

from app.checker.history import Recorder
from app.demo.servers import ServersError
from proof.chaos.site import Site

# Raises any ending of an operation but a result; Refused where there was nothing to harm.
Harm: TypeAlias = Callable[[], None]


class Harms:
    """What its lists of harms are made of.

    Args:
        turn: a semaphore, held while a server is harmed: one at a time is all that three survive.
    """

    def __init__(self, site: Site, recorder: Recorder, choose: random.Random, turn: Any) -> None:
        self._site = site
        self._recorder = recorder
        self._choose = choose
        self._turn = turn

    def _later(self, least_s: float, most_s: float) -> None:
        eventlet.sleep(self._choose.uniform(least_s, most_s))

    def _record(self, op: str, whom: str) -> None:
        self._recorder.fault(op, whom)

    def _harmed(self, verb: str, number: int) -> "HarmedServer":
        """One server, harmed; "partition" cuts it off from the others, but not from its clients."""
        return HarmedServer(self._site, verb, number, self._recorder)


class HarmedServer:
    """One server, harmed for the length of a with statement; all of them whole afterwards."""

    def __init__(self, site: Site, verb: str, number: int, recorder: Recorder) -> None:
        self._site = site
        self._verb = verb
        self._number = number
        self._recorder = recorder

    def __enter__(self) -> None:
        self._recorder.fault(f"{self._verb} server", self._number)
        try:
            getattr(self._site.servers, self._verb)(self._number)
        except ServersError:
            self.__exit__()
            raise

    def __exit__(self, *exc: object) -> None:
        self._site.mend_servers()
        self._recorder.fault("mend servers")
