"""The edge to ZooKeeper: whoever isn't answered hears it in one line, in time, and never as a no."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
import pytest
from kazoo.exceptions import BadVersionError, ConnectionLoss, NodeExistsError, NoNodeError, RolledBackError

from app.errors import Refused, Unreachable
from app.zookeeper import client as zk
from tests.conftest import SESSION_S, STEADY_SESSION_S, Place, eventually, nobody_listens

DEADLINE_S = 1.0
# What a busy machine may add to a deadline, and closing to that.
GENEROUS_S = 20.0

pytestmark = pytest.mark.usefixtures("no_trouble")


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 (a Path would open one more)


def unreached(hosts: str) -> str:
    eventlet.sleep(0)  # the event loop has descriptors of its own, from its first turn on
    before = descriptors()
    with at_most(DEADLINE_S + GENEROUS_S), pytest.raises(Unreachable) as refused:
        zk.connect(hosts, session_timeout_s=SESSION_S, deadline_s=DEADLINE_S)
    assert len(str(refused.value).splitlines()) == 1
    eventually(lambda: descriptors() == before)
    return str(refused.value)


# --- connecting and disconnecting -----------------------------------------------------------------------


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with nobody_listens() as port:
        message = unreached(f"127.0.0.1:{port}")
    assert f"ZooKeeper at 127.0.0.1:{port} did not answer within 1 s" in message
    assert "make demo" in message


def test_a_server_that_accepts_and_says_nothing_is_unreachable() -> None:
    silent = eventlet.listen(("127.0.0.1", 0))
    accepted: list[Any] = []

    def accept() -> None:
        while True:
            accepted.append(silent.accept()[0])

    thread = eventlet.spawn(accept)
    client = None
    try:
        with pytest.raises(Unreachable, match="did not answer within 1 s"):
            client = zk.connect(
                f"127.0.0.1:{silent.getsockname()[1]}", session_timeout_s=SESSION_S, deadline_s=DEADLINE_S
            )
    finally:
        thread.kill()
        for sock in [silent, *accepted]:
            sock.close()
    assert client is None
    assert accepted


def test_a_name_that_nobody_knows_is_said_so() -> None:
    assert "the name 'no-such-host.invalid' of ZooKeeper is unknown here" in unreached(
        "no-such-host.invalid:1"
    )


def test_one_known_name_is_enough(place: Place) -> None:
    unknown = ",".join(f"no-such-host-{number}.invalid:2181" for number in range(4))
    hosts = f"{unknown},{place.hosts}"
    client = zk.connect(hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
    assert client.connected
    zk.disconnect(client)


def test_who_is_killed_while_it_connects_leaves_no_client_behind(place: Place) -> None:
    link = place.link()
    before = descriptors()
    link.cut()
    connecting = eventlet.spawn(zk.connect, link.hosts, session_timeout_s=SESSION_S)
    eventlet.sleep(0.3)
    connecting.kill()
    link.heal()
    eventually(lambda: descriptors() == before)


def test_an_orderly_end_is_the_end_of_the_session_at_once(place: Place) -> None:
    watching = place.client()
    client = zk.connect(place.hosts, chroot=place.chroot, session_timeout_s=30, deadline_s=30)
    zk.wait(client.create_async("/nodes/x", ephemeral=True), zk.Deadline(20))
    zk.disconnect(client)

    def is_over() -> bool:
        zk.wait(watching.sync_async("/nodes"), zk.Deadline(20))
        return zk.wait(watching.exists_async("/nodes/x"), zk.Deadline(20)) is None

    eventually(is_over, 20, "the end of a session that would last for 30 s")


def test_an_end_behind_a_cut_link_is_bounded_and_leaves_no_descriptor(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zk, "_CLOSE_DEADLINE_S", 0.2)
    link = place.link()
    before = descriptors()
    client = zk.connect(link.hosts, chroot=place.chroot, session_timeout_s=SESSION_S, deadline_s=30)
    link.cut()
    try:
        zk.disconnect(client)
        assert not client._connection.connection_stopped.is_set()  # kazoo hasn't noticed yet: we didn't wait
        zk.disconnect(client)  # again: harmless
    finally:
        link.heal()
    eventually(lambda: descriptors() == before)


# --- waiting --------------------------------------------------------------------------------------------


def test_a_deadline_comes_and_stays() -> None:
    coming, short = zk.Deadline(60), zk.Deadline(0.01)
    assert 0 < coming.left_s <= 60
    assert not coming.passed
    eventlet.sleep(0.02)
    assert short.passed
    assert short.left_s == 0.0


def test_jitter_stays_within_a_quarter() -> None:
    assert all(7.5 <= zk.jittered(10) <= 12.5 for _ in range(1000))
    assert len({zk.jittered(10) for _ in range(10)}) > 1


def test_an_answer_that_never_comes_is_waited_for_until_the_deadline(place: Place) -> None:
    never = place.client().handler.async_result()
    with at_most(GENEROUS_S), pytest.raises(zk.NO_REPLY):
        zk.wait(never, zk.Deadline(0.1))


def test_a_request_behind_a_cut_link_is_not_answered_and_may_happen_later(place: Place) -> None:
    link = place.link()
    client = place.client(link, STEADY_SESSION_S)
    watching = place.client()
    link.cut()
    result = client.create_async("/nodes/late")
    try:
        with pytest.raises(zk.NO_REPLY):
            zk.wait(result, zk.Deadline(0.3))
        assert not zk.wait(watching.exists_async("/nodes/late"), zk.Deadline(20))
    finally:
        link.heal()
    eventually(lambda: zk.wait(watching.exists_async("/nodes/late"), zk.Deadline(20)))


def test_what_waited_for_a_session_that_has_expired_is_not_answered(place: Place) -> None:
    link = place.link()
    client = place.client(link)
    watching = place.client()
    zk.wait(client.create_async("/nodes/x", ephemeral=True), zk.Deadline(20))
    # Else its absence may only mean that this server has not heard of it yet.
    eventually(lambda: zk.wait(watching.exists_async("/nodes/x"), zk.Deadline(20)))
    link.cut()
    try:
        result = client.create_async("/nodes/never")
        eventually(lambda: not zk.wait(watching.exists_async("/nodes/x"), zk.Deadline(20)))
    finally:
        link.heal()
    with pytest.raises(zk.NO_REPLY):
        zk.wait(result, zk.Deadline(20))
    assert zk.wait_connected(client, zk.Deadline(20))
    zk.wait(watching.sync_async("/nodes"), zk.Deadline(20))
    assert not zk.wait(watching.exists_async("/nodes/never"), zk.Deadline(20))


def test_a_client_that_is_closed_is_not_answered_either(place: Place) -> None:
    client = zk.connect(place.hosts, chroot=place.chroot, session_timeout_s=SESSION_S, deadline_s=30)
    zk.disconnect(client)
    with pytest.raises(zk.NO_REPLY):
        zk.wait(client.get_async("/nodes"), zk.Deadline(20))
    with at_most(GENEROUS_S):
        assert not zk.wait_connected(client, zk.Deadline(0.2))


def test_waiting_for_a_connection_ends_with_it_or_with_the_deadline(place: Place) -> None:
    link = place.link()
    client = place.client(link, STEADY_SESSION_S)
    assert zk.wait_connected(client, zk.Deadline(0))
    link.down()
    eventually(lambda: not client.connected)
    with at_most(GENEROUS_S):
        assert not zk.wait_connected(client, zk.Deadline(0.3))
    eventlet.spawn_after(0.3, link.heal)
    assert zk.wait_connected(client, zk.Deadline(20))
    assert zk.wait(client.exists_async("/nodes"), zk.Deadline(20))


# --- transactions ---------------------------------------------------------------------------------------


def test_a_transaction_that_goes_through_returns_its_results(place: Place) -> None:
    client = place.client()
    transaction = client.transaction()
    transaction.create("/nodes/x", b"1")
    transaction.set_data("/nodes/x", b"2")
    created, stat = zk.commit(transaction, zk.Deadline(20))
    assert (created, stat.version) == ("/nodes/x", 1)


def test_a_transaction_is_rejected_as_a_whole_and_says_which_operation_was_the_cause(place: Place) -> None:
    client = place.client()
    for guilty in range(3):
        transaction = client.transaction()
        for number in range(3):
            if number == guilty:
                transaction.check("/nodes", 77)
            else:
                transaction.create(f"/nodes/x{number}")
        with pytest.raises(zk.TransactionFailed) as rejected:
            zk.commit(transaction, zk.Deadline(20))
        assert rejected.value.index == guilty
        assert isinstance(rejected.value.cause, BadVersionError)
    assert zk.wait(client.get_children_async("/nodes"), zk.Deadline(20)) == []


def test_the_cause_is_the_servers_own_answer(place: Place) -> None:
    client = place.client()
    creating, deleting = client.transaction(), client.transaction()
    creating.create("/nodes")
    deleting.delete("/nodes/none")
    for transaction, cause in ((creating, NodeExistsError), (deleting, NoNodeError)):
        with pytest.raises(zk.TransactionFailed) as rejected:
            zk.commit(transaction, zk.Deadline(20))
        assert isinstance(rejected.value.cause, cause)


def test_a_transaction_with_any_error_in_it_never_counts_as_gone_through() -> None:
    with pytest.raises(zk.TransactionFailed):
        zk.committed([RolledBackError(), RolledBackError()])
    assert zk.committed(["/x", True]) == ["/x", True]


def test_a_transaction_behind_a_cut_link_is_not_answered(place: Place) -> None:
    link = place.link()
    transaction = place.client(link).transaction()
    transaction.check("/nodes", -1)
    link.cut()
    try:
        with pytest.raises(zk.NO_REPLY):
            zk.commit(transaction, zk.Deadline(0.2))
    finally:
        link.heal()


# --- sizes, reading and roots ---------------------------------------------------------------------------


def test_the_largest_payload_that_is_admitted_is_one_that_a_server_takes(place: Place) -> None:
    client = place.client()
    payload = b"x" * zk.MAX_ZNODE_BYTES
    zk.check_size(payload, "a payload")
    transaction = client.transaction()
    transaction.check("/nodes", -1)
    transaction.create("/nodes/" + "x" * 100, payload)
    zk.commit(transaction, zk.Deadline(20))


def test_a_larger_payload_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Refused, match=r"^a payload of 1,015,808 bytes is over .*: nothing was written$"):
        zk.check_size(b"x" * (zk.MAX_ZNODE_BYTES + 1), "a payload")


def test_a_payload_over_the_servers_limit_would_look_like_a_lost_connection(place: Place) -> None:
    """Why sizes are checked here: the server answers nothing that could be understood."""
    client = place.client()
    with pytest.raises(ConnectionLoss):
        zk.wait(client.create_async("/nodes/x", b"x" * 1_100_000), zk.Deadline(20))


def test_reading_what_is_missing_gives_none_and_what_is_there_its_bytes(place: Place) -> None:
    client = place.client()
    assert zk.get(client, "/nodes/none", zk.Deadline(20)) is None
    zk.wait(client.create_async("/nodes/x", b"bytes"), zk.Deadline(20))
    found = zk.get(client, "/nodes/x", zk.Deadline(20))
    assert found is not None
    assert (found[0], found[1].version) == (b"bytes", 0)


def test_a_watch_left_by_a_read_fires_at_the_next_change(place: Place) -> None:
    client, events = place.client(), list[Any]()
    zk.wait(client.create_async("/nodes/x"), zk.Deadline(20))
    zk.get(client, "/nodes/x", zk.Deadline(20), watch=events.append)
    zk.wait(place.client().set_async("/nodes/x", b"new"), zk.Deadline(20))
    eventually(lambda: events)


def test_missing_roots_are_created_with_their_parents_and_present_ones_left(place: Place) -> None:
    client = place.client()
    zk.ensure(client, ("/a/b/c", "/nodes"), zk.Deadline(20))
    zk.wait(client.set_async("/a/b/c", b"kept"), zk.Deadline(20))
    zk.ensure(client, ("/a/b/c",), zk.Deadline(20))
    assert zk.wait(client.get_async("/a/b/c"), zk.Deadline(20))[0] == b"kept"


def test_roots_are_created_although_the_connection_breaks_meanwhile(place: Place) -> None:
    link = place.link()
    client = place.client(link)
    link.down()
    eventlet.spawn_after(0.5, link.heal)
    zk.ensure(client, ("/a/b",), zk.Deadline(20))
    assert zk.wait(client.exists_async("/a/b"), zk.Deadline(20))


def test_roots_that_can_not_be_created_in_time_are_said_so_in_one_line(place: Place) -> None:
    link = place.link()
    client = place.client(link)
    link.cut()
    try:
        with at_most(GENEROUS_S), pytest.raises(Unreachable) as refused:
            zk.ensure(client, ("/a/b",), zk.Deadline(0.3))
    finally:
        link.heal()
    assert len(str(refused.value).splitlines()) == 1


def test_a_sessions_number_is_what_its_ephemeral_znodes_carry(place: Place) -> None:
    client = place.client()
    with suppress(NodeExistsError):
        zk.wait(client.create_async("/nodes/x", ephemeral=True), zk.Deadline(20))
    stat = zk.wait(client.exists_async("/nodes/x"), zk.Deadline(20))
    assert stat.ephemeralOwner == zk.session_id(client)
    other = zk.connect(place.hosts, session_timeout_s=STEADY_SESSION_S, deadline_s=30)
    zk.disconnect(other)
    assert zk.session_id(other) is None


def test_however_many_requests_are_queued_at_once_each_is_answered(place: Place) -> None:
    client = place.client()  # kazoo's pipe for waking its loop holds some 280

    def ask(number: int) -> int:
        asked = [client.exists_async(f"/nobody-{number}-{index}") for index in range(400)]
        return sum(zk.wait(result, zk.Deadline(20)) is None for result in asked)

    pool = eventlet.GreenPool()
    assert list(pool.imap(ask, range(6))) == [400] * 6
    assert zk.wait(client.exists_async("/nobody"), zk.Deadline(20)) is None, "and the next one, too, at once"
