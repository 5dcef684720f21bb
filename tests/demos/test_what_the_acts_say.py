"""A sentence on screen is true of the moment that it speaks of: compared with the history of the same run."""

import ast
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from app.checker.history import History, Operation, answered_reads, writes
from app.checker.parsing import read_history
from app.demo import quorum_variants
from app.demo.participants import Participant
from app.demo.replica_set import ReplicaSet
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


# --- hard, with pods: a death that takes long to be noticed -------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
def test_sessions_have_expired_only_where_they_have(noticed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_variants, "DEATH_IS_NOTICED_S", 0.05)
    said: list[str] = []
    stage = SimpleNamespace(story=MagicMock(), rest=lambda seconds: None)
    stage.story.say = said.append
    replicas: Any = MagicMock(spec=ReplicaSet, stage=stage, hosts=[MagicMock(spec=Participant)] * 5)
    replicas.name = "worker-{}".format
    replicas.dead.return_value = noticed
    quorum_variants.hosts_die_while_a_client_writes(replicas)
    (sentence,) = said
    assert sentence.startswith("worker-2 and worker-3 crash")
    assert ("until their sessions have expired" in sentence) == noticed
    assert ("not both sessions have expired" in sentence) != noticed
