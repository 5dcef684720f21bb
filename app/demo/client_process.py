"""One process of a register's clients: ``python -m app.demo.client_process ORDERS``.

It takes its orders as JSON on the command line, and prints its history. Its input is a pipe that the demo
holds: a line there asks it to come to an end, and when it closes, however the demo ended, so does this.
"""

import json
import logging
import os
import random
import sys
from typing import Any

import eventlet
from eventlet import hubs

from app.checker.history import Recorder
from app.consistency.engine.replicas import Replicas
from app.consistency.quorum import Quorum
from app.demo.clients import RegisterLoad
from app.demo.load import RegisterClient, crowd, register_for
from app.zookeeper import client as zk


def run(load: RegisterLoad, told: list[bytes]) -> None:
    """Do it, or until something was ``told``."""
    choose = random.Random(load.seed)
    recorder = Recorder(sys.stdout)
    # Replicas that are reached by the same way share a session.
    sessions = {hosts: _session(load, hosts) for hosts in load.links}
    replicas = Replicas(load.object_id, [sessions[hosts] for hosts in load.links], load.root)
    quorum = Quorum(load.n, load.w, load.r, weak=True)  # checked by who ordered the load
    clients = {
        number: RegisterClient(
            f"client-{load.first + number - 1}",
            load.key,
            register_for(load.protocol, replicas, quorum, load.timeout_s, choose),
            recorder,
        )
        for number in range(1, load.clients + 1)
    }

    def act(number: int) -> None:
        if choose.random() < 0.5:
            clients[number].write()
        else:
            clients[number].read()

    crowd(load.clients, load.operations, act, choose, load.think_s, enough=lambda: bool(told))
    recorder.close()
    for one in clients.values():
        one.close()
    for session in sessions.values():
        zk.disconnect(session)


def _session(load: RegisterLoad, hosts: str) -> Any:
    return zk.connect(hosts, chroot=load.chroot, session_timeout_s=load.session_timeout_s, deadline_s=20)


def _listen(told: list[bytes]) -> None:
    while True:
        hubs.trampoline(sys.stdin.fileno(), read=True)
        word = os.read(sys.stdin.fileno(), 100)
        if not word:
            os._exit(1)
        told.append(word)


def _main() -> None:
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    told: list[bytes] = []
    eventlet.spawn(_listen, told)
    run(RegisterLoad(**json.loads(sys.argv[1])), told)
    sys.stdout.flush()
    os._exit(0)  # kazoo's and eventlet's leftovers need no farewell


if __name__ == "__main__":
    _main()
