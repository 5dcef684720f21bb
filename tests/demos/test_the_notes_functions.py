"""The notes' functions, called from outside as a student would in a shell of their own."""

import ast
import inspect
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import demo_easy_eventual as easy
import demo_hard_quorum as hard
import demo_medium_primary_backup as medium
from app.cluster.member import Member
from app.consistency.engine.disk import Disk, sha256
from app.consistency.engine.fencing import Epoch
from app.consistency.engine.replicas import ReplicaHost
from app.consistency.engine.transactions import Ack, job_id_for
from app.consistency.eventual import INITIAL, ConfigReplica
from app.consistency.primary_backup import Backup
from app.errors import Refused, TooFewReplicas
from app.zookeeper import client as zk, paths
from tests.conftest import Place, eventually
from tests.demos.playing import DEMOS, ROOT, SCRIPTS

SOON_S = 20.0  # before any safety net would come

# --- how they look --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (easy.watch_global_config, ["data", "stat", "event"]),
        (easy.master_push_update, []),
        (medium.master_synchronous_write, ["payload_data"]),
        (medium.backup_replication_listener, ["children"]),
        (hard.quorum_write, ["payload_data", "object_id"]),
        (hard.quorum_read, ["object_id"]),
    ],
)
def test_they_take_the_notes_parameters_in_order_and_one_keyword_only_client(
    function: Callable[..., object], parameters: list[str]
) -> None:
    signature = inspect.signature(function).parameters.values()
    positional = [one.name for one in signature if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    required_keywords = [
        one.name
        for one in signature
        if one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is one.empty
    ]
    assert positional == parameters
    assert required_keywords == ["client"]
    assert not [one for one in signature if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


@pytest.mark.parametrize(
    ("demo", "names"),
    [
        (easy, ["global_app_config", "watch_global_config", "master_push_update"]),
        (medium, ["master_synchronous_write", "backup_replication_listener"]),
        (hard, ["N", "W", "R", "quorum_write", "quorum_read"]),
    ],
)
def test_each_of_them_is_used_by_the_demo(demo: ModuleType, names: list[str]) -> None:
    functions = [one for one in ast.parse(inspect.getsource(demo)).body if isinstance(one, ast.FunctionDef)]
    used = {
        node.id
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id != function.name
    }
    assert set(names) <= used


def test_the_quorum_is_the_notes() -> None:
    assert (hard.N, hard.W, hard.R) == (5, 3, 3)


def test_the_global_configuration_is_a_dictionary_with_the_notes_name() -> None:
    assert isinstance(easy.global_app_config, dict)


@pytest.mark.parametrize("demo", DEMOS)
def test_importing_a_demo_says_nothing_and_asks_nobody(demo: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.3)
        done = subprocess.run(
            [sys.executable, "-c", f"import {SCRIPTS[demo].removesuffix('.py')}"],
            cwd=ROOT,
            env={"ZK_HOSTS": f"127.0.0.1:{listener.getsockname()[1]}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with pytest.raises(TimeoutError):
            listener.accept()


# --- easy -----------------------------------------------------------------------------------------------


@pytest.fixture
def config(place: Place, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client on a store whose configuration is the initial one."""
    monkeypatch.setattr(easy, "global_app_config", dict(INITIAL))
    client = place.client()
    zk.wait(client.create_async(paths.CONFIG, b'{"chunk_size": 1024}', makepath=True), zk.Deadline(20))
    return client


def test_the_watch_keeps_what_it_is_told(config: Any) -> None:
    replica = ConfigReplica(config, "replica-1")
    zk.wait(config.set_async(paths.CONFIG, b'{"chunk_size": 512, "reducers": 3}'), zk.Deadline(20))
    data, stat = zk.wait(config.get_async(paths.CONFIG), zk.Deadline(20))
    easy.watch_global_config(data, stat, None, client=replica)
    assert easy.global_app_config == {"chunk_size": 512, "reducers": 3}
    assert replica.copy.mzxid == stat.mzxid


def test_the_watch_keeps_the_last_good_value_when_it_is_told_nonsense(config: Any) -> None:
    replica = ConfigReplica(config, "replica-1")
    for text in (b'{"chunk_size": 512}', easy.SMUGGLED, b'{"chunk_size": -1}', b""):
        zk.wait(config.set_async(paths.CONFIG, text), zk.Deadline(20))
        data, stat = zk.wait(config.get_async(paths.CONFIG), zk.Deadline(20))
        easy.watch_global_config(data, stat, None, client=replica)
        assert easy.global_app_config == {"chunk_size": 512}
    assert replica.rejected


def test_the_watch_of_a_znode_that_is_gone_keeps_what_it_had(config: Any) -> None:
    easy.watch_global_config(None, None, None, client=ConfigReplica(config, "replica-1"))
    assert easy.global_app_config == INITIAL


def test_a_pushed_update_reaches_a_replica(config: Any, place: Place) -> None:
    replica = place.started(ConfigReplica(place.client(), "replica-1"))
    pushed = easy.master_push_update(client=config)
    eventually(lambda: replica.copy.mzxid >= pushed.mzxid, SOON_S)
    assert replica.copy.value == {"chunk_size": 2048}


# --- medium ---------------------------------------------------------------------------------------------


@pytest.fixture
def pair(place: Place, tmp_path: Path) -> tuple[Member, Member]:
    """A primary and its backup, made by an election."""
    first, second = (
        place.started(Member(place.client(), name, Disk(tmp_path / name), ack_timeout_s=8.0))
        for name in ("node-1", "node-2")
    )
    eventually(
        lambda: any(
            one.primary is not None and one.primary.epoch.backup is not None and other.backup is not None
            for one, other in ((first, second), (second, first))
        ),
        what="a primary leads and the other backs it up",
    )
    return (first, second) if first.primary is not None else (second, first)


@pytest.mark.parametrize("payload", ["a text", b"\xff\x00 no text", "", "Grüße"])
def test_the_synchronous_write_returns_the_notes_dictionary_when_two_disks_have_it(
    payload: str | bytes, pair: tuple[Member, Member], tmp_path: Path
) -> None:
    primary = pair[0].primary
    assert primary is not None
    answer = medium.master_synchronous_write(payload, client=primary)
    assert set(answer) == {"status", "job_id"}
    assert answer["status"] == "success"
    stored = payload.encode() if isinstance(payload, str) else payload
    for one in pair:
        assert Disk(tmp_path / one.name).load(answer["job_id"], sha256(stored)) == stored
    assert primary.read(answer["job_id"]) == stored


def test_the_same_request_again_is_answered_alike_and_stored_once(pair: tuple[Member, Member]) -> None:
    primary = pair[0].primary
    assert primary is not None
    first = medium.master_synchronous_write("a text", client=primary, request_id="mine")
    assert medium.master_synchronous_write("a text", client=primary, request_id="mine") == first
    assert first["job_id"] == job_id_for("mine")
    with pytest.raises(Refused, match="another payload"):
        medium.master_synchronous_write("another text", client=primary, request_id="mine")


def test_two_requests_without_an_id_are_two(pair: tuple[Member, Member]) -> None:
    primary = pair[0].primary
    assert primary is not None
    answers = [medium.master_synchronous_write("a text", client=primary)["job_id"] for _ in range(2)]
    assert answers[0] != answers[1]


def test_the_listener_copies_what_is_new_and_then_acknowledges_it(place: Place, tmp_path: Path) -> None:
    client, disk = place.client(), Disk(tmp_path / "node-2")
    recorded = Epoch(1, "node-1", "seat-1", "node-2", "seat-2").to_bytes()
    stat = zk.wait(client.set_async(paths.EPOCH, recorded), zk.Deadline(20))
    backup = Backup(client, disk, Epoch.from_znode(recorded, stat.version), "node-2")
    zk.wait(client.create_async(paths.job("job-1"), b"a payload"), zk.Deadline(20))

    medium.backup_replication_listener(["job-1"], client=backup)

    found = eventually(lambda: zk.get(client, paths.backup_ack("job-1"), zk.Deadline(20)), SOON_S)
    ack = Ack.from_bytes(found[0])
    assert (ack.author, ack.epoch, ack.sha256) == ("node-2", 1, sha256(b"a payload"))
    assert disk.load("job-1", ack.sha256) == b"a payload"


# --- hard -----------------------------------------------------------------------------------------------


@pytest.fixture
def hosts(place: Place) -> Any:
    """A client, after five hosts have begun to serve their replicas."""
    for index in range(1, hard.N + 1):
        place.started(ReplicaHost(place.client(), index, f"host-{index}"))
    client = place.client()

    def served() -> int:
        return len(zk.wait(client.get_children_async(paths.HOSTS), zk.Deadline(20)))

    eventually(lambda: served() == hard.N, what="five hosts serve")
    return client


def test_a_quorum_read_returns_what_a_quorum_write_has_stored(hosts: Any) -> None:
    assert hard.quorum_write(b"\x00\xff", "histogram_matrix", client=hosts) is True
    assert hard.quorum_read("histogram_matrix", client=hosts) == b"\x00\xff"
    assert hard.quorum_write(b"newer", "histogram_matrix", client=hosts) is True
    assert hard.quorum_read("histogram_matrix", client=hosts) == b"newer"


def test_a_client_for_each_replica_does_as_well_as_one_for_all(hosts: Any, place: Place) -> None:
    clients = [place.client() for _ in range(hard.N)]
    assert hard.quorum_write(b"a matrix", "histogram_matrix", client=clients) is True
    assert hard.quorum_read("histogram_matrix", client=hosts) == b"a matrix"


def test_a_read_of_an_object_that_was_never_written_is_refused_and_creates_nothing(hosts: Any) -> None:
    with pytest.raises(TooFewReplicas, match="never created"):
        hard.quorum_read("histogram_matrix", client=hosts)
    assert zk.wait(hosts.exists_async(paths.object_root("histogram_matrix")), zk.Deadline(20)) is None


def test_objects_are_told_apart(hosts: Any) -> None:
    hard.quorum_write(b"one", "first", client=hosts)
    hard.quorum_write(b"two", "second", client=hosts)
    assert hard.quorum_read("first", client=hosts) == b"one"


def test_without_hosts_a_quorum_is_refused_and_never_false(place: Place) -> None:
    client = place.client()
    with pytest.raises(TooFewReplicas):
        hard.quorum_write(b"a matrix", "histogram_matrix", client=client)
    with pytest.raises(Refused):
        hard.quorum_read("histogram_matrix", client=client)
