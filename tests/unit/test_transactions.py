"""The rules of deciding a transaction: pure, so they are tried on everything that hypothesis thinks of."""

import uuid

import pytest
from hypothesis import assume, given, strategies as st

from app.consistency.engine import transactions
from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.consistency.engine.transactions import (
    KEEP_LAST,
    KEEP_S,
    Ack,
    Decision,
    Digest,
    Outcome,
    forgettable,
    job_id_for,
)
from app.consistency.primary_backup import backup_step, is_valid_ack, takeover_decision
from app.errors import Malformed
from app.zookeeper import paths

DECISIONS: tuple[Decision, Decision] = ("committed", "aborted")

names = st.sampled_from(["a", "b", "c"])
numbers = st.integers(0, 4)
payloads = st.binary(max_size=3)
epochs = st.builds(Epoch, number=numbers, primary=names, backup=st.none() | names)


def ack_of(author: str, number: int, payload: bytes) -> Ack:
    digest = Digest.of(payload)
    return Ack(author=author, epoch=number, size=digest.size, sha256=digest.sha256)


# --- which ACK counts ---------------------------------------------------------------------------------------


@given(names, numbers, payloads, epochs, payloads)
def test_an_ack_counts_if_and_only_if_author_epoch_and_payload_are_the_expected_ones(
    author: str, number: int, acknowledged: bytes, epoch: Epoch, payload: bytes
) -> None:
    expected = author == epoch.backup and number == epoch.number and acknowledged == payload
    assert is_valid_ack(ack_of(author, number, acknowledged), epoch, Digest.of(payload)) == expected


@given(epochs, payloads, st.integers(0, 9))
def test_an_ack_of_the_right_digest_and_a_wrong_size_does_not_count(
    epoch: Epoch, payload: bytes, size: int
) -> None:
    assume(size != len(payload) and epoch.backup is not None)
    ack = ack_of(epoch.backup or "", epoch.number, payload).model_copy(update={"size": size})
    assert not is_valid_ack(ack, epoch, Digest.of(payload))


@given(names, numbers, payloads)
def test_no_ack_counts_in_an_epoch_without_a_backup(author: str, number: int, payload: bytes) -> None:
    alone = Epoch(number, "a", "a~seat")
    assert not is_valid_ack(ack_of(author, number, payload), alone, Digest.of(payload))


# --- what a new primary decides -----------------------------------------------------------------------------


@given(st.none() | st.builds(ack_of, names, numbers, payloads), st.lists(epochs, max_size=3), payloads)
def test_a_new_primary_commits_only_on_an_ack_that_counts_in_one_of_its_epochs(
    ack: Ack | None, known: list[Epoch], payload: bytes
) -> None:
    digest = Digest.of(payload)
    expected = ack is not None and any(is_valid_ack(ack, epoch, digest) for epoch in known)
    assert takeover_decision(ack, known, digest) == ("committed" if expected else "aborted")


@given(payloads)
def test_before_the_first_epoch_everything_is_aborted(payload: bytes) -> None:
    assert takeover_decision(ack_of("b", 0, payload), (NO_EPOCH,), Digest.of(payload)) == "aborted"


# --- what a backup does -------------------------------------------------------------------------------------

COMMITTED, ABORTED = (Outcome.of(decision, NO_EPOCH, Digest.of(b"payload")) for decision in DECISIONS)


@pytest.mark.parametrize(
    ("outcome", "payload", "blanked", "step"),
    [
        (None, b"payload", False, "copy and acknowledge"),
        (None, b"", False, "copy and acknowledge"),
        (None, b"", True, "leave"),  # aborted, and its outcome is on the way
        (None, None, False, "leave"),  # forgotten: no reason to drop a copy
        (COMMITTED, b"payload", False, "copy"),
        (COMMITTED, b"another", False, "refuse"),
        (COMMITTED, None, False, "leave"),
        (ABORTED, b"payload", False, "drop"),
        (ABORTED, b"", True, "drop"),
        (ABORTED, None, False, "drop"),
    ],
)
def test_a_backup_copies_what_may_be_committed_and_drops_only_what_is_aborted(
    outcome: Outcome | None, payload: bytes | None, blanked: bool, step: str
) -> None:
    assert backup_step(outcome, payload, blanked) == step


# --- what may be forgotten ----------------------------------------------------------------------------------

settled_lists = st.lists(
    st.tuples(st.floats(0, 3 * KEEP_S), st.integers(0, 30).map(str)),
    max_size=30,
    unique_by=lambda pair: pair[1],
)


