"""What a run's workers hold of this machine, as /proc tells; elsewhere nothing is known, and nothing said."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lab.workers import Worker

# An idle worker has 12 to 20: its sockets and pipes, a connection to ZooKeeper, its listener. What a page or
# a download opens besides is gone in a moment; one that leaks a few with every job is over this soon.
MOST_DESCRIPTORS = 60


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
