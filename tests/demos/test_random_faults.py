"""The hard demo's load under random faults, to participants and to servers, from two processes of clients."""

import re

import pytest

from tests.conftest import Ensemble
from tests.demos.playing import Played, play

pytestmark = pytest.mark.whole

LOAD = ("--operations", "300", "--clients", "8", "--faults", "random")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_full_protocol_holds_and_most_operations_end_well(seed: str, ensemble: Ensemble) -> None:
    played = play("hard", *LOAD, "--seed", seed, "--protocol", "full", zookeeper=with_servers(ensemble))
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0
    assert endings(played)["ok"] >= 0.6 * 300
    load = " ".join(played.acts[-1])
    assert " x cut" in load
    assert ensemble.control is None or " server" in load


@pytest.mark.timeout(180)
def test_the_notes_protocol_is_convicted_under_the_same(ensemble: Ensemble) -> None:
    played = play("hard", *LOAD, "--seed", "1", "--protocol", "notes", zookeeper=with_servers(ensemble))
    assert played.verdict.startswith("VERDICT violated: "), str(played)
    assert played.status == 1
    assert sum(endings(played).values()) == 300


def endings(played: Played) -> dict[str, int]:
    """How the load's operations ended, as its act says."""
    found = re.search(r"of 300: (\d+) ok, (\d+) refused, (\d+) unknown", " ".join(played.acts[-1]))
    assert found, str(played)
    counted = dict(zip(("ok", "refused", "unknown"), map(int, found.groups()), strict=True))
    assert sum(counted.values()) == 300
    return counted


def with_servers(ensemble: Ensemble) -> dict[str, str]:
    return {"ZK_HOSTS": ensemble.hosts, **({"LAB_CONTROL": ensemble.control} if ensemble.control else {})}