@given(settled_lists, st.floats(0, 4 * KEEP_S), st.integers(0, 5))
def test_only_what_is_old_and_not_among_the_last_is_forgotten(
    settled: list[tuple[float, str]], now_s: float, keep_last: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "KEEP_LAST", keep_last)
        gone = set(forgettable(settled, now_s))
    kept = {job_id for _, job_id in settled} - gone
    decided_s = {job_id: second for second, job_id in settled}
    assert all(now_s - decided_s[job_id] > KEEP_S for job_id in gone)
    assert len(kept) >= min(keep_last, len(settled))
    too_young = {job_id for job_id in kept if now_s - decided_s[job_id] <= KEEP_S}
    assert len(kept - too_young) <= keep_last, "and nothing is kept for ever"
    if gone and kept:
        assert max(decided_s[job_id] for job_id in gone) <= min(decided_s[job_id] for job_id in kept)


def test_the_last_thousand_stay_however_old() -> None:
    settled = [(float(second), f"{second:04}") for second in range(KEEP_LAST + 2)]
    assert forgettable(settled, now_s=1e9) == ["0000", "0001"]
    assert forgettable(settled, now_s=float(KEEP_LAST)) == []


# --- ids ----------------------------------------------------------------------------------------------------


@given(st.text())
def test_the_same_request_has_the_same_id_which_can_stand_in_a_path(request_id: str) -> None:
    job_id = job_id_for(request_id)
    assert job_id == job_id_for(request_id) == job_id_for(job_id)
    assert paths.checked(job_id) == job_id


@given(st.text(), st.text())
def test_different_requests_have_different_ids(one: str, other: str) -> None:
    assume(not is_uuid(one) and not is_uuid(other) and one != other)
    assert job_id_for(one) != job_id_for(other)


@given(st.uuids())
def test_a_uuid_is_taken_as_it_is_however_it_is_written(request_id: uuid.UUID) -> None:
    forms = [str(request_id), request_id.hex, str(request_id).upper(), f"{{{request_id}}}", request_id.urn]
    assert {job_id_for(form) for form in forms} == {str(request_id)}


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


# --- bytes in znodes are input ------------------------------------------------------------------------------


@given(st.binary() | st.text().map(str.encode))
def test_what_is_no_record_is_refused_with_a_message(data: bytes) -> None:
    for record in (Ack, Outcome):
        with pytest.raises(Malformed, match=f"is no {record.__name__}"):
            record.from_bytes(data)


@given(st.builds(ack_of, names, numbers, payloads))
def test_a_record_is_read_as_it_was_written(ack: Ack) -> None:
    assert Ack.from_bytes(ack.to_bytes()) == ack
    outcome = Outcome(decision="aborted", by=ack.author, epoch=ack.epoch, size=ack.size, sha256=ack.sha256)
    assert Outcome.from_bytes(outcome.to_bytes()) == outcome
    with pytest.raises(Malformed):
        Ack.from_bytes(outcome.to_bytes())


@pytest.mark.parametrize("decision", ["Committed", "commit", "", "unknown"])
def test_there_are_two_decisions(decision: str) -> None:
    data = Outcome(decision="aborted", by="a", epoch=1, size=0, sha256="").to_bytes()
    with pytest.raises(Malformed):
        Outcome.from_bytes(data.replace(b"aborted", decision.encode()))


# --- epochs -------------------------------------------------------------------------------------------------


@given(epochs, names)
def test_every_change_is_the_next_number_and_the_next_version(epoch: Epoch, name: str) -> None:
    for changed in (
        epoch.led_by(name, "seat"),
        epoch.backed_up_by(name, "seat"),
        epoch.backed_up_by(None, None),
    ):
        assert changed.number == epoch.number + 1
        assert changed.znode_version == epoch.znode_version + 1
        assert Epoch.from_znode(changed.to_bytes(), changed.znode_version) == changed


@given(epochs, names)
def test_who_takes_over_has_no_backup_and_a_change_of_backup_keeps_the_primary(
    epoch: Epoch, name: str
) -> None:
    assert epoch.led_by(name, "seat").backup is None
    assert epoch.led_by(name, "seat").backup_seat is None
    assert epoch.backed_up_by(name, "seat").primary == epoch.primary


@given(st.binary() | st.text().map(str.encode))
def test_what_is_no_epoch_is_refused_with_a_message(data: bytes) -> None:
    with pytest.raises(Malformed, match="is no epoch"):
        Epoch.from_znode(data, 0)
