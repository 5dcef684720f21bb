"""The environment is read once and refused with one line; a path has no component that leads elsewhere."""

from contextlib import suppress
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, strategies as st

from app.errors import BadSettingError
from app.settings import DEFAULT_ZK_HOSTS, Settings
from app.zookeeper import paths

BAD_HOSTS = (
    "localhost",
    "localhost:",
    ":2181",
    "localhost:0",
    "localhost:65536",
    "localhost:-1",
    "localhost:zk",
    "localhost:２１８１",
    "localhost:" + "9" * 5000,
    "localhost:2181/chroot",
    "http://localhost:2181",
    "local host:2181",
    "one:1,,two:2",
    "one:1,",
    "one:1 two:2",
    "::1:2181",
    '"localhost:2181"',
    "localhost:2181\ntwo:2",
)
BAD_NAMES = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/",
    "a\n",
    "a b",
    "-x",
    ".hidden",
    "ä",
    "\0",
    "a" * 101,
    "$(reboot)",
)


def test_an_empty_environment_means_the_pods_zookeeper() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings(DEFAULT_ZK_HOSTS, False, "local", None)


def test_given_hosts_are_taken_and_known_to_be_given() -> None:
    settings = Settings.from_environment({"ZK_HOSTS": " one:1, two.example:65535 "})
    assert (settings.zk_hosts, settings.zk_hosts_given) == ("one:1,two.example:65535", True)


def test_blank_hosts_count_as_none() -> None:
    assert not Settings.from_environment({"ZK_HOSTS": "  "}).zk_hosts_given


def test_the_pod_and_the_laboratory_are_taken() -> None:
    settings = Settings.from_environment({"POD_NAME": "worker-7f9-x2", "LAB_CONTROL": "/tmp/control"})
    assert (settings.pod_name, str(settings.lab_control)) == ("worker-7f9-x2", "/tmp/control")


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings.from_environment({}).zk_hosts = "other:1"  # type: ignore[misc]


@pytest.mark.parametrize("hosts", BAD_HOSTS, ids=lambda hosts: hosts[:24])
def test_a_bad_server_is_refused_in_one_line_with_a_remedy(hosts: str) -> None:
    with pytest.raises(BadSettingError) as refused:
        Settings.from_environment({"ZK_HOSTS": hosts})
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("ZK_HOSTS: ")
    assert "is not host:port; for example ZK_HOSTS=127.0.0.1:2181" in str(refused.value)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\nb", "Worker", "-x", "x-", "a" * 64])
def test_a_bad_pod_name_is_refused_in_one_line_with_a_remedy(name: str) -> None:
    with pytest.raises(BadSettingError) as refused:
        Settings.from_environment({"POD_NAME": name})
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("POD_NAME: ")
    assert "for example POD_NAME=worker-1" in str(refused.value)


@given(st.text())
def test_hosts_are_taken_or_refused_and_nothing_else(hosts: str) -> None:
    with suppress(BadSettingError):
        taken = Settings.from_environment({"ZK_HOSTS": hosts}).zk_hosts
        assert all(0 < int(server.rpartition(":")[2]) < 65536 for server in taken.split(","))


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_leads_elsewhere_is_refused_wherever_it_stands(name: str) -> None:
    makers = (
        paths.checked,
        paths.node,
        paths.object_root,
        paths.job,
        paths.backup_ack,
        paths.outcome,
        paths.run,
        lambda given: paths.replica(given, 1),
    )
    for make in makers:
        with pytest.raises(ValueError, match="can't be a name here"):
            make(name)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", fullmatch=True))
def test_a_plain_name_is_one_component_below_its_root(name: str) -> None:
    assert paths.checked(name) == name
    assert paths.job(name) == f"/jobs/{name}"
    assert paths.job(name).count("/") == 2


def test_every_path_is_where_the_table_says() -> None:
    assert paths.node("pod-1") == "/nodes/pod-1"
    assert paths.host(5) == "/hosts/5"
    assert paths.replica("x", 5) == "/objects/x/replica_5"
    assert paths.backup_ack("j") == "/jobs/j/backup_ack"
    assert paths.outcome("j") == "/jobs/j/outcome"
    assert paths.run("easy-1") == "/demos/easy-1"
