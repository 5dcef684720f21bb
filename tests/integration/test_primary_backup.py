"""The contract of the primary-backup protocol, sentence by sentence, on three real servers.

Where the order of steps matters the two roles are made by hand; tests with *members* run the election too.
"""

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import eventlet
import pytest

from app.checker.durability import durable
from app.checker.history import Recorder
from app.consistency.engine import records
from app.consistency.engine.takeover import TakeOver
from app.consistency.engine.transactions import Ack, Digest, Outcome
from app.consistency.primary_backup import Backup, Primary
from app.demo.servers import Servers
from app.errors import Aborted, Fenced, InDoubt, NoBackup, Refused
from app.zookeeper import client as zk, paths
from tests.conftest import SESSION_S, Place, eventually, leader_of
from tests.integration.expiry import expire
from tests.integration.pair_cast import (
    IMPATIENT_S,
    Cast,
    Ending,
    MemberSide,
    asked_again,
    crash,
    hold,
    new_id,
    valid_ack,
    when_sent,
)


@pytest.fixture
def cast(place: Place, tmp_path: Path) -> Cast:
    return Cast(place, tmp_path)


@pytest.fixture
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The primary gives up sooner on a ZooKeeper that doesn't answer."""
    monkeypatch.setattr(zk, "STEP_S", 0.7)


# --- storing ----------------------------------------------------------------------------------------------

