"""A chaos run from its beginning to its judgement."""

import logging
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import eventlet

from app.checker.history import History, Recorder
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.demo.run import Run
from app.errors import InDoubt
from app.zookeeper import client as zk
from proof.chaos import audit
from proof.chaos.audit import Violation
from proof.chaos.groups import LiveRegister, Trio, prepared
from proof.chaos.leftovers import Leftovers
from proof.chaos.loads import PUBLISHERS, Configuration, Uploads
from proof.chaos.nemesis import Nemesis
from proof.chaos.report import Report
from proof.chaos.site import Site, site
from proof.chaos.stale_task import StaleTask
from proof.matrix.play import prepared_root
from proof.matrix.schedule import CLIENTS, WRITER

log = logging.getLogger(__name__)

UPLOADERS = 2
# A client's pause between two operations on the register or the trio, least and most, in seconds.
_THINK_S = (0.05, 0.25)
_STEP_S = 20.0
# After all is whole again: jobs end, copies converge, and what is left is what stays.
# (Copies that are no longer needed wait up to a minute for a worker to sweep them.)
_SETTLE_S, _QUIET_S, _LEAVINGS_S = 90.0, 2.0, 90.0


class Chaos:
    """The workers, the groups, their load and the nemesis."""

    def __init__(self, place: Site, run: Run, owner: Any, folder: Path, seed: int) -> None:
        self._site = place
        self._owner = owner
        self.report = Report(seed)
        if place.small_disk is None:
            self.report.left_out.append(
                "the workers' disk is full (only root may mount one small enough to fill)"
            )
        self._recorders = {name: Recorder() for name in ("register", "trio", "configuration", "nemesis")}
        self._uploads = Uploads(place, random.Random(f"{seed} uploads"))
        self._configuration = Configuration(
            place, self._recorders["configuration"], random.Random(f"{seed} config")
        )
        prepared(owner, run.chroot)
        self._register = LiveRegister(place.hosts, run.chroot)
        self._register.open()
        self._register.begin("chaos")
        servers = [one.hosts for one in place.servers.status()]
        root = f"{run.chroot}/trio"
        prepared_root(owner, root, place.hosts)
        self._trio = Trio(servers, root, folder, seed)
        self._trio.open()
        self._trio.begin("chaos")
        self._stale = StaleTask(place, self._uploads, owner, random.Random(f"{seed} stale"))
        self._nemesis = Nemesis(
            place, self._register, self._trio, self._configuration.copies, self._stale,
            self._recorders["nemesis"], self._recorders["trio"], seed,
        )  # fmt: skip

    def play(self, seconds: float) -> None:
        """Load and faults side by side, this long; then all is healed, it goes quiet, and is checked."""
        began_s = time.monotonic()
        until_s = began_s + seconds
        acting = [eventlet.spawn(self._nemesis.torment, until_s)]
        acting += [eventlet.spawn(self._use_up, until_s)]
        acting += [eventlet.spawn(self._uploads.client, until_s) for _ in range(UPLOADERS)]
        acting += [
            eventlet.spawn(self._configuration.publisher, number, until_s)
            for number in range(1, PUBLISHERS + 1)
        ]
        acting += [
            eventlet.spawn(self._client, kind, client, until_s)
            for kind in ("register", "trio")
            for client in CLIENTS
        ]
        for one in acting:
            one.wait()
        self._settle()
        self.report.seconds = time.monotonic() - began_s
        self._judge()

    # -- the two groups' clients --

    def _client(self, kind: str, client: str, until_s: float) -> None:
        choose = random.Random(f"{self.report.seed} {kind} {client}")
        written = 0
        while time.monotonic() < until_s:
            with suppress(*NOT_A_RESULT):  # recorded as it ended
                if client in self._writing(kind) and choose.random() < 0.5:
                    written += 1
                    self._write(kind, client, f"{client}-{written}")
                else:
                    self._read(kind, client)
            eventlet.sleep(choose.uniform(*_THINK_S))

    def _writing(self, kind: str) -> Sequence[str]:
        """While a writer is cut off during a write the others read: another write would hide what it left."""
        return (WRITER,) if kind == "register" and self._register.maimed else (WRITER, "bob")

    def _write(self, kind: str, client: str, value: str) -> None:
        group = self._group(kind)
        key = group.key_to_write(client)
        recorded_write(self._recorders[kind], client, key, value, lambda: group.write(client, key, value))

    def _read(self, kind: str, client: str, key: str | None = None) -> None:
        group = self._group(kind)
        its = key or group.key_to_read(client)
        recorded_read(self._recorders[kind], client, its, lambda: group.read(client, its))

    def _use_up(self, until_s: float) -> None:
        """The auditor reads what was acknowledged a while ago; after that it counts as used."""
        while time.monotonic() < until_s:
            eventlet.sleep(0.05)
            with suppress(*NOT_A_RESULT):
                if (key := self._trio.due()) is not None:
                    self._read("trio", "auditor", key)
                    self._trio.use(key, self._owner)

    def _group(self, kind: str) -> LiveRegister | Trio:
        return self._register if kind == "register" else self._trio

    # -- the end --

    def _settle(self) -> None:
        self._register.heal((1, 2, 3, 4, 5))
        self._register.unmaim()
        for copy in self._configuration.copies:
            copy.heal()
        self._site.revive()
        self._trio.whole()
        self._uploads.settle(_SETTLE_S)
        self._site.change_master()
        eventlet.sleep(_QUIET_S)
        self._look_last()

    def _look_last(self) -> None:
        for client in CLIENTS:
            self._insist(lambda: self._read("register", client))  # noqa: B023 (called at once)
        for key in self._trio.transactions():
            self._insist(lambda: self._read("trio", "auditor", key))  # noqa: B023 (called at once)
        newest = self._configuration.look()
        self._site.wait_for(lambda: self._all_have(newest), "every worker has the last configuration", 30)

    @staticmethod
    def _insist(act: Callable[[], None]) -> None:
        deadline = zk.Deadline(_STEP_S)
        while not deadline.passed:
            with suppress(*NOT_A_RESULT):
                act()
                return
            eventlet.sleep(0.3)

    def _all_have(self, version: int) -> bool:
        answer = self._site.of_master("/cluster")
        if answer is None or answer.status_code != 200:
            return False
        return all(node["config_version"] >= version for node in answer.json()["nodes"])

    # -- judging --

    def _judge(self) -> None:
        report, histories = self.report, self.report.histories
        faults = self._recorders["nemesis"].history().faults
        for name in ("register", "trio", "configuration"):
            history = self._recorders[name].history()
            histories[name] = History.of([*history.operations, *faults])
            report.operations.update(f"{name} {one.op}: {one.outcome}" for one in history.operations)
        report.uploads = list(self._uploads.done.values())
        report.operations.update(f"upload: {one.ending}" for one in report.uploads)
        report.faults = +self._nemesis.done
        report.stale_scenes = self._stale.scenes
        report.promises = list(
            audit.of_histories(histories["register"], histories["trio"], histories["configuration"])
        )
        report.violations = [
            *(Violation(name, one.sentence) for name, one in report.promises if one.outcome == "violated"),
            *audit.of_uploads(report.uploads),
            *audit.of_tasks(self._stale.seen.values()),
            *audit.of_acks(self._trio.acks),
            *audit.of_leftovers(self._leftovers()),
        ]

    def _leftovers(self) -> dict[str, list[str]]:
        """What should have gone, once it has had the time for it."""
        known = {one.job_id for one in self._uploads.done.values() if one.ending != "refused"}
        leftovers = Leftovers(self._owner, self._site)
        deadline = zk.Deadline(_LEAVINGS_S)
        while any((left := leftovers.look(known)).values()) and not deadline.passed:
            eventlet.sleep(0.5)
        return left

    def close(self) -> None:
        """Sessions and links of the load; harmless in any state."""
        pool = eventlet.GreenPool()
        for part in (self._register, self._trio, self._configuration):
            pool.spawn_n(part.close)
        pool.waitall()


def chaos(hosts: str, seconds: float, seed: int, keep: Path) -> Report:
    """One run. Where something was broken, ``keep`` has all logs. Raises LessonError."""
    with ExitStack() as closing:
        place = closing.enter_context(site(hosts))
        owner = zk.connect(hosts, session_timeout_s=30)  # it outlives every fault
        closing.callback(zk.disconnect, owner)
        run = Run(owner, "chaos")
        run.open()
        closing.callback(run.close)
        folder = place.workers.shared_dir.parent / "trio"
        folder.mkdir()
        played = Chaos(place, run, owner, folder, seed)
        closing.callback(played.close)
        try:
            played.play(seconds)
        except zk.NO_REPLY as error:
            message = f"ZooKeeper fell silent ({error!r}), so what became of this run can't be said"
            raise InDoubt(message) from error
        if played.report.violations:
            _keep_logs(place, keep)
        return played.report


def _keep_logs(place: Site, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for worker in place.workers.all:
        if worker.log.exists():
            shutil.copy(worker.log, folder)
    for server in place.servers.status():
        (folder / f"server-{server.index}.log").write_text(place.servers.log(server.index), encoding="utf-8")
