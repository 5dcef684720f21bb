"""The image, built as a student would after an afternoon's work, and run as strictly as a cluster can."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, ContainerError
from docker.models.images import Image

from lab import docker_engine
from tests.conftest import ROOT, eventually
from tests.lab.conftest import need

# The first build fetches Python and the packages.
pytestmark = [pytest.mark.whole, pytest.mark.docker, pytest.mark.timeout(900)]
BASE = "python:3.13-slim"
TAG = "zk-app:test"
WRITTEN = {
    "my_demo.py": 'print("mine")\n',
    "unfinished.py": "def half(:\n",
    "test_my_demo.py": "def test_mine() -> None:\n    assert True\n",
    ".env": "PASSWORD=secret\n",
    "notes.txt": "nobody's business\n",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    need("docker")
    found = docker_engine.connect()
    found.api.timeout = 600
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("afternoon") / "k8s_zk_template"
    unwanted = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=unwanted)
    for name, text in WRITTEN.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)  # as some umasks have it
    before = engine.images.list(TAG)
    built, _ = engine.images.build(path=str(folder), tag=TAG, rm=True)
    # The newest one stays: its layers are the next build's cache.
    for old in before:
        with suppress(APIError):  # somebody else may be at it
            if old.id != built.id:
                engine.images.remove(str(old.id))
    return built


def run(engine: docker.DockerClient, image: Image, *command: str) -> str:
    """As nobody in particular, on a file system that can't be written to, with no rights."""
    output = engine.containers.run(
        image.id or "",
        list(command),
        user="1000",
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
        remove=True,
        stderr=True,
    )
    return output.decode()


def test_a_script_of_ones_own_is_in_it_and_one_that_does_not_compile_stops_nobody(
    engine: docker.DockerClient, image: Image
) -> None:
    assert run(engine, image, "python3", "my_demo.py") == "mine\n"
    with pytest.raises(ContainerError, match="SyntaxError"):
        run(engine, image, "python3", "unfinished.py")


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("demo_*.py")))
def test_every_demo_is_in_it(engine: docker.DockerClient, image: Image, script: str) -> None:
    assert script in run(engine, image, "python3", script, "--help")


def test_a_test_of_ones_own_runs_in_it(engine: docker.DockerClient, image: Image) -> None:
    assert "1 passed" in run(engine, image, "pytest", "-q", "-W", "error")


def test_nothing_else_of_the_folder_is_in_it(engine: docker.DockerClient, image: Image) -> None:
    scripts = {path.name for path in ROOT.glob("*.py")} | {name for name in WRITTEN if name.endswith(".py")}
    found = set(run(engine, image, "ls", "-A", "/app").split())
    assert found - {"__pycache__"} == {"app", "requirements.txt"} | scripts


def test_all_that_the_worker_needs_is_there_and_compiled(engine: docker.DockerClient, image: Image) -> None:
    look = """
import importlib.util, pathlib
sources = list(pathlib.Path("/app/app").rglob("*.py"))
bare = [str(one) for one in sources if not pathlib.Path(importlib.util.cache_from_source(str(one))).exists()]
import app.worker, app.web.site
from kubernetes import client, config
client.CoreV1Api.patch_namespaced_pod, config.load_incluster_config
print(len(sources) > 50, bare)
"""
    assert (
        run(engine, image, "python3", "-W", "error", "-W", r"ignore:\s*Eventlet", "-c", look) == "True []\n"
    )


def test_it_is_small_runs_as_user_1000_and_hears_signals_itself(
    engine: docker.DockerClient, image: Image
) -> None:
    config = image.attrs["Config"]
    assert config["User"] == "1000:1000"
    assert config["WorkingDir"] == "/app"
    assert not config["Entrypoint"]
    assert config["Cmd"] == ["python3", "-m", "app"], "no shell in between"
    over_its_base = image.attrs["Size"] - engine.images.get(BASE).attrs["Size"]
    assert over_its_base < 200e6


def test_a_worker_without_zookeeper_says_so_and_ends_when_told_to(
    engine: docker.DockerClient, image: Image
) -> None:
    worker = engine.containers.run(
        image.id or "",
        environment={"ZK_HOSTS": "127.0.0.1:1"},
        read_only=True,
        tmpfs=dict.fromkeys(("/tmp", "/shared", "/backup"), "uid=1000"),
        cap_drop=["ALL"],
        detach=True,
    )
    try:
        eventually(lambda: b"127.0.0.1:1" in worker.logs(), 60, "a worker that misses ZooKeeper")
        worker.stop(timeout=20)
        assert worker.wait(timeout=30)["StatusCode"] == 0
    finally:
        worker.remove(force=True)


def test_a_worker_that_still_imports_ends_when_told_to(engine: docker.DockerClient, image: Image) -> None:
    slow = "import sys, runpy; sys.path.insert(0, '/tmp'); runpy.run_module('app', run_name='__main__')"
    stuck = "print('importing', flush=True); import time; time.sleep(60)"
    command = ["sh", "-c", f'echo "{stuck}" > /tmp/eventlet.py; exec python3 -c "{slow}"']
    worker = engine.containers.run(image.id or "", command, detach=True)
    try:
        eventually(lambda: b"importing" in worker.logs(), 60, "a worker that imports")
        worker.stop(timeout=20)
        assert worker.wait(timeout=30)["StatusCode"] == 143
    finally:
        worker.remove(force=True)


def test_the_dockerfile_names_no_machine_and_no_builder() -> None:
    text = Path(ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "# syntax=" not in text
    assert "--mount" not in text
    assert "--platform" not in text


def test_one_seed_is_one_run_on_this_python_and_on_the_images(
    engine: docker.DockerClient, image: Image, tmp_path: Path
) -> None:
    """Byte for byte."""
    played = ["-W", "ignore", "-m", "proof", "simulate", "--seed", "7", "--export"]
    subprocess.run([sys.executable, *played, str(tmp_path / "here")], cwd=ROOT, timeout=300, check=True)
    script = f"python3 {' '.join(played)} /tmp/there >&2; cat /tmp/there/*"
    there = engine.containers.run(
        image.id or "", ["sh", "-c", script], volumes=[f"{ROOT}:/src:ro"], working_dir="/src", user="0",
        mem_limit="4g", tmpfs={"/tmp": ""}, network_mode="none", remove=True,
    )  # fmt: skip
    assert there == b"".join(path.read_bytes() for path in sorted((tmp_path / "here").iterdir()))
