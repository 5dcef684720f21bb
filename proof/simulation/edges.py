"""Where a demo touches the world: its sessions, links, the load's processes, and orders to servers.

Each is made at one place of ``app``, by the name that stands there; the simulated one takes this place.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import eventlet

from app.checker.history import History, Recorder
from app.cluster import guest_actor
from app.demo import clients, demo_run, stage, ways
from app.demo.clients import RegisterLoad
from app.demo.servers import ANSWER_S, Servers, ServerStatus
from app.errors import InDoubt
from app.zookeeper import client as zk
from proof.simulation.client import Client
from proof.simulation.ensemble import Ensemble
from proof.simulation.network import Channel, Latency, Line
from proof.simulation.server import Server

_SERVERS = 3
# Nothing listens there: a line's address is only its name. A number, since names of hosts are looked up.
_ADDRESS = "127.0.0.1"
_GLANCE_S = 0.05


def put_in_place(seed: int) -> None:
    """From now on, what a demo makes to reach ZooKeeper is simulated, and its chance is the seed's."""
    network = _Network(seed)
    os.environ |= {"ZK_HOSTS": f"{_ADDRESS}:1", "LAB_CONTROL": "simulated"}
    for module, name, simulated in (
        (zk, "client_of", network.client),
        (guest_actor, "Link", network.link),
        (ways, "Link", network.link),
        (clients, "Process", _Crowd),
        (stage, "Servers", SimpleNamespace(from_environment=network.servers)),
        (demo_run, "start_over", lambda _: None),
    ):
        assert hasattr(module, name), name
        setattr(module, name, simulated)


class _Network:
    """An ensemble, the lines to it, and who is on which."""

    def __init__(self, seed: int) -> None:
        self._latency, self._choose = Latency(), random.Random(f"network {seed}")
        self._ensemble = Ensemble(_SERVERS, random.Random(f"servers {seed}"), self._latency)
        self._links: dict[str, _Link] = {}

    def link(self, upstream: str) -> Line:
        """In the place of ``app.zookeeper.link.Link``."""
        beyond = self._line(upstream.partition(",")[0])
        link = _Link(self._latency, self._choose, f"{_ADDRESS}:{len(self._links) + 2}", beyond)
        self._links[link.hosts] = link
        return link

    def client(self, hosts: str, *, timeout: float, **_: Any) -> Client:
        """In the place of ``client_of``: on the link that ``hosts`` names, else on a line of its own."""
        address, slash, chroot = hosts.partition("/")
        return Client(self._ensemble, self._line(address), chroot=slash + chroot, timeout=timeout)

    def _line(self, address: str) -> Line:
        return self._links.get(address) or Line(self._latency, self._choose)

    def servers(self, *_: Any, **__: Any) -> Servers:
        return _Servers(self._ensemble)


class _Link(Line):
    """A line that leads to another one, as a client's link leads to a host's: what harms either is felt.

    ``hosts``: its name, for those that are to use it.
    """

    def __init__(self, latency: Latency, choose: random.Random, hosts: str, beyond: Line) -> None:
        super().__init__(latency, choose)
        self.hosts, self._beyond = hosts, beyond

    @property
    def is_down(self) -> bool:
        return super().is_down or self._beyond.is_down

    def is_shut(self, direction: str) -> bool:
        return super().is_shut(direction) or self._beyond.is_shut(direction)

    def takes_s(self) -> float:
        return super().takes_s() + self._beyond.takes_s()

    def on_break(self, broken: Callable[[], object]) -> None:
        super().on_break(broken)
        self._beyond.on_break(broken)

    def open_with(self, channel: Channel) -> None:
        super().open_with(channel)
        self._beyond.open_with(channel)

    def forget(self, broken: Callable[[], object], *channels: Channel) -> None:
        super().forget(broken, *channels)
        self._beyond.forget(broken, *channels)

    def close(self) -> None:
        self.down()


class _Servers(Servers):
    """The same orders as to a laboratory."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__("simulated")
        self._ensemble = ensemble

    def _ask(self, request: dict[str, Any], deadline_s: float = ANSWER_S) -> Any:
        servers = self._ensemble.servers
        if request["do"] == "status":
            return [asdict(ServerStatus(server.number, "", None, None, None)) for server in servers]
        if request["do"] == "mend":
            return self._mend()
        verb = {"partition": "cut_off"}.get(request["do"], request["do"])
        return getattr(servers[request["server"] - 1], verb)()

    def _mend(self) -> None:
        for server in self._ensemble.servers:
            _whole(server)
        while not all(server.serves for server in self._ensemble.servers):
            eventlet.sleep(_GLANCE_S)


def _whole(server: Server) -> None:
    if server.is_down:
        server.restart()
    if server.is_paused:
        server.resume()
    if server.is_cut_off:
        server.heal()


class _Crowd:
    """A process's share of the load, in green threads of this one: in virtual time it delays no other."""

    def __init__(self, load: RegisterLoad) -> None:
        self._recorder, self._enough = Recorder(), list[bytes]()
        self._running = eventlet.spawn(clients.run, load, self._recorder, self._enough)

    def endings(self) -> Counter[str]:
        return Counter(operation.outcome for operation in self._recorder.history().operations)

    def enough(self) -> None:
        self._enough.append(b"enough")

    def history(self, deadline: zk.Deadline) -> History:
        with eventlet.Timeout(deadline.left_s, False):
            self._running.wait()
            return self._recorder.history()
        message = "the clients were late, so what they did is unknown"
        raise InDoubt(message)

    def close(self) -> None:
        self._running.kill()
