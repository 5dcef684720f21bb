"""One process of configuration copies, each with a session of its own.

    python -m proof.bench.copies_process HOSTS CHROOT NAME

Orders come as lines of JSON on standard input, what has happened goes as lines of JSON to standard output:

    {"more": 25}           ->  {"open": 40}                    25 more: now 40, all with a value
    (a publisher writes)   ->  {"mzxid": 17, "last_ns": 1234}  all have applied it, the last of them then

The time is the monotonic clock, which the processes of a machine share. It ends with its input.
"""

import json
import os
import sys
import time
from collections import Counter
from typing import Any

import eventlet
from eventlet import hubs

from app.consistency.eventual import ConfigReplica, Copy
from app.zookeeper import client as zk

# A session sends a sign of life after a third of it: 500 of them, some 50 a second.
_SESSION_S = 30.0
_CONNECT_S = 30.0
# Opened at once; more would only wait for the same processor.
_AT_ONCE = 8


class Copies:
    """Any number of copies, and the moment when all of them have applied a value."""

    def __init__(self, hosts: str, chroot: str, name: str) -> None:
        self._where = hosts, chroot
        self._name = name
        self._clients: list[Any] = []
        self._applied: Counter[int] = Counter()

    def more(self, count: int) -> None:
        begin = len(self._clients)
        pool = eventlet.GreenPool(_AT_ONCE)
        for client in pool.imap(self._open, range(begin, begin + count)):
            self._clients.append(client)
        self._applied.clear()
        _tell({"open": len(self._clients)})

    def close(self) -> None:
        pool = eventlet.GreenPool(_AT_ONCE)
        for client in self._clients:
            pool.spawn_n(zk.disconnect, client)
        pool.waitall()

    def _open(self, number: int) -> Any:
        hosts, chroot = self._where
        client = zk.connect(hosts, chroot=chroot, session_timeout_s=_SESSION_S, deadline_s=_CONNECT_S)
        ConfigReplica(client, f"{self._name}-{number}", on_apply=self._on_apply).start()
        return client

    def _on_apply(self, copy: Copy) -> None:
        self._applied[copy.mzxid] += 1
        if self._applied[copy.mzxid] == len(self._clients):
            _tell({"mzxid": copy.mzxid, "last_ns": time.monotonic_ns()})


def _tell(what: dict[str, int]) -> None:
    print(json.dumps(what), flush=True)


def _main() -> None:
    hosts, chroot, name = sys.argv[1:]
    copies = Copies(hosts, chroot, name)
    waiting = b""
    while True:
        hubs.trampoline(sys.stdin.fileno(), read=True)
        heard = os.read(sys.stdin.fileno(), 1000)
        if not heard:
            copies.close()
            sys.stdout.flush()
            os._exit(0)  # kazoo's and eventlet's leftovers need no farewell
        *lines, waiting = (waiting + heard).split(b"\n")
        for line in lines:
            copies.more(json.loads(line)["more"])


if __name__ == "__main__":
    _main()
