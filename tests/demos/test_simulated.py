"""``--simulated``: the demos' own acts without ZooKeeper, in virtual time; and the ladder that ends there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo import simulated
from app.errors import BadSettingError
from tests.demos.playing import DEMOS, ROOT, Played, Playing, play

ALONE: dict[str, str] = {}


def played(demo: str, *options: str, seed: int = 5) -> Played:
    return play(demo, "--simulated", "--seed", str(seed), *options, zookeeper=ALONE)


@pytest.mark.parametrize("demo", DEMOS)
def test_all_acts_are_played_and_the_first_line_and_the_verdict_say_simulated(demo: str) -> None:
    run = played(demo)

    assert run.lines[0].startswith("simulated: ")
    assert run.verdict.startswith("VERDICT held: "), str(run)
    assert run.verdict.endswith("; simulated")
    assert run.notes[0].startswith("NOTES violated: ")
    assert len(run.acts) >= 7
    assert "disturbed" not in run.stdout
    assert (run.status, run.stderr, run.left) == (0, "", [])


@pytest.mark.parametrize("demo", DEMOS)
def test_the_same_seed_is_the_same_screen_and_the_same_history(demo: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first", "second", "other")]
    first, second, other = (
        played(demo, "--history", str(file), seed=seed).stdout
        for file, seed in zip(files, (5, 5, 6), strict=True)
    )

    assert first == second
    assert files[0].read_bytes() == files[1].read_bytes()
    assert first != other
    assert files[0].read_bytes() != files[2].read_bytes()


@pytest.mark.parametrize("demo", DEMOS)
def test_a_larger_load_under_faults_holds_too(demo: str) -> None:
    run = played(demo, "--protocol", "full", "--operations", "200", "--clients", "8", "--faults", "random")

    assert run.verdict.startswith("VERDICT held: "), str(run)


def test_the_notes_backup_follows_its_jobs_though_its_server_lags_behind() -> None:
    """Seed 37: just then it does."""
    run = played("medium", "--protocol", "notes", seed=37)

    assert run.verdict.startswith("VERDICT violated: ")
    assert "disturbed" not in run.stdout, str(run)
    assert run.stderr == ""


def test_each_step_waits_for_enter_and_shows_no_command_for_servers_that_are_not_there() -> None:
    with Playing("easy", "--simulated", "--seed", "5", "--step", zookeeper=ALONE, talkative=True) as playing:
        for act in range(1, 8):
            playing.wait_for(f"Act {act}: ")
            assert f"Act {act + 1}: " not in playing.stdout
            playing.enter()
        run = playing.finish()

    assert run.verdict.startswith("VERDICT held: "), str(run)
    assert "zkCli" not in run.stdout


def test_a_pod_says_that_it_has_no_simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(simulated, "_TOP", tmp_path)

    with pytest.raises(BadSettingError, match="for a clone of the project"):
        simulated.start_over(5)


def test_the_ladders_last_rung_plays_all_three_and_names_what_would_make_it_real(tmp_path: Path) -> None:
    """No ZK_HOSTS, no engine, and a PATH and a home with nothing in them: so neither Java nor apt-get."""
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "EVENTLET"))}

    ladder = subprocess.run(
        [sys.executable, "-m", "lab", "demo", "--operations", "20"],
        cwd=ROOT, env=kept | nothing, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip

    said = next(line for line in ladder.stderr.splitlines() if line.startswith("lab: simulated, "))
    assert "docker: no Docker engine answers" in said
    assert "java: no ZooKeeper that Java can run: " in said
    verdicts = [line for line in ladder.stdout.splitlines() if line.startswith("VERDICT held: ")]
    assert [line.endswith("; simulated") for line in verdicts] == [True, True, True]
    assert ladder.returncode == 0, ladder.stdout + ladder.stderr
