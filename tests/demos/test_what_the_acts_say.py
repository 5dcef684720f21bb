"""A sentence on screen is true of the moment that it speaks of: compared with the history of the same run."""

import ast
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

import demo_easy_eventual as easy_demo
import demo_hard_quorum as hard_demo
import demo_medium_primary_backup as medium_demo
from app.checker.history import History, Operation, answered_reads, writes
from app.checker.parsing import read_history
from app.consistency.eventual import Copy
from app.demo import copies as copies_module, quorum_variants
from app.demo.copies import Copies
from app.demo.participants import Participant
from app.demo.replica_set import ReplicaSet
from app.errors import InDoubt
from tests.demos.conftest import DefaultRun

Run = Callable[[str], DefaultRun]


# --- easy: two publishers, blind and with a conditional set -------------------------------------------------


@pytest.fixture
def easy(default_run: Run) -> DefaultRun:
    return default_run("easy")


@pytest.mark.timeout(180)
def test_what_the_blind_publishers_read_is_what_was_there_before_they_wrote(easy: DefaultRun) -> None:
    ada, bob = re.findall(r"(?:ada|bob) reads (\{.*?\})", said_in(easy, 2))
    before = written(easy, "setup", "notes/chunk_size")
    assert ast.literal_eval(ada) == ast.literal_eval(bob) == {"chunk_size": before.value}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("act", "protocol"), [(2, "notes"), (3, "full")])
def test_what_two_publishers_publish_and_every_replica_ends_with_is_what_was_recorded(
    act: int, protocol: str, easy: DefaultRun
) -> None:
    said = said_in(easy, act)
    size, reducers = (int(number) for number in re.findall(r"publishes \w+=(\d+)", said))
    ada = written(easy, "ada", f"{protocol}/chunk_size")
    bob = written(easy, "bob", f"{protocol}/reducers")
    assert (size, reducers) == (ada.value, bob.value)
    assert ada.outcome == bob.outcome == "ok"

    ended = re.search(r"every replica ends with (\{.*?\})", said)
    assert ended
    ends = ends_of(easy, protocol, after=max(ada.ended_ns, bob.ended_ns))
    assert len(ends) == 5
    assert all(end == ast.literal_eval(ended[1]) for end in ends.values()), (ended[0], ends)
    assert ("chunk_size", size) in ast.literal_eval(ended[1]).items() or protocol == "notes"
    assert ("reducers", reducers) in ast.literal_eval(ended[1]).items()


def said_in(run: DefaultRun, act: int) -> str:
    """An act on one line, however the screen has wrapped it."""
    return " ".join(" ".join(run.played.acts[act - 1]).split())


def history_of(run: DefaultRun) -> History:
    with run.history.open(encoding="utf-8") as lines:
        return read_history(lines)


def written(run: DefaultRun, process: str, key: str) -> Operation:
    """The first write of this process to this key."""
    found = writes(history_of(run).operations)
    return next(write for write in found if (write.process, write.key) == (process, key))


def ends_of(run: DefaultRun, protocol: str, after: float) -> dict[str, dict[str, object]]:
    """What each replica held last, of what was read after that moment and before the next write."""
    operations = history_of(run).operations
    later = [write.invoked_ns for write in writes(operations) if write.invoked_ns > after]
    until = min(later, default=float("inf"))
    ends: dict[str, dict[str, object]] = {}
    for read in answered_reads(operations):
        if read.key.startswith(f"{protocol}/") and after < read.invoked_ns < until:
            ends.setdefault(read.process, {})[read.key.partition("/")[2]] = read.value
    return ends


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """On a stage that passes every write on."""
    stage: Any = MagicMock()
    stage.write = lambda process, key, value, action: action()
    return Copies(stage)


