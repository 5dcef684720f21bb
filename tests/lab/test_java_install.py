"""Where the Java backend looks for ZooKeeper, and what it says where there is none."""

import os
from pathlib import Path

import pytest

from lab import java_install
from lab.ensemble import UnavailableError


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No ZooKeeper anywhere; a Java that works."""
    java = tmp_path / "jdk/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.delenv("ZOOKEEPER_HOME", raising=False)
    monkeypatch.setattr(java_install, "DEBIAN_JARS", tmp_path / "debian")
    monkeypatch.setattr(java_install, "BREW_HOMES", (str(tmp_path / "brew"),))
    return tmp_path


def put_jars(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True)
    for name in names:
        (directory / f"{name}.jar").touch()


def test_zookeeper_home_comes_first(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_jars(bare_machine / "debian", "zookeeper")
    put_jars(bare_machine / "apache/lib", "zookeeper-3.9.3", "netty")
    monkeypatch.setenv("ZOOKEEPER_HOME", str(bare_machine / "apache"))
    found = java_install.find()
    assert found is not None
    assert found.java == str(bare_machine / "jdk/bin/java")
    jars = [Path(path).name for path in found.class_path.split(":")]
    assert jars == ["netty.jar", "zookeeper-3.9.3.jar"]


def test_debians_and_homebrews_packages_are_found(bare_machine: Path) -> None:
    put_jars(bare_machine / "brew/zookeeper/libexec/lib", "zookeeper-3.9.3")
    found = java_install.find()
    assert found is not None
    assert "libexec" in found.class_path
    put_jars(bare_machine / "debian", "zookeeper")
    found = java_install.find()
    assert found is not None
    assert found.class_path.startswith(str(bare_machine / "debian/zookeeper.jar"))


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="the advice is for Debian")
def test_without_root_the_exact_command_is_named(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match=r"sudo apt-get install -y --no-install-recommends zookeeper$"):
        java_install.find_or_install(pytest.fail)
