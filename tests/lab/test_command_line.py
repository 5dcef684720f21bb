"""`python -m lab` as a user runs it: what it says, how it ends, and that nothing survives it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from lab import docker_engine
from tests.lab.conftest import need, until
from tests.lab.supervisor import RUN_S, Supervisor, of_engine


@pytest.fixture
def lab() -> Iterator[Supervisor]:
    # Not tmp_path: the path of a Unix socket must be short.
    supervisor = Supervisor(Path(tempfile.mkdtemp(prefix="lab-t-")))
    try:
        yield supervisor
    finally:
        supervisor.close()


def announced(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=RUN_S)[1]
    found: dict[str, Any] = json.loads(line)
    return found


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


SLEEPER = """
import signal, sys, time
def clean(signum, frame):
    print("cleaned up after", signal.Signals(signum).name)
    sys.exit(128 + signum)
signal.signal(signal.SIGINT, clean)
signal.signal(signal.SIGTERM, clean)
print("started")
time.sleep(60)
"""
ONE = ("--servers", "1")


def test_run_shows_its_command_the_servers_and_ends_with_its_status(lab: Supervisor, backend: str) -> None:
    script = 'test -S "$LAB_CONTROL" && echo $ZK_HOSTS; exit 7'
    status, output, errors = lab.run("run", *ONE, "--backend", backend, "--", "sh", "-c", script)
    assert status == 7
    assert output.startswith("127.0.0.1:")
    assert errors.startswith("lab: one ZooKeeper server in ")
    assert errors.count("\n") == 1
    assert lab.leftovers() == []


@pytest.mark.whole
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_once_and_then_everything_is_removed(
    lab: Supervisor, backend: str, signum: signal.Signals
) -> None:
    process = lab.start("run", *ONE, "--backend", backend, "--", sys.executable, "-c", SLEEPER)
    assert first_line(process) == "started"
    os.killpg(process.pid, signum)
    output, errors = process.communicate(timeout=RUN_S)
    assert output == f"cleaned up after {signum.name}\n"
    assert process.returncode == 128 + signum
    assert "Traceback" not in errors
    assert lab.leftovers() == []


@pytest.mark.whole
def test_interrupted_while_it_starts_it_leaves_nothing(lab: Supervisor, backend: str) -> None:
    process = lab.start("run", "--backend", backend, "--", "true")
    until(lambda: bool(lab.leftovers()), lab.leftovers)
    for _ in range(3):  # an impatient user
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=RUN_S)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert lab.leftovers() == []


@pytest.mark.whole
def test_servers_end_when_the_one_who_wanted_them_is_gone(lab: Supervisor, backend: str) -> None:
    process = lab.start("servers", "--json", "--until-stdin-closes", *ONE, "--backend", backend)
    found = announced(process)
    assert found["backend"] == backend
    assert found["zk_hosts"] == found["servers"][0]["hosts"]
    assert (found["servers"][0]["container"] is None) == (backend == "java")
    assert Path(found["control"]).is_socket()
    process.communicate(timeout=RUN_S)  # which closes its standard input
    assert process.returncode == 0
    assert lab.leftovers() == []


@pytest.mark.whole
def test_java_servers_die_with_a_supervisor_that_is_killed(lab: Supervisor) -> None:
    need("java")
    process = lab.start("servers", "--json", *ONE, "--backend", "java")
    announced(process)
    process.kill()
    until(lambda: lab.leftovers() == [], lab.leftovers)


@pytest.mark.whole
@pytest.mark.docker
def test_containers_of_a_supervisor_that_was_killed_are_swept_by_the_next(lab: Supervisor) -> None:
    need("docker")
    process = lab.start("servers", "--json", *ONE, "--backend", "docker")
    announced(process)
    process.kill()
    process.communicate(timeout=RUN_S)
    assert of_engine(process.pid)
    lab.run("run", *ONE, "--backend", "docker", "--", "true")
    assert lab.leftovers() == []


@pytest.mark.whole
@pytest.mark.docker
def test_a_missing_image_is_said_in_one_line_with_status_3(lab: Supervisor) -> None:
    need("docker")
    status, _, errors = lab.run(
        "run", "--backend", "docker", "--", "true", LAB_IMAGE="nowhere.invalid/zookeeper"
    )
    assert status == 3
    assert errors.splitlines()[-1].startswith(
        "lab: no ZooKeeper: docker: nowhere.invalid/zookeeper can't be pulled"
    )
    assert lab.leftovers() == []


@pytest.mark.whole
@pytest.mark.docker
def test_an_image_that_is_no_zookeeper_is_said_in_one_line_with_status_3(lab: Supervisor) -> None:
    need("docker")
    engine = docker_engine.connect()
    try:
        engine.images.get("python:3.13-slim")
    except ImageNotFound:
        pytest.skip("no python:3.13-slim at hand")
    finally:
        engine.close()
    status, _, errors = lab.run(
        "run", *ONE, "--backend", "docker", "--", "true", LAB_IMAGE="python:3.13-slim"
    )
    assert status == 3
    assert "Server 1 has ended" in errors
    assert lab.leftovers() == []


@pytest.mark.whole
def test_without_a_docker_engine_java_runs_the_servers(lab: Supervisor) -> None:
    need("java")
    status, _, errors = lab.run("run", *ONE, "--", "true", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert status == 0
    assert errors.splitlines()[0].startswith(
        "lab: no servers with docker, trying the next way: no Docker engine"
    )
    assert "Java processes" in errors.splitlines()[1]
    assert lab.leftovers() == []


@pytest.mark.whole
def test_a_java_that_ends_at_once_is_said_in_one_line_with_status_3(lab: Supervisor) -> None:
    need("java")
    java = lab.directory.with_name(lab.directory.name + "-java") / "bin" / "java"
    java.parent.mkdir(parents=True)
    try:
        java.write_text('#!/bin/sh\n[ "$1" = -version ] || { echo "no room for the heap"; exit 1; }\n')
        java.chmod(0o755)
        status, _, errors = lab.run(
            "run", "--backend", "java", "--", "true", JAVA_HOME=str(java.parent.parent)
        )
    finally:
        shutil.rmtree(java.parent.parent)
    assert status == 3
    assert "no room for the heap" in errors
    assert errors.count("\n") == 1
    assert lab.leftovers() == []


def test_zk_hosts_is_used_as_it_is_and_said_aloud(lab: Supervisor) -> None:
    script = "import os; print(os.environ['ZK_HOSTS'], 'LAB_CONTROL' in os.environ)"
    status, output, errors = lab.run("run", "--", sys.executable, "-c", script, ZK_HOSTS="elsewhere:2181")
    assert (status, output) == (0, "elsewhere:2181 False\n")
    assert errors == "lab: using the ZooKeeper that ZK_HOSTS names: elsewhere:2181\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["run"],
        ["run", "--backend", "abacus", "--", "true"],
        ["demo", "trivial"],
        ["servers", "--loud"],
    ],
)
def test_bad_usage_is_one_line_and_status_2(lab: Supervisor, arguments: list[str]) -> None:
    status, _, errors = lab.run(*arguments)
    assert status == 2
    assert errors.count("\n") == 1
