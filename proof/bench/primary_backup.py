"""Primary-backup: from a payload in the primary's hand to an answer for its user.

Ours is ``Primary.submit`` with a live ``Backup`` on another session, each with a folder of its own.

The floor is the least that two disks, two sessions and one-shot watches need for the same promise:

    primary  copy with fsync        temporary file, write, fsync, rename, fsync of the folder
    primary  create the record      a transaction with a check of /epoch
    backup   its children watch fires
    backup   get the record
    backup   copy with fsync        the same
    backup   create the ACK         a transaction with a check of /epoch
    primary  its watch for the ACK fires (left beside the create, not waited for)
    primary  get the ACK
    primary  create the outcome     a transaction with a check of /epoch

Why it is fair. Every step waits for the one before, in any implementation. A transaction with a check is
one call, one round trip, and without it a deposed primary could decide. A copy is made in ``tpool`` because
a plain fsync would stop every session of the process. What the floor is spared: it runs in one green thread,
knows the id that the backup would have to list the children for, digests and compares nothing, and keeps no
record that a retry, a crash or a takeover would ask for.

Beside it, the notes' listing, in a root of its own: its backup acknowledges whatever it finds in ``/jobs``.
"""

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from eventlet import queue, tpool

from app.consistency.as_in_the_notes import NotesBackup, NotesPrimary
from app.consistency.engine.disk import Disk
from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.consistency.primary_backup import Backup, Primary
from app.zookeeper import paths
from proof.bench.measuring import PAYLOAD, Row, Sample, Watch, in_turn
from proof.bench.sessions import STEP_S, Sessions, done

TARGET = 1.5
NOTES = (
    "no copy on any disk, no check of the epoch, no outcome on record: what was acknowledged is only in "
    'ZooKeeper, a deposed primary goes on, and a late ACK contradicts "aborted"'
)
_FLOOR = "/floor"


def measure(hosts: str, samples: int) -> list[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Sessions(hosts) as sessions,
        Sessions(hosts) as of_the_notes,
    ):
        clients = sessions.open(), sessions.open()
        epoch = _epoch(*clients)
        primary = Primary(clients[0], Disk(Path(folder) / "ours-1"), epoch)
        sessions.started(Backup(clients[1], Disk(Path(folder) / "ours-2"), epoch, "backup"))
        floor = Floor(clients, Path(folder), epoch)

        def ours(watch: Watch) -> None:
            job_id = str(uuid.uuid4())
            with watch.timing():
                primary.submit(job_id, PAYLOAD)

        ours_ms, floor_ms, notes_ms = in_turn([ours, floor.sample, _notes(of_the_notes)], samples)
        return [Row("primary-backup: write to answer", ours_ms, floor_ms, TARGET, notes_ms, NOTES)]


def _notes(sessions: Sessions) -> Sample:
    primary = NotesPrimary(sessions.open(), ack_timeout_s=STEP_S)
    sessions.started(NotesBackup(sessions.open(), "backup"))

    def sample(watch: Watch) -> None:
        with watch.timing():
            primary.submit(PAYLOAD)

    return sample


def _epoch(primary: Any, backup: Any) -> Epoch:
    """An epoch as the election makes it, with a seat for each."""
    for client, seat in ((primary, "seat-1"), (backup, "seat-2")):
        done(client.create_async(f"{paths.ELECTION}/{seat}", b"", ephemeral=True))
    epoch = NO_EPOCH.led_by("primary", "seat-1").backed_up_by("backup", "seat-2")
    stat = done(primary.set_async(paths.EPOCH, epoch.to_bytes()))
    return Epoch.from_znode(epoch.to_bytes(), stat.version)


class Floor:
    """The chain of raw calls."""

    def __init__(self, clients: tuple[Any, Any], folder: Path, epoch: Epoch) -> None:
        self._primary, self._backup = clients
        self._disks = folder / "floor-1", folder / "floor-2"
        for disk in self._disks:
            disk.mkdir()
        self._epoch = epoch
        self._heard: Any = queue.LightQueue()
        done(self._primary.create_async(_FLOOR))

    def sample(self, watch: Watch) -> None:
        job_id = str(uuid.uuid4())
        job = f"{_FLOOR}/{job_id}"
        done(self._backup.get_children_async(_FLOOR, watch=self._heard.put))
        with watch.timing():
            tpool.execute(copy, self._disks[0], job_id, PAYLOAD)
            self._primary.exists_async(f"{job}/ack", watch=self._heard.put)
            self._create(self._primary, job, PAYLOAD)
            self._heard.get(timeout=STEP_S)
            payload, _ = done(self._backup.get_async(job))
            tpool.execute(copy, self._disks[1], job_id, payload)
            self._create(self._backup, f"{job}/ack", b"ack")
            self._heard.get(timeout=STEP_S)
            done(self._primary.get_async(f"{job}/ack"))
            self._create(self._primary, f"{job}/outcome", b"committed")

    def _create(self, client: Any, path: str, data: bytes) -> None:
        creation = client.transaction()
        creation.check(paths.EPOCH, self._epoch.znode_version)
        creation.create(path, data)
        done(creation.commit_async())


def copy(folder: Path, name: str, payload: bytes) -> None:
    """A file that is there whole or not at all, and stays: four calls to the disk, and nothing else."""
    handle, temporary = tempfile.mkstemp(dir=folder)
    os.write(handle, payload)
    os.fsync(handle)
    os.rename(temporary, folder / name)  # noqa: PTH104 (the calls by name)
    os.close(handle)
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
