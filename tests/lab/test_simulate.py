"""``make simulate`` as its users run it: what holds, what is convicted, and what repeats."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from proof.simulation import WORLDS
from tests.conftest import ROOT
from tests.exercises.copies import PATCHES
from tests.lab.test_proof_command import run

_TIMEOUT_S = 300


def simulate(tree: Path, *options: str, world: str = "quorum") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "proof", "simulate", "--world", world, *options],
        cwd=tree, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which a read asks with a plain get."""
    from proof.mutants import patching

    tree = patching.copy_of_the_tree(tmp_path_factory.mktemp("broken"), ("app", "lab", "proof"))
    subprocess.run(["git", "apply", str(PATCHES / "plain_get.patch")], cwd=tree, check=True)
    return tree


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_holds_and_says_what_was_done(world: str) -> None:
    done = simulate(ROOT, "--seeds", "2", world=world)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^VERDICT held: no promise was broken in 2 seeds \(\d+ operations", done.stdout, re.M)


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_seed_twice_is_the_same_history(world: str, tmp_path: Path) -> None:
    histories = []
    for name in ("once", "twice"):
        assert simulate(ROOT, "--seed", "7", "--export", str(tmp_path / name), world=world).returncode == 0
        histories.append((tmp_path / name / f"{world}-7.jsonl").read_bytes())
    assert histories[0] == histories[1]
    assert histories[0]


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_what_breaks_is_convicted_made_small_drawn_and_repeated_by_one_command(broken: Path) -> None:
    found = simulate(broken, "--seconds", "120", "--timeline", "seen.html")
    assert found.returncode == 1, found.stdout
    verdict = found.stdout.splitlines()[-1]
    assert verdict.startswith("VERDICT violated: linearizable: client-")
    assert "linearizable" in (broken / "seen.html").read_text()
    [history] = broken.glob("simulate-results/*.jsonl")
    once = history.read_bytes()
    # A stale read needs a write, a later one and a read; most seeds have two hundred operations.
    assert once.count(b'"op": "read"') + once.count(b'"op": "write"') < 60
    command = re.search(r"make simulate OPTIONS='(.*)'", found.stdout)
    assert command is not None
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "proof", "simulate", *shlex.split(command[1])],
        cwd=broken, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1] == verdict
    assert history.read_bytes() == once


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--world", "gossip"], "invalid choice: 'gossip'"),
        (["--seconds", "0"], "'0' is no number of seconds"),
        (["--faults", "all"], "'all' is no list of numbers"),
    ],
)
def test_bad_usage_is_one_line(options: list[str], cause: str) -> None:
    done = run("proof", "simulate", *options)
    assert done.returncode == 2
    assert cause in done.stderr
    assert done.stderr.count("\n") == 1
