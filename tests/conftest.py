"""What every test may ask for: a real ensemble, a root of its own on it, links that can be cut.

The ensemble is started once for all tests, by ``python -m lab servers`` in a process of its own: its waits
would freeze our green threads. Its input is a pipe that we hold, so it ends with us, however we end.
"""

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eventlet
import pytest
from eventlet.green import socket as green_socket
from hypothesis import settings
from kazoo.exceptions import NoNodeError
from xdist.scheduler import LoadScopeScheduling

from app.cluster.election import prepare
from app.demo.run import remove
from app.demo.servers import Servers, ServerStatus
from app.zookeeper import client as zk
from app.zookeeper.link import Link
from lab import java_install
from tests.chromium import browser

__all__ = ["browser"]

# The machine is shared: how long an example takes says nothing about the code.
settings.register_profile("a busy machine", deadline=None)
settings.load_profile("a busy machine")

ROOT = Path(__file__).resolve().parent.parent
# Short, so that a test of an expiry doesn't take long; two of the lab's ticks are half a second.
SESSION_S = 2.0
# Of clients whose link is never cut: a busy machine that looks away for two seconds must not end these, too.
STEADY_SESSION_S = 10.0
# Each of these builds the image, or waits for who does: one after the other it is built once.
_WITH_IMAGE = ("tests/containers/", "tests/k8s/test_image.py")
# What takes minutes begins first, lest the others wait for it at the end.
_LONGEST = ("image", "tests/worker/test_faults.py", "tests/demos/test_pods.py", "tests/lab/test_matrix.py")


def _group(file: str) -> str:
    return "image" if file.startswith(_WITH_IMAGE) else file


class _Groups(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """A file's tests stay together, and with them their servers."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Groups:
    """Instead of --dist loadgroup: its mark has no effect with this pytest, which makes node ids itself."""
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups in the order in which they shall begin."""
    groups = {item: _group(item.location[0]) for item in items}
    items.sort(key=lambda item: (*_LONGEST, groups[item]).index(groups[item]))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run in which every test is skipped has shown nothing: that is no success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    stats = getattr(reporter, "stats", {})
    if exitstatus == pytest.ExitCode.OK and stats.get("skipped") and not stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@dataclass(frozen=True)
class Ensemble:
    """Three real servers.

    Attributes:
        hosts: for clients.
        control: the socket for orders to the servers; None where they are somebody else's (``ZK_HOSTS``).
    """

    hosts: str
    control: str | None

    def servers(self) -> Servers:
        """Orders that don't freeze green threads."""
        if self.control is None:
            pytest.skip("the servers of ZK_HOSTS are not ours to harm")
        return Servers(self.control, socket_module=green_socket)


@pytest.fixture(scope="session")
def ensemble() -> Iterator[Ensemble]:
    """Three servers; or those of ``ZK_HOSTS``.

    As Java processes where that is possible at once: a third less processor time than as containers, for the
    same servers. What is about containers starts its own.
    """
    if hosts := os.environ.get("ZK_HOSTS"):
        yield Ensemble(hosts, os.environ.get("LAB_CONTROL"))
        return
    command = [sys.executable, "-m", "lab", "servers", "--servers", "3", "--json", "--until-stdin-closes"]
    command += ["--backend", "java"] if java_install.find() else []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdin is not None
        assert lab.stdout is not None
        line = lab.stdout.readline()
        assert line, "the laboratory did not start; it says why above"
        started = json.loads(line)
        yield Ensemble(started["zk_hosts"], started["control"])
        lab.stdin.close()
        lab.wait(60)


@pytest.fixture
def servers(ensemble: Ensemble) -> Iterator[Servers]:
    """Orders to the servers; whatever the test did to them is mended."""
    orders = ensemble.servers()
    yield orders
    orders.mend()


@contextmanager
def visit(hosts: str) -> Iterator[Any]:
    """A client for a moment, of a server that lags behind nobody.

    Not for longer: while a test waits for processes its green threads stand still, and its session runs out.
    """
    client = zk.connect(hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
    try:
        zk.wait(client.sync_async("/"), zk.Deadline(20))
        yield client
    finally:
        zk.disconnect(client)


def znodes_below(hosts: str, *roots: str) -> set[str]:
    """Every znode below these."""

    def tree(root: str) -> Iterator[str]:
        with suppress(NoNodeError):
            for child in client.get_children(root):
                yield f"{root}/{child}"
                yield from tree(f"{root}/{child}")

    with visit(hosts) as client:
        return {path for root in roots for path in tree(root)}


class Place:
    """A root of its own for one test, and whoever connects to it; all gone afterwards."""

    def __init__(self, hosts: str) -> None:
        self.hosts = hosts
        self.chroot = f"/demos/test-{uuid.uuid4().hex[:8]}"
        self._closing = ExitStack()

    def open(self) -> None:
        owner = zk.connect(self.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
        self._closing.callback(zk.disconnect, owner)
        zk.ensure(owner, (self.chroot,), zk.Deadline(30))
        self._closing.callback(lambda: remove(owner, self.chroot, zk.Deadline(60)))
        prepare(self.client(), zk.Deadline(30))

    def client(self, link: Link | None = None, session_s: float = SESSION_S) -> Any:
        """A session of its own, through ``link`` if one is given: short then, by default."""
        hosts, session_s = (self.hosts, STEADY_SESSION_S) if link is None else (link.hosts, session_s)
        client = zk.connect(hosts, chroot=self.chroot, session_timeout_s=session_s, deadline_s=30)
        self._closing.callback(zk.disconnect, client)
        return client

    def link(self) -> Link:
        """A link that can be cut."""
        link = Link(self.hosts)
        self._closing.callback(link.close)
        return link

    def all_servers_know(self) -> None:
        """Return when no server lags behind what is written by now: for what looks only once."""
        for server in self.hosts.split(","):
            with visit(server):
                pass

    def started(self, role: Any) -> Any:
        """``role``, started now and stopped at the end."""
        role.start()
        self._closing.callback(role.stop)
        return role

    def close(self) -> None:
        self._closing.close()


@pytest.fixture
def place(ensemble: Ensemble) -> Iterator[Place]:
    """A chroot with the roots in it, on three real servers."""
    here = Place(ensemble.hosts)
    try:
        here.open()
        yield here
    finally:
        here.close()


def leader_of(servers: Servers) -> int:
    """The server that leads; one that is too busy to say so within a second is asked again."""
    return int(eventually(servers.leader, what="a server leads"))


def follower_of(servers: Servers) -> ServerStatus:
    """A server that follows."""

    def look() -> ServerStatus | None:
        return next((status for status in servers.status() if status.mode == "follower"), None)

    found = eventually(look, what="a server follows")
    assert isinstance(found, ServerStatus)
    return found


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port of this machine where nobody listens, and that nobody else is given meanwhile: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def eventually(look: Callable[[], Any], timeout_s: float = 60.0, what: str = "") -> Any:
    """Wait until ``look()`` is true and return it; on failure, show what it was last.

    Longer than the product's own safety nets take (30 s, give or take a quarter), as patience costs nothing.
    """

    deadline = zk.Deadline(timeout_s)
    while True:
        last = look()
        if last:
            return last
        if deadline.passed:
            pytest.fail(f"not within {timeout_s:g} s{': ' + what if what else ''}; last seen: {last!r}")
        eventlet.sleep(0.02)
