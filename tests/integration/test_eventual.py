"""The configuration on three real servers: what it promises, each with the fault that would break it."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.handlers.eventlet import TimeoutError as HandlerTimeout

from app.checker.guarantees import converged, monotonic_reads
from app.checker.history import Recorder
from app.consistency import eventual
from app.consistency.as_in_the_notes import overwrite
from app.consistency.engine import announcement
from app.consistency.engine.announcement import put_ephemeral
from app.consistency.engine.configuration import publish_first
from app.consistency.eventual import (
    INITIAL,
    ConfigReplica,
    Copy,
    current_zxid,
    encoded,
    publish,
)
from app.demo.recording import NOT_A_RESULT, recorded_write
from app.demo.run import remove
from app.demo.servers import Servers
from app.errors import InDoubt, Malformed, Refused
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import SESSION_S, STEADY_SESSION_S, Place, eventually, follower_of, leader_of
from tests.integration.conftest import NEVER_S

SOON_S = 0.1


@pytest.fixture(autouse=True)
def _no_trouble(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No green thread dies with a traceback, and kazoo meets nothing that it can't handle."""
    yield
    assert "Traceback" not in capfd.readouterr().err
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record for record in errors if record.name.startswith("kazoo")] == []


@contextmanager
def cut(link: Link, *, requests: bool = True) -> Iterator[None]:
    link.cut(requests=requests)
    try:
        yield
    finally:
        link.heal()


def replica(place: Place, name: str = "replica-1", link: Link | None = None, **options: Any) -> ConfigReplica:
    started: ConfigReplica = place.started(ConfigReplica(place.client(link), name, **options))
    return started


def seen(one: ConfigReplica, key: str) -> Any:
    return (one.copy.value or {}).get(key)


def stored(client: Any) -> tuple[dict[str, Any], Any]:
    zk.wait(client.sync_async(paths.CONFIG), zk.Deadline(20))  # our server may lag behind the publisher's
    data, stat = zk.wait(client.get_async(paths.CONFIG), zk.Deadline(20))
    return json.loads(data), stat


def announced(client: Any, name: str = "replica-1") -> tuple[int, int] | None:
    """(the version that a replica says it has applied, the session that says so)"""
    zk.wait(client.sync_async(paths.NODES), zk.Deadline(20))
    found = zk.get(client, paths.node(name), zk.Deadline(20))
    return (json.loads(found[0])["config_version"], found[1].ephemeralOwner) if found else None


def eventually_holds(one: ConfigReplica, copy: Copy) -> None:
    eventually(lambda: one.copy == copy)


def eventually_rejects(one: ConfigReplica) -> None:
    eventually(lambda: one.rejected)


def eventually_shows(one: ConfigReplica, key: str, value: object) -> None:
    eventually(lambda: seen(one, key) == value)


def eventually_announces(client: Any, name: str, expected: tuple[int, int | None]) -> None:
    eventually(lambda: announced(client, name) == expected)


