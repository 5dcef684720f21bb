"""The port that leads to the master, and routes between servers, with plain TCP servers in their place."""

import gc
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from lab import proxy
from lab.ensemble import free_ports
from lab.proxy import GREETING, Forwarder, Relays
from tests.conftest import nobody_listens
from tests.lab.conftest import until

WAIT_S = 3.0


class Echo(socketserver.BaseRequestHandler):
    """Says its name, then whatever it hears, and hangs up when it has heard all."""

    name = b""

    def handle(self) -> None:
        self.request.sendall(self.name)
        try:
            while data := self.request.recv(1 << 20):
                self.request.sendall(data)
        except OSError:
            return  # the caller is gone


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def worker(name: str, port: int = 0) -> Iterator[int]:
    """An echo server that greets with its name; its port."""
    handler = type("Named", (Echo,), {"name": name.encode()})
    with EchoServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def stopped_worker() -> Iterator[int]:
    """It accepts, as the system does for a stopped process, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def entrance() -> Iterator[Forwarder]:
    with Forwarder(0, wait_for_master_s=WAIT_S) as opened:
        yield opened


def call(entrance: Forwarder) -> socket.socket:
    return socket.create_connection(("127.0.0.1", entrance.port), timeout=10)


def heard(entrance: Forwarder, length: int = 1) -> bytes:
    with call(entrance) as client:
        return client.recv(length)


def everything(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def none_left(entrance: Forwarder) -> None:
    until(lambda: entrance.connections == 0, lambda: entrance.connections)


def test_every_byte_arrives_both_ways_and_each_side_may_end_first(entrance: Forwarder) -> None:
    payload = os.urandom(1 << 20) * 20
    with worker("a") as a, call(entrance) as client:
        entrance.point_to(a)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(everything, client)
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)  # and the echo still comes back
            assert answer.result(30) == b"a" + payload
    none_left(entrance)


def test_a_new_connection_goes_to_whoever_leads_now(entrance: Forwarder) -> None:
    with worker("a") as a, worker("b") as b:
        entrance.point_to(a)
        assert heard(entrance) == b"a"
        entrance.point_to(b)
        assert heard(entrance) == b"b"


def test_connections_to_the_former_master_are_broken_after_the_grace(entrance: Forwarder) -> None:
    with stopped_worker() as a, worker("b") as b, call(entrance) as client:
        entrance.point_to(a)
        until(lambda: entrance.connections == 1, lambda: entrance.connections)
        time.sleep(0.2)
        changed = time.monotonic()
        entrance.point_to(b)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert 0.9 <= time.monotonic() - changed < 20
        assert heard(entrance) == b"b"
    none_left(entrance)


def test_a_connection_stays_while_its_master_leads(entrance: Forwarder) -> None:
    with worker("a") as a, call(entrance) as client:
        entrance.point_to(a)
        assert client.recv(1) == b"a"
        entrance.point_to(None)  # nobody knows who leads ...
        entrance.point_to(a)  # ... and it is the same as before
        time.sleep(proxy.GRACE_S + 0.3)
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"


def later(delay_s: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(delay_s, act)
    timer.start()
    return timer


def test_a_call_to_a_dead_master_is_answered_by_the_next_one(entrance: Forwarder) -> None:
    with nobody_listens() as dead, worker("b") as b:
        entrance.point_to(dead)
        timer = later(0.5, lambda: entrance.point_to(b))
        assert heard(entrance) == b"b"
        timer.join()


def test_a_call_waits_for_a_master_that_listens_a_little_later(entrance: Forwarder) -> None:
    (port,) = free_ports(1)
    entrance.point_to(port)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        answer = pool.submit(heard, entrance)
        time.sleep(0.4)
        stack.enter_context(worker("a", port))
        assert answer.result(10) == b"a"


def test_without_any_master_the_caller_is_hung_up_on(entrance: Forwarder) -> None:
    began = time.monotonic()
    assert heard(entrance) == b""
    assert WAIT_S - 0.1 <= time.monotonic() - began < WAIT_S + 20
    none_left(entrance)


def test_a_reset_by_one_side_reaches_the_other(entrance: Forwarder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, call(entrance) as client:
        entrance.point_to(listener.getsockname()[1])
        master, _ = listener.accept()
        master.sendall(b"a")
        assert client.recv(1) == b"a"
        master.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, proxy.RESET)
        master.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    none_left(entrance)


def test_a_client_that_forgets_an_idle_connection_does_not_keep_it_for_ever(
    entrance: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "SILENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener, call(entrance) as client:
        entrance.point_to(listener.getsockname()[1])
        master, _ = listener.accept()
        master.close()
        assert client.recv(1) == b""  # the master has hung up; the client doesn't
        none_left(entrance)


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        with Forwarder(wanted) as opened:
            assert wanted < opened.port <= wanted + proxy.PORTS_TRIED


def test_where_no_port_is_free_that_is_an_error_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PORTS_TRIED", 0)
    before = threading.active_count()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        Forwarder(taken.getsockname()[1]),
    ):
        pass
    until(lambda: threading.active_count() <= before, threading.enumerate)


def open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 (a path that changes while it is listed)


@pytest.mark.whole
def test_thousands_of_connections_leave_no_thread_and_no_socket(entrance: Forwarder) -> None:
    def short(number: int) -> None:
        with call(entrance) as client:
            if number % 3 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, proxy.RESET)
            if number % 3 != 1:  # else it hangs up without having listened
                assert client.recv(1) == b"a"

    with worker("a") as a:
        entrance.point_to(a)
        threads, files = threading.active_count(), open_files()
        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(short, range(2_000)))) == 2_000
        none_left(entrance)
        until(lambda: threading.active_count() <= threads, threading.enumerate)
        until(lambda: open_files() <= files, open_files)


def test_its_end_breaks_what_is_still_open() -> None:
    threads, files = threading.active_count(), open_files()
    with stopped_worker() as a, ExitStack() as clients:
        with Forwarder(0) as opened:
            opened.point_to(a)
            calls = [clients.enter_context(call(opened)) for _ in range(20)]
            until(lambda: opened.connections == 20, lambda: opened.connections)
        for client in calls:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    until(lambda: threading.active_count() <= threads, threading.enumerate)
    until(lambda: open_files() <= files, open_files)


def test_its_end_closes_what_is_being_accepted_at_that_moment() -> None:
    """A socket that nobody has closed warns when it is collected, and here a warning is an error."""
    for _ in range(100):
        with ExitStack() as clients, Forwarder(0) as opened:
            for _ in range(5):
                clients.enter_context(call(opened))
    gc.collect()


@pytest.fixture
def relays() -> Iterator[Relays]:
    opened = Relays()
    yield opened
    opened.close()


def test_a_cut_route_carries_nothing_and_delivers_after_healing(relays: Relays) -> None:
    with worker("b") as b:
        route = relays.between(1, 2, b)
        with socket.create_connection(("127.0.0.1", route.port), timeout=10) as client:
            assert client.recv(1) == b"b"
            relays.cut(2)
            client.sendall(b"late")
            with socket.create_connection(("127.0.0.1", route.port), timeout=10) as another:
                for end in (client, another):
                    end.settimeout(0.3)
                    with pytest.raises(TimeoutError):
                        end.recv(1)
                relays.heal(2)
                client.settimeout(10)
                another.settimeout(10)
                assert client.recv(4) == b"late"
                assert another.recv(1) == b"", "it never came to be: the caller tries again"


def test_a_server_that_is_called_back_is_called_on_the_route_for_the_way_back(relays: Relays) -> None:
    with worker("") as b:
        there, back = relays.between(1, 2, b), relays.between(2, 1, b)
        there.way_back = back
        with socket.create_connection(("127.0.0.1", there.port), timeout=10) as caller:
            own = b"127.0.0.1:3888"
            caller.sendall(GREETING.pack(-65536, 1, len(own)) + own + b"more")
            caller.shutdown(socket.SHUT_WR)
            heard = everything(caller)
    address = f"127.0.0.1:{back.port}".encode()
    assert heard == GREETING.pack(-65536, 1, len(address)) + address + b"more"
