"""One row's process: ``python -m proof.matrix.row ORDERS``.

It says "ready" on its output when its system is up. Its input is a pipe that the matrix holds: a number
there is the moment (monotonic clock, in seconds) at which all rows begin, any other line says that
ZooKeeper's servers are whole again, and when it closes, however the matrix ended, so does this process. At
the end it prints its history.
"""

import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import eventlet
from eventlet import hubs
from eventlet.queue import LightQueue

from app.checker.history import Recorder
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.errors import LessonError
from proof.matrix.orders import Orders
from proof.matrix.schedule import (
    CALM_S,
    CLIENTS,
    QUIET_S,
    READING_S,
    REPLICAS,
    STORM_AT_S,
    WRITER,
    Deed,
    Schedule,
)
from proof.matrix.systems import System, system_of

log = logging.getLogger(__name__)

# A client's pause between two operations, in seconds. Ten rows share a machine.
_THINK_S = (0.06, 0.25)
# When it goes quiet each client reads this often what it has read before: a write that came to one replica of
# five is not missed by all of these.
_LAST_READS = 3
_LAST_READING_S = 12.0
# A participant that can't come back (its server is away) is asked again this long.
_RETURN_S = 25.0


class Row:
    """One mechanism under one nemesis."""

    def __init__(self, orders: Orders, system: System, recorder: Recorder) -> None:
        self._system = system
        self._recorder = recorder
        self._orders = orders
        self._schedule = Schedule.of(orders.seed)
        self._writing = [WRITER]
        self._maimed = False
        self._known: dict[str, set[str]] = {client: set() for client in CLIENTS}
        self._written = 0

    def play(self, begin_at_s: float, mended: Callable[[], None]) -> None:
        """Calm, then the standard faults; after each it goes quiet, and all clients read."""
        self._act("calm", begin_at_s, begin_at_s + CALM_S)
        self._goes_quiet("calm", QUIET_S, READING_S)
        nemesis = eventlet.spawn(self._torment, begin_at_s)
        self._act("storm", begin_at_s + STORM_AT_S, begin_at_s + self._schedule.end_s)
        mended()
        nemesis.wait()
        everyone = tuple(range(1, REPLICAS + 1))
        for replica in everyone:
            self._insist(Deed(0, "restart", (replica,)))
        self._insist(Deed(0, "unmaim"))
        self._goes_quiet("storm", 2 * QUIET_S, _LAST_READING_S)

    def _act(self, act: str, from_s: float, until_s: float) -> None:
        self._system.begin(act)
        _until(from_s)
        clients = [eventlet.spawn(self._client, client, until_s) for client in CLIENTS]
        for client in clients:
            client.wait()

    def _client(self, client: str, until_s: float) -> None:
        choose = random.Random(f"{self._orders.seed} {client}")
        while time.monotonic() < until_s:
            with suppress(*NOT_A_RESULT):  # recorded as refused or unknown, where it began at all
                # Maimed, it must write: wanted is a write half done, which the others then read.
                if client in self._writing and (self._maimed or choose.random() < 0.5):
                    self._write(client)
                else:
                    self._read(client, self._system.key_to_read(client))
            eventlet.sleep(choose.uniform(*_THINK_S))

    def _write(self, client: str) -> None:
        key = self._system.key_to_write(client)
        self._written += 1
        value = f"v{self._written}"
        recorded_write(self._recorder, client, key, value, lambda: self._system.write(client, key, value))

    def _read(self, client: str, key: str) -> None:
        recorded_read(self._recorder, client, key, lambda: self._system.read(client, key))
        self._known[client].add(key)

    # -- quiet --

    def _goes_quiet(self, act: str, quiet_s: float, reading_s: float) -> None:
        """All clients read, then it is quiet, then all read again.

        An operation without a reply may show in the first round, and has happened by then at the latest: so
        only what is read in the second shows where it all ended.
        """
        self._all_read(act, reading_s)
        eventlet.sleep(quiet_s)
        self._all_read(act, reading_s)

    def _all_read(self, act: str, for_s: float) -> None:
        """What each has read before it reads again."""
        until_s = time.monotonic() + for_s
        readers = [eventlet.spawn(self._reads_again, client, act, until_s) for client in CLIENTS]
        for reader in readers:
            reader.wait()

    def _reads_again(self, client: str, act: str, until_s: float) -> None:
        for key in sorted(key for key in self._known[client] if key.partition("/")[0] == act):
            left = _LAST_READS if key == act else 1
            while left and time.monotonic() < until_s:
                with suppress(*NOT_A_RESULT):
                    self._read(client, key)
                    left -= 1
                eventlet.sleep(0.05 if key == act else 0.01)

    # -- the nemesis's part that concerns this row --

    def _torment(self, begin_at_s: float) -> None:
        for deed in self._schedule.deeds:
            _until(begin_at_s + deed.at_s)
            self._insist(deed)

    def _insist(self, deed: Deed) -> None:
        """Do it; what must be undone is tried again for a while, since a server may be away."""
        deadline_s = time.monotonic() + _RETURN_S
        while True:
            try:
                self._do(deed)
                return
            except NOT_A_RESULT as error:
                log.info("%s: %s: %r", self._orders.mechanism, deed, error)
                if deed.verb not in ("heal", "restart", "unmaim") or time.monotonic() > deadline_s:
                    return
                eventlet.sleep(0.3)

    def _do(self, deed: Deed) -> None:
        doing: dict[str, Callable[[], object]] = {
            "cut": lambda: self._system.cut(deed.whom),
            "heal": lambda: self._system.heal(deed.whom),
            "crash": lambda: self._system.crash(deed.whom),
            "restart": lambda: self._system.restart(deed.whom),
            "maim": lambda: self._system.maim(deed.whom),
            "unmaim": self._system.unmaim,
            "all write": lambda: self._let_write(*CLIENTS),
            "one writes": lambda: self._let_write(WRITER),
        }
        if deed.verb not in doing:
            return  # to ZooKeeper's servers: not ours to do
        for fault, whom in _told(deed):
            self._recorder.fault(fault, whom)
        if deed.verb in ("maim", "unmaim"):
            self._maimed = deed.verb == "maim"
        doing[deed.verb]()

    def _let_write(self, *clients: str) -> None:
        self._writing = list(clients)


