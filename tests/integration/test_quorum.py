"""The quorum's contract on a real ensemble: each test is one promise, under the fault that would break it."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import eventlet
import pytest

from app.checker.history import Recorder
from app.checker.linearizability import check_register
from app.checker.verdict import Verdict
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import NoReply, Offline, ReplicaHost, Replicas, ZnodeValue
from app.consistency.engine.versions import UNWRITTEN, Version, Versioned, encode
from app.consistency.quorum import Register
from app.demo.recording import recorded_read, recorded_write
from app.demo.servers import Servers
from app.errors import InDoubt, Refused, TooFewReplicas
from app.zookeeper import client as zk, paths
from tests.conftest import Place, eventually, follower_of, leader_of
from tests.integration.expiry import expire
from tests.integration.quorum_cast import ALL, OBJECT, Asking, Cast, Load, Staged, recorded, shown

QUORUMS = list(combinations(ALL, 3))


@pytest.fixture
def cast(place: Place) -> Iterator[Cast]:
    """Five replicas online, and the object created."""
    cast = Cast(place)
    assert cast.register().create()
    yield cast
    cast.heal()


@pytest.fixture
def exactly_those(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of chosen replicas waits for them, also on a busy machine where they are late: no others."""
    monkeypatch.setattr("app.consistency.engine.fanout._HEDGE_S", 1000.0)


def everywhere(cast: Cast, value: bytes) -> None:
    """Written, and no store still on its way."""
    cast.register().write(value)
    eventually(lambda: cast.values() == [value] * 5, what="all five replicas")


def every_read(cast: Cast) -> set[bytes]:
    """What is read by each of the ten possible quorums."""
    return {cast.register(choose=Asking(*quorum)).read().value for quorum in QUORUMS}


def judged(recorder: Recorder) -> Verdict:
    return check_register(recorder.history().operations)


# --- the notes' counterexample ---------------------------------------------------------------------------


def three_writes_that_miss_different_replicas(cast: Cast, register: Register | NotesRegister) -> None:
    register.write(b"v1")
    with cast.without(2, 3):
        register.write(b"v2")
    with cast.without(1, 4):
        register.write(b"v3")


def test_a_read_by_the_notes_returns_a_value_that_a_completed_write_had_replaced(cast: Cast) -> None:
    register = cast.notes()
    three_writes_that_miss_different_replicas(cast, register)
    assert register.read()[1] == b"v2"  # it asks 1, 2 and 3, whose znodes have all been written equally often


def test_the_same_sequence_is_read_right_by_the_quorum(cast: Cast) -> None:
    register = cast.register(choose=Asking(1, 2, 3))
    three_writes_that_miss_different_replicas(cast, register)
    assert register.read().value == b"v3"
    assert every_read(cast) == {b"v3"}


# --- replicas live and die with their hosts --------------------------------------------------------------


@pytest.mark.usefixtures("exactly_those")
def test_a_host_that_dies_takes_its_replica_offline_and_leaves_its_data_which_is_stale_when_it_is_back(
    cast: Cast,
) -> None:
    register = cast.register(choose=Asking(1, 2, 3))
    everywhere(cast, b"v1")
    cast.links[5].down()
    expire(cast.sessions[5], cast.place.hosts)
    eventually(lambda: cast.owner(5) is None, what="the end of its session")
    newer = register.write(b"v2")
    register.close()  # its store at the fifth would wait for the connection, and arrive
    assert cast.held()[5].value == b"v1"
    cast.heal(5)
    cast.until_online(5)
    assert cast.held()[5].value == b"v1", "stale, until somebody writes to it"
    assert cast.register(choose=Asking(5, 1, 2)).read() == Versioned(newer, b"v2")
    eventually(lambda: cast.held()[5].value == b"v2", what="the write-back")


def test_a_replica_is_not_read_while_its_host_is_dead_although_its_data_is_there(cast: Cast) -> None:
    cast.dies(1)
    assert cast.znodes()[1] is not None
    assert isinstance(cast.replicas().read(1, zk.Deadline(20)), Offline)


