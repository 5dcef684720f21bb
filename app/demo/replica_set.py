"""The hard demo's participants: hosts of one replica each, and a way to each replica through its host's link.

With pods the way is direct: then cutting or slowing a host's link harms its session alone, and the only fault
that a client can feel is a host's death, which the servers notice when its session has expired.
"""

from contextlib import closing
from functools import partial
from typing import Any

from kazoo.client import KazooClient

from app.checker.linearizability import check_register
from app.cluster.messages import Part
from app.consistency.engine.replicas import ReplicaHost, Replicas
from app.consistency.engine.versions import Version, decode
from app.consistency.quorum import Quorum
from app.demo.clients import Clients, RegisterLoad
from app.demo.load import THINK_S, RegisterClient, endings, register_for
from app.demo.participants import Participant
from app.demo.stage import Stage
from app.errors import Malformed
from app.zookeeper import client as zk, paths

OBJECT = "histogram_matrix"
_TIMEOUT_S = 2.0
# A death is noticed when a session has expired: so with pods a load goes on for longer, and faults are rarer.
_SLOW_THINK_S = (0.15, 0.6)
_FAULTS_S, _SLOW_FAULTS_S = (0.15, 0.6), (0.4, 1.6)

_SERVED = "replica i is served while its host's session lives: a host that dies takes it offline, and leaves"
_AT_HOME = f"""{_SERVED} the data behind. All replicas share one ensemble; what is real is that each fails
alone, behind a link of its own"""
_AFAR = f"""{_SERVED} the data behind. The clients reach the znodes themselves, so only a host's death is a
fault; it is noticed when its session has expired"""


