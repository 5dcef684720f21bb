"""What every list of harms has: the place, the choices, the record, and a server that is harmed."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import eventlet

from app.checker.history import Recorder
from app.demo.faults import Fault, log_uniform
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
        """A fault lasts as every nemesis's do: each order of magnitude is as likely."""
        eventlet.sleep(log_uniform((least_s, most_s), self._choose))

    def _record(self, op: str, whom: str | int) -> None:
        self._recorder.fault(op, whom)

    @contextmanager
    def _harmed(self, verb: Fault, number: int) -> Iterator[None]:
        """One server, harmed (a partition cuts it off from its peers alone); afterwards all are whole."""
        self._record(f"{verb} server", number)
        try:
            getattr(self._site.servers, verb)(number)
            yield
        finally:
            self._site.mend_servers()
            self._recorder.fault("mend servers")
