"""The scene of the exercise "ACK before the copy is written": a backup whose disk is taken out.

    python -m lab run -- python -m docs.exercises.ack_first

Three requests go well. Then the backup's disk is gone for one request: it can keep no copy of that one, so
it must not say that it has. The payload is taken out of ZooKeeper too, for only disks are to count; then the
disk is back, and both are read.
"""

from app.checker.durability import durable
from app.demo.pair import Pair
from app.demo.participants import disk_folder
from app.demo.stage import Stage
from app.errors import Refused
from docs.exercises.scene import play

# So long the disk stays out after the answer: whatever the backup still tries with it has failed by then.
SETTLED_S = 1.5


class Two(Pair):
    """A primary and a backup, and their users."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.bring()

    def asked(self) -> str:
        """One user's, to the primary; returns its id."""
        self.ready()
        job_id, payload = self.request()
        answer = "stored"
        try:
            self.submit("user", job_id, payload)
        except Refused as refused:
            answer = str(refused).replace(job_id, job_id[:8])
        self.stage.story.say(f"the user is told of {payload}: {answer}")
        return job_id


def a_disk_is_taken_out(two: Two) -> None:
    two.stage.story.act("the backup's disk is taken out for a moment")
    for _ in range(3):
        two.asked()
    _, backup = two.ready()
    disk = disk_folder(two.stage.folder, backup.name)
    outside = disk.rename(disk.with_name(f"{backup.name}-outside"))
    disk.touch()  # a file where the folder was: nothing can be written there, not even by root
    two.stage.story.say(f"{backup.name} has no disk")
    two.wipe(two.asked())
    two.stage.rest(SETTLED_S)
    disk.unlink()
    outside.rename(disk)
    two.stage.story.say(f"{backup.name} has its disk again, and both disks are read")
    two.audit()


if __name__ == "__main__":
    play("ack_first", Two, a_disk_is_taken_out, durable)
