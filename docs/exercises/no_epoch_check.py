"""The scene of the exercise "drop the epoch check": a primary that has been deposed, and doesn't know.

    python -m lab run -- python -m docs.exercises.no_epoch_check

node-1 leads; its session is on ZooKeeper's follower. The follower is cut off from the other servers: there
node-1's session runs out, node-2 leads, node-3 backs it up, and a user's request is stored. Then somebody
asks node-1 for it, which has heard of nothing, and whose server still answers.
"""

import uuid
from dataclasses import replace

from app.checker.durability import durable
from app.cluster.election import holder
from app.cluster.member import Member
from app.consistency.engine.disk import Disk
from app.consistency.primary_backup import Primary
from app.demo.participants import Participant, disk_folder
from app.demo.recording import NOT_A_RESULT, recorded_read
from app.demo.stage import Stage
from app.zookeeper import client as zk, paths
from docs.exercises.scene import TwoSides, play

# node-1's: it runs out well before its server notices, after three seconds, that it is alone.
SHORT_SESSION_S = 1.0


class Three:
    """node-1 at the follower, node-2 and node-3 at the other servers, all standing for election."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sides = TwoSides(stage)
        options = stage.options
        stage.hosts, stage.options = self.sides.follower, replace(options, session_timeout_s=SHORT_SESSION_S)
        self.first = self.bring("node-1")
        stage.hosts, stage.options = self.sides.others, options
        self.second, self.third = self.bring("node-2"), self.bring("node-3")

    def bring(self, name: str) -> Participant:
        disk = Disk(disk_folder(self.stage.folder, name))
        node = self.stage.bring(name, lambda client: [Member(client, name, disk)])
        self.stage.require(lambda: self.stands_in_line(name), f"{name} stands in line")
        return node

    def stands_in_line(self, name: str) -> bool:
        seats = zk.wait(self.stage.client.get_children_async(paths.ELECTION), zk.Deadline(5))
        return any(holder(seat) == name for seat in seats)

    def led_by(self, leader: Participant) -> Primary:
        """Waits until this one leads, and somebody backs it up."""

        def both() -> bool:
            primary = leader.role.primary
            backups = [one.role.backup for one in (self.first, self.second, self.third) if one.acts]
            return primary is not None and any(one and one.epoch == primary.epoch for one in backups)

        self.stage.require(both, f"{leader.name} leads, with a backup", 20)
        primary: Primary = leader.role.primary
        return primary

    def in_the_beginning(self) -> Primary:
        """node-1 leads: also when the act is played again."""
        if self.first.role.primary is None:
            self.second.crash()
            self.third.crash()
            self.stage.require(lambda: self.first.role.primary is not None, "node-1 leads", 20)
            self.second.restart()
            self.third.restart()
        return self.led_by(self.first)

    def submit(self, primary: Primary, payload: str) -> str:
        job_id = str(uuid.uuid4())
        self.stage.write(
            "user", self.stage.key(job_id), payload, lambda: primary.submit(job_id, payload.encode())
        )
        leader = primary.epoch
        self.stage.story.say(f"{leader.primary}, in epoch {leader.number}, answers: {payload} is stored")
        return job_id

    def read(self, primary: Primary, job_id: str) -> None:
        def ask() -> tuple[str | None, None]:
            found = primary.read(job_id)
            return (found.decode() if found is not None else None), None

        name = str(primary.epoch.primary)
        try:
            found = recorded_read(self.stage.recorder, name, self.stage.key(job_id), ask)
            self.stage.story.say(f"{name} is asked for it, and answers: {found or 'there is no such thing'}")
        except NOT_A_RESULT as ending:
            self.stage.story.say(f"{name} is asked for it: {type(ending).__name__}, so it hands out nothing")


def a_primary_that_is_deposed(three: Three) -> None:
    three.stage.story.act("a primary is deposed, and can't hear of it")
    old = three.in_the_beginning()
    three.read(old, three.submit(old, three.stage.unique("order")))
    with three.sides.apart():
        three.stage.story.say("node-1's server is cut off from the others")
        new = three.led_by(three.second)
        job_id = three.submit(new, three.stage.unique("order"))
        three.stage.require(lambda: three.first.body.connected, "node-1's server hasn't noticed yet", 0)
        three.read(old, job_id)
    three.stage.story.say("the servers are one again")
    three.read(three.led_by(three.second), job_id)


if __name__ == "__main__":
    play("no_epoch_check", Three, a_primary_that_is_deposed, durable)
