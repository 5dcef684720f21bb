"""The hard demo's cast: hosts of one replica each, and a way to each replica through its host's link.

With pods the way is direct: then cutting or slowing a host's link harms its session alone, and the only fault
that a client can feel is a host's death, which the servers notice when its session has run out.
"""

from functools import partial
from typing import Any

from kazoo.client import KazooClient

from app.cluster.messages import Part
from app.consistency.engine.replicas import ReplicaHost, Replicas
from app.consistency.engine.versions import Version, decode
from app.consistency.quorum import Quorum, Register
from app.demo.clients import RegisterLoad, run_register_load
from app.demo.load import THINK_S
from app.demo.participants import Participant
from app.demo.stage import Stage
from app.errors import Malformed
from app.zookeeper import client as zk, paths

TIMEOUT_S = 2.0
# A death is noticed when a session has run out: so with pods a load goes on for longer, and faults are rarer.
_SLOW_THINK_S = (0.15, 0.6)
SLOW_FAULTS_S = (0.4, 1.6)


class ReplicaSet:
    """Hosts, links and sessions.

    Attributes:
        hosts: participant i hosts replica i (from 1), at place i - 1.
        clients: a session to reach each replica, through its host's link; what the functions of the notes
            take as ``client``.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.quorum: Quorum = stage.options.quorum
        self.hosts: list[Participant] = []
        self.clients: list[Any] = []

    def bring(self) -> None:
        for index, name in enumerate(self._stage.names("host", self.quorum.n), 1):
            part = Part(kind="host", index=index)
            host = self._stage.bring(name, partial(self._roles, index, name), part=part)
            self.hosts.append(host)
            self.clients.append(self._stage.session(host))
        self.up()

    def _roles(self, index: int, name: str, client: KazooClient) -> list[ReplicaHost]:
        return [ReplicaHost(client, index, name)]

    @property
    def remote(self) -> bool:
        """Whether pods host the replicas, so that only a host's death is a fault."""
        return bool(self._stage.cast.pods)

    def name(self, number: int) -> str:
        return self.hosts[number - 1].name

    def replicas(self, object_id: str) -> Replicas:
        return Replicas(object_id, self.clients)

    def register(self, object_id: str, **options: Any) -> Register:
        """The object, with this run's N, W and R."""
        made = Register(
            self.replicas(object_id), self.quorum, timeout_s=TIMEOUT_S, choose=self._stage.choose, **options
        )
        self._stage.at_the_end(made.close)
        return made

    # -- faults, to single hosts --

    def die(self, *numbers: int) -> None:
        """These hosts crash; returns when their replicas can't be reached."""
        for number in numbers:
            self.hosts[number - 1].crash()
        self._stage.require(lambda: self.dead(*numbers), "they are unreachable", 20)

    def dead(self, *numbers: int) -> bool:
        """Whether none of these replicas can be reached."""
        if not self.remote:
            return not any(self.clients[number - 1].connected for number in numbers)
        deadline = zk.Deadline(2)
        asked = [self._stage.client.exists_async(paths.host(number)) for number in numbers]
        return all(zk.wait(result, deadline) is None for result in asked)

    def up(self) -> None:
        """Every host is whole again; returns when every replica is served and can be reached."""
        self._stage.heal()
        self._stage.require(
            lambda: all(client.connected for client in self.clients), "every replica is reachable"
        )
        self._stage.require(lambda: self._served() == len(self._stage.present), "every replica is served")

    def only(self, *numbers: int) -> None:
        """These hosts live, and no other does."""
        self.up()
        self.die(*(number for number in range(1, self.quorum.n + 1) if number not in numbers))

    def _served(self) -> int:
        """How many replicas are served by their hosts' present sessions; a former life's doesn't count."""
        deadline = zk.Deadline(2)
        asked = [
            self._stage.client.exists_async(paths.host(index)) for index in range(1, len(self.hosts) + 1)
        ]
        return sum(
            host.state == "up"
            and (stat := zk.wait(result, deadline)) is not None
            and stat.ephemeralOwner == host.body.session
            for host, result in zip(self.hosts, asked, strict=True)
        )

    # -- looking --

    def holdings(self, object_id: str) -> list[tuple[str, ...]]:
        """For the screen: (replica, version, value) of each, from the znodes themselves."""
        return [(str(index), *self._holding(object_id, index)) for index in range(1, self.quorum.n + 1)]

    def _holding(self, object_id: str, index: int) -> tuple[str, str]:
        found = zk.get(self._stage.client, paths.replica(object_id, index), zk.Deadline(2))
        if found is None:
            return "lost", ""
        try:
            held = decode(found[0])
        except Malformed:
            return f"znode version {found[1].version}", found[0].decode(errors="replace")
        return shown(held.version), held.value.decode(errors="replace")

    # -- load --

    def load(self, object_id: str, protocol: str) -> None:
        """The run's load, in processes of its own, taken into the history."""
        options = self._stage.options
        self._stage.include(
            run_register_load(
                RegisterLoad(
                    links=[host.body.hosts for host in self.hosts],
                    chroot=self._stage.chroot,
                    object_id=object_id,
                    key=self._stage.key(object_id),
                    protocol=protocol,
                    n=self.quorum.n,
                    w=self.quorum.w,
                    r=self.quorum.r,
                    operations=options.operations,
                    clients=options.clients,
                    first=1,
                    seed=options.seed,
                    session_timeout_s=options.session_timeout_s,
                    timeout_s=TIMEOUT_S,
                    think_s=_SLOW_THINK_S if self.remote else THINK_S,
                )
            )
        )


def shown(version: Version) -> str:
    return f"({version.counter}, {version.writer[:4] or '-'})"