def test_a_replica_does_not_store_while_its_host_is_dead(cast: Cast) -> None:
    before = cast.znodes()
    cast.dies(1)
    assert isinstance(cast.replicas().store(1, b"x", -1, zk.Deadline(20)), Offline)
    assert cast.znodes() == before


def test_a_store_replaces_only_what_was_looked_at(cast: Cast) -> None:
    replicas = cast.replicas()
    found = replicas.read(1, zk.Deadline(20))
    assert isinstance(found, ZnodeValue)
    assert replicas.store(1, b"theirs", found.znode_version, zk.Deadline(20)) == found.znode_version + 1
    assert replicas.store(1, b"ours", found.znode_version, zk.Deadline(20)) is None
    assert cast.znodes()[1][0] == b"theirs"  # type: ignore[index]


def test_nothing_is_queued_for_a_replica_that_can_not_be_reached(cast: Cast) -> None:
    """kazoo would send it on reconnecting: a store that was reported offline would happen after all."""
    before = cast.znodes()
    replicas = cast.replicas()
    with cast.without(1):
        assert isinstance(replicas.read(1, zk.Deadline(20)), Offline)
        assert isinstance(replicas.store(1, b"x", -1, zk.Deadline(0.2)), Offline)
    assert isinstance(replicas.read(1, zk.Deadline(20)), ZnodeValue)
    assert cast.znodes() == before


def test_a_replica_whose_data_is_lost_is_offline_does_not_vote_and_is_never_made_again(cast: Cast) -> None:
    register = cast.register()
    version = register.write(b"v1")
    cast.director.delete_async(paths.replica(OBJECT, 2)).get(timeout=20)
    assert isinstance(cast.replicas().read(2, zk.Deadline(20)), Offline)
    assert isinstance(cast.replicas().store(2, b"x", -1, zk.Deadline(20)), Offline)
    assert cast.register(choose=Asking(2, 1, 3)).read() == Versioned(version, b"v1")
    register.write(b"v2")
    assert not register.create(), "it exists"
    assert cast.register(choose=Asking(2, 4, 5)).read().value == b"v2"
    assert cast.znodes()[2] is None
    for index in (3, 4):
        cast.director.delete_async(paths.replica(OBJECT, index)).get(timeout=20)
    with pytest.raises(TooFewReplicas):
        register.read()


# --- reading ---------------------------------------------------------------------------------------------


def test_an_object_that_nobody_wrote_reads_as_unwritten(cast: Cast) -> None:
    assert cast.register().read() == UNWRITTEN


@pytest.mark.usefixtures("exactly_those")
def test_a_read_whose_quorum_is_partly_stale_writes_back_before_it_returns(cast: Cast) -> None:
    cast.register().write(b"v1")
    newer = Versioned(Version(7, "unfinished"), b"v2")
    cast.director.set_async(paths.replica(OBJECT, 1), encode(newer)).get(timeout=20)
    assert cast.register(choose=Asking(1, 2, 3)).read() == newer
    assert list(cast.held().values()).count(newer) >= 3
    assert every_read(cast) == {b"v2"}


def test_a_read_of_what_w_replicas_hold_writes_nothing(cast: Cast) -> None:
    everywhere(cast, b"v1")
    before = cast.znodes()
    assert every_read(cast) == {b"v1"}
    assert cast.znodes() == before


def test_a_read_asks_others_when_one_that_it_chose_is_dead_cut_off_or_slow(cast: Cast) -> None:
    version = cast.register().write(b"v1")
    cast.dies(1)
    cast.links[2].cut()
    assert cast.register(choose=Asking(1, 2, 3)).read().version == version
    assert cast.register(choose=Asking(2, 3, 4)).read().version == version


# --- writing ---------------------------------------------------------------------------------------------


