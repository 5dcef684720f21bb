"""One run's own corner of ZooKeeper: ``/demos/<run>``, with everything below it, and gone with it.

Runs of any demos at the same time disturb neither each other nor a live worker: each works in a chroot. A
run holds an ephemeral ``owner`` and touches its root now and then; roots that have been ownerless for a
minute (a killed run's) are swept by the next run.
"""

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import eventlet
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError, NotEmptyError

from app.errors import Unreachable
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

# A run without an owner for this long is dead: its session is over, and it hasn't come back with a new one.
ORPHANED_AFTER_S = 60.0
_HEARTBEAT_S = 10.0
_REMOVAL_S = 15.0
_FOLDER = "k8s-zk-demo-"


class Run:
    """A root of its own under ``/demos``, from :meth:`open` to :meth:`close`.

    Args:
        client: a connected client without a chroot, on no link.
        name: the demo's, as ``/demos`` shows it.
        cast: the workers that are invited to take part.
    """

    def __init__(self, client: KazooClient, name: str, cast: Sequence[str] = ()) -> None:
        self._client = client
        self._cast = tuple(cast)
        self.id = f"{name}-{uuid.uuid4().hex[:8]}"
        self.chroot = paths.run(self.id)
        self._heart: Any = None
        self._silence = zk.Silence(client)

    def open(self) -> None:
        """Create the root, and sweep what killed runs have left. Raises Unreachable."""
        deadline = zk.Deadline(zk.STEP_S)
        try:
            self._make_root(deadline)
            self._hold()
            self._silence.start()
            self._heart = eventlet.spawn(self._beat)
            sweep(self._client, self.chroot)
        except zk.NO_REPLY as error:
            message = "ZooKeeper stopped answering while the run was being prepared; try again"
            raise Unreachable(message) from error

    def _make_root(self, deadline: zk.Deadline) -> None:
        """The root and all invitations at once: so a worker that sees a new run needs one look, no watch."""
        if not self._cast:
            zk.ensure(self._client, (self.chroot,), deadline)
            return
        zk.ensure(self._client, (paths.DEMOS,), deadline)
        made = self._client.transaction()
        for path in (self.chroot, self.chroot + paths.CAST):
            made.create(path)
        for pod in self._cast:
            made.create(self.chroot + paths.cast(pod))
            made.create(self.chroot + paths.asks(pod))
        zk.commit(made, deadline)

    def close(self) -> None:
        """Remove everything below the root, and the root. What can't be removed now, the next run sweeps."""
        self._silence.stop()
        if self._heart is not None:
            self._heart.kill()
        try:
            remove(self._client, self.chroot, zk.Deadline(_REMOVAL_S))
        except zk.NO_REPLY as error:
            log.warning("%s is left for the next run to sweep: %r", self.chroot, error)

    @property
    def silent_s(self) -> float:
        """Seconds since ZooKeeper was lost; 0 while it is there."""
        return self._silence.seconds

    def _beat(self) -> None:
        while True:
            eventlet.sleep(zk.jittered(_HEARTBEAT_S))
            try:
                self._hold()
            except zk.NO_REPLY as error:
                log.info("%s: %r", self.chroot, error)
            except NoNodeError:
                # Another run has swept it: it had been away for more than a minute.
                log.warning("%s is gone", self.chroot)
                return

    def _hold(self) -> None:
        """Touch the root, and own it: again with every new session."""
        deadline = zk.Deadline(zk.STEP_S)
        zk.wait(self._client.set_async(self.chroot, b""), deadline)
        with suppress(NodeExistsError):
            zk.wait(self._client.create_async(self.chroot + paths.OWNER, b"", ephemeral=True), deadline)


def sweep(client: KazooClient, mine: str) -> list[str]:
    """Remove the roots that have been ownerless for a minute; returns them. Raises one of zk.NO_REPLY."""
    deadline = zk.Deadline(zk.STEP_S)
    now_ms = zk.wait(client.get_async(mine), deadline)[1].mtime  # just touched: the server's clock
    swept = []
    for run_id in zk.wait(client.get_children_async(paths.DEMOS), deadline):
        root = paths.listed(paths.DEMOS, run_id)
        found = zk.get(client, root, deadline)
        owned = zk.wait(client.exists_async(root + paths.OWNER), deadline)
        if found and not owned and now_ms - found[1].mtime > ORPHANED_AFTER_S * 1000:
            remove(client, root, zk.Deadline(_REMOVAL_S))
            swept.append(root)
    return swept


def remove(client: KazooClient, root: str, deadline: zk.Deadline) -> None:
    """Delete a tree, deepest first; again while something is still added to it. Raises one of zk.NO_REPLY."""
    while True:
        try:
            doomed = _tree(client, root, deadline)
            asked = [client.delete_async(path) for path in reversed(doomed)]
            left = sum(not _is_gone(result, deadline) for result in asked)
        except zk.NO_REPLY:
            if not zk.wait_connected(client, deadline) or deadline.passed:
                raise
            continue
        if not left:
            return


def _tree(client: KazooClient, root: str, deadline: zk.Deadline) -> list[str]:
    """Paths of the tree, parents before children; empty if there is none. A level is asked for at once."""
    level, found = [root], []
    while level:
        asked = [(path, client.get_children_async(path)) for path in level]
        level = []
        for path, result in asked:
            with suppress(NoNodeError):
                children = zk.wait(result, deadline)
                found.append(path)
                level.extend(f"{path}/{child}" for child in children)
    return found


def _is_gone(result: Any, deadline: zk.Deadline) -> bool:
    try:
        zk.wait(result, deadline)
    except NoNodeError:
        return True
    except NotEmptyError:
        return False
    return True


# --- the participants' disks ---


def run_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder of this run, for a with statement."""
    return tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-")


def sweep_folders() -> None:
    """Remove the folders of killed runs: their processes have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        owner = folder.name.removeprefix(_FOLDER).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # another user's run that is alive, or no run's folder