PAYLOADS = {
    "text": b"a small upload",
    "nothing": b"",
    "not UTF-8": b"\xff\xfe\x00\x80" * 50,
    "the very limit": os.urandom(zk.MAX_ZNODE_BYTES),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_submission_is_on_two_disks_byte_for_byte_before_its_user_hears_of_it(
    cast: Cast, payload: bytes
) -> None:
    a, b, primary, backup = cast.pair()
    job_id = new_id()
    outcome = primary.submit(job_id, payload)
    name = f"{job_id}.{Digest.of(payload).sha256}"
    assert a.copies() == b.copies() == {name: payload}
    assert outcome.decision == "committed"
    assert cast.outcome(job_id) == outcome
    assert cast.ack(job_id) == Ack(
        author="b", epoch=backup.epoch.number, size=len(payload), sha256=Digest.of(payload).sha256
    )
    assert primary.read(job_id) == payload
    assert [step for step, _ in a.steps] == [
        "primary has it on disk",
        "published",
        "ACK received",
        "committed",
    ]


def test_each_copy_is_synced_before_the_next_step_is_asked_for(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Primary: file, folder, record. Backup: file, rename, folder, ACK. Then the outcome."""
    a, b, primary, _ = cast.pair()
    folders = {side.disk.folder.stat().st_ino: side.name for side in (a, b)}
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def see_fsync(handle: int) -> None:
        fsync(handle)
        folder = folders.get(os.fstat(handle).st_ino)
        calls.append(f"{folder}: folder synced" if folder else "file synced")

    def see_rename(source: str, target: Path) -> None:
        rename(source, target)
        calls.append(f"{target.parent.name}: renamed")

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(os, "rename", see_rename)
    job_id = new_id()
    with (
        when_sent(a.client, job_id, lambda: calls.append("a: record")),
        when_sent(b.client, "/backup_ack", lambda: calls.append("b: ACK")),
        when_sent(a.client, "/outcome", lambda: calls.append("a: outcome")),
    ):
        primary.submit(job_id, b"payload")
    assert calls == [
        "file synced",
        "a: renamed",
        "a: folder synced",
        "a: record",
        "file synced",
        "b: renamed",
        "b: folder synced",
        "b: ACK",
        "a: outcome",
    ]


def test_the_same_request_again_is_stored_once(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    first = primary.submit(job_id, b"once")
    assert primary.submit(job_id, b"once") == first
    assert a.did("published", job_id) == 1
    assert cast.jobs() == [job_id]


def test_the_same_request_twice_at_once_is_stored_once(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    endings = [Ending(primary.submit, job_id, b"once").get for _ in range(4)]
    outcomes = [get() for get in endings]
    assert outcomes == [cast.outcome(job_id)] * 4
    assert a.did("published", job_id) == 1
    assert a.has(job_id, b"once")


def test_one_that_is_refused_leaves_the_copy_of_the_same_one_that_is_under_way(cast: Cast) -> None:
    """The second submission of an id finds the first one's copy, and must not take it for its own."""
    a, b = cast.side("a"), cast.side("b")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    job_id = new_id()
    first = Ending(primary.submit, job_id, b"once")
    eventually(lambda: a.did("published", job_id))
    second = Ending(primary.submit, job_id, b"once")
    other = Ending(primary.submit, job_id, b"another payload")
    cast.backup(b, epoch)
    assert isinstance(first.get(), Outcome)
    assert second.get() == first.get()
    assert isinstance(other.get(), Refused)
    assert set(a.copies().values()) == {b"once"}


def test_two_submissions_of_one_id_take_turns_and_others_do_not_wait(cast: Cast) -> None:
    """Else both could find the copy missing, and one that is refused drop what the other has published."""
    a, _, primary, _ = cast.pair()
    once, other = new_id(), new_id()
    held = hold(a, primary)
    submissions = [Ending(primary.submit, job_id, b"payload") for job_id in (once, once, other)]
    eventually(lambda: held.saving == 2, what="one of each id")
    eventlet.sleep(0.05)
    assert held.saving == 2
    held.released.set()
    assert {submission.get().decision for submission in submissions} == {"committed"}
    assert held.saving == 3


def test_a_refusal_drops_no_copy_that_it_has_not_made(cast: Cast) -> None:
    """The record of a transaction is forgotten one day; its copies are the data."""
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    primary.submit(job_id, b"payload")
    cast.remove(job_id)
    zk.wait(cast.eyes.delete_async(f"{paths.ELECTION}/{primary.epoch.backup_seat}"), zk.Deadline(20))
    with pytest.raises(NoBackup):
        primary.submit(job_id, b"payload")
    assert a.has(job_id, b"payload")


def test_an_id_that_belongs_to_another_payload_is_refused_and_the_first_copy_untouched(cast: Cast) -> None:
    a, b, primary, _ = cast.pair()
    job_id = new_id()
    primary.submit(job_id, b"mine")
    with pytest.raises(Refused, match="another payload"):
        primary.submit(job_id, b"not mine")
    assert list(a.copies().values()) == list(b.copies().values()) == [b"mine"]
    assert primary.read(job_id) == cast.payload(job_id) == b"mine"


def test_a_payload_over_the_limit_is_refused_and_nothing_is_written(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    with pytest.raises(Refused, match="limit"):
        primary.submit(new_id(), bytes(zk.MAX_ZNODE_BYTES + 1))
    assert cast.jobs() == []
    assert a.copies() == {}


# --- no promise without a backup ----------------------------------------------------------------------------


def test_without_a_backup_an_upload_is_refused_with_nothing_written_and_its_id_works_later(
    cast: Cast,
) -> None:
    a, b = cast.side("a"), cast.side("b")
    primary = cast.primary(a, cast.record(a, None))
    job_id = new_id()
    with pytest.raises(NoBackup, match="nothing was written"):
        primary.submit(job_id, b"payload")
    assert cast.jobs() == []
    assert a.copies() == {}
    assert a.steps == []
    cast.backup(b, cast.change_backup(primary.epoch, b))
    primary.backup_changed(cast.epoch())
    assert primary.submit(job_id, b"payload").decision == "committed"


def test_a_backup_whose_seat_is_gone_is_no_backup(cast: Cast) -> None:
    """The primary's own word of the loss may come later: the store checks the seat."""
    a, b, primary, _ = cast.pair()
    zk.wait(cast.eyes.delete_async(f"{paths.ELECTION}/{primary.epoch.backup_seat}"), zk.Deadline(20))
    job_id = new_id()
    with pytest.raises(NoBackup):
        primary.submit(job_id, b"payload")
    assert cast.jobs() == []
    assert a.copies() == b.copies() == {}


def test_a_primary_whose_disk_is_full_refuses_and_publishes_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _, primary, _ = cast.pair()
    kept = new_id()
    primary.submit(kept, b"kept")
    fill_the_disk(monkeypatch)
    refused = new_id()
    with pytest.raises(Refused, match="disk"):
        primary.submit(refused, b"no room")
    assert cast.jobs() == [kept]
    assert primary.submit(kept, b"kept").decision == "committed", "what is stored is still known"
    monkeypatch.undo()
    assert primary.submit(refused, b"no room").decision == "committed", "a refusal consumes no id"
    assert len(a.copies()) == 2


def test_what_is_known_already_is_told_also_while_there_is_no_backup(cast: Cast) -> None:
    """A refusal would say "provably not stored" of what is stored."""
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    stored = primary.submit(job_id, b"payload")
    primary.backup_changed(cast.change_backup(primary.epoch, None))
    assert primary.submit(job_id, b"payload") == stored
    assert a.has(job_id, b"payload")


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, only: bytes = b"") -> None:
    """No payload that begins with ``only`` can be written any more."""
    write = os.write

    def no_room(handle: int, data: Any) -> int:
        if isinstance(data, memoryview) and bytes(data).startswith(only):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(os, "write", no_room)


# --- the decision -------------------------------------------------------------------------------------------


def test_a_backup_that_dies_before_its_copy_makes_it_aborted_for_ever(cast: Cast) -> None:
    """The notes' break: the user hears "aborted", the backup returns and acknowledges it."""
    a, b, primary, _ = cast.pair(IMPATIENT_S)
    b.link.cut()
    job_id = new_id()
    with pytest.raises(Aborted):
        primary.submit(job_id, b"payload")
    assert cast.payload(job_id) == b"", "a tombstone needs no payload"
    b.link.heal()
    eventually(lambda: b.did("aborted, no copy kept", job_id))
    assert a.copies() == b.copies() == {}
    assert cast.ack(job_id) is None
    with pytest.raises(Aborted):
        primary.submit(job_id, b"payload")
    assert primary.read(job_id) is None
    patient = cast.primary(a, primary.epoch)
    assert patient.submit(new_id(), b"payload").decision == "committed", "a new attempt takes a new id"


def test_an_ack_that_comes_after_the_abort_changes_nothing(cast: Cast) -> None:
    a, b, primary, _ = cast.pair()
    job_id = new_id()
    b.on["backup has it on disk"] = b.link.cut
    submission = Ending(primary.submit, job_id, b"payload")
    eventually(lambda: b.did("backup has it on disk", job_id))
    primary._decide(job_id, Digest.of(b"payload"), "aborted")
    b.link.heal()
    assert isinstance(submission.get(), Aborted)
    eventually(lambda: cast.ack(job_id), what="the late ACK is there")
    assert cast.decision(job_id) == "aborted"
    eventually(lambda: not b.copies(), what="the backup has dropped its copy")
    with pytest.raises(Aborted):
        primary.submit(job_id, b"payload")
    assert primary.read(job_id) is None
    taking_over = cast.side("c")
    successor = cast.primary(taking_over, cast.record(taking_over, None))
    assert successor.take_over(primary.epoch) == []
    assert cast.decision(job_id) == "aborted"
    assert a.copies() == taking_over.copies() == {}


FORGED: dict[str, Callable[[Ack], bytes]] = {
    "by another": lambda ack: ack.model_copy(update={"author": "mallory"}).to_bytes(),
    "of another payload": lambda ack: ack.model_copy(update={"sha256": "0" * 64}).to_bytes(),
    "of another size": lambda ack: ack.model_copy(update={"size": ack.size + 1}).to_bytes(),
    "of an older epoch": lambda ack: ack.model_copy(update={"epoch": ack.epoch - 1}).to_bytes(),
    "of an epoch to come": lambda ack: ack.model_copy(update={"epoch": ack.epoch + 1}).to_bytes(),
    "the notes'": lambda ack: b"ACK",
    "garbage": lambda ack: b"\xff\x00{",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_an_ack_that_is_not_the_backups_own_does_not_count_and_the_real_one_replaces_it(
    cast: Cast, forge: Callable[[Ack], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = cast.side("a"), cast.side("b")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    job_id = new_id()
    submission = Ending(primary.submit, job_id, b"payload")
    eventually(lambda: a.did("published", job_id))
    real = valid_ack(epoch, b"payload")
    cast.create(paths.backup_ack(job_id), forge(real))
    eventually(lambda: "an ACK that is not valid" in caplog.text, what="the primary has seen it")
    assert cast.outcome(job_id) is None
    cast.backup(b, epoch)
    assert submission.get().decision == "committed"
    assert cast.ack(job_id) == real
    assert b.has(job_id, b"payload")


def test_only_a_forged_ack_makes_it_aborted(cast: Cast) -> None:
    a, b = cast.side("a"), cast.side("b")
    primary = cast.primary(a, cast.record(a, b), IMPATIENT_S)
    job_id = new_id()
    a.on["published"] = partial(cast.create, paths.backup_ack(job_id), b"ACK")
    with pytest.raises(Aborted):
        primary.submit(job_id, b"payload")


def test_waiting_for_an_ack_asks_nothing_while_nothing_changes(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches, never polling; also beside an ACK that can't be understood."""
    a, b = cast.side("a"), cast.side("b")
    primary = cast.primary(a, cast.record(a, b), IMPATIENT_S)
    asked: list[str] = []
    exists_async = a.client.exists_async

    def counted(path: str, watch: Any = None) -> Any:
        asked.append(path)
        return exists_async(path, watch)

    monkeypatch.setattr(a.client, "exists_async", counted)
    job_id = new_id()
    a.on["published"] = partial(cast.create, paths.backup_ack(job_id), b"garbage")
    with pytest.raises(Aborted):
        primary.submit(job_id, b"payload")
    assert len(asked) <= 3


def test_a_copy_that_the_backup_cannot_keep_is_not_acknowledged_and_does_not_hold_up_the_next(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, primary, _ = cast.pair()
    impatient = cast.primary(a, primary.epoch, IMPATIENT_S)
    bad, good = new_id(), new_id()
    a.on["primary has it on disk"] = partial(fill_the_disk, monkeypatch, b"bad")  # from now on, for b
    submission = Ending(impatient.submit, bad, b"bad payload")
    eventually(lambda: a.did("published", bad))
    assert primary.submit(good, b"good payload").decision == "committed"
    assert isinstance(submission.get(), Aborted)
    assert cast.ack(bad) is None
    assert list(b.copies().values()) == [b"good payload"], "nothing of the bad one is left"


def test_a_slow_payload_does_not_hold_up_the_next(cast: Cast) -> None:
    _, b, primary, backup = cast.pair()
    slow, quick = new_id(), new_id()
    held = hold(b, backup, only=slow)
    submission = Ending(primary.submit, slow, b"slow")
    eventually(lambda: held.saving)
    assert primary.submit(quick, b"quick").decision == "committed"
    held.released.set()
    assert submission.get().decision == "committed"


def test_a_record_that_cannot_be_read_is_left_alone_and_holds_up_nothing(cast: Cast) -> None:
    a, b = cast.side("a"), cast.side("b")
    unreadable = new_id()
    cast.publish(unreadable, b"payload")
    cast.create(paths.outcome(unreadable), b"neither committed nor aborted")
    epoch = cast.record(a, None)
    primary = cast.primary(a, epoch)
    assert primary.take_over(epoch) == [unreadable]
    recorded = cast.change_backup(epoch, b)
    backup = cast.backup(b, recorded)
    backup.catch_up()
    primary.backup_changed(recorded)
    assert primary.submit(new_id(), b"next").decision == "committed"
    with pytest.raises(InDoubt):
        primary.submit(unreadable, b"payload")
    with pytest.raises(InDoubt):
        primary.read(unreadable)


def test_an_abort_that_overtakes_the_copy_leaves_no_copy(cast: Cast) -> None:
    """The backup hears of the decision while it still writes."""
    _, b, primary, backup = cast.pair()
    held = hold(b, backup)
    job_id = new_id()
    submission = Ending(primary.submit, job_id, b"payload")
    eventually(lambda: held.saving)
    primary._decide(job_id, Digest.of(b"payload"), "aborted")
    eventlet.sleep(0.1)  # the word of the decision is with the backup
    held.released.set()
    eventually(lambda: b.did("aborted, no copy kept", job_id))
    assert b.copies() == {}
    assert isinstance(submission.get(), Aborted)


def test_a_payload_that_is_blanked_while_the_backup_asks_for_it_is_not_taken_for_an_empty_one(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = cast.side("a"), cast.side("b")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    job_id = new_id()
    cast.publish(job_id, b"payload")
    b.disk.save(job_id, b"an older copy under this id")  # so it looks for the outcome first
    get_async = b.client.get_async

    def decided_meanwhile(path: str, *args: Any, **options: Any) -> Any:
        if path == paths.job(job_id):
            primary._decide(job_id, Digest.of(b"payload"), "aborted")
            zk.wait(b.client.sync_async(path), zk.Deadline(20))  # b's server knows of it, too
        return get_async(path, *args, **options)

    monkeypatch.setattr(b.client, "get_async", decided_meanwhile)
    cast.backup(b, epoch)
    eventually(lambda: b.did("aborted, no copy kept", job_id))
    assert cast.ack(job_id) is None
    assert list(b.copies().values()) == [b"an older copy under this id"]


def test_a_backup_that_was_cut_off_hears_of_the_decision_when_it_is_back(cast: Cast) -> None:
    a, b = cast.side("a"), cast.side("b")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    job_id = new_id()
    cast.publish(job_id, b"payload")
    cast.backup(b, epoch)
    eventually(lambda: b.did("ACK created", job_id))
    b.link.down()
    primary._decide(job_id, Digest.of(b"payload"), "aborted")
    b.link.heal()
    eventually(lambda: not b.copies(), what="the copy is dropped")


def test_a_backup_that_restarts_finds_what_it_missed(cast: Cast) -> None:
    a, b = cast.side("a"), cast.side("b")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    ids = [new_id() for _ in range(3)]
    submissions = {job_id: Ending(primary.submit, job_id, job_id.encode()) for job_id in ids}
    for job_id in ids:
        eventually(partial(a.did, "published", job_id))
    cast.backup(b, epoch)
    assert {ending.get().decision for ending in submissions.values()} == {"committed"}
    assert sorted(b.copies().values()) == sorted(job_id.encode() for job_id in ids)


def test_a_damaged_copy_is_noticed_and_never_handed_out(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    primary.submit(job_id, b"payload")
    next(a.disk.folder.iterdir()).write_bytes(b"paxload")
    with pytest.raises(InDoubt, match="damaged") as caught:
        primary.read(job_id)
    assert caught.value.ask_again == job_id
    assert primary.submit(job_id, b"payload").decision == "committed", "who brings it again mends it"
    assert primary.read(job_id) == b"payload"


def test_a_transaction_is_read_only_once_it_is_committed(cast: Cast) -> None:
    _, _, primary, backup = cast.pair()
    assert primary.read(new_id()) is None
    backup.stop()
    job_id = new_id()
    cast.publish(job_id, b"payload")
    assert primary.read(job_id) is None


# --- nobody answers -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_steps")
@pytest.mark.parametrize("replies_only", [True, False], ids=["replies lost", "all lost"])
@pytest.mark.parametrize("sent", ["record", "outcome"])
def test_a_request_that_nobody_answers_is_in_doubt_and_asking_again_finds_the_one_decision(
    cast: Cast, sent: str, replies_only: bool
) -> None:
    a, b, primary, _ = cast.pair()
    job_id = new_id()
    end = job_id if sent == "record" else "/outcome"
    cut = partial(a.link.cut, requests=not replies_only)
    with when_sent(a.client, end, cut), pytest.raises(InDoubt) as caught:
        primary.submit(job_id, b"payload")
    assert caught.value.ask_again == job_id
    assert a.has(job_id, b"payload"), "in doubt, so the copy is kept"
    if replies_only:
        eventually(lambda: cast.payload(job_id) if sent == "record" else cast.outcome(job_id))
    a.link.heal()
    assert asked_again(primary.submit, job_id, b"payload").decision == "committed"
    assert cast.decision(job_id) == "committed"
    assert a.has(job_id, b"payload")
    assert b.has(job_id, b"payload")


@pytest.mark.usefixtures("quick_steps")
@pytest.mark.parametrize("step", ["primary has it on disk", "published", "ACK received", "committed"])
def test_a_connection_lost_after_any_step_leads_to_one_decision(cast: Cast, step: str) -> None:
    """Whatever the user hears at first; and what it hears never changes."""
    a, b, primary, _ = cast.pair(IMPATIENT_S)
    job_id = new_id()
    a.on[step] = a.link.down
    ending = Ending(primary.submit, job_id, b"payload").get()
    assert isinstance(ending, (InDoubt, Outcome))
    a.link.heal()
    eventually(lambda: a.client.connected)
    again = asked_again(primary.submit, job_id, b"payload")
    assert isinstance(again, (Aborted, Outcome))
    decided = cast.outcome(job_id)
    assert decided is not None
    assert isinstance(again, Outcome) == (decided.decision == "committed")
    if isinstance(ending, Outcome):
        assert ending == decided
    if decided.decision == "committed":
        assert a.has(job_id, b"payload")
        assert b.has(job_id, b"payload")
    else:
        eventually(lambda: not a.copies() and not b.copies())


def test_a_create_that_nobody_answered_is_found_when_the_next_is_turned_down(cast: Cast) -> None:
    """It had been carried out; "nothing was written" would be a lie, and dropping the copy a loss."""
    a, b = cast.side("a"), cast.side("b")
    primary = cast.primary(a, cast.record(a, b), IMPATIENT_S)
    job_id = new_id()
    with when_sent(a.client, job_id, partial(a.link.cut, requests=False)):
        submission = Ending(primary.submit, job_id, b"payload")
        eventually(lambda: cast.payload(job_id))
    zk.wait(cast.eyes.delete_async(f"{paths.ELECTION}/{primary.epoch.backup_seat}"), zk.Deadline(20))
    a.link.down()
    a.link.heal()
    assert isinstance(submission.get(), Aborted), "decided, not just said"
    assert cast.decision(job_id) == "aborted"


def test_a_create_that_nobody_answered_before_the_primary_was_deposed_is_in_doubt(cast: Cast) -> None:
    a, b, c = cast.side("a"), cast.side("b"), cast.side("c")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch, IMPATIENT_S)
    job_id = new_id()
    with when_sent(a.client, job_id, partial(a.link.cut, requests=False)):
        submission = Ending(primary.submit, job_id, b"payload")
        eventually(lambda: cast.payload(job_id))
    successor = cast.primary(c, cast.record(c, None))
    a.link.down()
    a.link.heal()
    assert isinstance(submission.get(), InDoubt)
    assert a.has(job_id, b"payload")
    assert successor.take_over(epoch) == []
    assert isinstance(Ending(primary.submit, job_id, b"payload").get(), Aborted), "by now it can be known"


@pytest.mark.usefixtures("quick_steps")
def test_a_primary_that_hears_nothing_answers_no_read(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    primary.submit(job_id, b"payload")
    a.link.cut()
    with pytest.raises(InDoubt):
        primary.read(job_id)
    a.link.heal()
    assert asked_again(primary.read, job_id) == b"payload"


# --- fencing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves_record", [True, False], ids=["undecided", "unknown"])
def test_a_deposed_primary_is_turned_away_at_the_store(cast: Cast, leaves_record: bool) -> None:
    _, b, primary, backup = cast.pair()
    stored, other = new_id(), new_id()
    primary.submit(stored, b"stored")
    backup.stop()
    c = cast.side("c")
    cast.record(c, b)
    with pytest.raises(Fenced):
        primary.read(stored)
    with pytest.raises(Fenced):
        primary.submit(other, b"too late")
    assert cast.payload(other) is None
    if leaves_record:
        cast.publish(other, b"too late")
    with pytest.raises(InDoubt):
        primary._decide(other, Digest.of(b"too late"), "committed")
    with pytest.raises(InDoubt):
        primary._decide(other, Digest.of(b"too late"), "aborted")
    assert cast.outcome(other) is None


def test_a_deposed_backup_acknowledges_nothing(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    a, b, _, _ = cast.pair()
    cast.record(a, b)  # another epoch, of which the backup hasn't heard
    job_id = new_id()
    cast.publish(job_id, b"payload")
    eventually(lambda: "no ACK for" in caplog.text)
    assert cast.ack(job_id) is None


def test_a_deposed_primary_leaves_no_copy_of_what_it_could_not_publish(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    c = cast.side("c")
    job_id = new_id()
    a.on["primary has it on disk"] = partial(cast.record, c, a)
    with pytest.raises(Fenced):
        primary.submit(job_id, b"payload")
    assert not a.has(job_id, b"payload")


@pytest.mark.parametrize("part", ["backs up", "joins"])
def test_a_retry_at_the_new_primary_keeps_the_copy_that_the_old_one_is_about_to_drop(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The deposed primary is the new one's backup, on the same disk, and both are at the same transaction."""
    a, _, old, _ = cast.pair()
    c = cast.side("c")
    job_id = new_id()
    drop, relying = old._discard, []

    def relied_on_first(*args: Any) -> None:
        """The retry comes between the old primary's look, which found no record, and the drop."""
        cast.publish(job_id, b"payload")
        if part == "joins":
            relying.append(Ending(Backup(a.client, a.disk, cast.epoch(), "a").catch_up))
        else:
            cast.backup(a, cast.epoch())
        eventlet.sleep(0.3)  # time enough for who doesn't wait its turn to rely on the copy that is here
        drop(*args)

    a.on["primary has it on disk"] = partial(cast.record, c, a)
    monkeypatch.setattr(old, "_discard", relied_on_first)
    with pytest.raises(Fenced):
        old.submit(job_id, b"payload")
    for joining in relying:
        assert joining.get() is None
    eventually(lambda: relying or cast.ack(job_id))
    assert a.has(job_id, b"payload")


def test_what_a_deposed_primary_refuses_is_not_on_its_disk(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    c = cast.side("c")
    a.on["primary has it on disk"] = partial(cast.record, c, a)
    with pytest.raises(Fenced):
        primary.submit(new_id(), b"payload")
    assert a.copies() == {}


def test_of_two_who_believe_to_lead_only_one_decides(cast: Cast) -> None:
    _, b, old, backup = cast.pair()
    backup.stop()
    ids = [new_id() for _ in range(8)]
    for job_id in ids:
        cast.publish(job_id, b"payload", valid_ack(old.epoch, b"payload"))
    c = cast.side("c")
    decisions = [Ending(old._decide, job_id, Digest.of(b"payload"), "aborted") for job_id in ids]
    new = cast.primary(c, cast.record(c, b))
    assert new.take_over(old.epoch) == []
    for job_id, decision in zip(ids, decisions, strict=True):
        ending = decision.get()
        decided = cast.outcome(job_id)
        assert decided is not None
        assert ending == decided or isinstance(ending, InDoubt)
        assert decided.by == ("a" if decided.decision == "aborted" else "c")
        stat = zk.wait(cast.eyes.exists_async(paths.outcome(job_id)), zk.Deadline(20))
        assert stat.version == 0, "created once, never changed"


def test_a_decision_is_created_once(cast: Cast) -> None:
    """Whoever comes second learns what was decided; also the same primary."""
    _, _, primary, backup = cast.pair()
    backup.stop()
    for first, second in (("committed", "aborted"), ("aborted", "committed")):
        job_id = new_id()
        cast.publish(job_id, b"payload")
        decided = primary._decide(job_id, Digest.of(b"payload"), first)  # type: ignore[arg-type]
        assert primary._decide(job_id, Digest.of(b"payload"), second) == decided  # type: ignore[arg-type]
        assert cast.outcome(job_id) == decided


def test_a_primary_goes_on_when_only_its_backup_has_changed(cast: Cast) -> None:
    """Its own candidate writes the new epoch, and the store may show it before the candidate tells."""
    _, b, primary, backup = cast.pair()
    job_id = new_id()
    primary.submit(job_id, b"payload")
    backup.stop()
    c = cast.side("c")
    cast.backup(c, cast.change_backup(primary.epoch, c))
    assert primary.read(job_id) == b"payload"
    later = new_id()
    assert primary.submit(later, b"more").decision == "committed"
    assert c.has(later, b"more")
    assert not b.has(later, b"more")


def test_the_ack_of_a_new_backup_counts_although_nobody_has_told_the_primary_of_it_yet(cast: Cast) -> None:
    a, b, c = cast.side("a"), cast.side("b"), cast.side("c")
    epoch = cast.record(a, b)
    primary = cast.primary(a, epoch)
    job_id = new_id()
    submission = Ending(primary.submit, job_id, b"payload")
    eventually(lambda: a.did("published", job_id))
    cast.backup(c, cast.change_backup(epoch, c))
    assert isinstance(submission.get(), Outcome)
    assert c.has(job_id, b"payload")


def test_a_decision_goes_on_in_the_next_epoch_of_the_same_primary(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id = new_id()
    a.on["ACK received"] = partial(cast.change_backup, primary.epoch, None)
    assert primary.submit(job_id, b"payload").decision == "committed"


# --- taking over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledged", [True, False], ids=["with a valid ACK", "without"])
@pytest.mark.parametrize("has_copy", [True, False], ids=["has a copy", "lacks it"])
def test_who_takes_over_settles_what_is_undecided(cast: Cast, acknowledged: bool, has_copy: bool) -> None:
    a, b = cast.side("a"), cast.side("b")
    previous = cast.record(a, b)
    job_id = new_id()
    cast.publish(job_id, b"payload", valid_ack(previous, b"payload") if acknowledged else None)
    if has_copy:
        b.disk.save(job_id, b"payload")
    successor = cast.primary(b, cast.record(b, None))
    assert successor.take_over(previous) == []
    assert cast.decision(job_id) == ("committed" if acknowledged else "aborted")
    assert b.has(job_id, b"payload") == acknowledged
    assert b.copies() or not acknowledged
    assert successor.read(job_id) == (b"payload" if acknowledged else None)
    assert cast.payload(job_id) == (b"payload" if acknowledged else b"")


def test_who_takes_over_has_its_own_copy_before_it_commits(cast: Cast) -> None:
    """Who published may be its backup by now: then the copy that is acknowledged is the only other one."""
    a, b = cast.side("a"), cast.side("b")
    previous, job_id = cast.record(a, None), new_id()
    a.disk.save(job_id, b"payload")
    epoch = cast.record(b, a)
    cast.publish(job_id, b"payload", valid_ack(epoch, b"payload"))
    kept: list[bool] = []
    b.on["settled as committed"] = lambda: kept.append(b.has(job_id, b"payload"))
    assert cast.primary(b, epoch).take_over(previous) == []
    assert kept == [True]


def test_an_ack_of_an_epoch_long_gone_does_not_count_on_taking_over(cast: Cast) -> None:
    a, b = cast.side("a"), cast.side("b")
    long_gone = cast.record(a, b)
    job_id = new_id()
    cast.publish(job_id, b"payload", valid_ack(long_gone, b"payload"))
    previous = cast.record(a, None)
    successor = cast.primary(b, cast.record(b, None))
    successor.take_over(previous)
    assert cast.decision(job_id) == "aborted"


def test_what_is_lost_everywhere_is_said(cast: Cast) -> None:
    a, _, primary, _ = cast.pair()
    job_id, kept = new_id(), new_id()
    primary.submit(job_id, b"payload")
    primary.submit(kept, b"kept")
    cast.blank(job_id)
    c = cast.side("c")
    successor = cast.primary(c, cast.record(c, None))
    assert successor.take_over(primary.epoch) == [job_id]
    assert successor.read(kept) == b"kept", "fetched from ZooKeeper"
    with pytest.raises(InDoubt):
        successor.read(job_id)
    assert a.has(job_id, b"payload")


def test_a_copy_is_not_dropped_because_its_record_is_missing(cast: Cast) -> None:
    a, b, primary, backup = cast.pair()
    heard_of, missed = new_id(), new_id()
    primary.submit(heard_of, b"payload")
    primary.submit(missed, b"payload")
    eventually(lambda: not backup._copiers.running(), what="b watches the decisions")
    cast.remove(heard_of)
    eventually(
        lambda: heard_of not in backup._seen and not backup._copiers.running(),
        what="b has looked",
    )
    b.link.down()
    cast.remove(missed)
    b.link.heal()
    eventually(lambda: b.client.connected)
    assert primary.submit(new_id(), b"later").decision == "committed"
    backup.catch_up()
    successor = cast.primary(b, cast.record(b, None))
    successor.take_over(primary.epoch)
    for side in (a, b):
        assert side.has(heard_of, b"payload")
        assert side.has(missed, b"payload")


# --- members: the election gives the roles ------------------------------------------------------------------


def test_an_acknowledged_upload_survives_the_primary(cast: Cast) -> None:
    """The payload is blanked in ZooKeeper first, so the disk is what is proved."""
    a, b = cast.members("a", "b")
    payload, job_id, other = os.urandom(200_000), new_id(), new_id()
    a.primary.submit(job_id, payload)
    a.primary.submit(other, b"\xff")
    cast.blank(job_id)
    cast.blank(other)
    crash(a)
    eventually(lambda: b.member.primary, what="b leads")
    assert b.member.lost == []
    assert b.primary.read(job_id) == payload
    assert b.primary.read(other) == b"\xff"
    assert b.primary.submit(job_id, payload).decision == "committed", "a retry finds it, also at the next"


def test_a_paused_primary_is_fenced_and_comes_back_as_the_backup(cast: Cast) -> None:
    a, b = cast.members("a", "b", session_s=SESSION_S)
    job_id, meanwhile = new_id(), new_id()
    a.primary.submit(job_id, b"before")
    old = a.primary
    a.link.cut()
    eventually(lambda: b.member.primary, what="b leads")
    eventually(lambda: a.member.primary is None, what="a has noticed that it hears nothing")
    a.link.heal()
    cast.wait_for_pair(b, a)
    with pytest.raises(Fenced):
        old.read(job_id)
    with pytest.raises(Fenced):
        old.submit(new_id(), b"too late")
    assert b.primary.submit(meanwhile, b"after").decision == "committed"
    assert a.has(meanwhile, b"after")
    assert b.primary.read(job_id) == b"before"


def test_a_primary_whose_session_expires_loses_its_office(cast: Cast) -> None:
    """kazoo silently opens a new session, and a deposed process would act on it."""
    a, b = cast.members("a", "b")
    job_id = new_id()
    a.primary.submit(job_id, b"payload")
    old = a.primary
    expire(a.client)
    cast.wait_for_pair(b, a)
    assert a.member.primary is None
    with pytest.raises(Fenced):
        old.submit(new_id(), b"too late")
    assert b.primary.read(job_id) == b"payload"


def test_a_session_that_expires_while_its_primary_waits_leaves_one_decision(cast: Cast) -> None:
    a, b = cast.members("a", "b", ack_timeout_s=2.0)
    held = hold(b, b.member.backup)  # so that no ACK comes
    job_id = new_id()
    submission = Ending(a.primary.submit, job_id, b"payload")
    eventually(lambda: held.saving)
    expire(a.client)
    eventually(lambda: b.member.primary, what="b leads")
    held.released.set()
    assert cast.decision(job_id) == "aborted", "b has settled it before it served"
    ending = submission.get()
    assert isinstance(ending, (Aborted, InDoubt))
    assert b.primary.read(job_id) is None


def test_uploads_are_refused_until_the_next_in_line_has_copied_everything(cast: Cast) -> None:
    a, b, c = cast.members("a", "b", "c")
    ids = [new_id() for _ in range(3)]
    for job_id in ids:
        a.primary.submit(job_id, job_id.encode())
    assert c.copies() == {}, "standing by"
    held = hold(c, c.member)
    crash(b)
    eventually(lambda: held.saving, what="c copies")
    eventually(lambda: a.primary.epoch.backup is None)
    refused = new_id()
    with pytest.raises(NoBackup):
        a.primary.submit(refused, b"no two copies")
    assert cast.epoch().backup is None
    held.released.set()
    cast.wait_for_pair(a, c)
    assert sorted(c.copies().values()) == sorted(job_id.encode() for job_id in ids)
    assert a.primary.submit(refused, b"now there are").decision == "committed"


def test_a_backup_lost_while_a_transaction_waits_is_replaced_and_the_transaction_is_stored(
    cast: Cast,
) -> None:
    a, b, c = cast.members("a", "b", "c")
    held = hold(b, b.member.backup)
    job_id = new_id()
    submission = Ending(a.primary.submit, job_id, b"payload")
    eventually(lambda: held.saving)
    crash(b)
    assert submission.get().decision == "committed"
    ack = cast.ack(job_id)
    assert ack is not None
    assert ack.author == "c"
    assert c.has(job_id, b"payload")
    held.released.set()


def test_submissions_while_the_backup_changes_are_stored_or_refused(cast: Cast) -> None:
    """Never in doubt, and never fenced: it is one primary all the time."""
    a, b, _ = cast.members("a", "b", "c")
    endings: dict[str, Any] = {}
    pool = eventlet.GreenPool()

    def submit() -> None:
        for _ in range(15):
            job_id = new_id()
            endings[job_id] = Ending(a.primary.submit, job_id, job_id.encode()).get()
            eventlet.sleep(0.02)

    for _ in range(3):
        pool.spawn_n(submit)
    eventually(lambda: len(endings) > 6)
    expire(b.client)
    pool.waitall()
    assert {type(ending) for ending in endings.values()} <= {Outcome, NoBackup, Aborted}
    for job_id, ending in endings.items():
        assert (cast.decision(job_id) == "committed") == isinstance(ending, Outcome)
        assert a.has(job_id, job_id.encode()) == isinstance(ending, Outcome)


def test_nothing_is_served_before_everything_is_settled(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = cast.members("a", "b")
    settle, settling, go_on = TakeOver._settle, list[str](), eventlet.Event()

    def held_settle(self: TakeOver, *args: Any) -> bool:
        settling.append("begun")
        go_on.wait()
        return settle(self, *args)

    a.primary.submit(new_id(), b"payload")
    monkeypatch.setattr(TakeOver, "_settle", held_settle)
    crash(a)
    eventually(lambda: settling, what="b takes over")
    assert cast.epoch().primary == "b", "b leads by the store"
    assert b.member.primary is None, "and doesn't serve yet"
    go_on.send()
    eventually(lambda: b.member.primary)


def test_a_taking_over_that_fails_is_tried_again_and_counts_the_same_acks(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile a backup is recorded, so the epoch before is no longer the one that was ended."""
    a, b = cast.members("a", "b")
    c = cast.side("c")
    previous = cast.epoch()
    take_over, failures = Primary.take_over, [InDoubt("no answer"), OSError(errno.EIO, "broken disk")]

    def fails_at_first(self: Primary, ended: Any) -> list[str]:
        if failures:
            raise failures.pop()
        return take_over(self, ended)

    monkeypatch.setattr(Primary, "take_over", fails_at_first)
    job_id = new_id()
    crash(a)
    cast.publish(job_id, b"payload", valid_ack(previous, b"payload"))
    epoch = eventually(lambda: (found := cast.epoch()).primary == "b" and found)
    cast.take_seat(c, ready_for=epoch)
    eventually(lambda: cast.epoch().backup == "c")
    eventually(lambda: b.member.primary)
    assert failures == []
    assert cast.decision(job_id) == "committed"
    assert b.has(job_id, b"payload")


def test_a_member_whose_disk_fails_while_it_joins_tries_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = cast.members("a", "b")
    a.primary.submit(new_id(), b"payload")
    crash(b)
    eventually(lambda: a.primary.epoch.backup is None)
    with monkeypatch.context() as broken:
        fill_the_disk(broken)
        c = cast.member("c")
        eventually(lambda: c.member._candidate.seat)
        eventlet.sleep(0.2)
        assert cast.epoch().backup is None, "not ready, so not recorded"
    c.member._candidate._reconciler.wake()  # the next look, which comes by itself within seconds
    cast.wait_for_pair(a, c)
    assert list(c.copies().values()) == [b"payload"]


def whoever_leads(*sides: MemberSide) -> Primary:
    found = eventually(
        lambda: next(filter(None, (side.member.primary for side in sides)), None), what="one leads"
    )
    assert isinstance(found, Primary)
    return found


def test_acknowledged_uploads_survive_the_loss_of_the_zookeeper_leader(cast: Cast, servers: Servers) -> None:
    """Judged by the checker, from what the users heard and what is read at the end."""
    a, b = cast.members("a", "b", ack_timeout_s=2.0)
    recorder = Recorder()
    pool = eventlet.GreenPool()
    stop = zk.Deadline(100)
    after_the_kill: list[str] = []
    killed: list[int] = []

    def user(name: str) -> None:
        while not stop.passed and len(after_the_kill) < 12:
            job_id, value = new_id(), f"{name}-{time.monotonic_ns()}"
            for _ in range(6):  # in doubt: ask again
                leader = a.member.primary or b.member.primary
                if leader is None:
                    eventlet.sleep(0.1)
                    continue
                write = recorder.invoke(name, "write", job_id, value)
                try:
                    leader.submit(job_id, value.encode())
                except InDoubt:
                    write.unknown()
                    continue
                except Refused:
                    write.refused()
                    break
                write.ok()
                if killed:
                    after_the_kill.append(job_id)
                break

    for number in range(4):
        pool.spawn_n(user, f"user-{number}")
    eventually(lambda: sum(entry.outcome == "ok" for entry in recorder.history().operations) >= 10)
    leader = leader_of(servers)
    recorder.fault("kill", leader)
    servers.kill(leader)
    killed.append(leader)
    pool.waitall()
    assert len(after_the_kill) >= 12, "it goes on with two servers"
    for job_id in {operation.key for operation in recorder.history().operations}:
        found = asked_again(lambda key: whoever_leads(a, b).read(key), job_id)
        recorder.observe("reader", job_id, found.decode() if found is not None else None)
    verdict = durable(recorder.history())
    assert verdict.outcome == "held", verdict


# --- forgetting ---------------------------------------------------------------------------------------------


def test_only_old_settled_records_are_forgotten_and_never_an_undecided_one(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, primary, backup = cast.pair()
    undecided = new_id()
    backup.stop()
    cast.publish(undecided, b"undecided")
    settled = []
    for index in range(6):
        job_id = new_id()
        cast.publish(job_id, b"payload")
        primary._decide(job_id, Digest.of(b"payload"), "committed" if index % 2 else "aborted")
        settled.append(job_id)
        eventlet.sleep(0.01)
    a.disk.save(settled[1], b"payload")

    def forget() -> int:
        zk.wait(a.client.sync_async(paths.JOBS), zk.Deadline(20))  # its server may lag behind ours
        return records.forget_old(a.client, primary.epoch)

    assert forget() == 0, "few"
    monkeypatch.setattr("app.consistency.engine.records.KEEP_LAST", 2)
    monkeypatch.setattr("app.consistency.engine.transactions.KEEP_LAST", 2)
    assert forget() == 0, "young"
    monkeypatch.setattr("app.consistency.engine.transactions.KEEP_S", 0.0)
    cast.create(f"{paths.job(settled[0])}/map", b"a job's own")
    assert forget() == 3, "one of the four that are old holds a job's tasks yet"
    assert set(cast.jobs()) == {undecided, settled[0], *settled[4:]}
    assert a.has(settled[1], b"payload"), "the copies are the data"
    c = cast.side("c")
    cast.record(c, b)
    monkeypatch.setattr("app.consistency.engine.transactions.KEEP_LAST", 0)
    with pytest.raises(zk.TransactionFailed):
        forget()
    assert len(cast.jobs()) == 4, "a deposed primary forgets nothing"


def test_a_primary_forgets_now_and_then(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, primary, _ = cast.pair()
    monkeypatch.setattr("app.consistency.engine.records.KEEP_LAST", 2)
    monkeypatch.setattr("app.consistency.engine.transactions.KEEP_LAST", 2)
    monkeypatch.setattr("app.consistency.engine.transactions.KEEP_S", 0.0)
    monkeypatch.setattr("app.consistency.engine.records.TIDY_EVERY", 5)
    for _ in range(5):
        primary.submit(new_id(), b"payload")
    assert len(cast.jobs()) == 2
