"""`python -m lab demo`: which demos run, with which options, and which status counts."""

import signal
from pathlib import Path

import pytest

from lab import __main__ as command_line, backends
from lab.ensemble import Ensemble, UnavailableError

SCRIPT = """
import sys
with open({log!r}, "a") as log:
    print({name!r}, sys.argv[1:], file=log)
sys.exit({status})
"""


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three demos that only note that they ran; easy is in doubt, medium is violated, hard held."""
    log = tmp_path / "log"
    for name, status in (("easy", 4), ("medium", 1), ("hard", 0)):
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(log=str(log), name=name, status=status))
    demos = {name: str(tmp_path / f"{name}.py") for name in ("easy", "medium", "hard")}
    monkeypatch.setattr(command_line, "DEMOS", demos)
    monkeypatch.setenv("ZK_HOSTS", "nowhere:1")
    return log


def test_all_run_in_order_and_the_worst_status_counts(log: Path) -> None:
    assert command_line.main(["demo"]) == 1
    assert log.read_text() == "easy []\nmedium []\nhard []\n"


def test_each_demo_is_announced_with_its_claim_before_it_begins(
    log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command_line.main(["demo", "hard", "easy", "--json"])
    announced = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lab: demo ")]
    assert [line.split(":")[1] for line in announced] == [" demo hard", " demo easy"]
    assert "every read returns the newest completed write" in announced[0]
    assert log.read_text().startswith("hard")


def test_those_named_run_and_get_the_options(log: Path) -> None:
    assert command_line.main(["demo", "hard", "easy", "--seed", "3", "--json"]) == 4
    assert log.read_text() == "hard ['--seed', '3', '--json']\neasy ['--seed', '3', '--json']\n"


def test_simulated_goes_to_the_demos_and_no_servers_are_looked_for(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZK_HOSTS")
    monkeypatch.setattr(backends, "BACKENDS", {})
    assert command_line.main(["demo", "hard", "--simulated", "--seed", "3"]) == 0
    assert log.read_text() == "hard ['--seed', '3', '--simulated']\n"


def test_a_backend_that_was_asked_for_and_is_not_there_is_no_reason_to_simulate(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> Ensemble:
        raise UnavailableError("no engine")

    monkeypatch.delenv("ZK_HOSTS")
    monkeypatch.setattr(backends, "BACKENDS", {"docker": unavailable})
    assert command_line.main(["demo", "hard", "--backend", "docker"]) == 3
    assert not log.exists()


def test_the_handlers_of_signals_are_as_before_afterwards(log: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert command_line.main(["demo", "hard"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
