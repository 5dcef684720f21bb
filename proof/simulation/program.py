"""A program of operations by several sessions, and what came of each, on real or on simulated servers.

``python -m proof.simulation.program`` reads a program from each line of its input, and answers with a line.
A program is a list of steps, one after the other:

    {"by": 0, "do": "create", "path": "/a", "data": "x", "ephemeral": true}

After each step every session asks to be brought up to date (sync), so what each sees is determined.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from eventlet import event
from kazoo.exceptions import KazooException
from kazoo.protocol.states import Callback, WatchedEvent, ZnodeStat

from app.zookeeper import client as zk

Step = Mapping[str, Any]
# Real servers may be slow; what takes longer is no answer to compare.
_PATIENCE_S = 30.0
_NOT_OPTIONS = ("by", "do", "path", "parts")


@dataclass
class _Session:
    client: Any
    number: int
    heard: list[tuple[str, str, int]] = field(default_factory=list)  # (event, path, step that left the watch)


class Run:
    """One program on one ensemble.

    Args:
        connect: makes a client with a new session, below an empty root of this program's own.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._open: dict[int, _Session] = {}  # by participant
        self._owners: dict[int, str] = {0: "nobody"}
        self._zxids: set[int] = set()

    def play(self, program: Sequence[Step]) -> list[Any]:
        """What each step answered, and whose watches then fired. Raises one of zk.NO_REPLY."""
        try:
            raw = [self._step(number, step) for number, step in enumerate(program)]
        finally:
            for session in self._open.values():
                zk.disconnect(session.client)
        ranks = {zxid: rank for rank, zxid in enumerate(sorted(self._zxids))}
        told: list[Any] = json.loads(json.dumps(raw, default=lambda zxid: ranks[zxid.number]))
        return told

    def _step(self, number: int, step: Step) -> Any:
        session = self._session(step["by"])
        for one in self._open.values():
            one.heard.clear()
        try:
            answer = self._do(session, number, step)
        except zk.NO_REPLY:
            raise
        except KazooException as error:
            answer = _name(error)
        for one in self._open.values():
            self._catch_up(one)
        if step["do"] == "close":
            for one in self._open.values():
                one.heard.sort()  # its ephemeral znodes go in any order
        return [answer, {who: _in_order(one) for who, one in sorted(self._open.items()) if one.heard}]

    def _session(self, who: int) -> _Session:
        if who not in self._open:
            session = self._open[who] = _Session(self._connect(), len(self._owners))
            self._owners[zk.session_id(session.client) or -1] = f"session {session.number}"
        return self._open[who]

    def _catch_up(self, session: _Session) -> None:
        """Nothing that has happened is unknown to it: sync, and what its callbacks have yet to say."""
        _wait(session.client.sync_async("/"))
        said: Any = event.Event()
        session.client.handler.dispatch_callback(Callback("watch", said.send, ()))
        said.wait(_PATIENCE_S)

    def _do(self, session: _Session, number: int, step: Step) -> Any:
        client, do = session.client, step["do"]
        if do == "close":
            zk.disconnect(self._open.pop(step["by"]).client)
            return "closed"
        if do == "transaction":
            transaction = client.transaction()
            for part in step["parts"]:
                getattr(transaction, part["do"])(part["path"], **_arguments(part))
            return [self._told(result) for result in _wait(transaction.commit_async())]
        options = _arguments(step)
        if options.pop("watch", False):
            options["watch"] = self._watch(session, number)
        return self._told(_wait(getattr(client, f"{do}_async")(step["path"], **options)))

    def _watch(self, session: _Session, number: int) -> Callable[[WatchedEvent], None]:
        return lambda said: session.heard.append((said.type, said.path, number))

    def _told(self, result: Any) -> Any:
        """As JSON: of stats what two ensembles have in common; zxids as their rank in this program."""
        if isinstance(result, ZnodeStat):
            return self._stat(result)
        if isinstance(result, KazooException):
            return _name(result)
        if isinstance(result, bytes):
            return result.decode()
        if isinstance(result, tuple):
            return [self._told(part) for part in result]
        if isinstance(result, list):
            return sorted(result)  # the names of children, which have no order
        return result

    def _stat(self, stat: ZnodeStat) -> dict[str, Any]:
        zxids = {"created": stat.czxid, "changed": stat.mzxid, "children": stat.pzxid}
        self._zxids.update(zxids.values())
        return {
            **{name: _Zxid(zxid) for name, zxid in zxids.items()},
            "version": stat.version,
            "cversion": stat.cversion,
            "aversion": stat.aversion,
            "bytes": stat.dataLength,
            "numChildren": stat.numChildren,
            "owner": self._owners[stat.ephemeralOwner],
        }


@dataclass(frozen=True)
class _Zxid:
    number: int


def _arguments(step: Step) -> dict[str, Any]:
    options = {name: value for name, value in step.items() if name not in _NOT_OPTIONS}
    if "data" in options:
        options["value"] = options.pop("data").encode()
    return options


def _name(error: Exception) -> str:
    return type(error).__name__


def _wait(result: Any) -> Any:
    return zk.wait(result, zk.Deadline(_PATIENCE_S))


def _in_order(session: _Session) -> list[Any]:
    """Events as they came; of one event's watches any may be called first."""
    told: list[Any] = []
    for _, same in groupby(session.heard, key=lambda heard: heard[:2]):
        told += sorted(same)
    return told


def main() -> None:
    """Each program on servers of its own, in virtual time."""
    import random

    from proof.simulation import clock
    from proof.simulation.client import Client
    from proof.simulation.ensemble import Ensemble
    from proof.simulation.network import Latency, Line
    from proof.simulation.stage import connected

    clock.begin(1)
    for number, line in enumerate(sys.stdin):
        latency = Latency()
        ensemble = Ensemble(3, random.Random(f"servers {number}"), latency)
        way = Line(latency, random.Random(f"network {number}"))
        owner = connected(Client(ensemble, way, timeout=10.0))
        owner.create("/root")

        def connect(ensemble: Ensemble = ensemble, way: Line = way) -> Any:
            return connected(Client(ensemble, way, chroot="/root", timeout=10.0))

        print(json.dumps(Run(connect).play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
