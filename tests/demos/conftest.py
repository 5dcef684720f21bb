"""Where the demos of these tests find ZooKeeper, and the default runs that many tests look at."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from app import paths, zk
from app.demo.run import remove
from app.demo.servers import Servers
from tests.conftest import Ensemble
from tests.demos.playing import ROOT, Played, play, roots


@pytest.fixture
def zookeeper(ensemble: Ensemble) -> dict[str, str]:
    """What a user exports to run a demo on servers that are somebody else's: no harm comes to those."""
    return {"ZK_HOSTS": ensemble.hosts}


@dataclass(frozen=True)
class DefaultRun:
    """A run without any option that changes what is shown, with what it left in ZooKeeper."""

    played: Played
    history: Path
    left_in_zookeeper: set[str]


@pytest.fixture(scope="session")
def default_run(ensemble: Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DefaultRun]:
    """Runs a demo as `make demo` does, its servers' owner at hand; once, when it is first asked for."""
    folder = tmp_path_factory.mktemp("histories")
    zookeeper = {"ZK_HOSTS": ensemble.hosts}
    if ensemble.control:
        zookeeper["LAB_CONTROL"] = ensemble.control

    @cache
    def run(demo: str) -> DefaultRun:
        history = folder / f"{demo}.jsonl"
        before = roots(ensemble.hosts)
        played = play(demo, "--history", str(history), zookeeper=zookeeper)
        return DefaultRun(played, history, roots(ensemble.hosts) - before)

    return run


@dataclass(frozen=True)
class SingleServer:
    """A ZooKeeper of one server that no other test uses: stopping it is an outage of everything."""

    zookeeper: dict[str, str]
    hosts: str
    servers: Servers


@pytest.fixture(scope="session")
def laboratory_of_one() -> Iterator[SingleServer]:
    command = [sys.executable, "-m", "lab", "servers", "--servers", "1", "--json", "--until-stdin-closes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdin is not None
        assert lab.stdout is not None
        line = lab.stdout.readline()
        assert line, "the laboratory did not start; it says why above"
        started = json.loads(line)
        hosts = str(started["zk_hosts"])
        yield SingleServer({"ZK_HOSTS": hosts}, hosts, Servers(started["control"]))
        lab.stdin.close()
        lab.wait(60)


@pytest.fixture
def single_server(laboratory_of_one: SingleServer) -> Iterator[SingleServer]:
    """Serving, and with nothing under ``/demos``, before and after the test."""
    yield laboratory_of_one
    laboratory_of_one.servers.mend()
    client = zk.connect(laboratory_of_one.hosts, session_timeout_s=10, deadline_s=30)
    for root in roots(laboratory_of_one.hosts):
        remove(client, f"{paths.DEMOS}/{root}", zk.Deadline(20))
    zk.disconnect(client)