def without_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every watch is missed."""
    monkeypatch.setattr(eventual, "DataWatch", lambda client, path, func: None)


def stat(mzxid: int) -> SimpleNamespace:
    return SimpleNamespace(mzxid=mzxid)


# --- a copy follows -------------------------------------------------------------------------------------


def test_a_copy_holds_what_is_there_when_it_starts_and_every_change_after(place: Place) -> None:
    client, applied = place.client(), list[Copy]()
    first = publish(client, {"chunk_size": 7})
    one = replica(place, refresh_s=NEVER_S, on_apply=applied.append)
    assert one.copy == first  # start() returns with it
    for size in (8, 9):
        publish(client, {"chunk_size": size})
        eventually_shows(one, "chunk_size", size)
    assert [copy.mzxid for copy in applied] == sorted({copy.mzxid for copy in applied})
    assert one.applied_at <= time.monotonic()


def test_a_copy_that_starts_before_the_configuration_finds_it_when_it_comes(place: Place) -> None:
    one = replica(place, refresh_s=NEVER_S)
    assert one.copy == Copy(-1, None)
    publish(place.client(), {"x": 1})
    eventually(lambda: one.copy.value == {**INITIAL, "x": 1})


def test_a_copy_never_goes_back_whatever_it_hears(place: Place) -> None:
    applied = list[Copy]()
    one = replica(place, refresh_s=NEVER_S, on_apply=applied.append)
    now = publish(place.client(), {"chunk_size": 5})
    eventually(lambda: one.copy == now)
    for mzxid in (now.mzxid - 1, now.mzxid, 1):
        one.hear(encoded({"chunk_size": 4}), stat(mzxid))
        assert one.copy == now
    one.hear(b"[]", stat(now.mzxid))
    one.hear(None, None)
    assert (one.copy, applied, one.rejected) == (now, [now], None)


def test_the_rule_newer_alone_decides_what_a_copy_applies(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replica(place, refresh_s=NEVER_S)
    now = publish(place.client(), {"chunk_size": 5})
    eventually(lambda: one.copy == now)
    monkeypatch.setattr(eventual, "newer", lambda held, offered: offered)
    one.hear(encoded({"chunk_size": 4}), stat(now.mzxid - 1))
    assert one.copy.mzxid == now.mzxid - 1, "with the rule broken the copy goes back"


def test_a_copy_asks_for_what_is_current_before_it_reads_for_the_first_time(place: Place) -> None:
    """A session that has just begun may be on a follower that lags."""
    client, calls = place.client(), list[str]()
    sync, get = client.sync_async, client.get

    def noted_sync(path: str) -> Any:
        calls.append("sync")
        return sync(path)

    def noted_get(*arguments: Any) -> Any:
        calls.append("get")
        return get(*arguments)

    client.sync_async, client.get = noted_sync, noted_get
    place.started(ConfigReplica(client, "replica-1", refresh_s=NEVER_S))
    assert calls[:2] == ["sync", "get"]


def test_a_stopped_copy_applies_and_announces_nothing_more(place: Place) -> None:
    client, applied = place.client(), list[Copy]()
    one = replica(place, refresh_s=SOON_S, on_apply=applied.append)
    eventually_holds(one, publish(client, {"chunk_size": 5}))
    eventually_announces(client, "replica-1", (one.copy.mzxid, zk.session_id(one._client)))
    one.stop()
    one.stop()
    held, calls = one.copy, len(applied)
    publish(client, {"chunk_size": 6})
    eventually(lambda: one._client.state_listeners == set(), what="nobody listens any more")
    eventlet.sleep(5 * SOON_S)
    assert (one.copy, len(applied)) == (held, calls)
    assert announced(client, "replica-1") == (held.mzxid, zk.session_id(one._client))


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no")], ids=repr)
def test_an_observer_that_raises_costs_the_copy_nothing(place: Place, error: Exception) -> None:
    def burst(copy: Copy) -> None:
        raise error

    client = place.client()
    first = publish(client, {"chunk_size": 4})
    one = replica(place, refresh_s=SOON_S, on_apply=burst)
    assert one.copy == first
    for size in (5, 6):
        published = publish(client, {"chunk_size": size})
        eventually_holds(one, published)
        eventually_announces(client, "replica-1", (published.mzxid, zk.session_id(one._client)))


def test_starting_behind_a_cut_link_takes_no_longer_than_it_may(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = place.link()
    one = ConfigReplica(place.client(link), "replica-1", refresh_s=NEVER_S)
    published = publish(place.client(), {"chunk_size": 5})
    with cut(link):
        monkeypatch.setattr(zk, "STEP_S", 0.2)
        began = time.monotonic()
        place.started(one)
        assert time.monotonic() - began < 60
        assert one.copy == Copy()
        monkeypatch.undo()
    eventually(lambda: one.copy == published)


# --- what is no configuration ---------------------------------------------------------------------------


def test_what_is_invalid_is_reported_and_the_last_good_one_kept(place: Place) -> None:
    client = place.client()
    one = replica(place, refresh_s=NEVER_S)
    for data in (b"", b"{", b"[]", b'{"chunk_size": 0}', b'{"chunk_size": "9"}', b"\xff", b"{}"):
        good = publish(client, {"chunk_size": 5})
        eventually_holds(one, good)
        assert one.rejected is None
        overwrite(client, data)
        eventually_rejects(one)
        assert str(one.rejected).startswith("no valid configuration: ")
        assert one.copy == good


def test_code_in_the_znode_stays_text_in_every_copy(place: Place, tmp_path: Path) -> None:
    witness = tmp_path / "pwned"
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    client = place.client()
    copies = [replica(place, f"replica-{number}", refresh_s=SOON_S) for number in (1, 2)]
    good = publish(client, {"chunk_size": 5})
    for one in copies:
        eventually_holds(one, good)
    overwrite(client, code.encode())
    eventually(lambda: all(one.rejected for one in copies))
    assert [one.copy for one in copies] == [good, good]
    publish(client, {"chunk_size": 6, "x": code})
    eventually(lambda: all(seen(one, "x") == code for one in copies))
    assert not witness.exists()


def test_keys_that_nobody_here_knows_are_kept_by_publishers_and_copies(place: Place) -> None:
    client = place.client()
    overwrite(client, b'{"chunk_size": 3, "theirs": {"deep": [1, null]}}')
    one = replica(place, refresh_s=NEVER_S)
    publish(client, {"chunk_size": 4})
    expected = {"chunk_size": 4, "theirs": {"deep": [1, None]}}
    eventually(lambda: one.copy.value == expected)
    assert stored(client)[0] == expected


# --- a missed watch never matters -----------------------------------------------------------------------


def test_without_any_watch_the_slow_timer_finds_a_change(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_watches(monkeypatch)
    one = replica(place, refresh_s=SOON_S)
    published = publish(place.client(), {"chunk_size": 5})
    eventually(lambda: one.copy == published)


def test_without_any_watch_a_reconnect_finds_a_change(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    without_watches(monkeypatch)
    link = place.link()
    one = replica(place, link=link, refresh_s=NEVER_S)
    link.down()
    eventually(lambda: not one._client.connected)
    published = publish(place.client(), {"chunk_size": 5})
    place.all_servers_know()  # a reconnect is one look
    link.heal()
    eventually(lambda: one.copy == published)


@pytest.mark.parametrize("expired", [False, True], ids=["same session", "new session"])
def test_a_change_made_while_cut_off_is_found_by_the_watch_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch, expired: bool
) -> None:
    monkeypatch.setattr(ConfigReplica, "refresh", lambda self: None)
    link, client = place.link(), place.client()
    publish(client, {"chunk_size": 4})
    one = replica(place, link=link, refresh_s=NEVER_S)
    eventually(lambda: announced(client))
    with cut(link):
        published = publish(client, {"chunk_size": 5})
        if expired:
            eventually(lambda: not announced(client))
    eventually(lambda: one.copy == published)


def test_the_safety_net_survives_a_configuration_that_vanishes(place: Place) -> None:
    client = place.client()
    one = replica(place, refresh_s=SOON_S)
    held = publish(client, {"chunk_size": 5})
    eventually(lambda: one.copy == held)
    zk.wait(client.delete_async(paths.CONFIG), zk.Deadline(20))
    eventlet.sleep(5 * SOON_S)
    assert one.copy == held
    # And between the two reads of one refresh.
    old, client_of_one = SimpleNamespace(get=lambda timeout: (b"", stat(held.mzxid - 1))), one._client
    answers, get = [old], client_of_one.get_async
    client_of_one.get_async = lambda *given, **more: answers.pop() if answers else get(*given, **more)
    one.refresh()
    assert (one.copy, one.resets) == (held, 0)
    published = publish(client, {"chunk_size": 6})
    eventually(lambda: one.copy == published)


# --- stale, and saying so -------------------------------------------------------------------------------


def test_a_copy_that_is_cut_off_serves_what_it_has_and_says_since_when_it_has_heard_nothing(
    place: Place,
) -> None:
    link, client = place.link(), place.client()
    one = replica(place, link=link, refresh_s=SOON_S)
    held = publish(client, {"chunk_size": 5})
    eventually(lambda: one.copy == held)
    with cut(link):
        eventlet.sleep(SOON_S)  # what had passed the link before the cut
        last = time.monotonic()
        publish(client, {"chunk_size": 6})
        # From the last answer on, not from SUSPENDED, which comes later; nor is an expiry an answer.
        for lost in (lambda: not one._client.connected, lambda: announced(client) is None):
            eventually(lost)
            at_least_s = time.monotonic() - last
            assert one.silent_s >= at_least_s
            assert one.copy == held
    eventually(lambda: seen(one, "chunk_size") == 6)
    eventually(lambda: one.silent_s < time.monotonic() - last)


def test_an_answer_that_there_is_nothing_is_an_answer(place: Place) -> None:
    one = replica(place, refresh_s=NEVER_S)
    asked_at = time.monotonic()
    one.refresh()
    assert one.silent_s <= time.monotonic() - asked_at


# --- who has applied what -------------------------------------------------------------------------------


def test_each_copy_announces_the_version_that_it_has_applied(place: Place) -> None:
    client = place.client()
    copies = [replica(place, f"replica-{number}", refresh_s=NEVER_S) for number in (1, 2)]
    for size in (5, 6):
        version = publish(client, {"chunk_size": size}).mzxid
        for number, one in enumerate(copies, 1):
            expected = (version, zk.session_id(one._client))
            eventually_announces(client, f"replica-{number}", expected)


def test_a_copy_announces_its_version_again_after_its_session_has_expired(place: Place) -> None:
    link, client = place.link(), place.client()
    one = replica(place, link=link, refresh_s=NEVER_S)
    version = publish(client, {"chunk_size": 5}).mzxid
    former = eventually(lambda: (found := announced(client)) and found[0] == version and found)
    with cut(link):
        eventually(lambda: announced(client) is None)
    again = eventually(lambda: announced(client))
    assert again == (version, zk.session_id(one._client))
    assert again[1] != former[1]


def test_an_announcement_that_nobody_answered_is_made_again_at_the_next_refresh(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 3

    def unanswered(*arguments: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise HandlerTimeout
        put_ephemeral(*arguments)

    monkeypatch.setattr(announcement, "put_ephemeral", unanswered)
    client = place.client()
    one = replica(place, refresh_s=SOON_S)
    published = publish(client, {"chunk_size": 5})
    eventually(lambda: announced(client) == (published.mzxid, zk.session_id(one._client)))


def test_a_burst_of_changes_is_announced_with_few_writes_and_the_last_one_counts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcements: list[bytes] = []
    burst_is_over: Any = eventlet.event.Event()

    def held_up(client: Any, path: str, data: bytes) -> None:
        announcements.append(data)
        burst_is_over.wait()

    monkeypatch.setattr(announcement, "put_ephemeral", held_up)
    one = replica(place, refresh_s=NEVER_S)
    eventually(lambda: announcements, what="the first announcement is under way")
    for mzxid in range(1, 51):
        one.hear(encoded({"chunk_size": mzxid}), stat(mzxid))
        eventlet.sleep(0.001)
    burst_is_over.send()
    eventually(lambda: announcements[-1] == b'{"config_version":50}')
    assert len(announcements) == 2


def test_what_a_former_session_has_left_is_taken_over(place: Place) -> None:
    former, present = place.client(), place.client()
    put_ephemeral(former, paths.node("x"), b"old")
    put_ephemeral(present, paths.node("x"), b"new")
    data, found = zk.wait(present.get_async(paths.node("x")), zk.Deadline(20))
    assert (data, found.ephemeralOwner) == (b"new", zk.session_id(present))
    put_ephemeral(present, paths.node("x"), b"newer")
    data, again = zk.wait(present.get_async(paths.node("x")), zk.Deadline(20))
    assert (data, again.czxid) == (b"newer", found.czxid)  # our own is kept


def test_a_copy_that_outlives_its_run_makes_nothing_anew_and_goes_on(place: Place) -> None:
    client = place.client()
    one = replica(place, refresh_s=SOON_S)
    published = publish(client, {"chunk_size": 5})
    eventually_announces(client, "replica-1", (published.mzxid, zk.session_id(one._client)))
    remove(client, paths.NODES, zk.Deadline(20))
    eventually_holds(one, publish(client, {"chunk_size": 6}))
    eventlet.sleep(3 * SOON_S)
    assert not zk.wait(client.exists_async(paths.NODES), zk.Deadline(20))
    zk.ensure(client, (paths.NODES,), zk.Deadline(20))
    eventually_announces(client, "replica-1", (one.copy.mzxid, zk.session_id(one._client)))


@pytest.mark.parametrize("vanishes", ["before it is set", "before it is deleted"])
def test_a_former_sessions_znode_that_vanishes_meanwhile_is_made_anew(vanishes: str) -> None:
    done: list[str] = []

    def answer(name: str, value: object) -> Any:
        done.append(name)

        def get(timeout: float) -> object:
            if isinstance(value, Exception):
                raise value
            return value

        return SimpleNamespace(get=get)

    gone = vanishes == "before it is set"
    client = SimpleNamespace(
        client_id=(7, b""),
        set_async=lambda *_: answer("set", NoNodeError() if gone else SimpleNamespace(ephemeralOwner=6)),
        delete_async=lambda *_: answer("delete", NoNodeError()),
        create_async=lambda *_, **__: answer("create", NodeExistsError() if gone else "/x"),
    )
    put_ephemeral(client, "/x", b"")
    assert done == ["set", "create"] if gone else ["set", "delete", "create"]


def test_the_current_version_is_what_every_copy_will_hold(place: Place) -> None:
    client = place.client()
    assert current_zxid(client) == -1
    published = publish(client, {"chunk_size": 5})
    other, asked = place.client(), list[str]()
    sync = other.sync_async

    def noted_sync(path: str) -> Any:
        asked.append(path)
        return sync(path)

    other.sync_async = noted_sync
    assert current_zxid(other) == published.mzxid
    assert asked  # else a follower that lags would be believed


# --- publishing -----------------------------------------------------------------------------------------


def test_publishing_returns_what_is_written_and_its_version(place: Place) -> None:
    client = place.client()
    published = publish(client, {"x": 1})
    value, found = stored(client)
    assert (published.value, published.mzxid) == (value, found.mzxid)
    assert value == {**INITIAL, "x": 1}
    assert publish(client, {"x": 2}).mzxid == stored(client)[1].mzxid > published.mzxid


def test_the_first_configuration_comes_where_there_is_none_and_replaces_nothing(place: Place) -> None:
    client = place.client()
    publish_first(client, zk.Deadline(20))
    assert publish(client, {"reducers": 3}).value == {**INITIAL, "reducers": 3}
    published = publish(client, {"chunk_size": 2048})
    publish_first(place.client(), zk.Deadline(20))  # a worker that found nothing when it looked
    assert current_zxid(client) == published.mzxid


def test_nothing_is_written_when_the_result_would_be_invalid_or_too_large(place: Place) -> None:
    client = place.client()
    before = publish(client, {"chunk_size": 5})
    with pytest.raises(Malformed):
        publish(client, {"chunk_size": -1})
    with pytest.raises(Refused):
        publish(client, {"x": "a" * 1_100_000})
    assert stored(client)[1].mzxid == before.mzxid


def test_a_configuration_that_vanishes_under_a_publisher_is_made_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, write = place.client(), eventual._write
    publish(client, {"x": 0})

    def write_too_late(*arguments: Any) -> Any:
        monkeypatch.setattr(eventual, "_write", write)
        zk.wait(client.delete_async(paths.CONFIG), zk.Deadline(20))
        return write(*arguments)

    monkeypatch.setattr(eventual, "_write", write_too_late)
    publish(client, {"x": 1})
    assert stored(client)[0] == {**INITIAL, "x": 1}


def test_two_publishers_at_once_lose_nothing(place: Place) -> None:
    rounds, publishers = 25, 3
    watching = place.client()

    def work(client: Any, number: int) -> None:
        for turn in range(rounds):
            publish(client, {f"key_{number}_{turn}": turn}, timeout_s=20)

    threads = [eventlet.spawn(work, place.client(), number) for number in range(publishers)]
    for thread in threads:
        thread.wait()
    value, found = stored(watching)
    wanted = {f"key_{number}_{turn}": turn for number in range(publishers) for turn in range(rounds)}
    assert value == {**INITIAL, **wanted}
    assert found.version == rounds * publishers - 1  # each was written once


@pytest.mark.parametrize(
    "patience", ["short", "until the connection is given up", "until the session is over"]
)
@pytest.mark.parametrize("requests", [False, True], ids=["answer cut", "both cut"])
def test_a_publisher_that_is_cut_off_in_the_middle_publishes_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, patience: str, requests: bool
) -> None:
    link, watching, applied = place.link(), place.client(), list[Any]()
    publisher = place.client(link)
    publish(watching, {"x": 0})
    replica(place, refresh_s=SOON_S, on_apply=lambda copy: applied.append((copy.value or {}).get("x")))
    zk.wait(publisher.create_async("/nodes/publisher", ephemeral=True), zk.Deadline(20))
    before = stored(watching)[1].version
    write = eventual._write

    def write_into_a_cut_link(*arguments: Any) -> Any:
        monkeypatch.setattr(eventual, "_write", write)
        link.cut(requests=requests)
        return write(*arguments)

    monkeypatch.setattr(eventual, "_write", write_into_a_cut_link)
    publishing = eventlet.spawn(publish, publisher, {"x": 1}, timeout_s=30)
    try:
        if not requests:
            eventually(lambda: stored(watching)[0]["x"] == 1)
        eventlet.sleep(0.1)
        if patience == "until the connection is given up":
            eventually(lambda: not publisher.connected)
        elif patience == "until the session is over":
            link.cut()  # requests that pass keep it alive
            eventually(lambda: not zk.wait(watching.exists_async("/nodes/publisher"), zk.Deadline(20)))
        assert not publishing.dead
    finally:
        link.heal()
    published = publishing.wait()
    publish(watching, {"y": 1})
    eventually(lambda: stored(watching)[1].version >= before + 2)
    eventlet.sleep(0.1)  # whatever may still be under way
    value, found = stored(watching)
    assert (value["x"], found.version) == (1, before + 2)
    assert published.value["x"] == 1
    eventually(lambda: 1 in applied, what="the replica has it, too")
    assert applied.index(1) == applied.index(0) + 1
    assert sorted(set(applied)) == [0, 1]


def test_a_publisher_that_hears_nothing_is_in_doubt_although_it_has_happened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, watching = place.link(), place.client()
    publisher = place.client(link, STEADY_SESSION_S)  # it must not be lost before the write is sent
    publish(watching, {"x": 0})
    write = eventual._write

    def write_into_a_cut_link(*arguments: Any) -> Any:
        zk.wait(publisher.exists_async(paths.CONFIG), zk.Deadline(20))  # the connection is there
        link.cut(requests=False)
        return write(*arguments)

    monkeypatch.setattr(eventual, "_write", write_into_a_cut_link)
    try:
        with pytest.raises(InDoubt) as doubt:
            publish(publisher, {"x": 1}, timeout_s=4)
        assert doubt.value.ask_again == {"x": 1}
        assert len(str(doubt.value).splitlines()) == 1
        eventually(lambda: stored(watching)[0]["x"] == 1)
    finally:
        link.heal()


def test_a_publisher_that_could_send_nothing_is_refused_and_it_never_happens(place: Place) -> None:
    link, watching = place.link(), place.client()
    publisher = place.client(link, STEADY_SESSION_S)
    before = publish(watching, {"x": 0})
    with cut(link), pytest.raises(Refused, match="not published"):
        publish(publisher, {"x": 1}, timeout_s=0.5)
    zk.wait_connected(publisher, zk.Deadline(20))
    zk.wait(publisher.sync_async(paths.CONFIG), zk.Deadline(20))
    assert stored(watching)[1].mzxid == before.mzxid


# --- a store that has lost its history ------------------------------------------------------------------


def test_a_store_that_is_behind_even_after_a_sync_was_reset_so_its_value_is_adopted(place: Place) -> None:
    """As if this copy came from a store with a longer history than this one has."""
    client = place.client()
    one = replica(place, refresh_s=NEVER_S)
    published = publish(client, {"chunk_size": 5})
    eventually(lambda: one.copy == published)
    one.copy = Copy(2**60, {"chunk_size": 77})
    one.refresh()
    assert (one.copy, one.resets) == (published, 1)
    one.refresh()
    assert one.resets == 1
    following = publish(client, {"chunk_size": 6})
    eventually(lambda: one.copy == following)


def test_a_reset_store_with_nothing_valid_in_it_leaves_the_last_good_value(place: Place) -> None:
    client = place.client()
    one = replica(place, refresh_s=NEVER_S)
    overwrite(client, b"[]")
    one.copy = Copy(2**60, {"chunk_size": 77})
    one.refresh()
    assert (seen(one, "chunk_size"), one.resets) == (77, 1)
    assert one.rejected
    published = publish(client, {"chunk_size": 6})
    eventually(lambda: one.copy == published)


def test_a_follower_that_only_lags_is_no_reset(place: Place) -> None:
    """A get that answers with the past until a sync has been done, as a lagging follower does."""
    published = publish(place.client(), {"chunk_size": 5})
    one = replica(place, refresh_s=NEVER_S)
    real, synced = one._client, list[str]()

    def get(path: str, watch: Any = None) -> Any:
        if synced:
            return real.get_async(path)
        return SimpleNamespace(get=lambda timeout: (encoded({"chunk_size": 4}), stat(published.mzxid - 1)))

    def sync(path: str) -> Any:
        synced.append(path)
        return real.sync_async(path)

    one._client = SimpleNamespace(get_async=get, sync_async=sync, connected=True)
    try:
        one.refresh()
    finally:
        one._client = real
    assert synced
    assert (one.copy, one.resets) == (published, 0)


def test_what_a_watch_brings_during_a_refresh_is_no_reset(place: Place) -> None:
    """The answer is older than what was heard after the question was sent: not older than what was known."""
    one = replica(place, refresh_s=NEVER_S)
    one._refreshing.stop()
    one.hear(encoded({"chunk_size": 5}), stat(2**60))
    answers = iter([stat(2**60 - 1), stat(2**60)])

    def answer(timeout: float) -> tuple[bytes, Any]:
        found = next(answers)
        if found == stat(2**60):
            one.hear(encoded({"chunk_size": 6}), stat(2**60 + 1))
        return encoded({"chunk_size": 5}), found

    one._client.get_async = lambda path, watch=None: SimpleNamespace(get=answer)
    one.refresh()
    assert (one.copy, one.resets) == (Copy(2**60 + 1, {"chunk_size": 6}), 0)


# --- servers that fail, judged by the checker -----------------------------------------------------------


class Observed:
    """Replicas and publishers whose every step is recorded."""

    def __init__(self, place: Place, hosts: list[str]) -> None:
        self.place = place
        self.recorder = Recorder()
        self.client = place.client()
        self.unique = 0
        self.publish(self.client, "setup", "chunk_size")
        self.replicas = [self._replica(f"replica-{number}", where) for number, where in enumerate(hosts, 1)]

    def _replica(self, name: str, hosts: str) -> ConfigReplica:
        client = zk.connect(hosts, chroot=self.place.chroot, session_timeout_s=SESSION_S, deadline_s=30)
        self.place._closing.callback(zk.disconnect, client)
        observing = ConfigReplica(client, name, on_apply=lambda copy: self.observe(name, copy), refresh_s=0.5)
        started: ConfigReplica = self.place.started(observing)
        return started

    def observe(self, name: str, copy: Copy) -> None:
        for key, value in (copy.value or {}).items():
            assert isinstance(value, int)
            self.recorder.observe(name, key, value, (copy.mzxid, ""))

    def publish(self, client: Any, process: str, key: str) -> None:
        self.unique += 1
        value = self.unique + 1000
        recorded_write(
            self.recorder,
            process,
            key,
            value,
            lambda: (publish(client, {key: value}, timeout_s=10).mzxid, ""),
        )

    def load(self, publishers: int, turns: int) -> list[Any]:
        def work(client: Any, number: int) -> None:
            for turn in range(turns):
                try:
                    self.publish(client, f"publisher-{number}", f"key_{turn % 3}")
                except NOT_A_RESULT:
                    eventlet.sleep(0.1)
                eventlet.sleep(0.02)

        return [eventlet.spawn(work, self.place.client(), number) for number in range(publishers)]

    def settle(self) -> None:
        zk.wait_connected(self.client, zk.Deadline(30))
        latest = eventually(self._latest)
        eventually(lambda: [one.copy.mzxid for one in self.replicas] == [latest] * len(self.replicas))
        for number, one in enumerate(self.replicas, 1):
            self.observe(f"replica-{number}", one.copy)

    def _latest(self) -> int | None:
        try:
            return current_zxid(self.client)
        except NOT_A_RESULT:
            return None

    def assert_held(self) -> None:
        history = self.recorder.history()
        for verdict in (converged(history), monotonic_reads(history)):
            assert verdict.outcome == "held", verdict.sentence


def test_a_leader_that_is_killed_in_the_middle_of_a_load_costs_nothing(
    place: Place, servers: Servers
) -> None:
    observed = Observed(place, [place.hosts] * 3)
    leader = leader_of(servers)
    publishing = observed.load(publishers=3, turns=40)
    eventlet.sleep(0.5)
    servers.kill(leader)
    eventlet.sleep(0.5)
    servers.restart(leader)
    for thread in publishing:
        thread.wait()
    servers.mend()
    observed.settle()
    observed.assert_held()
    assert sum(operation.op == "write" for operation in observed.recorder.history().operations) == 121


def test_a_copy_on_a_follower_that_is_cut_from_its_leader_goes_stale_never_back_and_catches_up(
    place: Place, servers: Servers
) -> None:
    lonely = follower_of(servers)
    observed = Observed(place, [lonely.hosts, place.hosts])
    far = observed.replicas[0]
    eventually(lambda: far.copy.value)
    held = far.copy
    servers.partition(lonely.index)
    try:
        publishing = observed.load(publishers=2, turns=10)
        for thread in publishing:
            thread.wait()
        eventually(lambda: observed.replicas[1].copy.mzxid > held.mzxid)
        assert far.copy.value  # it still answers
    finally:
        servers.heal(lonely.index)
    observed.settle()
    observed.assert_held()


def test_no_copy_goes_back_while_a_follower_stands_still_and_wakes_up(place: Place, servers: Servers) -> None:
    slow = follower_of(servers)
    observed = Observed(place, [f"{slow.hosts},{place.hosts}", place.hosts])
    publishing = observed.load(publishers=2, turns=25)
    for _ in range(2):
        servers.pause(slow.index)
        eventlet.sleep(0.3)
        servers.resume(slow.index)
        eventlet.sleep(0.1)
    for thread in publishing:
        thread.wait()
    observed.settle()
    observed.assert_held()
