"""Who leads and who backs up, on three real servers: seats, epochs, and what fences them."""

from functools import partial
from typing import Any

import eventlet
import pytest
from kazoo.protocol.states import KazooState

from app.cluster.election import Candidate, Roles, prepare
from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.zookeeper import client as zk, paths
from app.zookeeper.link import Link
from tests.conftest import STEADY_SESSION_S, Place, eventually
from tests.integration.expiry import expire
from tests.integration.pair_cast import when_sent


class Stander:
    """A candidate that only notes which part it was given."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.link: Link = place.link()
        self.client = place.client(self.link, STEADY_SESSION_S)
        self.parts: list[str] = []
        self.before: list[Epoch] = []
        self.leading: Epoch | None = None
        roles = Roles(
            self._lead,
            lambda epoch: self._note("backup", None),
            lambda epoch: self._note("join", None),
            lambda: self._note("stand by", None),
            lambda: self._note("pause", self.leading),
        )
        self.candidate = Candidate(self.client, name, roles)
        place.started(self.candidate)

    def _lead(self, epoch: Epoch, before: Epoch) -> None:
        self.before.append(before)
        self._note("lead", epoch)

    def _note(self, part: str, leading: Epoch | None) -> None:
        self.leading = leading
        self.parts.append(part)

    @property
    def part(self) -> str:
        return self.parts[-1] if self.parts else ""


class Stands:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.eyes = place.client()

    def stander(self, name: str) -> Stander:
        stander = Stander(self.place, name)
        eventually(lambda: stander.candidate.seat, what=f"{name} has a seat")
        return stander

    def seats(self) -> list[str]:
        zk.wait(self.eyes.sync_async(paths.ELECTION), zk.Deadline(20))
        return list(zk.wait(self.eyes.get_children_async(paths.ELECTION), zk.Deadline(20)))

    def epoch(self) -> Epoch:
        zk.wait(self.eyes.sync_async(paths.EPOCH), zk.Deadline(20))
        data, stat = zk.wait(self.eyes.get_async(paths.EPOCH), zk.Deadline(20))
        return Epoch.from_znode(data, stat.version)

    def write(self, path: str, data: bytes) -> None:
        zk.wait(self.eyes.set_async(path, data), zk.Deadline(20))

    def delete(self, seat: str | None) -> None:
        zk.wait(self.eyes.delete_async(f"{paths.ELECTION}/{seat}"), zk.Deadline(20))


@pytest.fixture
def stands(place: Place) -> Stands:
    return Stands(place)


def test_the_first_in_line_leads_and_the_next_backs_it_up_once_it_has_joined(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    assert a.before[0] == NO_EPOCH
    b = stands.stander("b")
    c = stands.stander("c")
    eventually(lambda: b.part == "backup" and c.part == "stand by")
    assert b.parts.index("join") < b.parts.index("backup"), "copies first, then recorded"
    assert "join" not in c.parts
    epoch = stands.epoch()
    assert (epoch.primary, epoch.backup) == ("a", "b")
    assert (epoch.primary_seat, epoch.backup_seat) == (a.candidate.seat, b.candidate.seat)


def test_who_is_recorded_as_backup_takes_over_and_the_old_primary_stands_at_the_end(stands: Stands) -> None:
    a, b, c = (stands.stander(name) for name in "abc")
    eventually(lambda: stands.epoch().backup == "b")
    ended = stands.epoch()
    expire(a.client)
    eventually(lambda: b.part == "lead" and c.part == "backup" and a.part == "stand by")
    assert b.before[-1] == ended, "and knows which epoch it ended, whatever came after"
    assert stands.epoch().number > ended.number
    # It stands by before it takes its new seat.
    eventually(lambda: len(stands.seats()) == 3, what="the old primary has a seat again")


def test_a_second_seat_of_one_session_is_given_up_and_blocks_nobody(stands: Stands) -> None:
    """A create that nobody answered may be carried out after its candidate has taken another seat."""
    a, b = stands.stander("a"), stands.stander("b")
    eventually(lambda: stands.epoch().backup == "b")
    prefix = f"{paths.ELECTION}/b~late~"
    late = zk.wait(b.client.create_async(prefix, b"", ephemeral=True, sequence=True), zk.Deadline(20))
    c = stands.stander("c")

    eventually(lambda: late.rsplit("/", 1)[1] not in stands.seats())

    expire(a.client)
    eventually(lambda: stands.epoch().primary == "b" and stands.epoch().backup == "c")
    assert c.candidate.seat in stands.seats()


def test_raising_the_epoch_is_checked_against_the_candidates_own_seat(stands: Stands) -> None:
    """kazoo silently opens a new session, and a deposed process would act on it."""
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    a.candidate.stop()
    epoch = stands.epoch()
    stands.delete(a.candidate.seat)
    with pytest.raises(zk.TransactionFailed) as caught:
        a.candidate._change(epoch, epoch.led_by("a", a.candidate.seat or ""), zk.Deadline(20))
    assert caught.value.index == 0
    assert stands.epoch() == epoch


def test_a_backup_is_recorded_only_while_its_seat_is_there(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    a.candidate.stop()
    epoch = stands.epoch()
    recorded = epoch.backed_up_by("b", "b~gone~0000000009")
    with pytest.raises(zk.TransactionFailed):
        a.candidate._change(epoch, recorded, zk.Deadline(20), also_alive="b~gone~0000000009")
    assert stands.epoch() == epoch


def test_an_epoch_is_changed_only_as_it_was_seen(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    a.candidate.stop()
    seen = stands.epoch()
    stands.write(paths.EPOCH, seen.led_by("other", "other~seat").to_bytes())
    with pytest.raises(zk.TransactionFailed):
        a.candidate._change(seen, seen.led_by("a", a.candidate.seat or ""), zk.Deadline(20))
    assert stands.epoch().primary == "other"


@pytest.mark.parametrize("said", [b"0", b"ready", b"\xff", b"", b"9" * 5000])
def test_a_next_in_line_that_is_not_ready_for_this_epoch_is_not_recorded(stands: Stands, said: bytes) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    path = f"{paths.ELECTION}/b~by-hand~"
    seat = zk.wait(stands.eyes.create_async(path, b"", ephemeral=True, sequence=True), zk.Deadline(20))
    looks = len(a.parts)
    stands.write(seat, said)
    eventually(lambda: len(a.parts) > looks, what="a has looked")
    eventlet.sleep(0.05)
    assert stands.epoch().backup is None
    stands.write(seat, str(stands.epoch().number).encode())
    eventually(lambda: stands.epoch().backup == "b")


def test_a_seat_taken_by_a_create_that_nobody_answered_is_kept(stands: Stands) -> None:
    link = stands.place.link()
    client = stands.place.client(link, STEADY_SESSION_S)
    create_async = client.create_async

    def cut_first(*args: Any, **options: Any) -> Any:
        client.create_async = create_async
        link.cut(requests=False)
        return create_async(*args, **options)

    client.create_async = cut_first
    parts: list[str] = []
    roles = Roles(
        lambda epoch, before: parts.append("lead"),
        lambda epoch: None,
        lambda epoch: None,
        lambda: None,
        lambda: None,
    )
    candidate = stands.place.started(Candidate(client, "a", roles))
    eventually(stands.seats, what="the seat is there")
    assert candidate.seat is None, "but nobody said so"
    link.down()
    link.heal()
    eventually(lambda: parts)
    assert stands.seats() == [candidate.seat]


def test_a_change_that_nobody_answered_is_found_at_the_next_look(stands: Stands) -> None:
    a, b = stands.stander("a"), stands.stander("b")
    eventually(lambda: stands.epoch().backup == "b")
    ended = stands.epoch()
    with when_sent(b.client, paths.EPOCH, partial(b.link.cut, requests=False)):
        expire(a.client)
        eventually(lambda: stands.epoch().primary == "b", what="the change was carried out")
    assert b.part == "backup", "and nobody said so"
    b.link.down()
    b.link.heal()
    eventually(lambda: b.part == "lead")
    assert b.before[-1] == ended
    eventually(lambda: stands.epoch().backup == "a")
    assert stands.epoch().number == ended.number + 2, "raised once, then a backup was recorded"


def test_a_candidate_that_hears_nothing_pauses_and_goes_on_while_its_session_lives(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    seat, epoch = a.candidate.seat, stands.epoch()
    a.link.down()
    eventually(lambda: a.part == "pause")
    a.link.heal()
    eventually(lambda: a.part == "lead")
    assert a.candidate.seat == seat
    assert stands.epoch() == epoch


def test_the_seat_of_a_lost_session_is_nobodys_until_the_line_is_looked_at(stands: Stands) -> None:
    a = stands.stander("a")
    seat = eventually(lambda: a.part == "lead" and a.candidate.seat)
    a.candidate._on_state(KazooState.LOST)
    assert a.candidate.seat is None
    a.candidate._reconciler.wake()
    eventually(lambda: a.candidate.seat == seat, what="the session lives after all, and so does its seat")


def test_a_seat_that_somebody_removed_is_taken_again(stands: Stands) -> None:
    a, b = stands.stander("a"), stands.stander("b")
    eventually(lambda: stands.epoch().backup == "b")
    stands.delete(a.candidate.seat)
    eventually(lambda: b.part == "lead" and a.part == "backup")
    assert len(stands.seats()) == 2


def test_a_line_that_cannot_be_read_stops_nobody_for_ever(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    epoch = stands.epoch()
    stands.write(paths.EPOCH, b"garbage")
    b = Stander(stands.place, "b")
    eventlet.sleep(0.1)
    assert b.part == ""
    stands.write(paths.EPOCH, epoch.to_bytes())
    eventually(lambda: stands.epoch().backup == "b")
    eventually(lambda: a.part == "lead" and b.part == "backup")


def test_a_change_that_can_never_succeed_does_not_make_it_spin(
    stands: Stands, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = Candidate._look

    def counted(self: Candidate, deadline: zk.Deadline) -> Any:
        looks.append("look")
        return look(self, deadline)

    monkeypatch.setattr(Candidate, "_look", counted)
    zk.wait(stands.eyes.delete_async(paths.EPOCH), zk.Deadline(20))
    a = stands.stander("a")
    eventlet.sleep(0.3)
    assert len(looks) < 10
    prepare(stands.eyes, zk.Deadline(20))
    a.candidate._reconciler.wake()  # the next look, which comes by itself within seconds
    eventually(lambda: a.part == "lead")


def test_preparing_again_changes_nothing(stands: Stands) -> None:
    a = stands.stander("a")
    eventually(lambda: a.part == "lead")
    epoch = stands.epoch()
    prepare(stands.eyes, zk.Deadline(20))
    assert stands.epoch() == epoch


def test_whoever_is_lost_there_is_never_more_than_one_leader_in_force(stands: Stands) -> None:
    """Sessions end one after the other; every epoch has one primary, and numbers only grow."""
    standers = [stands.stander(name) for name in "abc"]
    seen: dict[int, tuple[str | None, str | None]] = {}
    for round_ in range(5):
        epoch = eventually(lambda: (found := stands.epoch()).backup and found)
        in_force = [each.name for each in standers if each.leading and each.leading.number == epoch.number]
        assert in_force in ([], [epoch.primary])
        assert seen.setdefault(epoch.number, (epoch.primary, epoch.backup)) == (epoch.primary, epoch.backup)
        assert epoch.number == max(seen)
        lost = epoch.primary if round_ % 2 else epoch.backup
        expire(next(each.client for each in standers if each.name == lost))
        eventually(lambda: stands.epoch().number > max(seen))
    eventually(lambda: sorted(each.part for each in standers) == ["backup", "lead", "stand by"])
