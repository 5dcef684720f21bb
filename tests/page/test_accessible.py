"""For everybody: axe-core finds no serious fault, the keyboard is enough, nothing is too wide."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import missing
from tests.page.conftest import Tab, photo
from tests.worker.conftest import Cluster

pytestmark = pytest.mark.whole

AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checker's source, from the npm registry; nothing of it is ours or is shipped."""
    npm = shutil.which("npm")
    if npm is None:
        missing("no npm here to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    command = [str(npm), "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    if done.returncode:
        missing(f"npm could not fetch {AXE}: {done.stderr[-300:]}")
    return (Path(folder) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    cluster: Cluster, tab_of: Callable[..., Tab], axe: str, scheme: str
) -> None:
    tab = tab_of(color_scheme=scheme)
    cluster.configure(20)
    tab.send(photo())
    tab.page.wait_for_selector("#pictures figure:nth-of-type(2)")
    tab.press("#quorum button[value=write]")
    tab.says("#quorum-said", "wrote")
    tab.press("#show-logs")
    tab.says("#panes", "ACK")
    victim = cluster.who("worker")
    cluster.kill(victim)
    tab.says(".card.gone", victim.pod)
    tab.page.wait_for_function("() => !document.getAnimations().length")  # colours fade

    tab.page.evaluate(f"{axe}; undefined")
    found: list[dict[str, Any]] = tab.page.evaluate("async () => (await axe.run()).violations")

    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert not serious, [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in serious]


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_nothing_is_wider_than_the_screen(cluster: Cluster, tab_of: Callable[..., Tab], width: int) -> None:
    cluster.configure(20)
    tab = tab_of(viewport={"width": width, "height": 900})
    tab.send(photo(), "a_file_with_a_name_that_is_as_long_as_names_of_files_from_a_camera_can_be_0001.tif")
    tab.follows("Done in")
    tab.press("#show-logs")
    tab.says("#panes", "ACK")

    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_is_enough(tab: Tab) -> None:
    reached = set()
    for _ in range(40):
        tab.page.keyboard.press("Tab")
        reached.add(
            tab.page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")
        )
    assert {
        "Skip to the job",
        "Upload",
        "Publish",
        "Write to a quorum",
        "Read from a quorum",
        "chunk",
    } <= reached

    tab.page.focus("#chunk")
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.type("512")
    tab.page.keyboard.press("Enter")

    tab.says("#config-said", "published chunk_size 512")


def test_what_changes_is_said_to_a_screen_reader(tab: Tab) -> None:
    for said in ("connection", "said", "config-said", "quorum-said"):
        assert tab.page.get_attribute(f"#{said}", "role") == "status"
    assert tab.page.locator("section[aria-labelledby]").count() >= 7
