"""What the laboratory makes of /epoch, on a real server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kazoo.client import KazooClient

from app.consistency.engine.fencing import Epoch
from app.zookeeper import paths
from lab import leadership
from lab.backends import start_ensemble
from lab.ensemble import Ensemble
from lab.leadership import Leadership
from tests.lab.conftest import until

pytestmark = pytest.mark.whole

FIRST = Epoch(1, "worker-1", "worker-1~a~01", "worker-2", "worker-2~b~02")
AGAIN = Epoch(2, "worker-1", "worker-1~c~03", "worker-2", "worker-2~b~02")
PODS = ("worker-1", "worker-2")


@pytest.fixture(scope="module")
def one_server() -> Iterator[Ensemble]:
    started = start_ensemble(1)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def store(one_server: Ensemble) -> Iterator[KazooClient]:
    """A client that writes what workers would; /epoch and the election are gone afterwards."""
    client = KazooClient(one_server.hosts, timeout=4.0)
    client.start(timeout=60)
    client.create(paths.ELECTION)
    try:
        yield client
    finally:
        for path in (paths.ELECTION, paths.EPOCH):
            if client.exists(path):
                client.delete(path, recursive=True)
        client.stop()
        client.close()


@contextmanager
def following(hosts: str) -> Iterator[tuple[Leadership, list[str | None]]]:
    told: list[str | None] = []
    with Leadership(hosts, told.append) as followed:
        yield followed, told


def until_told(told: list[str | None], *names: str | None) -> None:
    until(lambda: told == list(names), lambda: told)


def test_it_tells_who_leads_from_before_the_first_epoch_on(one_server: Ensemble, store: KazooClient) -> None:
    with following(one_server.hosts) as (followed, told):
        until_told(told, None)
        store.create(paths.EPOCH, FIRST.to_bytes())
        until_told(told, None, "worker-1")
        store.set(paths.EPOCH, AGAIN.led_by("worker-2", "worker-2~b~02").to_bytes())
        until_told(told, None, "worker-1", "worker-2")
        assert followed.leader() == "worker-2"


def test_an_epoch_that_makes_no_sense_changes_nothing_and_the_next_one_is_heard(
    one_server: Ensemble, store: KazooClient
) -> None:
    store.create(paths.EPOCH, FIRST.to_bytes())
    with following(one_server.hosts) as (followed, told):
        until_told(told, "worker-1")
        store.set(paths.EPOCH, b"nonsense")
        time.sleep(0.3)
        assert followed.leader() == "worker-1"
        store.set(paths.EPOCH, AGAIN.led_by("worker-2", "worker-2~b~02").to_bytes())
        until_told(told, "worker-1", "worker-2")


def test_a_dead_process_does_not_lead_until_its_successor_of_the_same_name_does(
    one_server: Ensemble, store: KazooClient
) -> None:
    store.create(paths.EPOCH, FIRST.to_bytes())
    with following(one_server.hosts) as (followed, told):
        until_told(told, "worker-1")
        followed.bury("worker-2")  # who doesn't lead: nothing changes
        followed.bury("worker-1")
        assert told == ["worker-1", None]
        store.set(paths.EPOCH, FIRST.backed_up_by(None, None).to_bytes())
        until_told(told, "worker-1", None, None)
        store.set(paths.EPOCH, AGAIN.to_bytes())
        until_told(told, "worker-1", None, None, "worker-1")


def test_it_is_settled_when_primary_and_backup_are_ours_and_alive(
    one_server: Ensemble, store: KazooClient
) -> None:
    with following(one_server.hosts) as (followed, told):
        until_told(told, None)
        assert followed.unsettled(PODS) == "no worker leads"
        store.create(paths.EPOCH, FIRST.led_by("worker-1", "worker-1~a~01").to_bytes())
        until_told(told, None, "worker-1")
        assert followed.unsettled(PODS) == "worker-1 leads without a backup"
        store.set(paths.EPOCH, FIRST.to_bytes())
        until_told(told, None, "worker-1", "worker-1")
        assert followed.unsettled(PODS) == "worker-1 no longer leads"  # an epoch of former times
        for seat in (FIRST.primary_seat, FIRST.backup_seat):
            store.create(f"{paths.ELECTION}/{seat}")
        assert followed.unsettled(PODS) is None
        assert followed.unsettled(("pod-7",)) == "worker-1 leads"


def test_it_hears_of_changes_after_the_server_was_away(one_server: Ensemble, store: KazooClient) -> None:
    store.create(paths.EPOCH, FIRST.to_bytes())
    with following(one_server.hosts) as (followed, told):
        until_told(told, "worker-1")
        (server,) = one_server.servers
        server.kill()
        until(lambda: not followed.connected, lambda: followed.connected)
        one_server.mend()
        store.retry(store.set, paths.EPOCH, AGAIN.led_by("worker-2", "worker-2~b~02").to_bytes())
        until_told(told, "worker-1", "worker-2")


def test_a_client_that_is_silenced_for_good_is_replaced(
    one_server: Ensemble, store: KazooClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEW_AFTER_S", 0.3)
    store.create(paths.EPOCH, FIRST.to_bytes())
    with following(one_server.hosts) as (followed, told):
        until_told(told, "worker-1")
        followed._client.stop()
        store.set(paths.EPOCH, AGAIN.led_by("worker-2", "worker-2~b~02").to_bytes())

        def heard() -> bool:
            followed.tend()
            return followed.leader() == "worker-2"

        until(heard, lambda: told)