def _told(deed: Deed) -> Iterator[tuple[str, str]]:
    """As the history has it."""
    for replica in deed.whom if deed.verb != "maim" else ():
        yield deed.verb, f"replica-{replica}"
    if deed.verb == "maim":
        yield "cut", f"way of {WRITER}"
    if deed.verb == "unmaim":
        yield "heal", f"way of {WRITER}"


def _until(moment_s: float) -> None:
    eventlet.sleep(max(0.0, moment_s - time.monotonic()))


def _listen(heard: Any) -> None:
    while True:
        hubs.trampoline(sys.stdin.fileno(), read=True)
        words = os.read(sys.stdin.fileno(), 200).decode()
        if not words:
            os._exit(1)
        for word in words.splitlines():
            heard.put(word)


def _main() -> int:
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    orders = Orders.from_json(sys.argv[1])
    heard: Any = LightQueue()
    eventlet.spawn(_listen, heard)
    recorder = Recorder()
    try:
        system = system_of(orders)
        system.open()
        print("ready", flush=True)
        Row(orders, system, recorder).play(float(heard.get()), heard.get)
    except LessonError as error:
        print(f"matrix: {orders.mechanism}: {error}", file=sys.stderr)
        return 4
    recorder.close()
    for line in recorder.history().lines():
        print(line)
    sys.stdout.flush()
    return 0  # its sessions and links end with the process; its znodes with the matrix's root


if __name__ == "__main__":
    os._exit(_main())  # kazoo's and eventlet's leftovers need no farewell
