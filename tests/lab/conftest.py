"""Real servers, killed and cut: one ensemble per module and backend, mended after every test."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import docker_backend, docker_engine, java_install
from lab.backends import start_ensemble
from lab.console import print_to_stderr
from lab.ensemble import Ensemble, UnavailableError


def until(condition: Callable[[], Any], seen: Callable[[], object], within_s: float = 90.0) -> Any:
    """Wait for a condition, and return what it gave; where it never comes, say what was seen last."""
    deadline = time.monotonic() + within_s
    while not (met := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s; last seen: {seen()}")
        time.sleep(0.05)
    return met


def need(backend: str) -> None:
    """Skip, with the reason, where this machine can't run the backend (or fail, if it was promised)."""
    try:
        if backend == "docker":
            engine = docker_engine.connect()
            docker_engine.ensure_image(engine, docker_backend.IMAGE, print_to_stderr, time.sleep)
            engine.close()
        else:
            java_install.find_or_install(print_to_stderr)
    except UnavailableError as exc:
        if backend == "docker" and os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1, but {exc}")
        pytest.skip(str(exc))


@pytest.fixture(scope="module", params=[pytest.param("docker", marks=pytest.mark.docker), "java"])
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    need(name)
    return name


@pytest.fixture(scope="module")
def module_ensemble(backend: str) -> Iterator[Ensemble]:
    ensemble = start_ensemble(3, backend)
    try:
        yield ensemble
    finally:
        ensemble.close()


@pytest.fixture
def ensemble(module_ensemble: Ensemble) -> Iterator[Ensemble]:
    yield module_ensemble
    module_ensemble.mend()
