"""What a nemesis counts: harms that were done, and no others."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest

from app.demo.servers import ServersError
from app.errors import Refused
from proof.chaos.nemesis import Nemesis


def test_a_harm_is_counted_when_it_was_done_and_not_when_there_was_nobody_to_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proof.chaos.nemesis._REST_S", (0.0, 0.0))
    nemesis = Nemesis.__new__(Nemesis)  # its lists are given below, and need no cluster
    nemesis.done = Counter()
    played: Counter[str] = Counter()

    def done() -> None:
        played["done"] += 1

    def nobody_there() -> None:
        played["nobody there"] += 1
        raise Refused("no worker leads")

    def not_carried_out() -> None:
        played["not carried out"] += 1
        raise ServersError("the server is gone")

    harms = {"done": done, "nobody there": nobody_there, "not carried out": not_carried_out}
    monkeypatch.setattr("proof.chaos.nemesis.time", SimpleNamespace(monotonic=iter(range(10)).__next__))
    nemesis._go_on(harms, random.Random(1), 6.0)
    assert min(played[name] for name in harms) > 0
    assert nemesis.done == {"done": played["done"]}
