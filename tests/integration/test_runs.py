"""Runs keep to their own corner, leave nothing behind, and sweep only what nobody owns any more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import eventlet
import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import KazooState

from app.consistency.eventual import publish
from app.demo import run as runs
from app.demo.run import Run, remove, sweep
from app.errors import Unreachable
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import STEADY_SESSION_S, Place, eventually

STEP_S = 20.0
GENEROUS_S = 60.0

pytestmark = pytest.mark.usefixtures("no_trouble")


@contextmanager
def opened(place: Place, name: str = "easy", link: Link | None = None) -> Iterator[Run]:
    """A run within the test's own corner, so that it sweeps nobody else's."""
    run = Run(place.client(link), name)
    run.open()
    try:
        yield run
    finally:
        run.close()


def children(client: Any, path: str) -> list[str]:
    zk.wait(client.sync_async("/"), zk.Deadline(STEP_S))  # its server may be behind the run's
    found: list[str] = zk.wait(client.get_children_async(path), zk.Deadline(STEP_S))
    return sorted(found)


def exists(client: Any, path: str) -> Any:
    zk.wait(client.sync_async("/"), zk.Deadline(STEP_S))
    return zk.wait(client.exists_async(path), zk.Deadline(STEP_S))


def abandoned(client: Any, name: str = "killed-1") -> str:
    """What a killed run leaves: a root with something in it, and no owner."""
    root = paths.run(name)
    zk.ensure(client, (f"{root}/nodes", f"{root}/objects/x/replica_1"), zk.Deadline(STEP_S))
    return root


def test_two_runs_at_once_see_nothing_of_each_other(place: Place) -> None:
    watching = place.client()
    with opened(place) as one:
        with opened(place) as other:
            assert one.chroot != other.chroot
            connect = partial(zk.connect, place.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
            corners = [connect(chroot=place.chroot + run.chroot) for run in (one, other)]
            for number, corner in enumerate(corners):
                publish(corner, {"chunk_size": number + 1})
            for number, corner in enumerate(corners):
                assert zk.wait(corner.get_async(paths.CONFIG), zk.Deadline(STEP_S))[
                    0
                ] == b'{"chunk_size":%d}' % (number + 1)
                zk.disconnect(corner)
        assert children(watching, paths.DEMOS) == [one.id]
        assert exists(watching, one.chroot + paths.CONFIG)
    assert children(watching, paths.DEMOS) == []


def test_a_runs_name_can_be_read_and_is_owned_at_once(place: Place) -> None:
    watching = place.client()
    with opened(place, "hard") as run:
        assert run.id.startswith("hard-")
        assert exists(watching, run.chroot + paths.OWNER).ephemeralOwner == zk.session_id(run._client)


def test_closing_removes_everything_however_deep_and_wide(place: Place) -> None:
    watching = place.client()
    with opened(place) as run:
        phases = [f"{run.chroot}/jobs/job-{job}/map" for job in range(3)]
        zk.ensure(watching, tuple(phases), zk.Deadline(GENEROUS_S))
        made = [watching.create_async(f"{phase}/task_{task}") for phase in phases for task in range(50)]
        for result in made:
            zk.wait(result, zk.Deadline(GENEROUS_S))
    assert children(watching, paths.DEMOS) == []
    assert run._heart.dead
    assert run._client.state_listeners == set()


def test_closing_a_run_that_was_never_opened_is_harmless(place: Place) -> None:
    Run(place.client(), "easy").close()


def test_an_ownerless_root_younger_than_a_minute_is_left_alone(place: Place) -> None:
    watching = place.client()
    root = abandoned(watching)
    with opened(place):
        assert exists(watching, root)
    assert runs.ORPHANED_AFTER_S == 60.0


def test_an_ownerless_root_that_is_old_is_swept_with_all_that_is_in_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "ORPHANED_AFTER_S", 0.2)
    watching = place.client()
    root = abandoned(watching)
    eventlet.sleep(0.4)
    with opened(place) as run:
        assert not exists(watching, root)
        assert children(watching, paths.DEMOS) == [run.id]


def test_a_root_that_vanishes_while_it_is_looked_at_is_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place) as run:
        zk.ensure(run._client, (paths.run("ghost"),), zk.Deadline(STEP_S))
        listed = run._client.get_children_async(paths.DEMOS)
        assert "ghost" in zk.wait(listed, zk.Deadline(STEP_S))
        zk.wait(run._client.delete_async(paths.run("ghost")), zk.Deadline(STEP_S))
        monkeypatch.setattr(run._client, "get_children_async", lambda path: listed)
        assert sweep(run._client, run.chroot) == []
        monkeypatch.undo()


def test_an_owned_root_is_never_swept_however_old(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ORPHANED_AFTER_S", 0.1)
    watching = place.client()
    with opened(place) as old:
        eventlet.sleep(0.3)
        with opened(place) as new:
            eventlet.sleep(0.3)
            assert sweep(new._client, new.chroot) == []
            assert children(watching, paths.DEMOS) == sorted([old.id, new.id])


def test_a_killed_run_is_swept_and_hears_of_it_quietly_if_it_was_only_cut_off(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "ORPHANED_AFTER_S", 0.2)
    monkeypatch.setattr(runs, "_HEARTBEAT_S", 0.1)
    link, watching = place.link(), place.client()
    with opened(place, link=link) as lost:
        link.down()
        try:
            eventually(lambda: not exists(watching, lost.chroot + paths.OWNER))
            eventlet.sleep(0.4)
            with opened(place) as run:
                eventually(lambda: sweep(run._client, run.chroot) or not exists(watching, lost.chroot))
                assert children(watching, paths.DEMOS) == [run.id]
        finally:
            link.heal()
        eventually(lambda: f"{lost.chroot} is gone" in caplog.text)
        assert not exists(watching, lost.chroot)


def test_a_living_owner_takes_its_root_again_after_its_session_has_expired(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_HEARTBEAT_S", 0.2)
    link, watching = place.link(), place.client()
    with opened(place, link=link) as run:
        former = exists(watching, run.chroot + paths.OWNER).ephemeralOwner
        touched = exists(watching, run.chroot).mtime
        link.cut()
        try:
            eventually(lambda: not exists(watching, run.chroot + paths.OWNER))
            assert run.silent_s > 0
        finally:
            link.heal()
        owner = eventually(lambda: exists(watching, run.chroot + paths.OWNER))
        assert owner.ephemeralOwner not in (former, 0)
        assert exists(watching, run.chroot).mtime > touched
        eventually(lambda: run.silent_s == 0.0)


def test_a_living_owner_touches_its_root_now_and_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_HEARTBEAT_S", 0.1)
    watching = place.client()
    with opened(place) as run:
        before = exists(watching, run.chroot).version
        eventually(lambda: exists(watching, run.chroot).version > before + 2)


def test_silence_counts_from_the_loss_and_ends_with_it(place: Place) -> None:
    link = place.link()
    with opened(place, link=link) as run:
        assert run.silent_s == 0.0
        link.down()
        try:
            lost = eventually(lambda: run.silent_s)
            eventlet.sleep(0.3)
            assert run.silent_s >= lost + 0.3
        finally:
            link.heal()
        eventually(lambda: run.silent_s == 0.0)


def test_silence_is_counted_from_the_first_loss_not_from_the_expiry_that_follows(place: Place) -> None:
    run = Run(place.client(), "easy")
    run._silence._on_state(KazooState.SUSPENDED)
    eventlet.sleep(0.1)
    run._silence._on_state(KazooState.LOST)
    assert run.silent_s >= 0.1


def test_a_run_that_can_not_be_opened_says_so_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zk, "STEP_S", 0.3)
    link = place.link()
    run = Run(place.client(link), "easy")
    link.cut()
    try:
        with pytest.raises(Unreachable) as refused:
            run.open()
    finally:
        link.heal()
        run.close()
    assert len(str(refused.value).splitlines()) == 1


def test_a_store_that_falls_silent_while_a_run_sweeps_is_said_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = place.link()
    run = Run(place.client(link), "easy")
    hold = run._hold

    def hold_and_cut() -> None:
        hold()
        link.cut()
        monkeypatch.setattr(zk, "STEP_S", 0.3)

    monkeypatch.setattr(run, "_hold", hold_and_cut)
    try:
        with pytest.raises(Unreachable, match="being prepared"):
            run.open()
    finally:
        link.heal()
        run.close()


def test_what_can_not_be_removed_at_the_end_is_left_for_the_next_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, watching = place.link(), place.client()
    run = Run(place.client(link), "easy")
    run.open()
    link.cut()
    try:
        began = time.monotonic()
        with monkeypatch.context() as impatient:
            impatient.setattr(runs, "_REMOVAL_S", 0.5)
            run.close()
        assert time.monotonic() - began < GENEROUS_S
        assert exists(watching, run.chroot)
        eventually(lambda: not exists(watching, run.chroot + paths.OWNER))
    finally:
        link.heal()
    monkeypatch.setattr(runs, "ORPHANED_AFTER_S", 0.1)
    eventlet.sleep(0.3)
    with opened(place):
        assert not exists(watching, run.chroot)


def test_removing_copes_with_children_that_are_still_being_added(place: Place) -> None:
    client, adding = place.client(), place.client()
    root = abandoned(client)
    added = 0

    def add() -> None:
        nonlocal added
        until = zk.Deadline(0.7)
        while not (added and until.passed):
            with suppress(NoNodeError):  # its parent was removed under its feet
                zk.wait(adding.ensure_path_async(f"{root}/nodes/{added}/deep"), zk.Deadline(STEP_S))
                added += 1

    thread = eventlet.spawn(add)
    eventlet.sleep(0.05)
    while not thread.dead:  # it may be gone for a moment, and be made again by who adds
        remove(client, root, zk.Deadline(GENEROUS_S))
    thread.wait()
    remove(client, root, zk.Deadline(GENEROUS_S))
    assert added
    assert not exists(client, root)


def always_one_more(monkeypatch: pytest.MonkeyPatch, client: Any, root: str, times: int) -> None:
    """Whenever the tree has been listed, somebody adds to it."""
    list_tree, left = runs._tree, iter(range(times))

    def then_one_more(*arguments: Any) -> list[str]:
        listed = list_tree(*arguments)
        for number in left:
            zk.ensure(client, (f"{root}/nodes/late-{number}",), zk.Deadline(STEP_S))
            break
        return listed

    monkeypatch.setattr(runs, "_tree", then_one_more)


def test_a_child_that_appears_after_the_tree_was_listed_is_removed_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = place.client()
    root = abandoned(client)
    always_one_more(monkeypatch, client, root, times=2)
    remove(client, root, zk.Deadline(GENEROUS_S))
    assert not exists(client, root)


def test_removing_against_who_never_stops_adding_ends_with_the_deadline(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = place.client()
    root = abandoned(client)
    always_one_more(monkeypatch, client, root, times=1_000_000)
    began = time.monotonic()
    with pytest.raises(zk.NO_REPLY):
        remove(client, root, zk.Deadline(0.5))
    assert time.monotonic() - began < GENEROUS_S


def test_a_quiet_tree_is_removed_in_one_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    client, passes, list_tree = place.client(), list[str](), runs._tree
    root = abandoned(client)

    def noted(one: Any, path: str, deadline: zk.Deadline) -> list[str]:
        passes.append(path)
        return list_tree(one, path, deadline)

    monkeypatch.setattr(runs, "_tree", noted)
    remove(client, root, zk.Deadline(GENEROUS_S))
    assert passes == [root]


def test_what_another_has_removed_after_the_tree_was_listed_is_gone_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, list_tree = place.client(), runs._tree
    root = abandoned(client)

    def with_a_ghost(one: Any, path: str, deadline: zk.Deadline) -> list[str]:
        return [*list_tree(one, path, deadline), f"{path}/nodes/ghost"]

    monkeypatch.setattr(runs, "_tree", with_a_ghost)
    remove(client, root, zk.Deadline(GENEROUS_S))
    assert not exists(client, root)


def test_two_who_remove_the_same_root_are_both_content(place: Place) -> None:
    clients = [place.client(), place.client()]
    root = abandoned(clients[0])
    for number in range(30):
        clients[0].create_async(f"{root}/jobs/{number}/x", makepath=True)
    threads = [eventlet.spawn(remove, client, root, zk.Deadline(GENEROUS_S)) for client in clients]
    for thread in threads:
        thread.wait()
    assert not exists(clients[0], root)


def test_removing_what_is_not_there_is_done_at_once(place: Place) -> None:
    remove(place.client(), paths.run("none"), zk.Deadline(STEP_S))


def test_removing_goes_on_after_a_lost_connection(place: Place) -> None:
    link = place.link()
    client = place.client(link)
    root = abandoned(client)
    link.down()
    eventlet.spawn_after(0.5, link.heal)
    remove(client, root, zk.Deadline(GENEROUS_S))
    assert not exists(client, root)