def test_a_write_commits_although_two_hosts_die_between_its_first_and_its_third_ack(cast: Cast) -> None:
    cast.register().write(b"v1")
    acks: list[int] = []

    def two_die(version: Version, index: int) -> None:
        acks.append(index)
        if len(acks) == 1:
            cast.dies(4, 5)
            may_store.send()

    may_store: Any = eventlet.event.Event()
    replicas = cast.replicas()
    replicas.before_store = lambda index: None if index == 1 else may_store.wait()
    version = cast.register(replicas, on_ack=two_die).write(b"v2")
    assert acks[0] == 1
    assert set(acks[1:]) == {2, 3}
    assert cast.register(choose=Asking(3, 4, 5)).read() == Versioned(version, b"v2")


def test_with_fewer_than_w_hosts_alive_a_write_is_refused_and_nothing_is_written(cast: Cast) -> None:
    register = cast.register()
    everywhere(cast, b"v1")
    cast.dies(1, 3, 5)
    before = cast.znodes()
    with pytest.raises(TooFewReplicas):
        register.write(b"v2")
    cast.returns(1, 3, 5)
    assert cast.znodes() == before
    assert every_read(cast) == {b"v1"}


def in_doubt_at(cast: Cast, *reached: int, value: bytes = b"v2") -> Versioned:
    """A write whose other hosts die under it, after it has looked and before it stores; they return."""
    replicas = cast.replicas()
    replicas.before_store = lambda index: None if index in reached else cast.dies(index)
    with pytest.raises(InDoubt) as doubt:
        cast.register(replicas).write(value)
    cast.returns(*(index for index in ALL if index not in reached))
    assert doubt.value.holders == reached
    assert isinstance(doubt.value.ask_again, Versioned)
    assert doubt.value.ask_again.value == value
    return doubt.value.ask_again


def test_with_fewer_than_w_acks_a_write_is_in_doubt_never_undone_and_can_be_rolled_forward(
    cast: Cast,
) -> None:
    everywhere(cast, b"v1")
    doubtful = in_doubt_at(cast, 1, 4)
    assert cast.values() == [b"v2", b"v1", b"v1", b"v2", b"v1"]
    assert cast.register().roll_forward(doubtful) == doubtful.version
    assert list(cast.held().values()).count(doubtful) >= 3
    assert every_read(cast) == {b"v2"}


def test_a_write_whose_hosts_all_die_before_its_first_store_is_refused(cast: Cast) -> None:
    everywhere(cast, b"v1")
    before = cast.znodes()
    replicas = cast.replicas()
    replicas.before_store = cast.dies
    with pytest.raises(TooFewReplicas):
        cast.register(replicas).write(b"v2")
    assert cast.znodes() == before


@pytest.mark.usefixtures("exactly_those")
def test_rolling_forward_what_a_newer_write_has_replaced_changes_nothing(cast: Cast) -> None:
    cast.register().write(b"v1")
    doubtful = in_doubt_at(cast, 2)
    newer = cast.register(choose=Asking(2, 3, 4)).write(b"v3")
    assert cast.register().roll_forward(doubtful) == doubtful.version
    assert cast.register().read() == Versioned(newer, b"v3")
    assert every_read(cast) == {b"v3"}


def test_a_write_in_doubt_and_the_same_clients_next_one_never_share_a_version(cast: Cast) -> None:
    replicas = cast.replicas()
    register = cast.register(replicas, choose=Asking(3, 4, 5))
    register.write(b"v1")
    replicas.before_store = lambda index: None if index == 1 else cast.dies(index)
    with pytest.raises(InDoubt) as doubt:
        register.write(b"v2")
    cast.dies(1)  # so that the next write can't see what it left there
    cast.returns(2, 3, 4, 5)
    replicas.before_store = lambda index: None
    doubtful, version = doubt.value.ask_again, register.write(b"v3")
    cast.returns(1)
    assert isinstance(doubtful, Versioned)
    assert version.counter == doubtful.version.counter, "the nastiest case was not met"
    assert version != doubtful.version
    assert every_read(cast) == {max(doubtful, Versioned(version, b"v3"), key=lambda held: held.version).value}


