"""Every command of the lesson's pages: run as a student types it, or, for a cluster, looked at.

The blocks of the exercises are run in tests/exercises, with the patch between.
"""

import re
import shlex
import subprocess
import sys

import pytest

from proof.__main__ import _parser as proof_parser
from tests.conftest import ROOT, Ensemble
from tests.docs.pages import PYTHON, commands, prose, typed
from tests.docs.test_pages import PAGES
from tests.k8s import test_documented_commands as cluster
from tests.test_readme import DEMO_LINES

INLINE = re.compile(
    r"`((?:make|kubectl|docker|minikube|eval|patch|kill|ZK_HOSTS|\.venv/bin/python) ?[^`\n]*)`"
)
ALL = sorted(
    {line for page in PAGES for line in (*commands(page), *INLINE.findall(prose(page))) if " " in line}
)

CLUSTER = [line for line in ALL if line.split()[0] in ("kubectl", "docker", "minikube", "eval")]
MAKE = [line for line in ALL if line.startswith("make ")]
PATCHES = [line for line in ALL if line.startswith("patch ")]
# With live workers: run in tests/worker and tests/demos.
LIVE = [line for line in ALL if "<" in line and not line.startswith("patch ")]
SCENES = [line for line in ALL if "-m docs.exercises." in line]
# Refused without its patch's constants; what it says with them is in tests/exercises.
PATCHED = [f"{PYTHON} demo_hard_quorum.py"]
# The same with fewer servers; a test brings its own.
SAME = [line for line in ALL if " run --servers 1 " in line]
# Run in tests/lab: test_matrix.py, test_chaos.py, test_bench.py.
PROOF = [line for line in ALL if " -m proof " in line]
README = [line for line in ALL if line in DEMO_LINES]  # run in tests/test_readme.py
# They write pages of this tree, so no test runs them: tests compare what they have written.
GENERATORS = [line for line in ALL if " -m docs.generate." in line]
ELSEWHERE = {*SCENES, *PATCHED, *LIVE, *SAME, *PROOF, *README, *GENERATORS}
RUN = [line for line in ALL if line.startswith(PYTHON) and line not in ELSEWHERE]


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    assert set(ALL) == {*CLUSTER, *MAKE, *PATCHES, *ELSEWHERE, *RUN}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("line", RUN)
def test_a_command_runs_and_says_what_it_found(line: str, ensemble: Ensemble) -> None:
    # The same command, with this interpreter, this ensemble, and a load for a test.
    command = line.replace(PYTHON, sys.executable).replace("--operations 2000", "--operations 40")
    if " -m lab demo " in command and "--operations" not in command:
        command += " --operations 20 --faults none"
    if command.endswith(" -m docs.limits"):
        command += " --quick"

    last = typed(command, {"ZK_HOSTS": ensemble.hosts})

    assert last.startswith("VERDICT ") or " demo " not in line


@pytest.mark.parametrize(
    "line", [part for line in CLUSTER for part in line.split(" | ") if "kubectl" in part]
)
def test_a_command_for_a_cluster_names_what_exists(line: str) -> None:
    cluster.test_every_kubectl_command_names_what_exists(line)


@pytest.mark.parametrize("line", MAKE)
def test_a_make_command_can_be_given(line: str) -> None:
    cluster.test_every_make_command_can_be_given(line)


@pytest.mark.parametrize("line", [line for line in ALL if " -m lab " in line])
def test_a_command_of_the_laboratory_can_be_given(line: str) -> None:
    cluster.test_every_command_of_the_laboratory_can_be_given(line)


@pytest.mark.parametrize("line", PROOF)
def test_a_command_of_the_proof_can_be_given(line: str) -> None:
    proof_parser().parse_args(shlex.split(line)[3:])


@pytest.mark.parametrize("line", [line for line in LIVE if "demo_" in line])
def test_a_command_for_live_workers_names_a_demo_and_its_options(line: str) -> None:
    script = next(word for word in line.split() if word.endswith(".py"))
    said = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert all(option in said.stdout for option in re.findall(r"--[\w-]+", line))