def test_the_sets_of_a_publication_are_counted(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    def loses_twice(client: Any, change: object) -> Copy:
        client.get_async("/config")
        for _ in range(3):
            client.set_async("/config", change)
        return Copy(7)

    monkeypatch.setattr(copies_module, "publish", loses_twice)
    client = MagicMock()
    assert copies.publish("ada", client, "chunk_size", 3001) == client.set_async.call_count == 3


def test_what_all_copies_hold_is_said_only_if_all_hold_it(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: Any = copies.stage
    stage.present = held = [Copy(7, {"chunk_size": 1}), Copy(7, {"chunk_size": 1})]
    monkeypatch.setattr(copies, "of", lambda one: SimpleNamespace(copy=one))
    assert copies.common() == held[0]
    held[1] = Copy(7, {"chunk_size": 2})
    with pytest.raises(InDoubt, match="different values"):
        copies.common()


# --- hard: what was read, and what was completed before -----------------------------------------------------


@pytest.fixture
def hard(default_run: Run) -> DefaultRun:
    return default_run("hard")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("act", "protocol", "colour"), [(2, "notes", "green"), (3, "full", "blue")])
def test_a_read_of_1_2_3_returned_what_the_act_says(
    act: int, protocol: str, colour: str, hard: DefaultRun
) -> None:
    said = re.search(r"returns (\w+-\d+)", said_in(hard, act))
    reads = [read for read in answered_reads(history_of(hard).operations) if read.key.startswith(protocol)]
    assert said
    assert said[1] == reads[0].value
    assert said[1].startswith(colour)


@pytest.mark.timeout(180)
def test_a_refused_write_leaves_the_last_completed_value(hard: DefaultRun) -> None:
    found = re.search(r"a read returns (\S+); the last completed value was (\S+)", said_in(hard, 7))
    assert found
    assert found[1] == found[2]
    assert found[1] in {write.value for write in writes(history_of(hard).operations) if write.outcome == "ok"}


# --- what must not happen is said if it happens -------------------------------------------------------------

ALARMS = re.compile(r"PUBLISHED|STORED|NOT |SUCCEEDS|A REPLICA|DISAGREE")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("demo", "sentences"),
    [
        ("easy", ["chunk_size=-1 is refused at its publisher: "]),
        ("medium", ["its read: Fenced", "its write: Fenced", "belongs to another payload", "(Aborted)"]),
        ("hard", ["ends in TooFewReplicas", "no replica has changed", "of three random replicas, agree: "]),
    ],
)
def test_a_run_says_that_each_guard_has_held(demo: str, sentences: list[str], default_run: Run) -> None:
    played = default_run(demo).played
    said = " ".join(played.stdout.split())
    assert [sentence for sentence in sentences if sentence not in said] == [], str(played)
    assert not ALARMS.search(said), str(played)


def said_by(act: Callable[[Any], None], group: MagicMock) -> str:
    """What an act says of participants that let everything pass."""
    act(group)
    return " ".join(call.args[0] for call in group.stage.story.say.call_args_list)


def test_a_configuration_that_should_be_refused_is_seen_to_be_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(easy_demo, "overwrite", MagicMock())
    monkeypatch.setattr(easy_demo, "publish", lambda client, change: Copy(7, change))
    assert "chunk_size=-1 is PUBLISHED: {'chunk_size': -1}" in said_by(easy_demo.code_stays_text, MagicMock())


def test_a_request_that_should_be_refused_is_seen_to_be_stored() -> None:
    pair = MagicMock()
    pair.ready.return_value = (MagicMock(), MagicMock())
    pair.request.return_value = ("an-id", "order-1")
    pair.leading.return_value.read.return_value = b"order-1"
    assert "the user is answered: STORED" in said_by(medium_demo.backup_dies, pair)
    assert "with a different payload: STORED" in said_by(medium_demo.the_same_request_again, pair)
    said = said_by(medium_demo.primary_cut_off, pair)
    assert "its read: NOT FENCED: b'order-1'" in said
    assert "its write: NOT FENCED: STORED" in said


def test_a_notes_primary_that_aborts_nothing_is_seen_to_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medium_demo, "NotesPair", MagicMock())
    monkeypatch.setattr(medium_demo, "judge_payloads", MagicMock())
    assert "the user is answered: STORED" in said_by(medium_demo.notes_backup_dies, MagicMock())


def test_replicas_that_should_refuse_or_agree_are_seen_not_to() -> None:
    replicas = MagicMock()
    replicas.holdings.side_effect = ["before", "after"]
    replicas.client.return_value.write.return_value = "v-1"
    said = said_by(hard_demo.too_few, replicas)
    assert "a write with two hosts SUCCEEDS: v-1" in said
    assert "A REPLICA has changed" in said
    replicas.stage.run_all.return_value = ("v-2", "v-3")
    replicas.client.return_value.read.side_effect = ["v-2", "v-3", "v-2"]
    assert "DISAGREE: " in said_by(hard_demo.two_writers, replicas)


# --- hard, with pods: a death that takes long to be noticed -------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
def test_sessions_have_expired_only_where_they_have(noticed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_variants, "DEATH_IS_NOTICED_S", 0.05)
    said: list[str] = []
    stage = SimpleNamespace(story=MagicMock(), rest=lambda seconds: None)
    stage.story.say = said.append
    hosts = [MagicMock(spec=Participant) for _ in range(5)]
    for number, host in enumerate(hosts, 1):
        host.name = f"worker-{number}"
    replicas: Any = MagicMock(spec=ReplicaSet, stage=stage, hosts=hosts)
    replicas.dead.return_value = noticed
    quorum_variants.hosts_die_while_a_client_writes(replicas)
    (sentence,) = said
    assert sentence.startswith("worker-2 and worker-3 crash")
    assert ("until their sessions have expired" in sentence) == noticed
    assert ("not both sessions have expired" in sentence) != noticed