def test_a_store_that_happened_and_whose_answer_was_lost_counts_once_it_is_seen(cast: Cast) -> None:
    everywhere(cast, b"v1")
    replicas = cast.replicas()

    def deafened(index: int) -> None:
        cast.links[index].cut(requests=False)

    replicas.before_store = deafened
    writing = eventlet.spawn(cast.register(replicas).write, b"v2")
    eventually(lambda: cast.values() == [b"v2"] * 5, what="all stores, unheard")
    assert replicas.answered == []
    stored = cast.znodes()
    replicas.before_store = lambda index: None
    for index in ALL:
        cast.links[index].down()  # so those answers never come
    cast.heal()
    assert writing.wait() == cast.held()[1].version
    assert cast.znodes() == stored, "seen, and not stored again"
    assert every_read(cast) == {b"v2"}


def test_a_write_whose_answers_are_all_lost_is_in_doubt_and_was_not_refused(cast: Cast) -> None:
    everywhere(cast, b"v1")
    replicas = cast.replicas()
    replicas.before_store = lambda index: cast.links[index].cut(requests=False)
    with pytest.raises(InDoubt) as doubt:
        cast.register(replicas, timeout_s=1.0).write(b"v2")
    cast.heal()
    cast.until_online(*ALL)
    assert doubt.value.holders == ()
    assert every_read(cast) == {b"v2"}, "it had happened"


def test_a_value_over_the_limit_of_a_znode_is_refused_and_the_largest_one_fits(cast: Cast) -> None:
    register = cast.register()
    everywhere(cast, b"v1")
    before = cast.znodes()
    with pytest.raises(Refused, match="limit"):
        register.write(b"x" * (zk.MAX_ZNODE_BYTES + 1))
    assert cast.znodes() == before
    largest = b"x" * zk.MAX_ZNODE_BYTES
    register.write(largest)
    assert register.read().value == largest


def test_an_object_is_created_whole_in_one_transaction(cast: Cast) -> None:
    zk.wait(
        cast.director.sync_async("/"), zk.Deadline(20)
    )  # its server may be behind the one that created it
    parts = [paths.object_root(OBJECT), *(paths.replica(OBJECT, index) for index in ALL)]
    found = [zk.get(cast.director, part, zk.Deadline(20)) for part in parts]
    assert len({node[1].czxid for node in found if node}) == 1
    assert None not in found


def test_an_object_created_by_two_at_once_is_one_object(cast: Cast) -> None:
    clients = (cast.place.client(), cast.place.client())
    registers = [cast.register(Replicas("twice", [client] * 5)) for client in clients]
    for creating in [eventlet.spawn(register.create) for register in registers]:
        creating.wait()
    version = registers[0].write(b"v1")
    registers[1].create()
    assert registers[1].read() == Versioned(version, b"v1")


def test_what_begins_while_the_network_is_away_for_a_moment_waits_for_it(cast: Cast) -> None:
    version = cast.register().write(b"v1")
    with cast.without(1, 2, 3):
        reading = eventlet.spawn(cast.register().read)
        writing = eventlet.spawn(cast.register().write, b"v2")
        eventlet.sleep(0)  # both have begun
    assert reading.wait().version >= version
    assert writing.wait() > version


def test_a_slow_replica_is_not_waited_for(cast: Cast) -> None:
    replicas = cast.replicas()
    goes_on: Any = eventlet.event.Event()
    replicas.before_store = lambda index: goes_on.wait(timeout=30.0) if index == 5 else None
    cast.links[5].slow(0.1)
    cast.register(replicas).write(b"v1")
    assert cast.register(choose=Asking(5, 1, 2)).read().value == b"v1"
    assert 5 not in replicas.answered, "both have returned before it answered"
    assert cast.held()[5] == UNWRITTEN
    goes_on.send()
    eventually(lambda: cast.held()[5].value == b"v1", what="the slow one's store")


