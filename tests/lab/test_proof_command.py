"""`python -m proof` and its three instruments, which `python -m lab` hands on to it."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.lab.conftest import need

INSTRUMENTS = ("matrix", "chaos", "bench")
# A ZooKeeper that doesn't answer; chaos refuses any whose servers it may not harm.
STATUS_ELSEWHERE = {"matrix": 3, "bench": 3, "chaos": 2}


def run(room: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("ZK_HOSTS", "LAB_CONTROL")}
    return subprocess.run(
        [sys.executable, "-m", room, *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("room", ["lab", "proof"])
@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["matrix", "--rows", "gossip"], "there is no row 'gossip'"),
        (["chaos", "--minutes", "0"], "'0' is no number of minutes: 0.1 to 1440"),
        (["chaos", "--minutes", "soon"], "'soon' is no number of minutes"),
        (["chaos", "--seed", "x"], "invalid int value: 'x'"),
        (["bench", "--only", "quorums"], "choose from"),
        (["bench", "--servers", "9"], "--servers"),
        *(([name, "--surprise"], "unrecognized arguments: --surprise") for name in INSTRUMENTS),
    ],
)
def test_bad_usage_is_one_line_before_any_server_is_started(
    room: str, arguments: list[str], cause: str
) -> None:
    done = run(room, *arguments)
    assert done.returncode == 2
    assert cause in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_zk_hosts_is_used_as_it_is_and_said_aloud(name: str) -> None:
    done = run("lab", name, ZK_HOSTS="127.0.0.1:1")
    assert done.returncode == STATUS_ELSEWHERE[name], done.stderr
    assert done.stderr.startswith("lab: using the ZooKeeper that ZK_HOSTS names: 127.0.0.1:1\n")
    assert ("unset ZK_HOSTS" if name == "chaos" else "did not answer") in done.stderr
    assert "Traceback" not in done.stderr


def test_each_is_listed_by_the_laboratory_and_says_its_options() -> None:
    assert all(f"    {name} " in run("lab", "--help").stdout for name in INSTRUMENTS)
    assert all(f"{part}" in run("lab", "bench", "--help").stdout for part in ("--servers N", "--only NAME"))


def test_without_zk_hosts_servers_are_started_as_asked_and_the_status_is_the_measurements() -> None:
    need("java")
    options = ("--samples", "1", "--only", "configuration", "--json")
    done = run("lab", "bench", "--servers", "1", "--backend", "java", *options)
    # "In doubt" is honest on a machine that is too busy for the one section.
    assert done.returncode == (4 if json.loads(done.stdout)["left_out"] else 0), done.stderr
    assert done.stdout.startswith('{"samples": 1')
    assert done.stderr.startswith("lab: one ZooKeeper server in Java processes on ")
    assert "using the ZooKeeper" not in done.stderr
