"""ZooKeeper servers as Java processes of this machine, loopback only, each in a directory of its own.

What a partition means here: all traffic between two servers runs through relays (lab/proxy.py), and those
of one server stop carrying. Limits: the relays belong to the supervisor, so they add two hops on the
loopback to every vote (a fraction of a millisecond), and "the network" is gone when the supervisor is.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from lab import ensemble
from lab.ensemble import Ensemble, EnsembleError, Say, Server, Sleep, free_ports
from lab.guard import GuardedDirectory
from lab.java_install import Install, find_or_install
from lab.proxy import Relays

MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
END_S = 10.0  # for a process to end after a signal
STARTS = (
    3  # a client port may be taken between our choice and the server's (the others are bound later still)
)

# Which of the two ZooKeeper reads depends on its release: log4j up to 3.7 and Debian's 3.8, else logback.
LOG4J = """log4j.rootLogger=WARN, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""
LOGBACK = """<configuration>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %p %c{1}: %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="CONSOLE"/></root>
</configuration>
"""


@dataclass(frozen=True)
class Ports:
    """Where one server listens."""

    client: int
    quorum: int
    election: int


class JavaServer(Server):
    """A process. It has a session of its own, so Ctrl-C at the terminal ends the supervisor and not it."""

    def __init__(
        self, index: int, port: int, install: Install, den: GuardedDirectory, relays: Relays
    ) -> None:
        super().__init__(index, f"127.0.0.1:{port}")
        self.directory = den.path / f"server-{index}"
        self._den = den
        self._relays = relays
        class_path = f"{self.directory}:{install.class_path}"
        self._command = [install.java, *ensemble.JVM_FLAGS, "-cp", class_path, MAIN_CLASS, "zoo.cfg"]
        self._process: subprocess.Popen[bytes] | None = None

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()  # a stopped process can't end in an orderly way
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        if self._process is not None:
            if not self.ended():
                return
            self._den.forget(self._process.pid)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._den.watch(self.pid)

    def partition(self) -> None:
        self._relays.cut(self.index)

    def heal(self) -> None:
        self._relays.heal(self.index)

    def log_tail(self, lines: int = 20) -> str:
        try:
            text = (self.directory / "server.log").read_text(errors="replace")
        except OSError as exc:
            return str(exc)
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, signum: int) -> None:
        if self._process is not None:
            self._process.send_signal(signum)  # which does nothing to one that has ended

    def _end(self, signum: int) -> None:
        if self._process is None:
            return
        for attempt in (signum, signal.SIGKILL):
            self._signal(attempt)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                self.pid = None
                return
        raise EnsembleError(f"server {self.index} (process {self._process.pid}) survives SIGKILL")


def start(count: int, say: Say, sleep: Sleep = time.sleep) -> Ensemble:
    """Start `count` processes and wait until they form an ensemble; on failure, leave nothing behind."""
    install = find_or_install(say, sleep)
    for attempt in range(1, STARTS + 1):
        try:
            return _start_once(count, install, sleep)
        except EnsembleError as exc:
            if attempt == STARTS or "BindException" not in str(exc):
                raise
    raise AssertionError


def _start_once(count: int, install: Install, sleep: Sleep) -> Ensemble:
    with ExitStack() as undo:
        den = undo.enter_context(GuardedDirectory())
        relays = Relays()
        undo.callback(relays.close)
        numbers = free_ports(3 * count)
        ports = {index: Ports(*numbers[3 * index - 3 : 3 * index]) for index in range(1, count + 1)}
        servers = [JavaServer(index, ports[index].client, install, den, relays) for index in ports]
        views = _views(ports, relays)
        for server in servers:
            _furnish(server, ports[server.index], views[server.index])
            undo.callback(server.kill)
            server.restart()
        started = Ensemble("java", "Java processes", servers, undo.pop_all().close, sleep)
        undo.callback(started.close)
        started.wait_ready()
        undo.pop_all()
    return started


def _views(ports: Mapping[int, Ports], relays: Relays) -> dict[int, list[str]]:
    """For each server the addresses of all: its own as it is, the others' where its relays to them listen."""
    pairs = [(caller, callee) for caller in ports for callee in ports if caller != callee]
    quorum = {pair: relays.between(*pair, ports[pair[1]].quorum) for pair in pairs}
    election = {pair: relays.between(*pair, ports[pair[1]].election) for pair in pairs}
    for (caller, callee), relay in election.items():
        relay.way_back = election[callee, caller]

    def line(me: int, other: int) -> str:
        if me == other:
            return f"server.{me}=127.0.0.1:{ports[me].quorum}:{ports[me].election}"
        return f"server.{other}=127.0.0.1:{quorum[me, other].port}:{election[me, other].port}"

    return {me: [line(me, other) for other in ports] for me in ports}


def _furnish(server: JavaServer, ports: Ports, view: list[str]) -> None:
    """Its directory: configuration, number, how to log, and room for data."""
    settings = {
        "dataDir": "data",
        "clientPort": ports.client,
        "clientPortAddress": "127.0.0.1",
        "tickTime": ensemble.TICK_MS,
        "initLimit": ensemble.INIT_LIMIT,
        "syncLimit": ensemble.SYNC_LIMIT,
        "maxSessionTimeout": ensemble.MAX_SESSION_TIMEOUT_MS,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "srvr",
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    (server.directory / "data").mkdir(parents=True)
    (server.directory / "data" / "myid").write_text(f"{server.index}\n")
    (server.directory / "log4j.properties").write_text(LOG4J)
    (server.directory / "logback.xml").write_text(LOGBACK)
    (server.directory / "zoo.cfg").write_text("\n".join([*lines, *(view if len(view) > 1 else []), ""]))
