"""What an ensemble is, wherever its servers run: `Server`, `Ensemble`, and the question to a server."""

import random
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Sleep = Callable[[float], None]  # time.sleep, or one that raises after a signal
Say = Callable[[str], None]

# Short ticks, so that sessions of two seconds are allowed (the least is two ticks) ...
TICK_MS = 250
# ... and limits counted in ticks that forgive a busy two-core machine: ten seconds to join, three to lag.
INIT_LIMIT = 40
SYNC_LIMIT = 12
MAX_SESSION_TIMEOUT_MS = 40_000

# Small and quick to start: three of these share a laptop with a browser. A server that has been alone for
# long asks its peers less and less often, up to once a minute: too long for a lesson, so at most a second.
# A server that returns is sent the leader's whole state. The quicker way, the transactions that it lacks, has
# lost some in ZooKeeper 3.8 and 3.9 when servers were killed (ZOOKEEPER-2846, -4646, -4785): seen here as
# servers that answer differently, and say "Digests are not matching" in their logs.
JVM_FLAGS = (
    "-Xmx160m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dzookeeper.fastleader.maxNotificationInterval=1000",
    "-Dzookeeper.forceSnapshotSync=true",
)


class EnsembleError(Exception):
    """An ensemble, or one of its servers, is not in the state that was asked for. The message is one line."""


class UnavailableError(EnsembleError):
    """ZooKeeper can't be run this way on this machine; the message says why, and what would help."""


@dataclass(frozen=True)
class Answer:
    """What a server said to the four-letter word `srvr`."""

    mode: str | None  # leader, follower, standalone; None: no reply, or it serves no client
    epoch: int  # of its last transaction: the newest leader has the greatest
    said: str  # for people
    received: int = 0  # packets from clients, since it has started


def ask(hosts: str, timeout_s: float = 1.0) -> Answer:
    """Ask the server at "host:port" how it is."""
    host, _, port = hosts.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.sendall(b"srvr")
            text = _read_to_end(connection, timeout_s)
    except OSError as exc:
        return Answer(None, 0, str(exc) or type(exc).__name__)
    fields = dict(line.partition(": ")[::2] for line in text.splitlines())
    if "Mode" not in fields:
        return Answer(None, 0, text.strip() or "it hung up")
    epoch = int(fields.get("Zxid", "0x0"), 16) >> 32
    return Answer(fields["Mode"], epoch, fields["Mode"], int(fields.get("Received", "0")))


def _read_to_end(connection: socket.socket, timeout_s: float) -> str:
    deadline = time.monotonic() + timeout_s
    received = b""
    while time.monotonic() < deadline:
        chunk = connection.recv(4096)
        if not chunk:
            return received.decode(errors="replace")
        received += chunk
    raise TimeoutError


class Server(ABC):
    """One ZooKeeper server. Every order is bounded, and giving it twice is giving it once."""

    def __init__(self, index: int, hosts: str, container: str | None = None) -> None:
        self.index = index  # its number in the ensemble, from 1
        self.hosts = hosts  # "127.0.0.1:port", for clients
        self.container = container
        self.pid: int | None = None  # on the engine's machine, if it is a container; None while it is down

    def row(self) -> dict[str, object]:
        """As the commands print it, and the control socket."""
        return {"index": self.index, "pid": self.pid, "container": self.container, "hosts": self.hosts}

    def answer(self) -> Answer:
        return ask(self.hosts)

    def mode(self) -> str | None:
        return self.answer().mode

    @abstractmethod
    def ended(self) -> bool:
        """Is it down, and staying so?"""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL: what is not on its disk is gone."""

    @abstractmethod
    def pause(self) -> None:
        """Stop it where it stands. Its connections stay open: the classic of false failure detection."""

    @abstractmethod
    def resume(self) -> None:
        """Let a paused server go on as if nothing had happened."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to end in an orderly way."""

    @abstractmethod
    def restart(self) -> None:
        """Start a server that is down, with the data it had. A running one is left alone."""

    @abstractmethod
    def partition(self) -> None:
        """Cut it from its peers, while its clients still reach it. A restart doesn't heal this."""

    @abstractmethod
    def heal(self) -> None:
        """Undo `partition`."""

    @abstractmethod
    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""


