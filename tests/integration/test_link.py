"""The link is what a network would be: it holds, delays, breaks and heals, and never changes a byte."""

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from eventlet import queue
from eventlet.green import socket

from app.zookeeper import client as zk
from app.zookeeper.link import Link
from tests.conftest import SESSION_S, STEADY_SESSION_S, Place, eventually, nobody_listens

# Long enough that bytes which are let through would have come, short enough to wait for.
QUIET_S = 0.3

pytestmark = pytest.mark.usefixtures("no_trouble")


class Server:
    """A server at the far end, in green threads: it keeps what it hears, and its connections."""

    def __init__(self) -> None:
        self.listener = eventlet.listen(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections: list[Any] = []
        self.heard: list[bytes] = []
        self.ended: list[bool] = []
        self._threads = [eventlet.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            self.connections.append(connection)
            self.heard.append(b"")
            self.ended.append(False)
            self._threads.append(eventlet.spawn(self._listen, connection, len(self.heard) - 1))

    def _listen(self, connection: Any, number: int) -> None:
        with suppress(OSError):
            while chunk := connection.recv(65536):
                self.heard[number] += chunk
        self.ended[number] = True

    def close(self) -> None:
        for thread in self._threads:
            thread.kill()
        for sock in [self.listener, *self.connections]:
            sock.close()


@pytest.fixture
def server() -> Iterator[Server]:
    far = Server()
    yield far
    far.close()


@pytest.fixture
def link(server: Server) -> Iterator[Link]:
    between = Link(server.host)
    yield between
    between.close()


def address(link: Link) -> tuple[str, int]:
    host, _, port = link.hosts.split(",")[0].rpartition(":")
    return host, int(port)


@contextmanager
def dialled(link: Link) -> Iterator[Any]:
    """A connection to the near end."""
    with socket.create_connection(address(link), timeout=10) as near:
        yield near


def received(sock: Any, size: int) -> bytes:
    parts = b""
    while len(parts) < size and (chunk := sock.recv(size - len(parts))):
        parts += chunk
    return parts


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 (a Path would open one more)


@pytest.mark.parametrize("size", [1, 6_000_000], ids=["a byte", "more than a link holds back"])
def test_bytes_pass_unchanged_both_ways(link: Link, server: Server, size: int) -> None:
    sent = os.urandom(size)
    with dialled(link) as near:
        sending = eventlet.spawn(near.sendall, sent)
        eventually(lambda: server.heard and len(server.heard[0]) == size)
        sending.wait()
        assert hashlib.sha256(server.heard[0]).digest() == hashlib.sha256(sent).digest()
        answering = eventlet.spawn(server.connections[0].sendall, sent)
        assert received(near, size) == sent
        answering.wait()


def test_the_end_of_one_direction_passes_and_the_other_goes_on(link: Link, server: Server) -> None:
    with dialled(link) as near:
        near.sendall(b"last words")
        near.shutdown(socket.SHUT_WR)
        eventually(lambda: server.ended == [True])
        assert server.heard == [b"last words"]
        server.connections[0].sendall(b"understood")
        assert received(near, 10) == b"understood"


def test_a_cut_holds_every_byte_and_healing_delivers_them_in_order(link: Link, server: Server) -> None:
    with dialled(link) as near:
        near.sendall(b"before,")
        eventually(lambda: server.heard == [b"before,"])
        link.cut()
        for number in range(50):
            near.sendall(b"%d," % number)
            eventlet.sleep(0)
        server.connections[0].sendall(b"answer")
        with pytest.raises(TimeoutError), eventlet.Timeout(QUIET_S, TimeoutError):
            near.recv(1)
        assert server.heard == [b"before,"]
        link.heal()
        assert received(near, 6) == b"answer"
        eventually(lambda: server.heard == [b"before," + b"".join(b"%d," % number for number in range(50))])


def test_a_second_cut_right_after_healing_still_holds(link: Link, server: Server) -> None:
    with dialled(link) as near:
        near.sendall(b"a")
        eventually(lambda: server.heard == [b"a"])
        link.cut()
        near.sendall(b"b")
        eventlet.sleep(QUIET_S)
        link.heal()
        link.cut()
        eventlet.sleep(QUIET_S)
        assert server.heard == [b"a"]
        link.heal()
        eventually(lambda: server.heard == [b"ab"])


def test_what_was_under_way_arrives_although_its_sender_has_given_up(link: Link, server: Server) -> None:
    with dialled(link) as near:
        near.sendall(b"a")
        eventually(lambda: server.heard == [b"a"])
        link.cut()
        near.sendall(b"late")
    eventlet.sleep(QUIET_S)
    assert (server.heard, server.ended) == ([b"a"], [False])
    link.heal()
    eventually(lambda: (server.heard, server.ended) == ([b"alate"], [True]))


def test_with_only_the_replies_cut_requests_arrive(link: Link, server: Server) -> None:
    with dialled(link) as near:
        link.cut(requests=False)
        near.sendall(b"request")
        eventually(lambda: server.heard == [b"request"])
        server.connections[0].sendall(b"reply")
        with pytest.raises(TimeoutError), eventlet.Timeout(QUIET_S, TimeoutError):
            near.recv(1)
        link.heal()
        assert received(near, 5) == b"reply"


def test_with_only_the_requests_cut_replies_arrive(link: Link, server: Server) -> None:
    with dialled(link) as near:
        eventually(lambda: server.connections)
        link.cut(replies=False)
        near.sendall(b"request")
        server.connections[0].sendall(b"event")
        assert received(near, 5) == b"event"
        assert server.heard == [b""]
        link.heal()
        eventually(lambda: server.heard == [b"request"])


def test_a_sender_feels_a_long_cut_since_a_link_holds_only_so_much(link: Link) -> None:
    with dialled(link) as near:
        link.cut()
        near.settimeout(1.0)
        with pytest.raises(TimeoutError):
            near.sendall(b"x" * 100_000_000)


def test_a_connection_that_is_reset_on_one_side_ends_on_the_other(link: Link, server: Server) -> None:
    at_once = struct.pack("ii", 1, 0)  # closing then sends a reset, not an end
    with dialled(link) as near:
        near.sendall(b"x")
        eventually(lambda: server.heard == [b"x"])
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    eventually(lambda: server.ended == [True])
    server.connections[0].close()
    eventually(lambda: link._threads.running() == 1, what="only who accepts is left")


def test_a_connection_that_fails_in_an_odd_way_has_ended(link: Link) -> None:
    def recv(size: int) -> bytes:
        raise TimeoutError

    held: Any = queue.LightQueue()
    link._read(SimpleNamespace(recv=recv), held)
    assert held.get()[1] == b""


def test_a_flood_to_a_server_that_goes_away_leaves_no_green_thread_behind(link: Link, server: Server) -> None:
    with dialled(link) as near:
        eventually(lambda: server.connections)
        flood = eventlet.spawn(near.sendall, b"x" * 50_000_000)
        eventually(lambda: server.heard[0])
        server.connections[0].shutdown(socket.SHUT_RDWR)
        server.connections[0].close()
        with suppress(OSError):
            flood.wait()
    eventually(lambda: link._threads.running() == 1, what="only who accepts is left")


def test_a_new_connection_hangs_while_cut(link: Link, server: Server) -> None:
    link.cut()
    with dialled(link) as near:
        near.sendall(b"hello")
        eventlet.sleep(QUIET_S)
        assert server.connections == []
        link.heal()
        eventually(lambda: server.heard == [b"hello"])


def test_who_gives_up_connecting_while_cut_never_reaches_the_server(link: Link, server: Server) -> None:
    link.cut()
    for _ in range(5):
        with dialled(link) as near:
            near.sendall(b"hello")
    eventlet.sleep(QUIET_S)
    link.heal()
    with dialled(link) as near:
        near.sendall(b"again")
        eventually(lambda: b"again" in server.heard)
    assert server.heard == [b"again"]


def test_a_slow_link_delays_each_byte_by_at_least_that_each_way(link: Link, server: Server) -> None:
    delay_s = 0.2
    with dialled(link) as near:
        eventually(lambda: server.connections)
        link.slow(delay_s)
        for number in range(5):
            began = time.monotonic()
            near.sendall(b"%d" % number)
            while len(server.heard[0]) <= number:
                eventlet.sleep(0.001)
            assert time.monotonic() - began >= delay_s
        began = time.monotonic()
        server.connections[0].sendall(b"back")
        assert received(near, 4) == b"back"
        assert time.monotonic() - began >= delay_s
        assert server.heard == [b"01234"]


def test_a_healed_link_is_quick_again(link: Link, server: Server) -> None:
    with dialled(link) as near:
        link.slow(60.0)
        link.heal()
        near.sendall(b"now")
        eventually(lambda: server.heard == [b"now"])


def test_down_breaks_connections_and_ends_new_ones_until_healed(link: Link, server: Server) -> None:
    with dialled(link) as near:
        near.sendall(b"a")
        eventually(lambda: server.heard == [b"a"])
        link.cut()
        near.sendall(b"lost")
        link.down()
        with suppress(ConnectionError):
            assert near.recv(1) == b""
    with suppress(ConnectionError), dialled(link) as near:
        near.sendall(b"while down")
        assert near.recv(1) == b""
    link.heal()
    with dialled(link) as near:
        near.sendall(b"after")
        eventually(lambda: b"after" in server.heard)
    assert server.heard == [b"a", b"after"]  # what was under way has died with the machine


def test_a_connection_that_hung_while_cut_dies_with_the_machine(link: Link, server: Server) -> None:
    link.cut()
    with dialled(link) as near:
        near.sendall(b"hello")
        eventlet.sleep(QUIET_S)
        link.down()
        with suppress(ConnectionError):
            assert near.recv(1) == b""
        link.heal()
        eventlet.sleep(QUIET_S)
        assert server.heard == []


def test_a_connection_that_is_just_being_accepted_dies_with_the_machine_too(
    link: Link, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn_n = link._threads.spawn_n

    def spawn_and_die(*arguments: Any) -> None:
        spawn_n(*arguments)
        link.down()

    monkeypatch.setattr(link._threads, "spawn_n", spawn_and_die)
    with dialled(link) as near, eventlet.Timeout(20):
        near.sendall(b"hello")
        with suppress(ConnectionError):
            assert near.recv(1) == b""
        eventlet.sleep(QUIET_S)
        link.heal()
        eventlet.sleep(QUIET_S)
    assert server.connections == []


@pytest.mark.parametrize("state", ["whole", "cut", "slow", "down"])
def test_a_closed_link_leaves_no_port_no_green_thread_and_no_descriptor(server: Server, state: str) -> None:
    before = descriptors()
    link = Link(f"{server.host},{server.host}")
    with dialled(link) as near:
        near.sendall(b"x")
        eventually(lambda: server.heard == [b"x"])
        {"whole": link.heal, "cut": link.cut, "slow": lambda: link.slow(60.0), "down": link.down}[state]()
        with suppress(ConnectionError):
            near.sendall(b"y")
        eventlet.sleep(0.05)
        link.close()
    for part in link.hosts.split(","):
        host, _, port = part.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)
    assert link._threads.running() == 0
    eventually(lambda: server.ended == [True])
    server.connections.pop().close()
    assert descriptors() == before


def test_a_link_can_be_closed_while_it_dials_a_server_that_does_not_answer() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host = f"127.0.0.1:{full.getsockname()[1]}"
        # The queue of a listener that accepts nothing takes one or two; whoever comes next gets no answer.
        crowd = [socket.socket() for _ in range(3)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        before = descriptors()
        link = Link(host)
        with dialled(link):
            eventlet.sleep(QUIET_S)
            link.close()
        eventually(lambda: descriptors() == before)
        assert link._threads.running() == 0
        for one in crowd:
            one.close()


def test_a_connection_to_a_dead_server_ends_and_nobody_goes_on_reading_it() -> None:
    with nobody_listens() as dead:
        link = Link(f"127.0.0.1:{dead}")
        link.cut()
        try:
            with dialled(link) as near:
                eventlet.sleep(0.1)
                link.heal()  # now it is dialled, while somebody waits for what the client will say
                with suppress(ConnectionError):
                    assert near.recv(1) == b""
                eventually(lambda: link._threads.running() == 1, what="only who accepts is left")
        finally:
            link.close()


def test_a_client_skips_a_server_that_is_dead(place: Place) -> None:
    with nobody_listens() as dead:
        link = Link(f"127.0.0.1:{dead},{place.hosts.split(',')[0]},127.0.0.1:{dead}")
        try:
            client = zk.connect(
                link.hosts, chroot=place.chroot, session_timeout_s=STEADY_SESSION_S, deadline_s=30
            )
            assert zk.wait(client.exists_async("/nodes"), zk.Deadline(60))
            zk.disconnect(client)
        finally:
            link.close()


@pytest.mark.parametrize("fault", ["cut", "down"])
def test_a_session_expires_behind_a_broken_link_and_a_new_one_comes_after_healing(
    place: Place, fault: str
) -> None:
    link, witness = place.link(), place.client()
    client = place.client(link)
    former = zk.session_id(client)
    zk.wait(client.create_async("/nodes/one", ephemeral=True), zk.Deadline(20))
    eventually(lambda: zk.wait(witness.exists_async("/nodes/one"), zk.Deadline(20)))  # its server may lag
    getattr(link, fault)()
    try:
        eventually(lambda: not zk.wait(witness.exists_async("/nodes/one"), zk.Deadline(20)))
    finally:
        link.heal()
    assert zk.wait_connected(client, zk.Deadline(60))
    eventually(lambda: client.connected and zk.session_id(client) not in (None, former))
    zk.wait(client.create_async("/nodes/one", ephemeral=True), zk.Deadline(20))


def test_a_session_survives_a_short_cut(place: Place) -> None:
    link = place.link()
    client = place.client(link, STEADY_SESSION_S)
    former = zk.session_id(client)
    zk.wait(client.create_async("/nodes/one", ephemeral=True), zk.Deadline(20))
    link.cut()
    eventlet.sleep(QUIET_S)
    link.heal()
    stat = zk.wait(client.exists_async("/nodes/one"), zk.Deadline(20))
    assert stat.ephemeralOwner == former == zk.session_id(client)


def test_faults_by_the_hundred_under_load_confuse_no_green_thread_and_leak_nothing(place: Place) -> None:
    before = descriptors()
    link = Link(place.hosts)
    connect = partial(zk.connect, session_timeout_s=SESSION_S, deadline_s=30)
    clients = [connect(link.hosts, chroot=place.chroot) for _ in range(3)]
    done = [0, 0, 0]

    def work(number: int) -> None:
        while True:
            with suppress(*zk.NO_REPLY):
                zk.wait(clients[number].get_async("/nodes"), zk.Deadline(0.5))
                done[number] += 1
            eventlet.sleep(0)

    workers = [eventlet.spawn(work, number) for number in range(3)]
    for cycle in range(80):
        (link.cut, link.down, lambda: link.slow(0.02), lambda: link.cut(requests=False))[cycle % 4]()
        eventlet.sleep(0.01 * (cycle % 3))
        link.heal()
        eventlet.sleep(0.02 if cycle % 5 else 0.1)
    reached = list(done)
    eventually(
        lambda: all(now > then for now, then in zip(done, reached, strict=True)), what="all work again"
    )
    for worker in workers:
        worker.kill()
    for client in clients:
        zk.disconnect(client)
    link.close()
    assert link._threads.running() == 0
    eventually(lambda: descriptors() == before)