def test_after_two_writes_at_once_all_reads_agree(cast: Cast) -> None:
    for number in range(5):
        values = [b"left %d" % number, b"right %d" % number]
        writing = [eventlet.spawn(cast.register().write, value) for value in values]
        written = {thread.wait(): value for thread, value in zip(writing, values, strict=True)}
        assert every_read(cast) == {written[max(written)]}


# --- sessions and hosts ----------------------------------------------------------------------------------


def another_session(client: Any, before: int | None) -> None:
    eventually(lambda: zk.session_id(client) not in (None, before), what="another session")


def test_an_expired_session_of_who_asks_costs_nothing_that_was_written(cast: Cast) -> None:
    recorder = Recorder()
    write, read = recorded(recorder, "client", cast.register())
    for index in ALL:
        before = zk.session_id(cast.askers[index])
        write()
        expire(cast.askers[index], cast.place.hosts)
        read()
        write()
        another_session(cast.askers[index], before)
        read()
    assert judged(recorder).outcome == "held"


def test_a_host_whose_session_expired_serves_its_old_data_under_the_next_one(cast: Cast) -> None:
    everywhere(cast, b"v1")
    before, data = cast.owner(3), cast.znodes()[3]
    expire(cast.sessions[3], cast.place.hosts)
    eventually(lambda: cast.owner(3) not in (None, before), what="another session")
    cast.until_online(3)
    assert cast.znodes()[3] == data
    assert isinstance(cast.replicas().read(3, zk.Deadline(20)), ZnodeValue)


def test_a_host_that_comes_back_replaces_its_former_life_and_does_not_wait_for_its_end(
    place: Place, cast: Cast
) -> None:
    cast.dies(1)
    path = paths.host(1)
    former = zk.connect(place.hosts, chroot=place.chroot, session_timeout_s=10, deadline_s=30)
    try:
        zk.wait(former.create_async(path, b"host-1", ephemeral=True), zk.Deadline(20))
        cast.returns(1)
        assert former.connected, "it had not ended"
        assert zk.session_id(former) != cast.owner(1)
    finally:
        zk.disconnect(former)


def test_a_host_waits_for_a_foreign_owner_to_end(place: Place, cast: Cast) -> None:
    cast.dies(1)
    foreign, heir = place.client(), place.client()
    path = paths.host(1)
    zk.wait(foreign.create_async(path, b"somebody else", ephemeral=True), zk.Deadline(20))
    place.started(ReplicaHost(heir, 1, "host-1"))
    eventually(lambda: heir._data_watchers, what="its watch on the owner")
    zk.wait(heir.sync_async("/"), zk.Deadline(20))  # whatever else it did has happened by now
    assert cast.owner(1) == zk.session_id(foreign)
    zk.disconnect(foreign)
    eventually(lambda: cast.owner(1) == zk.session_id(heir), what="the heir's turn")


# --- the servers' own faults -----------------------------------------------------------------------------


def test_a_load_is_linearizable_through_the_sigkill_of_the_leading_server(
    cast: Cast, servers: Servers
) -> None:
    recorder = Recorder()
    load = Load([cast.register() for _ in range(4)], recorder)
    load.until_done(60)
    leader = leader_of(servers)
    servers.kill(leader)
    recorder.fault("crash", f"server {leader}")
    load.until_done(60)
    load.stop()
    verdict = judged(recorder)
    assert verdict.outcome == "held", verdict.sentence


def test_a_load_is_linearizable_while_a_server_is_cut_from_its_leader_and_its_clients_are_not(
    cast: Cast, servers: Servers
) -> None:
    follower = follower_of(servers)
    recorder = Recorder()
    lagging = cast.client_of(follower.hosts)
    registers = [
        cast.register(),
        cast.register(Staged([lagging, lagging, *(cast.askers[index] for index in (3, 4, 5))])),
        cast.register(Staged([lagging] * 5)),
    ]
    load = Load(registers, recorder)
    load.until_done(40)
    servers.partition(follower.index)
    recorder.fault("partition", f"server {follower.index}")
    load.until_done(40)
    servers.heal(follower.index)
    recorder.fault("heal", f"server {follower.index}")
    load.until_done(40)
    load.stop()
    verdict = judged(recorder)
    assert verdict.outcome == "held", verdict.sentence


