"""Finding a ZooKeeper that Java can run, or installing Debian's."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.ensemble import Say, Sleep, UnavailableError

DEBIAN_JARS = Path("/usr/share/java")
# zookeeper.jar names in its manifest all that it needs, except somewhere to write its log.
DEBIAN_NEEDS = ("zookeeper", "slf4j-log4j12", "log4j-1.2")
BREW_HOMES = ("/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt")
INSTALL_S = 600.0


@dataclass(frozen=True)
class Install:
    """What to start, and what of."""

    java: str
    class_path: str


def find_or_install(say: Say, sleep: Sleep = time.sleep) -> Install:
    """The install on this machine; as root on Debian, one that is made now."""
    if (found := find()) is not None:
        return found
    packages = "zookeeper" if _find_java() else "zookeeper default-jre-headless"
    command = f"apt-get install -y --no-install-recommends {packages}"
    debian = Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None
    if not debian:
        remedy = (
            "brew install zookeeper"
            if shutil.which("brew")
            else "unpack Apache's archive, set ZOOKEEPER_HOME"
        )
        raise UnavailableError(f"no ZooKeeper that Java can run: {remedy}")
    if os.geteuid() != 0:
        raise UnavailableError(f"no ZooKeeper that Java can run: sudo {command}")
    say(f"installing Debian's ZooKeeper: {command}")
    _apt(["apt-get", "update", "-qq"], sleep)
    _apt([*command.split(), "-qq"], sleep)
    if (installed := find()) is None:
        raise UnavailableError(f"`{command}` has run, but left no ZooKeeper that Java can run")
    return installed


def find() -> Install | None:
    """ZOOKEEPER_HOME first, if it is set. Then Debian's package, then Homebrew's."""
    jars = next(filter(None, _jar_lists()), None)
    java = _find_java() if jars else None
    return Install(java, os.pathsep.join(map(str, jars))) if java and jars else None


def _find_java() -> str | None:
    return next(filter(_runs, _javas()), None)


def _javas() -> Iterator[str]:
    if home := os.environ.get("JAVA_HOME"):
        yield f"{home}/bin/java"
    yield "java"
    yield from (f"{prefix}/openjdk/bin/java" for prefix in BREW_HOMES)


def _runs(java: str) -> bool:
    """A Mac has a `java` that only says where to get one, so look whether it works."""
    try:
        subprocess.run(
            [java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _jar_lists() -> Iterator[list[Path]]:
    if home := os.environ.get("ZOOKEEPER_HOME"):
        yield _apache_jars(Path(home))
    if (DEBIAN_JARS / "zookeeper.jar").exists():
        yield [DEBIAN_JARS / f"{name}.jar" for name in DEBIAN_NEEDS]
    yield from (_apache_jars(Path(prefix) / "zookeeper/libexec") for prefix in BREW_HOMES)


def _apache_jars(home: Path) -> list[Path]:
    jars = [*sorted(home.glob("lib/*.jar")), *sorted(home.glob("zookeeper*.jar"))]
    return jars if any(jar.name.startswith("zookeeper") for jar in jars) else []


def _apt(command: list[str], sleep: Sleep) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    deadline = time.monotonic() + INSTALL_S
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not tear it apart; we end it ourselves
    ) as process:
        try:
            while process.poll() is None and time.monotonic() < deadline:
                sleep(0.1)
        finally:
            process.terminate()  # of no effect on one that has ended
            _, errors = process.communicate(timeout=60)
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise UnavailableError(f"`{' '.join(command)}` failed: {last[0]}")
