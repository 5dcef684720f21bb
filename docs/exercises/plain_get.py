"""The scene of the exercise "a plain get instead of a checked one": five stale replicas at one server.

    python -m lab run -- python -m docs.exercises.plain_get

Ada's sessions are on ZooKeeper's follower, everybody else's are on the other servers. The follower is cut off
from those, v2 is written, and Ada asks again. All five replicas are online, and no host has died.
"""

from functools import partial

from app.demo.load import RegisterClient
from app.demo.recording import NOT_A_RESULT
from app.demo.stage import Stage
from app.zookeeper import client as zk
from docs.exercises.scene import Five, TwoSides, play


class FiveOnTwoSides(Five):
    """The replicas' hosts are on one side."""

    def __init__(self, stage: Stage) -> None:
        self.sides = TwoSides(stage)
        super().__init__(stage)
        self.ada = zk.connect(self.sides.follower, chroot=stage.chroot, session_timeout_s=10)
        stage.at_the_end(partial(zk.disconnect, self.ada))


def a_follower_that_lags(five: FiveOnTwoSides) -> None:
    five.act("a reader at a server that is cut off from the others")
    five.stage.require(lambda: bool(five.ada.connected), "ada is connected")
    writer, reader = five.client("writer"), five.client("ada", [five.ada] * len(five.replica_set.hosts))
    five.write_everywhere(writer)
    ask(five, reader)
    with five.sides.apart():
        five.stage.story.say("the server that ada is connected to is cut off from the others")
        five.write_everywhere(writer)
        ask(five, reader)
    five.stage.require(lambda: bool(five.ada.connected), "ada is connected", 20)
    five.stage.story.say("the servers are one again")
    ask(five, reader)


def ask(five: Five, reader: RegisterClient) -> None:
    try:
        five.stage.story.say(f"ada reads: {reader.read()}")
    except NOT_A_RESULT as ending:
        five.stage.story.say(f"ada reads: {type(ending).__name__}: {ending}")


if __name__ == "__main__":
    play("plain_get", FiveOnTwoSides, a_follower_that_lags)
