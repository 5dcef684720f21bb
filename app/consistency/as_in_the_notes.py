"""The notes' listings, in our own words: the counterexample.

They are shortened for the page, and each leaves out the one thing that its protocol is about. Every class
here reaches ZooKeeper through the same clients and links as the full protocol, so what breaks is the
decision rule and nothing else. Don't build on any of this.

What is only described and never done here: the notes ``eval`` the configuration, so anyone who can write the
znode runs code in every pod.
"""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

import eventlet
from eventlet import queue
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState
from pydantic import JsonValue

from app.consistency import eventual
from app.consistency.engine.replicas import Replicas, ZnodeValue
from app.consistency.quorum import Quorum
from app.errors import Refused
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)


# --- eventual: a blind publisher --------------------------------------------------------------------------


class BlindPublisher:
    """Reads the configuration, changes its own copy, and sets the znode whatever has happened since."""

    def __init__(self, client: KazooClient) -> None:
        self._client = client
        self._copy: dict[str, JsonValue] = {}

    def read(self) -> dict[str, JsonValue]:
        """Take what is there now as its own copy."""
        data, _ = zk.wait(self._client.get_async(paths.CONFIG), zk.Deadline(zk.STEP_S))
        self._copy = eventual.parse(data)
        return self._copy

    def push(self, change: Mapping[str, JsonValue]) -> int:
        """Returns the zxid of the write. No version is given, so another's change is overwritten unseen."""
        return overwrite(self._client, eventual.encoded({**self._copy, **change}))


def overwrite(client: KazooClient, data: bytes) -> int:
    """Set the configuration znode to these bytes, whatever is there; returns the zxid of the write."""
    deadline = zk.Deadline(zk.STEP_S)
    zk.ensure(client, (paths.CONFIG,), deadline)
    mzxid: int = zk.wait(client.set_async(paths.CONFIG, data), deadline).mzxid
    return mzxid


# --- primary-backup: a timeout taken for a decision -------------------------------------------------------


class NotesPrimary:
    """Publishes, waits for any ACK, and on a timeout says "aborted" without having decided anything."""

    def __init__(self, client: KazooClient, *, ack_timeout_s: float) -> None:
        self._client = client
        self._ack_timeout_s = ack_timeout_s

    def submit(self, payload: bytes, job_id: str | None = None) -> str:
        """Returns the id. Raises Refused on a timeout, although the backup may acknowledge it yet."""
        job_id = job_id or str(uuid.uuid4())
        patience = zk.Deadline(self._ack_timeout_s)
        changed: Any = queue.LightQueue()
        zk.wait(self._client.create_async(paths.job(job_id), payload), patience)
        try:
            ack = self._client.exists_async(paths.backup_ack(job_id), watch=changed.put)
            if zk.wait(ack, patience) is None:
                changed.get(timeout=patience.left_s)
        except queue.Empty:
            message = f"no ACK for {job_id} in {self._ack_timeout_s:g} s: aborting transaction"
            raise Refused(message) from None
        return job_id


class NotesBackup:
    """Acknowledges whatever it finds, old or new, without writing it to any disk."""

    def __init__(self, client: KazooClient, name: str) -> None:
        self._client = client
        self._name = name
        self._inbox: Any = queue.LightQueue()
        self._thread: Any = None
        self.acknowledged: dict[str, bytes] = {}  # id -> payload, in memory: gone with the process
        self.changed: Any = queue.LightQueue()  # gets each id that is acknowledged

    def start(self) -> None:
        self._client.add_listener(self._on_state)
        self._thread = eventlet.spawn(self._follow)
        self._inbox.put(None)

    def stop(self) -> None:
        self._client.remove_listener(self._on_state)
        if self._thread is not None:
            self._thread.kill()

    def _on_state(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._inbox.put(None)

    def _follow(self) -> None:
        while True:
            self._inbox.get()
            try:
                deadline = zk.Deadline(zk.STEP_S)
                asked = self._client.get_children_async(paths.JOBS, watch=self._inbox.put)
                for job_id in zk.wait(asked, deadline):
                    if job_id not in self.acknowledged:
                        self._acknowledge(job_id, deadline)
            except zk.NO_REPLY as error:
                log.info("%s: %r", self._name, error)

    def _acknowledge(self, job_id: str, deadline: zk.Deadline) -> None:
        try:
            payload, _ = zk.wait(self._client.get_async(paths.job(job_id)), deadline)
            zk.wait(self._client.create_async(paths.backup_ack(job_id), b"ACK"), deadline)
        except (NodeExistsError, NoNodeError):
            return
        self.acknowledged[job_id] = payload
        self.changed.put(job_id)


# --- quorum: a replica's own version taken for a clock ----------------------------------------------------


class NotesRegister:
    """N-W-R over znodes whose *own* versions are compared.

    A znode's version counts the writes to that replica, not to the object. Replicas that missed different
    writes then show equal versions with different values, and the first one asked wins.
    """

    def __init__(self, replicas: Replicas, quorum: Quorum, *, timeout_s: float = 2.0) -> None:
        self._replicas = replicas
        self._quorum = quorum
        self._timeout_s = timeout_s

    def create(self) -> None:
        self._replicas.create(b"", zk.Deadline(self._timeout_s))

    def write(self, value: bytes) -> int:
        """Set every replica that is online; returns how many. Raises Refused under W, after a rollback."""
        deadline = zk.Deadline(self._timeout_s)
        before: dict[int, bytes] = {}
        for index, found in self._ask_all(range(1, self._quorum.n + 1), deadline).items():
            stored = self._replicas.store(index, value, -1, deadline)
            if isinstance(stored, int):
                before[index] = found.data
        if len(before) < self._quorum.w:
            self._roll_back(before)
            message = f"{len(before)} of {self._quorum.w} replicas stored it: rolled back"
            raise Refused(message)
        return len(before)

    def _roll_back(self, before: Mapping[int, bytes]) -> None:
        """The notes' "rollback logic required here", done naively: put back what was there.

        It is just another racing write. A reader may have returned the value already, a replica may have
        died meanwhile, and another writer's value may be the one that is overwritten.
        """
        deadline = zk.Deadline(self._timeout_s)
        for index, data in before.items():
            self._replicas.store(index, data, -1, deadline)

    def read(self) -> tuple[int, bytes]:
        """(znode version, value) of the greatest znode version among the first R replicas that answer."""
        deadline = zk.Deadline(self._timeout_s)
        answers = self._ask_all(range(1, self._quorum.n + 1), deadline)
        if len(answers) < self._quorum.r:
            message = f"{len(answers)} replicas answered, {self._quorum.r} are needed"
            raise Refused(message)
        chosen = [answers[index] for index in sorted(answers)[: self._quorum.r]]
        best = max(chosen, key=lambda found: found.znode_version)
        return best.znode_version, best.data

    def _ask_all(self, indices: range, deadline: zk.Deadline) -> dict[int, ZnodeValue]:
        pool = eventlet.GreenPool(len(indices))
        answers = pool.imap(lambda index: (index, self._replicas.read(index, deadline)), indices)
        return {index: found for index, found in answers if isinstance(found, ZnodeValue)}