def test_a_replica_read_through_a_server_that_lags_is_new_where_a_plain_get_is_stale(
    cast: Cast, servers: Servers
) -> None:
    follower = follower_of(servers)
    others = ",".join(status.hosts for status in servers.status() if status.index != follower.index)
    ahead, lagging = cast.client_of(others), cast.client_of(follower.hosts)
    cast.dies(1)  # its host's session may be the follower's; this one's is not:
    zk.wait(ahead.create_async(paths.host(1), b"elsewhere", ephemeral=True), zk.Deadline(20))
    old = cast.register().write(b"v1")
    new = Versioned(Version(old.counter + 1, "new"), b"v2")
    path = paths.replica(OBJECT, 1)
    servers.partition(follower.index)
    zk.wait(ahead.set_async(path, encode(new)), zk.Deadline(20))
    plain, _ = zk.wait(lagging.get_async(path), zk.Deadline(20))
    assert plain != encode(new), "a plain get is stale"
    reading = eventlet.spawn(Replicas(OBJECT, [lagging] * 5).read, 1, zk.Deadline(20))
    eventlet.sleep(0)  # its requests are on their way
    servers.heal(follower.index)
    found = reading.wait()
    assert isinstance(found, NoReply) or found == ZnodeValue(encode(new), found.znode_version)


# --- the notes' rollback ---------------------------------------------------------------------------------


def a_story_with_a_rollback(cast: Cast, between: str, full: bool) -> Recorder:
    """v1 is written; three hosts die, and a write reaches only 1 and 2. Then, before it gives up, the three
    are back, and somebody else reads, or writes."""
    recorder = Recorder()
    replicas = cast.replicas()
    mine, theirs = (
        (cast.register(replicas), cast.register(choose=Asking(1, 2, 3)))
        if full
        else (cast.notes(replicas), cast.notes())
    )

    def write(name: str, register: Register | NotesRegister, value: str) -> None:
        recorded_write(recorder, name, OBJECT, value, lambda: register.write(value.encode()))

    def read() -> None:
        def action() -> tuple[Any, None]:
            found = theirs.read()
            return (shown(found) if isinstance(found, Versioned) else found[1].decode()), None

        recorded_read(recorder, "somebody", OBJECT, action)

    def meanwhile(index: int) -> None:
        """Steps in once: before the rollback's first store, or as soon as the full write has nobody left."""
        if len(replicas.answered) >= 2:
            replicas.before_store = lambda index: None
            cast.returns(3, 4, 5)
            read() if between == "read" else write("somebody", theirs, "v3")

    write("writer", mine, "v1")
    eventually(lambda: len(replicas.answered) == 5)
    replicas.answered.clear()
    if full:
        replicas.before_store = lambda index: cast.dies(index) if index > 2 else None
    else:
        cast.dies(3, 4, 5)
        replicas.before_store = meanwhile
    with pytest.raises(InDoubt if full else Refused):
        write("writer", mine, "v2")
    if full:
        meanwhile(0)
    read()
    return recorder


@pytest.mark.parametrize("between", ["read", "write"])
def test_the_naive_rollback_is_convicted_by_the_checker(cast: Cast, between: str) -> None:
    verdict = judged(a_story_with_a_rollback(cast, between, full=False))
    assert verdict.outcome == "violated", verdict.sentence


@pytest.mark.parametrize("between", ["read", "write"])
def test_the_same_story_with_a_write_that_stays_in_doubt_is_linearizable(cast: Cast, between: str) -> None:
    verdict = judged(a_story_with_a_rollback(cast, between, full=True))
    assert verdict.outcome == "held", verdict.sentence
