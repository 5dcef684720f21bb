"""The README says what is so: its commands run."""

import re
import sys

import pytest

from tests.conftest import ROOT, Ensemble
from tests.docs.pages import typed

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.S)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
# Those with live workers are run in tests/worker; those in a pod are looked at in tests/k8s.
DEMO_LINES = [
    line
    for line in LINES
    if "python" in line and "<as printed>" not in line and not line.startswith("kubectl")
]


def test_the_readme_stays_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("target", sorted({line.split()[1] for line in LINES if line.startswith("make ")}))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)


@pytest.mark.whole
@pytest.mark.timeout(180)
@pytest.mark.parametrize("line", DEMO_LINES)
def test_every_demo_command_runs_and_says_what_it_found(line: str, ensemble: Ensemble) -> None:
    # The same command, with this interpreter, and a load for a test. Its servers, which it may harm like its
    # own, are there already; from nothing it starts in tests/demos/test_through_the_laboratory.py.
    command = line.replace(".venv/bin/python", sys.executable).replace(
        "--operations 2000", "--operations 100"
    )
    command = command.replace("127.0.0.1:2181", ensemble.hosts)
    servers = {"ZK_HOSTS": ensemble.hosts, "LAB_CONTROL": ensemble.control or ""}

    assert typed(command, servers).startswith("VERDICT ")
