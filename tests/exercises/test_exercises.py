"""Each exercise of docs/break-it-yourself.md: the patch applies, and the checker convicts what it breaks.

The scenes run as a student runs them, in a process of their own, on a copy of the tree, and on the tree as it
is. Two of them cut ZooKeeper's own servers off from each other.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proof.mutants.patching import DoesNotApply, apply
from tests.conftest import ROOT, Ensemble
from tests.docs.pages import PYTHON, Block, blocks
from tests.exercises.copies import PATCHES, copy_of_the_tree, is_accepted, tools

PAGE = "docs/break-it-yourself.md"
# The operation that convicts, in the verdict's own words.
CONVICTED = {
    "no_write_back": r'bob read "v-\d+" .* although ada had already read "v-\d+"',
    "clients_id": r'bob read "v-\d+" .* although ada\'s write of "v-\d+" had been completed',
    "no_epoch_check": r"user was told .* is stored, yet node-1 found nothing there",
    "ack_first": r"user was told .* is stored, yet disk of node-2 found nothing there",
    "plain_get": r'ada read "v-\d+" .* although writer\'s write of "v-\d+" had been completed',
    "blind_publisher": r'bob was told .* "full/reducers" = \d+ was published, but every replica ended',
}
HARM_SERVERS = ("no_epoch_check", "plain_get")
SCENE_S = 150.0


def scene(name: str, tree: Path, ensemble: Ensemble) -> "subprocess.Popen[str]":
    """Begun, with this ensemble."""
    environ = {key: value for key, value in os.environ.items() if key not in ("ZK_HOSTS", "LAB_CONTROL")}
    environ["ZK_HOSTS"] = ensemble.hosts
    if ensemble.control:
        environ["LAB_CONTROL"] = ensemble.control
    return subprocess.Popen(
        [sys.executable, "-m", f"docs.exercises.{name}"],
        cwd=tree,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(run: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its status, and all that it said."""
    try:
        said, _ = run.communicate(timeout=SCENE_S)
    except subprocess.TimeoutExpired:
        run.kill()
        said, _ = run.communicate()
        pytest.fail(f"still running after {SCENE_S:g} s:\n{said}")
    return run.returncode, said


ALONE = [name for name in CONVICTED if name not in HARM_SERVERS]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return copy_of_the_tree(tmp_path)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name", [ALONE[0], *(pytest.param(name, marks=pytest.mark.whole) for name in ALONE[1:])]
)
def test_the_tree_as_it_is_holds_and_with_the_patch_it_is_convicted(
    name: str, tree: Path, ensemble: Ensemble
) -> None:
    apply(PATCHES / f"{name}.patch", tree)
    as_it_is, patched = scene(name, ROOT, ensemble), scene(name, tree, ensemble)  # in runs of their own
    held, violated = ended(as_it_is), ended(patched)
    check(held, violated, CONVICTED[name])


@pytest.mark.whole
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("servers")  # skipped where they are somebody else's; mended, whatever happens
@pytest.mark.parametrize("name", HARM_SERVERS)
def test_the_same_where_the_servers_are_harmed(name: str, tree: Path, ensemble: Ensemble) -> None:
    apply(PATCHES / f"{name}.patch", tree)
    held = ended(scene(name, ROOT, ensemble))
    violated = ended(scene(name, tree, ensemble))
    check(held, violated, CONVICTED[name])


def check(held: tuple[int, str], violated: tuple[int, str], words: str) -> None:
    status, said = held
    assert status == 0, said
    assert last_line(said).startswith("VERDICT held: "), said
    status, said = violated
    assert status == 1, said
    assert re.match(f"VERDICT violated: {words}", last_line(said)), said


def last_line(said: str) -> str:
    return said.rstrip().rpartition("\n")[2]


def test_small_quorums_are_refused_before_anything_is_done(tree: Path) -> None:
    apply(PATCHES / "small_quorums.patch", tree)
    done = subprocess.run(
        [sys.executable, "demo_hard_quorum.py"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "r=2 + w=2 is not over n=5" in done.stderr


# --- the patches and the page ------------------------------------------------------------------------------


ALL = sorted(path.stem for path in PATCHES.glob("*.patch"))


def test_every_patch_is_tried_here() -> None:
    assert set(ALL) == {*CONVICTED, "small_quorums"}


@pytest.mark.parametrize("name", ALL)
def test_every_tool_of_this_machine_takes_the_patch(name: str, tree: Path) -> None:
    assert all(is_accepted(command, PATCHES / f"{name}.patch", tree) for command in tools())


def test_a_patch_for_another_tree_is_refused_aloud(tree: Path) -> None:
    changed = tree / "app" / "consistency" / "quorum.py"
    changed.write_text(changed.read_text(encoding="utf-8").replace("N, W, R = 5, 3, 3", "N, W, R = 5, 3, 4"))
    with pytest.raises(DoesNotApply, match=r"small_quorums\.patch: app/consistency/quorum\.py has 0 places"):
        apply(PATCHES / "small_quorums.patch", tree)


@pytest.mark.parametrize("name", ALL)
def test_the_page_says_how_to_apply_it_what_to_run_and_how_to_take_it_back(name: str) -> None:
    (block,) = [one for one in exercises() if any(f"/{name}.patch" in line for line in one.lines)]
    scene_or_demo = "demo_hard_quorum.py" if name == "small_quorums" else f"-m docs.exercises.{name}"
    assert block.lines[0] == f"patch -p1 < docs/exercises/{name}.patch"
    assert scene_or_demo in block.lines[1]
    assert block.lines[2] == f"patch -p1 -R < docs/exercises/{name}.patch"


@pytest.mark.skipif(shutil.which("patch") is None, reason="no `patch` on this machine")
@pytest.mark.parametrize("name", ALL)
def test_taken_back_the_tree_is_as_it_was(name: str, tree: Path) -> None:
    (block,) = [one for one in exercises() if any(f"/{name}.patch" in line for line in one.lines)]
    before = {path: path.read_bytes() for path in tree.rglob("*.py")}
    for line in (block.lines[0], block.lines[2]):
        subprocess.run(["sh", "-c", line], cwd=tree, check=True, capture_output=True, timeout=100)
    assert {path: path.read_bytes() for path in tree.rglob("*.py")} == before


def exercises() -> list[Block]:
    """Those with a scene; the search with a seed is run in tests/lab/test_simulate.py."""
    found = [block for block in blocks(PAGE) if block.kind == "sh" and block.text.startswith("patch ")]
    return [block for block in found if "make simulate" not in block.text]


def test_every_scene_is_run_as_the_page_says() -> None:
    for block in exercises():
        command = block.lines[1]
        assert command.startswith((f"{PYTHON} -m lab run -- {PYTHON} -m docs.exercises.", f"{PYTHON} demo_"))
