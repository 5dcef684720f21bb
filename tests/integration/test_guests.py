"""A worker's guests, with a real run on the other side: what orders do, and how a guest ends."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import eventlet
import pytest
from kazoo.exceptions import NoNodeError

from app.cluster import guest as guest_module, guests as guests_module
from app.cluster.election import prepare
from app.cluster.guests import Guests
from app.cluster.messages import Part, Request
from app.consistency.engine.disk import sha256
from app.consistency.eventual import INITIAL, publish
from app.demo.pod_client import PodClient
from app.demo.pod_selection import GuestPods
from app.demo.pods import Pod
from app.demo.run import Run
from app.errors import BadSettingError, InDoubt, Malformed, NoBackup, Refused
from app.zookeeper import client as zk, paths
from tests.conftest import SESSION_S, STEADY_SESSION_S, Ensemble, Place, eventually

STEP_S = 20.0
CONFIG = Part(kind="config", session_timeout_s=SESSION_S, refresh_s=1)

pytestmark = pytest.mark.usefixtures("no_trouble")


@dataclass
class Inn:
    """A worker's main session with its guests, and the sessions of demos; none of it in a chroot."""

    hosts: str
    place: Place
    folder: Path
    name: str
    client: Any
    guests: Guests

    @contextmanager
    def run(self, *, prepared: bool = True) -> Iterator["Running"]:
        """A run that has invited this worker."""
        own = zk.connect(self.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
        run = Run(own, "test", (self.name,))
        run.open()
        client = zk.connect(self.hosts, chroot=run.chroot, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
        if prepared:
            prepare(client, zk.Deadline(20))
        cast = GuestPods(client, (self.name,))
        try:
            yield Running(self, run, own, client, cast)
        finally:
            cast.close()
            run.close()
            zk.disconnect(client)
            zk.disconnect(own)

    def disks(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*"))


@dataclass
class Running:
    inn: Inn
    run: Run
    own: Any
    client: Any
    cast: GuestPods

    @property
    def pod_client(self) -> PodClient:
        return self.cast.pod_client(self.inn.name)

    def pod(self, part: Part, **heard: Any) -> Pod:
        """The worker, come and playing this part."""
        self.cast.open()
        pod = Pod(
            self.pod_client,
            self.inn.hosts,
            self.run.chroot,
            part,
            heard.get("heard", lambda entry, at_ns: None),
            lambda: None,
        )
        pod.start()
        return pod

    def here(self) -> bool:
        return zk.wait(self.client.exists_async(paths.here(self.inn.name)), zk.Deadline(STEP_S)) is not None


@pytest.fixture
def inn(ensemble: Ensemble, place: Place, tmp_path: Path) -> Iterator[Inn]:
    client = zk.connect(ensemble.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
    name = f"inn-{place.chroot[-8:]}"
    guests = Guests(client, name, ensemble.hosts, tmp_path / "guests")
    guests.start()
    try:
        yield Inn(ensemble.hosts, place, tmp_path / "guests", name, client, guests)
    finally:
        guests.stop()
        zk.disconnect(client)


def test_an_invited_worker_hosts_a_copy_and_tells_each_value_in_order(inn: Inn) -> None:
    seen: list[Any] = []
    with inn.run() as running:
        publish(running.client, INITIAL)
        pod = running.pod(CONFIG, heard=lambda entry, at_ns: seen.append(entry.mzxid))
        for size in range(2, 60):
            last = publish(running.client, {"chunk_size": size}).mzxid
        eventually(lambda: pod.roles[0].copy.mzxid == last, what="the copy has converged")
        eventually(lambda: seen and seen[-1] == last)
        assert seen == sorted(set(seen))
        assert pod.roles[0].copy.value == {"chunk_size": 59}
        pod.close()
        eventually(lambda: inn.disks() == [] and not inn.guests._guests, what="it has left")


def test_a_demo_that_missed_much_of_the_log_asks_for_it(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "_TAIL", 1)
    seen: list[Any] = []
    with inn.run() as running:
        pod = running.pod(CONFIG, heard=lambda entry, at_ns: seen.append(entry.value["chunk_size"]))
        for size in range(1, 41):
            publish(running.client, {"chunk_size": size})
        eventually(lambda: seen and seen[-1] == 40)
        (guest,) = inn.guests._guests.values()
        assert seen == [entry.value["chunk_size"] for entry in guest._role.log if entry.value]
        pod.close()


def test_a_cut_harms_the_guests_session_and_never_the_workers(inn: Inn) -> None:
    with inn.run() as running:
        pod = running.pod(Part(kind="host", index=3, session_timeout_s=SESSION_S))
        served = paths.host(3)
        eventually(lambda: zk.get(running.client, served, zk.Deadline(STEP_S)), what="it is served")
        main, second = zk.session_id(inn.client), pod.session
        assert main != second
        pod.cut()
        eventually(lambda: zk.get(running.client, served, zk.Deadline(STEP_S)) is None, what="it is offline")
        assert zk.session_id(inn.client) == main
        assert inn.client.connected
        pod.heal()
        eventually(lambda: zk.get(running.client, served, zk.Deadline(STEP_S)), what="it is served again")
        eventually(lambda: pod.session not in (None, second), what="with another session")
        assert zk.session_id(inn.client) == main
        pod.close()


def test_a_crash_takes_the_memory_and_keeps_the_disk(inn: Inn) -> None:
    with inn.run() as running:
        pod = running.pod(Part(kind="member", session_timeout_s=SESSION_S))
        eventually(lambda: pod.roles[0].primary, what="it leads")
        primary = pod.roles[0].primary
        with pytest.raises(NoBackup, match="no backup is ready"):
            primary.submit("job-1", b"payload")
        assert primary.read("job-1") is None
        (folder,) = inn.folder.iterdir()
        digest = sha256(b"kept")
        (folder / f"job-2.{digest}").write_bytes(b"kept")
        pod.crash()
        assert pod.roles[0].primary is None
        with pytest.raises(InDoubt, match="has crashed since"):
            primary.read("job-1")
        assert pod.roles[0].disk.load("job-2", digest) == b"kept"
        pod.restart()
        eventually(lambda: pod.roles[0].primary, what="it leads again")
        assert pod.roles[0].primary is not primary
        assert pod.roles[0].disk.load("job-2", digest) == b"kept"
        pod.close()
        eventually(lambda: inn.disks() == [], what="its disk is gone with the run")


def test_what_a_copy_turned_down_is_reported_and_its_silence_can_be_asked(inn: Inn) -> None:
    with inn.run() as running:
        publish(running.client, INITIAL)
        pod = running.pod(CONFIG)
        zk.wait(running.client.set_async(paths.CONFIG, b"import os"), zk.Deadline(STEP_S))
        eventually(lambda: pod.roles[0].rejected, what="the rejection is told")
        pod.cut()
        eventlet.sleep(1.2)
        assert pod.roles[0].silent_s > 1.0
        pod.close()


def test_a_guest_ends_when_the_runs_root_is_gone(inn: Inn) -> None:
    ports = new_ports()
    with inn.run() as running:
        running.pod(CONFIG)
        assert ports() > 0
    eventually(lambda: not inn.guests._guests and ports() == 0, what="no guest, no link")
    eventually(lambda: inn.disks() == [], what="no disk")


def test_a_guest_ends_when_its_run_has_had_no_owner_for_a_while(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_module, "OWNERLESS_S", 1.0)
    with inn.run() as running:
        running.pod(Part(kind="member", session_timeout_s=SESSION_S))
        assert inn.disks() == [running.run.id]
        running.run._heart.kill()  # the demo is dead
        zk.wait(running.own.delete_async(running.run.chroot + paths.OWNER), zk.Deadline(STEP_S))
        eventually(lambda: not inn.guests._guests and inn.disks() == [], what="it has left")
        eventually(lambda: not running.here())


def test_an_owner_who_comes_back_in_time_keeps_his_guest(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "OWNERLESS_S", 3600.0)
    with inn.run() as running:
        pod = running.pod(CONFIG)
        (guest,) = inn.guests._guests.values()
        owner = running.run.chroot + paths.OWNER
        zk.wait(running.own.delete_async(owner), zk.Deadline(STEP_S))
        eventually(lambda: guest._ownerless_at, what="the guest has noticed")
        running.run._hold()
        eventually(lambda: guest._ownerless_at is None, what="and that the owner is back")
        assert list(inn.guests._guests.values()) == [guest]
        assert pod.connected
        pod.close()


def test_a_run_that_does_not_invite_leaves_no_watch_and_no_guest(inn: Inn) -> None:
    own = zk.connect(inn.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
    run = Run(own, "test")
    run.open()
    try:
        eventually(lambda: run.id in inn.guests._known, what="it was looked at")
        watched = [*inn.client._data_watchers, *inn.client._child_watchers]
        assert not [path for path in watched if run.id in path]
        assert not inn.guests._guests
    finally:
        run.close()
        zk.disconnect(own)
    eventually(lambda: run.id not in inn.guests._known, what="it is forgotten")


def test_one_guest_too_many_is_declined_with_a_reason(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests_module, "MOST_GUESTS", 1)
    with inn.run() as first, inn.run(prepared=False) as second:
        first.cast.open()
        with pytest.raises(BadSettingError, match="has 1 demos as its guests already"):
            second.cast.open()
        assert len(inn.guests._guests) == 1


def test_nonsense_in_the_mailbox_is_answered_and_does_no_harm(inn: Inn) -> None:
    with inn.run() as running:
        pod = running.pod(CONFIG)
        incarnation = running.pod_client.report.incarnation if running.pod_client.report else ""
        nonsense = (
            b"\xff",
            b"[]",
            b'{"incarnation":"x","do":"rm"}',
            Request(incarnation="another", do="silent").to_bytes(),
        )
        for number, data in enumerate(nonsense):
            path = paths.ask(inn.name, f"nonsense-{number}")
            zk.wait(running.client.create_async(path, data), zk.Deadline(STEP_S))
            answer = eventually(partial(answered, running.client, path))
            assert answer["error"] in ("Malformed", "InDoubt")
        with pytest.raises(Malformed):
            Request.from_bytes(
                json.dumps({"incarnation": incarnation, "do": "load", "digest": "../../etc"}).encode()
            )
        with pytest.raises(Refused, match="no part with a disk"):
            running.pod_client.ask("load", job_id="job", digest="0" * 64)
        eventually(lambda: pod.roles[0].silent_s < 5)
        pod.close()


def test_a_silent_pod_leaves_its_asker_in_doubt(inn: Inn) -> None:
    with inn.run() as running:
        pod = running.pod(CONFIG)
        (guest,) = inn.guests._guests.values()
        guest._serving.stop()
        guest._reporting.stop()
        with pytest.raises(InDoubt, match="no reply from"):
            running.pod_client.ask("silent", 1.0)
        began = time.monotonic()
        waiting = eventlet.spawn(in_doubt, lambda: running.pod_client.ask("silent", 200.0))
        eventlet.sleep(0.3)
        with suppress(NoNodeError):
            zk.wait(running.client.delete_async(paths.here(inn.name)), zk.Deadline(STEP_S))
        eventually(lambda: running.pod_client.report is None, what="it is gone")
        with pytest.raises(InDoubt):
            pod.cut()
        assert waiting.wait()
        assert time.monotonic() - began < 150  # who waits for an answer hears of it, too


def test_a_worker_that_returns_sweeps_the_disks_of_runs_that_are_over(inn: Inn) -> None:
    (inn.folder / "easy-of-old").mkdir(parents=True)
    (inn.folder / "easy-of-old" / "copy").write_bytes(b"left")
    other = Guests(inn.client, inn.name, inn.hosts, inn.folder)
    other.start()
    try:
        eventually(lambda: inn.disks() == [], what="it is swept")
    finally:
        other.stop()


def test_a_worker_that_ends_takes_its_guests_along(inn: Inn) -> None:
    ports = new_ports()
    with inn.run() as running:
        pod = running.pod(CONFIG)
        inn.guests.stop()
        assert ports() == 0
        eventually(lambda: running.pod_client.report is None, what="the demo hears of it")
        with pytest.raises(InDoubt):
            pod.roles[0].silent_s  # noqa: B018 (asks)


def in_doubt(action: Callable[[], object]) -> bool:
    try:
        action()
    except InDoubt:
        return True
    return False


def answered(client: Any, path: str) -> Any:
    found = zk.get(client, path, zk.Deadline(STEP_S))
    return json.loads(found[0]) if found and found[1].version > 0 else None


def new_ports() -> Any:
    """Counts the links' ports that are open now, and weren't when this was called."""

    def ports() -> set[str]:
        rows = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        mine = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
        return {row[1] for row in map(str.split, rows) if row[3] == "0A" and f"socket:[{row[9]}]" in mine}

    before = ports()
    return lambda: len(ports() - before)
