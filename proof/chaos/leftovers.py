"""What a chaos run has left in ZooKeeper, on disks and in /proc, where all is whole and quiet again."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kazoo.exceptions import NoNodeError

from app.consistency.engine.records import read_outcome
from app.zookeeper import client as zk, paths
from lab.workers import Worker
from proof.chaos import audit
from proof.chaos.site import WORKERS, Site

_STEP_S = 20.0
# An idle worker has 12 to 20: its sockets and pipes, a connection to ZooKeeper, its listener. What a page or
# a download opens besides is gone in a moment; one that leaks a few with every job is over this soon.
MOST_DESCRIPTORS = 60
# What stays of a job that has ended (its record), by znode.
_RECORD = {"", "/backup_ack", "/outcome", "/result"}
_ONE_EACH = (paths.NODES, paths.ELECTION, paths.HOSTS)


class Leftovers:
    """Looks for them. Raises one of zk.NO_REPLY."""

    def __init__(self, client: Any, site: Site) -> None:
        self._client = client
        self._site = site

    def look(self, known: set[str]) -> dict[str, list[str]]:
        """By kind: what has no reason to be there. ``known``: the ids of uploads that may have a record."""
        records = self._children(paths.JOBS)
        parts = [
            f"{job_id}{part}"
            for job_id in records
            for part in (f"/{child}" for child in self._children(paths.job(job_id)))
            if part not in _RECORD
        ]
        wrong = [
            f"{path} has {len(found)} children, not {WORKERS}"
            for path in _ONE_EACH
            if len(found := self._children(path)) != WORKERS
        ]
        return {
            "jobs on the board": self._children(paths.BOARD),
            "records that no upload made": [
                one for one in records if one not in known and not self._is_aborted(one)
            ],
            "parts of jobs that have ended": parts,
            "quorum objects of jobs": self._children(paths.OBJECTS),
            "znodes too many or too few": wrong,
            "files": list(audit.leftover(self._site.files(), set(records))),
            "processes": list(strangers(self._site.workers.all, self._site.workers.shared_dir)),
            "workers with descriptors that they don't need": list(hoards(self._site.workers.all)),
        }

    def _is_aborted(self, job_id: str) -> bool:
        """Its record says that it never will be: a retry has to find that."""
        outcome = read_outcome(self._client, job_id, zk.Deadline(_STEP_S))
        return outcome is not None and outcome.decision == "aborted"

    def _children(self, path: str) -> list[str]:
        with suppress(NoNodeError):  # forgotten since we saw it
            return list(zk.wait(self._client.get_children_async(path), zk.Deadline(_STEP_S)))
        return []


# -- what /proc says; elsewhere nothing is known, and nothing said --


def strangers(workers: Sequence[Worker], shared_dir: Path) -> Iterator[str]:
    """Processes that were started for this run, and are none of its workers."""
    known = {worker.pid for worker in workers}
    mark = f"SHARED_DIR={shared_dir}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if int(folder.name) not in known and mark in (folder / "environ").read_bytes().split(b"\0"):
                yield f"process {folder.name}"


def hoards(workers: Sequence[Worker]) -> Iterator[str]:
    """Idle workers with too many descriptors."""
    for worker in workers:
        with suppress(OSError):
            count = sum(1 for _ in Path(f"/proc/{worker.pid}/fd").iterdir())
            if count > MOST_DESCRIPTORS:
                yield f"{worker.pod} has {count} descriptors open"
