"""The place of a chaos run: three servers that are the laboratory's, five workers behind links of their own.

What is asked of a worker over HTTP blocks, so it is asked in a thread.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import eventlet
import httpx
from eventlet import tpool
from eventlet.green import socket as green_socket

from app.demo.servers import Servers, ServersError
from app.errors import BadSettingError, InDoubt
from app.zookeeper.link import Link
from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.workers import Worker, Workers

WORKERS = 5
# Shorter than in the cluster, so that a minute holds more deaths that are noticed.
SESSION_S = 4.0
# A disk that can be filled, for the workers' own copies.
DISK_MIB = 48
_COMMAND = (sys.executable, "-m", "proof.chaos.worker")
_WHOLE_S = 90.0
_ENDING_S = 20.0
_LEFT_BYTES = 8192  # less than an upload takes
_GLANCE_S = 1.0  # to say what it is
_ANSWER_S = 10.0  # to a request, and to be gone after SIGTERM


class Site:
    """Five workers, their links, the servers, and the disk that holds the workers' copies."""

    def __init__(self, workers: Workers, links: Sequence[Link], hosts: str, servers: Servers) -> None:
        self.workers = workers
        self.links = links
        self.hosts = hosts
        self.servers = servers
        self.small_disk: Path | None = None
        self._last: Worker | None = None  # who led when we last asked
        self._http = httpx.Client(timeout=_ANSWER_S, trust_env=False)

    # -- asking --

    def ask(self, method: str, worker: Worker, path: str, **more: Any) -> httpx.Response | None:
        """A reply, or None where there was none: then the outcome is unknown."""
        try:
            answer: httpx.Response = tpool.execute(self._http.request, method, worker.url + path, **more)
        except httpx.TransportError:
            return None
        return answer

    def master(self) -> Worker | None:
        """The worker that says it leads; of two, the one that was the master before."""
        if self._last is None or self._role(self._last) != "master":
            pool = eventlet.GreenPool()
            roles = list(pool.imap(self._role, self.workers.all))
            leading = [one for one, role in zip(self.workers.all, roles, strict=True) if role == "master"]
            self._last = leading[0] if leading else None
        return self._last

    def _role(self, worker: Worker) -> str | None:
        """As it says itself, if it says so at once: a stopped one would hold up all the others."""
        answer = self.ask("GET", worker, "/readyz", timeout=_GLANCE_S)
        return str(answer.json()["role"]) if answer is not None and answer.status_code == 200 else None

    def of_master(self, path: str) -> httpx.Response | None:
        master = self.master()
        return None if master is None else self.ask("GET", master, path)

    def roles(self) -> list[str]:
        return sorted(role for worker in self.workers.all if (role := self._role(worker)))

    # -- whole again --

    def revive(self) -> None:
        """Every server, link, disk and worker as in the beginning. Raises InDoubt if that takes too long."""
        self.empty_disk()
        for link in self.links:
            link.heal()
        for worker in self.workers.all:
            worker.send(signal.SIGCONT)
        self.mend_servers()
        self.workers.revive()
        expected = ["backup", "master", "worker", "worker", "worker"]
        self.wait_for(lambda: self.roles() == expected, "five workers, a master and a backup among them")

    def change_master(self) -> None:
        """The master ends in an orderly way and comes back: its successor removes what belongs to no job."""
        if (master := self.master()) is not None:
            master.send(signal.SIGTERM)
            self.wait_for(lambda: master.gone(0), f"{master.pod} ends", _ENDING_S)
        self.revive()

    def mend_servers(self) -> None:
        with suppress(ServersError):  # a run that needs them finds out
            self.servers.mend()

    @staticmethod
    def wait_for(condition: Callable[[], bool], what: str, for_s: float = _WHOLE_S) -> None:
        deadline_s = time.monotonic() + for_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise InDoubt(f"not within {for_s:g} s: {what}")
            eventlet.sleep(0.2)

    # -- the disk --

    def fill_disk(self) -> None:
        """Leave no room for another copy, where there is a disk that may be filled."""
        if self.small_disk is None:
            return
        free = os.statvfs(self.small_disk).f_bavail * os.statvfs(self.small_disk).f_frsize
        with (self.small_disk / "filled").open("wb") as file, suppress(OSError):  # a worker was faster
            os.posix_fallocate(file.fileno(), 0, max(1, free - _LEFT_BYTES))

    def empty_disk(self) -> None:
        if self.small_disk is not None:
            (self.small_disk / "filled").unlink(missing_ok=True)

    def files(self) -> list[str]:
        """Every file on the shared volume and on the workers' own disks."""
        roots = [self.workers.shared_dir, *(worker.backup_dir for worker in self.workers.all)]
        return [f"{folder}/{name}" for root in roots for folder, _, names in os.walk(root) for name in names]


@contextmanager
def site(hosts: str) -> Iterator[Site]:
    """The place, for the length of a with statement. Raises BadSettingError, InDoubt."""
    servers = Servers.from_environment(os.environ, socket_module=green_socket)
    if servers is None:
        raise BadSettingError("chaos harms ZooKeeper's servers, so it takes the laboratory's: unset ZK_HOSTS")
    os.environ["SESSION_TIMEOUT_S"] = str(SESSION_S)
    links = [Link(hosts) for _ in range(WORKERS)]
    with GuardedDirectory() as den, _small_disk(den.path / "backups") as disk:
        with Workers(
            WORKERS, [link.hosts for link in links], den, print_to_stderr, command=_COMMAND
        ) as workers:
            place = Site(workers, links, hosts, servers)
            place.small_disk = disk
            place.revive()
            try:
                yield place
            finally:
                _end(workers, links)
        for link in links:
            link.close()


def _end(workers: Workers, links: Sequence[Link]) -> None:
    """All at once, while the links still carry what they have to say: a plain wait would stop these."""
    for link in links:
        link.heal()
    for worker in workers.all:
        worker.send(signal.SIGTERM, signal.SIGCONT)
    deadline_s = time.monotonic() + _ANSWER_S
    while not all(worker.gone(0) for worker in workers.all) and time.monotonic() < deadline_s:
        eventlet.sleep(0.1)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A small disk at ``folder``, where this machine lets us mount one; else an ordinary folder, and None."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    may = os.geteuid() == 0 and sys.platform == "linux"
    if not may or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        # Lazily: a process that still has a file open there doesn't keep it in the tree.
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