class ReplicaSet:
    """Hosts, links and sessions.

    Attributes:
        overlaps: whether every read quorum meets every write quorum.
        hosts: participant i hosts replica i (from 1), at place i - 1.
        clients: a session to reach each replica, through its host's link; what the functions of the notes
            take as ``client``.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.quorum: Quorum = stage.options.quorum
        self.overlaps = self.quorum.r + self.quorum.w > self.quorum.n
        self.hosts: list[Participant] = []
        self.clients: list[Any] = []

    def bring(self) -> None:
        for index, name in enumerate(self.stage.names("host", self.quorum.n), 1):
            part = Part(kind="host", index=index)
            host = self.stage.bring(name, partial(self._roles, index, name), part=part)
            self.hosts.append(host)
            self.clients.append(self.stage.session(host))
        self.up()

    def _roles(self, index: int, name: str, client: KazooClient) -> list[ReplicaHost]:
        return [ReplicaHost(client, index, name)]

    def introduce(self) -> None:
        """For the screen: what is real here, and the rule; and where the hosts' znodes are."""
        q, say = self.quorum, self.stage.story.say
        say(_AFAR if self.remote else _AT_HOME)
        say(f"R+W = {q.r + q.w} {'>' if self.overlaps else '<='} {q.n}")
        self.stage.introduce()
        self.stage.story.look_with(f"zkCli.sh ls {self.stage.chroot}{paths.HOSTS}")

    @property
    def remote(self) -> bool:
        """Whether pods host the replicas, so that only a host's death is a fault."""
        return bool(self.stage.pods)

    def client(self, name: str, object_id: str = OBJECT, **options: Any) -> RegisterClient:
        """A recorded client of the object, which is created if need be, by the protocol that is shown."""
        replicas = Replicas(object_id, self.clients)
        stage = self.stage
        register = register_for(stage.protocol, replicas, self.quorum, _TIMEOUT_S, stage.choose, **options)
        register.create()
        key, new_value = self.stage.key(object_id), partial(self.stage.unique, "v")
        client = RegisterClient(name, key, register, self.stage.recorder, new_value)
        self.stage.at_the_end(client.close)
        return client

    def act(self, title: str) -> None:
        """Begin an act, with every host whole."""
        self.stage.story.act(title)
        self.up()

    # -- faults, to single hosts --

    def die(self, *numbers: int) -> None:
        """These hosts crash; returns when their replicas can't be reached."""
        for number in numbers:
            self.hosts[number - 1].crash()
        self.stage.require(lambda: self.dead(*numbers), "they are unreachable", 20)

    def dead(self, *numbers: int) -> bool:
        """Whether none of these replicas can be reached."""
        if not self.remote:
            return not any(self.clients[number - 1].connected for number in numbers)
        deadline = zk.Deadline(2)
        asked = [self.stage.client.exists_async(paths.host(number)) for number in numbers]
        return all(zk.wait(result, deadline) is None for result in asked)

    def up(self) -> None:
        """Every host is whole again; returns when every replica is served and can be reached."""
        self.stage.heal()
        self.stage.require(lambda: all(one.connected for one in self.clients), "every replica is reachable")
        self.stage.require(lambda: self._served() == len(self.stage.present), "every replica is served")

    def only(self, *numbers: int) -> None:
        """These hosts live, and no other does."""
        self.up()
        self.die(*(number for number in range(1, self.quorum.n + 1) if number not in numbers))

    def _served(self) -> int:
        """How many replicas are served by their hosts' present sessions; a former session doesn't count."""
        deadline = zk.Deadline(2)
        asked = [self.stage.client.exists_async(paths.host(index)) for index in range(1, len(self.hosts) + 1)]
        return sum(
            host.state == "up"
            and (stat := zk.wait(result, deadline)) is not None
            and stat.ephemeralOwner == host.body.session
            for host, result in zip(self.hosts, asked, strict=True)
        )

    # -- looking --

    def holdings(self, object_id: str = OBJECT) -> list[tuple[str, str, str]]:
        """For the screen: (replica, version, value) of each, from the znodes themselves."""
        return [(str(index), *self._holding(object_id, index)) for index in range(1, self.quorum.n + 1)]

    def show(self, object_id: str = OBJECT, version: str = "version") -> None:
        """What each replica holds, as a table on the screen."""
        self.stage.story.table(("replica", version, "value"), self.holdings(object_id))

    def show_changes(self, before: list[tuple[str, str, str]], what: str) -> None:
        """What each replica held before, and what it holds now."""
        pairs = zip(before, self.holdings(), strict=True)
        rows = [(new[0], " ".join(old[1:]), " ".join(new[1:])) for old, new in pairs]
        self.stage.story.table(("replica", f"before {what}", "after it"), rows)

    def show_and_read(self, newest: str) -> None:
        """What each replica holds; then, with all hosts back, which replicas are stale, and a read."""
        self.show()
        self.up()
        stale = [index for index, _, value in self.holdings() if value != newest]
        found = self.client("client-2").read()
        self.stage.story.say(
            f"the hosts are back; stale replicas: {', '.join(stale) or 'none'}. Any three replicas include a "
            f"fresh one, so a read returns {found}"
        )

    def _holding(self, object_id: str, index: int) -> tuple[str, str]:
        found = zk.get(self.stage.client, paths.replica(object_id, index), zk.Deadline(2))
        if found is None:
            return "lost", ""
        try:
            held = decode(found[0])
        except Malformed:
            return f"znode version {found[1].version}", found[0].decode(errors="replace")
        return shown(held.version), held.value.decode(errors="replace")

    # -- the act with the load --

    def load(self) -> None:
        """The load of the protocol that is shown, in processes of its own, under faults; and its verdict."""
        stage, options, q = self.stage, self.stage.options, self.quorum
        object_id = stage.unique("under_load")
        self.up()
        self.client("setup", object_id)
        what = f"operations by {options.clients} clients{'' if options.simulated else ' in two processes'}"
        every_s = _SLOW_FAULTS_S if self.remote else _FAULTS_S
        with (
            stage.load(what, at_most=q.n - max(q.r, q.w), every_s=every_s),
            closing(Clients(self._orders(object_id))) as clients,
        ):
            stage.include(clients.history())
        done = stage.history(stage.protocol).by_key()[stage.key(object_id)]
        stage.story.say(endings(done))
        stage.story.verdict_of(check_register(done))

    def _orders(self, object_id: str) -> RegisterLoad:
        stage, options, q = self.stage, self.stage.options, self.quorum
        return RegisterLoad(
            links=[host.body.hosts for host in self.hosts],
            chroot=stage.chroot,
            object_id=object_id,
            key=stage.key(object_id),
            protocol=stage.protocol,
            n=q.n,
            w=q.w,
            r=q.r,
            operations=options.operations,
            clients=options.clients,
            seed=options.seed,
            session_timeout_s=options.session_timeout_s,
            timeout_s=_TIMEOUT_S,
            think_s=_SLOW_THINK_S if self.remote else THINK_S,
            harmed=options.faults == "random" and not self.remote,
        )


def shown(version: Version) -> str:
    return f"({version.counter}, {version.writer[:4] or '-'})"
