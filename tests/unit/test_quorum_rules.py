"""The quorum's decisions, which need no server: rules, bytes, and the register over replicas on a script."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import eventlet
import pytest
from hypothesis import given, strategies as st

from app.consistency.engine.replicas import NoReply, Offline, Replicas, ZnodeValue
from app.consistency.engine.versions import UNWRITTEN, Version, Versioned, decode, encode
from app.consistency.quorum import Quorum, Register, adopts, holders, needs_write_back, newest, next_version
from app.errors import BadSettingError, InDoubt, Malformed, Refused, TooFewReplicas
from app.zookeeper import client as zk

versions = st.builds(Version, st.integers(0, 5), st.sampled_from(["", "a", "b", "c"]))
helds = st.builds(Versioned, versions, st.binary(max_size=3))
answers_of_some = st.dictionaries(st.integers(1, 5), helds, min_size=1)


@st.composite
def strong_quorums(draw: st.DrawFn) -> Quorum:
    n = draw(st.integers(1, 7))
    w = draw(st.integers(1, n))
    return Quorum(n, w, draw(st.integers(n - w + 1, n)))


# --- versions --------------------------------------------------------------------------------------------


@given(st.lists(helds, min_size=1), st.text())
def test_the_next_version_is_above_everything_seen(seen: list[Versioned], write_id: str) -> None:
    assert all(next_version(seen, write_id) > held.version for held in seen)


@given(st.lists(helds, min_size=1), st.lists(helds, min_size=1), st.lists(st.text(), min_size=2, unique=True))
def test_two_writes_never_share_a_version_whatever_each_has_seen(
    one: list[Versioned], other: list[Versioned], ids: list[str]
) -> None:
    assert next_version(one, ids[0]) != next_version(other, ids[1])


@given(versions, versions)
def test_of_two_different_versions_exactly_one_replaces_the_other(one: Version, other: Version) -> None:
    assert adopts(one, other) + adopts(other, one) == (one != other)


@given(versions, st.lists(versions))
def test_a_replica_never_goes_backwards_and_the_order_of_offers_does_not_matter(
    start: Version, offers: list[Version]
) -> None:
    def after(offered: Iterable[Version]) -> Version:
        held = start
        for version in offered:
            before, held = held, version if adopts(held, version) else held
            assert held >= before
        return held

    assert after(offers) == after(reversed(offers)) == max([start, *offers])


# --- quorums ---------------------------------------------------------------------------------------------


@given(answers_of_some, versions)
def test_holders_are_those_with_something_at_least_as_new(
    answers: dict[int, Versioned], version: Version
) -> None:
    assert holders(answers, version) == {i for i in answers if not answers[i].version < version}


@given(answers_of_some, strong_quorums())
def test_a_value_is_written_back_unless_w_replicas_are_known_to_hold_it(
    answers: dict[int, Versioned], quorum: Quorum
) -> None:
    best = newest(answers.values())
    knowing = [held for held in answers.values() if held.version == best.version]
    assert needs_write_back(answers, quorum) == (len(knowing) < quorum.w)


@given(st.data(), strong_quorums())
def test_any_read_quorum_meets_the_last_completed_write_however_stale_the_others_are(
    data: st.DataObject, quorum: Quorum
) -> None:
    """Writes reach any replicas at all; one that reached W is completed, and nobody can miss it since."""
    replicas = dict.fromkeys(range(1, quorum.n + 1), UNWRITTEN)
    completed = UNWRITTEN.version

    def any_read_quorum() -> list[Versioned]:
        chosen = st.lists(st.sampled_from(sorted(replicas)), min_size=quorum.r, unique=True)
        return [replicas[i] for i in data.draw(chosen)]

    for number in range(data.draw(st.integers(1, 6))):
        version = next_version(any_read_quorum(), f"write-{number}")
        assert version > completed
        for i in data.draw(st.sets(st.sampled_from(sorted(replicas)))):
            if adopts(replicas[i].version, version):
                replicas[i] = Versioned(version, b"")
        if len(holders(replicas, version)) >= quorum.w:
            completed = max(completed, version)
        assert newest(any_read_quorum()).version >= completed


def test_a_weak_quorum_can_miss_the_last_completed_write() -> None:
    quorum = Quorum(5, 2, 3, weak=True)
    written = Versioned(Version(1, "a"), b"new")
    replicas = {1: written, 2: written, 3: UNWRITTEN, 4: UNWRITTEN, 5: UNWRITTEN}
    assert len(holders(replicas, written.version)) == quorum.w
    assert newest(replicas[i] for i in (3, 4, 5)) == UNWRITTEN


@pytest.mark.parametrize(("n", "w", "r"), [(5, 0, 5), (5, 5, 0), (5, 3, 6), (5, 6, 3), (0, 1, 1), (5, -1, 3)])
@pytest.mark.parametrize("weak", [False, True])
def test_a_quorum_that_no_replicas_can_form_is_refused_even_a_weak_one(
    n: int, w: int, r: int, weak: bool
) -> None:
    with pytest.raises(BadSettingError, match="impossible"):
        Quorum(n, w, r, weak)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
def test_only_quorums_that_meet_are_admitted_unless_one_says_weak(n: int, w: int, r: int) -> None:
    if w > n or r > n:
        return
    assert Quorum(n, w, r, weak=True).weak
    if r + w > n:
        assert not Quorum(n, w, r).weak
    else:
        with pytest.raises(BadSettingError, match="--weak"):
            Quorum(n, w, r)


def test_a_register_wants_as_many_replicas_as_its_quorum_counts() -> None:
    with pytest.raises(BadSettingError, match="n=5"):
        Register(Replicas("x", [None] * 4), Quorum())


# --- bytes -----------------------------------------------------------------------------------------------


@given(st.builds(Versioned, st.builds(Version, st.integers(0), st.text()), st.binary()))
def test_what_is_encoded_is_decoded_whatever_its_bytes(held: Versioned) -> None:
    assert decode(encode(held)) == held


@given(st.binary())
def test_bytes_of_any_kind_are_understood_or_refused_with_a_reason(data: bytes) -> None:
    try:
        held = decode(data)
    except Malformed as error:
        assert "a replica holds" in str(error)  # noqa: PT017 (either ending is right)
    else:
        assert data.endswith(b"\n" + held.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"v1",
        b"\n",
        b"{}\nv1",
        b"[1]\nv1",
        b'{"counter": 1, "writer": "a"}',
        b'{"counter": -1, "writer": "a"}\nv1',
        b'{"counter": 1}\nv1',
        b'{"counter": 1, "writer": "a", "more": 1}\nv1',
        b'\xff{"counter": 1, "writer": "a"}\nv1',
    ],
)
def test_garbage_is_not_understood(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


# --- the register, over replicas that follow a script ----------------------------------------------------

Store = Callable[[int], int | Offline | NoReply | None]


@dataclass
class Script:
    """What the replicas do: ``stores`` answer to the first store of each, to the second, and so on; then,
    and for reads, a replica answers as it is."""

    held: dict[int, Versioned]
    stores: Sequence[Store] = ()
    dead: set[int] = field(default_factory=set)
    sent: list[tuple[int, Versioned]] = field(default_factory=list)


class Scripted(Replicas):
    """Replicas without a server."""

    def __init__(self, script: Script) -> None:
        super().__init__("x", [None] * len(script.held))
        self._script = script
        self._turns = dict.fromkeys(script.held, 0)

    def read(self, index: int, deadline: zk.Deadline) -> ZnodeValue | Offline | NoReply:
        eventlet.sleep(0)
        if index in self._script.dead:
            return Offline("its host is dead")
        return ZnodeValue(encode(self._script.held[index]), self._turns[index])

    def store(
        self, index: int, data: bytes, znode_version: int, deadline: zk.Deadline
    ) -> int | Offline | NoReply | None:
        eventlet.sleep(0)
        self._script.sent.append((index, decode(data)))
        turn = self._turns[index]
        self._turns[index] += 1
        if turn < len(self._script.stores):
            return self._script.stores[turn](index)
        self._script.held[index] = decode(data)
        return self._turns[index]

    def reconnected(self, index: int, deadline: zk.Deadline) -> bool:
        return not deadline.passed


class InThisOrder(random.Random):
    """Chooses replicas in the order of their numbers."""

    def shuffle(self, x: object) -> None:
        assert isinstance(x, list)
        x.sort()


V1 = Versioned(Version(1, "a"), b"v1")
V2 = Versioned(Version(2, "b"), b"v2")


def five(held: Versioned = V1) -> dict[int, Versioned]:
    return dict.fromkeys(range(1, 6), held)


def register_over(script: Script, quorum: Quorum | None = None, timeout_s: float = 0.5) -> Register:
    return Register(Scripted(script), quorum or Quorum(), timeout_s=timeout_s, choose=InThisOrder())


def test_a_write_is_refused_if_every_store_was_provably_turned_away() -> None:
    script = Script(five(), [lambda index: Offline("its host is dead")])
    with pytest.raises(TooFewReplicas):
        register_over(script).write(b"v2")


def test_a_write_is_in_doubt_if_one_store_of_all_went_unanswered() -> None:
    script = Script(five())

    def four_is_silent(index: int) -> Offline | NoReply:
        script.dead.add(index)
        return NoReply() if index == 4 else Offline("its host is dead")

    script.stores = [four_is_silent]
    with pytest.raises(InDoubt) as doubt:
        register_over(script).write(b"v2")
    assert doubt.value.holders == ()


def test_a_store_that_went_unanswered_keeps_the_write_in_doubt_whatever_the_next_one_is_told() -> None:
    """The first may still be on its way: that the second was turned away says nothing of it."""
    script = Script(five(), [lambda index: NoReply()])

    def turned_away(index: int) -> Offline:
        script.dead.add(index)
        return Offline("its host is dead")

    script.stores = [*script.stores, turned_away]
    with pytest.raises(InDoubt):
        register_over(script).write(b"v2")
    assert len(script.sent) == 10


def test_a_roll_forward_that_reaches_nobody_leaves_the_write_in_doubt_and_never_refuses_it() -> None:
    script = Script(five(), dead={1, 2, 3, 4, 5})
    with pytest.raises(InDoubt) as doubt:
        register_over(script).roll_forward(V2)
    assert doubt.value.ask_again == V2


def test_an_unanswered_store_is_sent_again_with_the_same_version_and_value() -> None:
    script = Script(five(), [lambda index: NoReply()])
    version = register_over(script).write(b"v2")
    assert {held for _, held in script.sent} == {Versioned(version, b"v2")}
    assert len(script.sent) > 5


def test_a_store_that_lost_a_race_looks_again_and_leaves_the_newer_value_alone() -> None:
    script = Script(five())
    theirs = Versioned(Version(9, "z"), b"theirs")

    def overtaken(index: int) -> None:
        script.held[index] = theirs

    script.stores = [overtaken]
    register_over(script).write(b"v2")
    assert script.held == five(theirs)
    assert len(script.sent) == 5


def test_a_write_of_one_replica_still_looks_at_enough_to_be_above_every_completed_write() -> None:
    """W = 1, R = 5: the last write may be at any one replica."""
    script = Script({**five(UNWRITTEN), 5: V2})
    assert register_over(script, Quorum(5, 1, 5)).write(b"v3") > V2.version


def test_a_write_is_refused_at_the_start_where_w_replicas_are_not_alive_even_if_r_are() -> None:
    script = Script(five(), dead={5})
    with pytest.raises(TooFewReplicas):
        register_over(script, Quorum(5, 5, 1)).write(b"v2")
    assert script.sent == []


def test_a_write_back_counts_those_that_already_hold_the_value_and_only_those() -> None:
    script = Script({**five(), 1: V2}, dead={4, 5})
    assert register_over(script).read() == V2
    assert [script.held[index] for index in (1, 2, 3)] == [V2, V2, V2]


def test_a_read_that_can_not_write_back_what_it_saw_does_not_return_it() -> None:
    script = Script({**five(), 1: V2}, [lambda index: Offline("its host is dead")])
    with pytest.raises(InDoubt) as doubt:
        register_over(script).read()
    assert (doubt.value.ask_again, doubt.value.holders) == (V2, (1,))


def test_a_replica_with_garbage_does_not_vote() -> None:
    class OneIsGarbage(Scripted):
        def read(self, index: int, deadline: zk.Deadline) -> ZnodeValue | Offline | NoReply:
            return ZnodeValue(b"garbage", 0) if index == 1 else super().read(index, deadline)

    replicas = OneIsGarbage(Script({**five(), 3: V2}))
    assert Register(replicas, Quorum(), choose=InThisOrder()).read() == V2
    with pytest.raises(TooFewReplicas, match="5 are needed"):
        Register(replicas, Quorum(5, 1, 5)).read()


def test_a_replica_that_owes_an_answer_is_asked_last() -> None:
    asked: list[int] = []

    class OneIsStuck(Scripted):
        def read(self, index: int, deadline: zk.Deadline) -> ZnodeValue | Offline | NoReply:
            asked.append(index)
            while index == 1 and not deadline.passed:
                eventlet.sleep(0.01)
            return super().read(index, deadline)

    register = Register(OneIsStuck(Script(five())), Quorum(), timeout_s=5.0, choose=InThisOrder())
    assert register.read() == V1
    asked.clear()
    assert register.read() == V1
    register.close()
    assert asked[:3] == [2, 3, 4]


def test_as_many_callers_as_there_are_may_ask_at_once() -> None:
    script = Script(five())
    register = register_over(script, timeout_s=30)
    threads = [eventlet.spawn(register.read) for _ in range(200)]
    assert [thread.wait() for thread in threads] == [V1] * 200


def test_a_value_over_the_limit_of_a_znode_is_refused_before_anybody_is_asked() -> None:
    script = Script(five(), dead={1, 2, 3, 4, 5})
    with pytest.raises(Refused, match="limit"):
        register_over(script).write(b"x" * (zk.MAX_ZNODE_BYTES + 1))
    assert script.sent == []
