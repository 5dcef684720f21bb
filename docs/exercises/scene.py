"""What the scenes of the exercises share: a run like a demo's, with one act and the checker's verdict.

A scene is staged: links are cut and hosts die at the moment that hurts, so one run is enough. With the tree
as it is, each ends with ``VERDICT held`` and status 0; with its patch, with ``VERDICT violated`` and 1.
The options are those of the demos (``--step``, ``--history FILE``, ``--timeline FILE``, ...).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, Protocol, TypeVar

from app.checker.history import History
from app.checker.linearizability import check_registers
from app.checker.verdict import Verdict
from app.consistency.engine.replicas import Replicas
from app.consistency.quorum import Register
from app.demo.demo_run import Demo, leave, main_of
from app.demo.load import RegisterClient
from app.demo.replica_set import ReplicaSet
from app.demo.servers import Servers, ServerStatus
from app.demo.stage import Stage
from app.errors import BadSettingError, InDoubt


class OnStage(Protocol):
    """The participants of a scene."""

    stage: Stage


Group = TypeVar("Group", bound=OnStage)

# Enough for a store on a busy machine, short enough to wait for one that never comes.
PATIENCE_S = 3.0


def play(
    name: str,
    opening: Callable[[Stage], Group],
    act: Callable[[Group], None],
    judge: Callable[[History], Verdict] = check_registers,
) -> NoReturn:
    """Bring the participants on stage, perform one act, say the verdict, and end the process."""

    def perform(group: Group, protocol: str) -> None:
        if protocol == "full":  # the notes' listing has no part here
            group.stage.perform(act, group)

    scene = Demo(
        name=name,
        program=f"docs.exercises.{name}",
        claim=f"The scene of the exercise {name}: see docs/break-it-yourself.md.",
        guarantee="the protocol's invariant",
        opening=opening,
        play=perform,
        judge=judge,
    )
    leave(main_of(scene, ["--participants", "local", "--protocol", "full", *sys.argv[1:]]))


class Five:
    """Five replicas behind links of their own, and recorded clients of one object."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.replica_set = ReplicaSet(stage)
        self.replica_set.bring()
        self.object_id = ""

    def act(self, title: str) -> None:
        """A new act has an object of its own."""
        self.stage.story.act(title)
        self.object_id = self.stage.unique("exercise")
        self.replica_set.up()

    def client(self, name: str, clients: list[Any] | None = None, **options: Any) -> RegisterClient:
        """A client; it reaches replica i through ``clients[i - 1]``, or else through host i's own link."""
        replicas = Replicas(self.object_id, clients or self.replica_set.clients)
        patient = {"timeout_s": PATIENCE_S, "choose": self.stage.choose, **options}
        register = Register(replicas, self.replica_set.quorum, **patient)
        self.stage.at_the_end(register.close)
        register.create()
        return RegisterClient(name, self.stage.key(self.object_id), register, self.stage.recorder)

    def write_everywhere(self, client: RegisterClient) -> str:
        """A write that all five replicas have when this returns."""
        value = self.stage.unique("v")
        client.write(value)
        self.stage.require(lambda: self.values() == [value] * len(self.replica_set.hosts), "all five have it")
        self.stage.story.say(f"{value} is written to all five replicas")
        return value

    def write_in_doubt(self, client: RegisterClient, only: int) -> str:
        """A write of which this replica alone has heard, since the client's hosts die under it."""
        value = self.stage.unique("v")
        with suppress(InDoubt):
            client.write(value)
        client.close()  # nothing of it is still on its way
        holders = [index for index, held in enumerate(self.values(), 1) if held == value]
        self.stage.require(lambda: holders == [only], f"replica {only} alone has {value}", 0)
        self.stage.story.say(
            f"{value} reaches replica {only}; the other hosts die, so its writer is in doubt"
        )
        return value

    def read(self, client: RegisterClient, name: str, *numbers: int) -> object:
        """A read while only these hosts live."""
        self.replica_set.only(*numbers)
        found = client.read()
        client.close()
        self.stage.story.say(f"{name} reads, from replicas {', '.join(map(str, numbers))}: {found}")
        return found

    def values(self) -> list[str]:
        """What each replica holds, from the znodes themselves."""
        return [value for _, _, value in self.replica_set.holdings(self.object_id)]

    def show(self) -> None:
        self.stage.story.table(("replica", "version", "value"), self.replica_set.holdings(self.object_id))


class TwoSides:
    """ZooKeeper's own servers: a follower, and the others, from which it can be cut off.

    It notices after three seconds that it hears no leader. Until then it answers, and what it says is old.
    """

    def __init__(self, stage: Stage) -> None:
        if stage.servers is None:
            raise BadSettingError(
                "this scene harms ZooKeeper's servers: unset ZK_HOSTS, and run it under python -m lab run --"
            )
        self._stage = stage
        self._servers: Servers = stage.servers
        found = self._servers.status()
        self._follower: ServerStatus = next(one for one in found if one.mode == "follower")
        self.follower = self._follower.hosts
        self.others = ",".join(one.hosts for one in found if one is not self._follower)
        stage.hosts = self.others  # where everybody is who isn't told otherwise, the audience too
        stage.client = stage.session()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """The follower is cut off from the others; who is connected to either stays so, for a while."""
        self._stage.recorder.fault("partition server", self._follower.index)
        self._servers.partition(self._follower.index)
        try:
            yield
        finally:
            self._servers.heal(self._follower.index)
            self._servers.mend()
            self._stage.recorder.fault("mend servers")
