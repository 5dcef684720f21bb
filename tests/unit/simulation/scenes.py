"""Scenes on the simulated ensemble: ``python -m tests.unit.simulation.scenes NAME``, a process for each.

Virtual time begins once in a process, and for good. What a scene returns is printed as JSON.
"""

import json
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet
from kazoo.exceptions import KazooException

from app.errors import InDoubt
from app.zookeeper import client as zk
from proof.simulation import clock
from proof.simulation.client import Client
from proof.simulation.ensemble import Ensemble
from proof.simulation.network import Latency, Line
from proof.simulation.script import Script
from proof.simulation.stage import Stage, connected

SEED = 3


def _stage() -> tuple[Stage, Any]:
    """Three servers, and a client with a session of two seconds that nothing happens to."""
    seed = SEED
    while True:  # of a seed that has it so
        stage = Stage(Script("quorum", seed))
        if len(stage.ensemble.servers) == 3 and stage.session_s == 2.0:
            return stage, stage.connect(stage.line(), 60.0)
        seed += 1


def _ends(act: Callable[[], Any]) -> str:
    try:
        return str(act())
    except (KazooException, InDoubt, *zk.NO_REPLY) as error:
        return type(error).__name__


def a_follower_that_is_cut_off_answers_with_what_it_has() -> Any:
    stage, client = _stage()
    servers = stage.ensemble.servers
    follower = next(server for server in servers if not server.leads and not server._connections)
    client.create("/x", b"old")
    eventlet.sleep(1)
    follower.cut_off()
    client.set("/x", b"new")
    eventlet.sleep(0.15)  # less than it takes a server to give up
    here = [server.nodes["/x"].data.decode() for server in servers if server is not follower]
    there = follower.nodes["/x"].data.decode()
    follower.heal()
    eventlet.sleep(5)
    return [sorted({*here}), there, follower.nodes["/x"].data.decode()]


def a_session_that_is_silent_ends_after_its_timeout_with_its_ephemerals() -> Any:
    stage, client = _stage()
    way = stage.line()
    silent = stage.connect(way)
    silent.create("/here", ephemeral=True)
    way.cut()
    began = stage.hub.now_s
    while client.exists("/here"):
        eventlet.sleep(0.05)
    lasted = stage.hub.now_s - began
    old = silent._session_id
    way.heal()
    eventlet.sleep(2)
    return [1.0 < lasted < 3.0, silent.connected, silent._session_id != old]


def a_request_whose_connection_is_lost_may_happen_later() -> Any:
    """It is held on its way, its sender gives up, and the way is healed before the session ends."""
    happened: dict[str, int] = {"ConnectionLoss, and it is there": 0, "ConnectionLoss, and it is not": 0}
    stage, client = _stage()
    for number in range(12):
        way = stage.line()
        other = stage.connect(way, 10.0)
        way.cut(replies=False)
        ended = _ends(partial(other.create, f"/late-{number}"))
        way.heal()
        eventlet.sleep(2)
        happened[f"{ended}, and it is {'there' if client.exists(f'/late-{number}') else 'not'}"] += 1
    return all(happened.values())


def a_transaction_is_one_or_nothing() -> Any:
    _, client = _stage()
    client.create("/a", b"1")
    moved = client.transaction()
    moved.create("/b")
    moved.check("/a", 7)
    moved.set_data("/a", b"2")
    results = [type(result).__name__ for result in moved.commit()]
    return [results, client.exists("/b") is None, client.get("/a")[0].decode()]


def a_watch_is_told_before_the_reply_that_shows_the_change() -> Any:
    stage, client = _stage()
    told: list[str] = []
    client.create("/w", b"old")
    watcher = stage.connect(stage.line(), 60.0)
    watcher.sync("/w")
    watcher.get("/w", watch=lambda event: told.append(event.type))
    client.set("/w", b"new")
    while watcher.get("/w")[0] == b"old":
        eventlet.sleep(0)
    eventlet.sleep(0)
    return told


def a_store_that_lost_its_history_sends_away_who_has_seen_more() -> Any:
    stage, client = _stage()
    nodes, zxid = stage.ensemble.snapshot()
    client.create("/lost")
    stage.ensemble.lose_history(nodes, zxid)
    eventlet.sleep(5)
    fresh = stage.connect(stage.line())
    return [client.connected, fresh.exists("/lost") is None]


def no_majority_no_answer() -> Any:
    stage, client = _stage()
    for server in stage.ensemble.servers[:2]:
        server.kill()
    asked = client.create_async("/x")
    ended = _ends(lambda: zk.wait(asked, zk.Deadline(5)))
    for server in stage.ensemble.servers[:2]:
        server.restart()
    eventlet.sleep(10)
    return [ended in ("ConnectionLoss", "TimeoutError"), _ends(lambda: client.create("/y"))]


def a_leader_is_away_for_less_than_an_election(hurt: str, heal: str) -> Any:
    """How many of nine requests are answered, by all servers together."""
    clock.begin(1)
    ensemble = Ensemble(3, random.Random(1), Latency())
    lines = [Line(Latency(), random.Random(number)) for number in range(9)]
    clients = [connected(Client(ensemble, line, timeout=10.0)) for line in lines]
    leader = ensemble.leader
    getattr(leader, hurt)()
    results = [client.create_async(f"/{number}") for number, client in enumerate(clients)]
    eventlet.sleep(0.15)
    getattr(leader, heal)()
    eventlet.sleep(5)
    assert ensemble.leader is leader
    return sum(result.ready() for result in results)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
