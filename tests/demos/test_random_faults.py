"""The hard demo's load under random faults, to participants and to servers, from two processes of clients."""

import re

import pytest

from tests.conftest import Ensemble
from tests.demos.playing import Played, play

pytestmark = pytest.mark.whole

# Of eight clients each pauses 10 to 80 ms after every operation: so the load lasts over four seconds, however
# quick the machine is, and the first server is harmed within three.
OPERATIONS = 800
LOAD = ("--operations", str(OPERATIONS), "--clients", "8", "--faults", "random")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_full_protocol_holds_where_enough_of_the_load_ends_well(seed: str, ensemble: Ensemble) -> None:
    played = play("hard", *LOAD, "--seed", seed, "--protocol", "full", zookeeper=with_servers(ensemble))
    ok = endings(played)["ok"]
    # A machine that is too busy for most of the load leaves it in doubt, for this reason and no other.
    doubt = () if ok >= 0.6 * OPERATIONS else ("VERDICT in doubt: only ",)
    assert played.verdict.startswith(("VERDICT held: ", *doubt)), str(played)
    assert_status_agrees(played)
    load = last_act(played)
    assert re.search(r"\d x (cut|slow|crash)(?! way)", load), load
    assert re.search(r"\d x (cut|slow) way", load), load
    assert ensemble.control is None or re.search(r"\d x (kill|pause|partition) server", load), load


@pytest.mark.timeout(180)
def test_the_notes_protocol_comes_to_its_verdict_under_the_same(ensemble: Ensemble) -> None:
    """Which one, random faults decide. Where they are staged it is convicted: test_default_runs.py."""
    played = play("hard", *LOAD, "--seed", "1", "--protocol", "notes", zookeeper=with_servers(ensemble))
    assert_status_agrees(played)
    assert sum(endings(played).values()) == OPERATIONS


def assert_status_agrees(played: Played) -> None:
    outcome = played.verdict.removeprefix("VERDICT ").partition(": ")[0]
    assert {0: "held", 1: "violated", 4: "in doubt"}[played.status] == outcome, str(played)


def last_act(played: Played) -> str:
    """On one line, however the screen has wrapped it."""
    return " ".join(" ".join(played.acts[-1]).split())


def endings(played: Played) -> dict[str, int]:
    """How the load's operations ended, as its act says."""
    found = re.search(rf"of {OPERATIONS}: (\d+) ok, (\d+) refused, (\d+) unknown", last_act(played))
    assert found, str(played)
    counted = dict(zip(("ok", "refused", "unknown"), map(int, found.groups()), strict=True))
    assert sum(counted.values()) == OPERATIONS
    return counted


def with_servers(ensemble: Ensemble) -> dict[str, str]:
    return {"ZK_HOSTS": ensemble.hosts, **({"LAB_CONTROL": ensemble.control} if ensemble.control else {})}
