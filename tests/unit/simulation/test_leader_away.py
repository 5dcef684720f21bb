"""A leader that is away for a moment, shorter than an election: what waited for it is answered."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

_RUN = """
import random, sys
import eventlet
from kazoo.exceptions import ConnectionLoss
from proof.simulation import clock
clock.begin(1)
from proof.simulation.client import Client
from proof.simulation.ensemble import Ensemble
from proof.simulation.network import Latency, Line
from proof.simulation.stage import connected

ensemble = Ensemble(3, random.Random(1), Latency())
clients = [connected(Client(ensemble, Line(Latency(), random.Random(i)), timeout=10.0)) for i in range(9)]
leader, (hurt, heal) = ensemble.leader, sys.argv[1:]
getattr(leader, hurt)()
results = [client.create_async(f"/{number}") for number, client in enumerate(clients)]
eventlet.sleep(0.15)
getattr(leader, heal)()
eventlet.sleep(5)
assert ensemble.leader is leader
print(sum(result.ready() for result in results))
"""


@pytest.mark.parametrize(("hurt", "heal"), [("pause", "resume"), ("cut_off", "heal"), ("kill", "restart")])
def test_what_waited_for_the_leader_is_answered_when_it_is_back(hurt: str, heal: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-W", "ignore", "-c", _RUN, hurt, heal]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout == "9\n", ended.stderr[-2000:]