class Ensemble:
    """Servers that vote together, and how to remove them."""

    def __init__(
        self,
        backend: str,
        place: str,
        servers: Sequence[Server],
        teardown: Callable[[], None],
        sleep: Sleep = time.sleep,
    ) -> None:
        self.backend = backend
        self.place = place  # where the servers run, in words
        self.servers = tuple(servers)
        self._teardown = teardown
        self._sleep = sleep
        self._closed = False
        self._ordering = threading.Lock()

    @property
    def hosts(self) -> str:
        return ",".join(server.hosts for server in self.servers)

    def server(self, index: int) -> Server:
        for server in self.servers:
            if server.index == index:
                return server
        raise EnsembleError(f"there is no server {index}: they are numbered 1 to {len(self.servers)}")

    def leader(self) -> Server | None:
        """The leader now. One that was cut off believes in itself for a while: the newest epoch wins."""
        leading = [(answer.epoch, server) for server, answer in self._answers() if answer.mode == "leader"]
        return max(leading, key=lambda pair: pair[0])[1] if leading else None

    def wait_ready(self, deadline_s: float = 60.0, sleep: Sleep | None = None) -> None:
        """Return when every server serves and exactly one leads; complain with what each server said."""
        deadline = time.monotonic() + deadline_s
        while True:
            answers = self._answers()
            modes = [answer.mode for _, answer in answers]
            if None not in modes and (modes == ["standalone"] or modes.count("leader") == 1):
                return
            self._check_open()
            dead = any(answer.mode is None and server.ended() for server, answer in answers)
            if dead or time.monotonic() > deadline:
                raise EnsembleError(_complaint(answers))
            (sleep or self._sleep)(0.1)

    def mend(self, deadline_s: float = 60.0, sleep: Sleep | None = None) -> None:
        """Bring every server back from whatever was done to it, and wait until all serve."""
        with self.orders():
            for server in self.servers:
                server.resume()
                server.heal()
                server.restart()
            self.wait_ready(deadline_s, sleep)

    @contextmanager
    def orders(self) -> Iterator[None]:
        """One order at a time, and none after the end: it might start a server that stays behind."""
        with self._ordering:
            self._check_open()
            yield

    def close(self) -> None:
        """Remove everything that belongs to the ensemble."""
        if not self._closed:
            self._closed = True  # which also ends a wait_ready in another thread
            with self._ordering:
                self._teardown()

    def _check_open(self) -> None:
        if self._closed:
            raise EnsembleError(f"the {self.backend} ensemble was closed")

    def _answers(self) -> list[tuple[Server, Answer]]:
        return [(server, server.answer()) for server in self.servers]


def _complaint(answers: list[tuple[Server, Answer]]) -> str:
    """What each server said, and how the log of the worst one ends (without Java's stack frames)."""
    said = "; ".join(f"server {server.index} ({server.hosts}): {answer.said}" for server, answer in answers)
    silent = [server for server, answer in answers if answer.mode is None]
    worst = min(silent or [server for server, _ in answers], key=lambda server: not server.ended())
    log = [line for line in worst.log_tail().splitlines() if line.strip() and not line.startswith("\tat ")]
    state = "has ended" if worst.ended() else "is up"
    return f"not ready: {said}. Server {worst.index} {state}; its log: {' | '.join(log[-4:]) or 'empty'}"


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now.

    They lie below the range from which systems take the ports of outgoing connections: the port of a server
    that is down for a while must still be free when it comes back.
    """
    chosen: list[int] = []
    for port in random.sample(range(20_000, 30_000), 1_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise UnavailableError(f"no {count} free ports on 127.0.0.1")
