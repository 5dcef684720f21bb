"""What can be done to a server, and what the others make of it. Every test runs on both backends."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from app.demo.servers import Servers, ServersError
from lab.control import control_socket
from lab.ensemble import Ensemble, EnsembleError, Server
from tests.lab.conftest import until

pytestmark = pytest.mark.whole


def modes(ensemble: Ensemble) -> list[str | None]:
    return [server.mode() for server in ensemble.servers]


def leader_of(ensemble: Ensemble) -> Server:
    """One that is too busy to say within a second that it leads is asked again."""
    leader = until(ensemble.leader, lambda: modes(ensemble))
    assert isinstance(leader, Server)
    return leader


def a_follower(ensemble: Ensemble) -> Server:
    found = until(
        lambda: next((server for server in ensemble.servers if server.mode() == "follower"), None),
        lambda: modes(ensemble),
    )
    assert isinstance(found, Server)
    return found


def wait_for_mode(server: Server, *wanted: str | None) -> None:
    until(lambda: server.mode() in wanted, server.answer)


def wait_for_modes(ensemble: Ensemble, *wanted: str) -> None:
    until(lambda: sorted(map(str, modes(ensemble))) == list(wanted), lambda: modes(ensemble))


@contextmanager
def client_of(hosts: str) -> Iterator[KazooClient]:
    client = KazooClient(hosts=hosts, timeout=4.0)
    client.start(timeout=60)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def test_three_servers_become_one_leader_and_two_followers(ensemble: Ensemble) -> None:
    wait_for_modes(ensemble, "follower", "follower", "leader")
    assert ensemble.hosts.count("127.0.0.1:") == 3
    assert all(server.pid for server in ensemble.servers)


def test_when_the_leader_is_killed_another_leads_and_it_comes_back_as_a_follower(ensemble: Ensemble) -> None:
    killed = leader_of(ensemble)
    killed.kill()
    killed.kill()
    assert killed.mode() is None
    assert killed.pid is None
    until(lambda: ensemble.leader() not in (None, killed), lambda: modes(ensemble))
    killed.restart()
    killed.restart()
    wait_for_mode(killed, "follower")


def test_a_paused_server_is_silent_until_it_is_resumed(ensemble: Ensemble) -> None:
    paused = a_follower(ensemble)
    paused.pause()
    paused.pause()
    until(lambda: paused.mode() is None, paused.answer)
    paused.resume()
    paused.resume()
    wait_for_mode(paused, "follower")


def test_a_paused_server_can_be_killed_and_a_paused_one_stopped(ensemble: Ensemble) -> None:
    first, second, _ = ensemble.servers
    first.pause()
    first.kill()
    assert first.mode() is None
    first.restart()
    second.pause()
    second.stop()
    assert second.pid is None


def test_a_follower_cut_from_its_peers_stops_following_while_its_clients_reach_it(ensemble: Ensemble) -> None:
    cut = a_follower(ensemble)
    host, _, port = cut.hosts.rpartition(":")
    with socket.create_connection((host, int(port)), 5):
        cut.partition()
        cut.partition()
        wait_for_mode(cut, None)
        assert "not currently serving" in cut.answer().said  # it does answer
        wait_for_modes(ensemble, "None", "follower", "leader")
        cut.heal()
        wait_for_mode(cut, "follower")


def test_a_follower_that_is_cut_serves_stale_reads_before_it_notices(ensemble: Ensemble) -> None:
    cut = a_follower(ensemble)
    with client_of(cut.hosts) as behind, client_of(leader_of(ensemble).hosts) as ahead:
        ahead.ensure_path("/stale")
        ahead.set("/stale", b"old")
        behind.sync("/stale")
        cut.partition()
        ahead.set("/stale", b"new")
        assert behind.get("/stale")[0] == b"old"


def test_when_the_leader_is_cut_the_others_choose_a_new_one_and_it_steps_down(ensemble: Ensemble) -> None:
    cut = leader_of(ensemble)
    others = [server for server in ensemble.servers if server is not cut]
    cut.partition()
    until(lambda: any(server.mode() == "leader" for server in others), lambda: modes(ensemble))
    wait_for_mode(cut, None)
    with client_of(",".join(server.hosts for server in others)) as client:
        client.ensure_path("/written/without/the/old/leader")
    cut.heal()
    wait_for_mode(cut, "follower")
    with client_of(cut.hosts) as client:
        client.sync("/")
        assert client.exists("/written/without/the/old/leader")


def test_a_restart_does_not_heal_a_cut(ensemble: Ensemble) -> None:
    cut = a_follower(ensemble)
    cut.partition()
    cut.kill()
    cut.restart()
    until(lambda: "not currently serving" in cut.answer().said, cut.answer)
    cut.heal()
    wait_for_mode(cut, "follower")


def test_servers_that_are_stopped_or_killed_keep_their_data(ensemble: Ensemble) -> None:
    path = "/kept"
    with client_of(ensemble.hosts) as client:
        client.ensure_path(path)
        client.set(path, b"still here")
    first, second, third = ensemble.servers
    first.stop()
    first.stop()
    second.stop()
    third.kill()
    assert modes(ensemble) == [None, None, None]
    ensemble.mend()
    with client_of(ensemble.hosts) as client:
        assert client.get(path)[0] == b"still here"


def test_mending_brings_back_everything_at_once(ensemble: Ensemble) -> None:
    first, second, third = ensemble.servers
    first.partition()
    second.kill()
    third.pause()
    ensemble.mend()
    wait_for_modes(ensemble, "follower", "follower", "leader")


def test_waiting_in_vain_names_each_server_and_what_it_said(ensemble: Ensemble) -> None:
    ensemble.servers[1].kill()
    with pytest.raises(
        EnsembleError, match=r"server 1 \(.+; server 2 .+refused.+Server 2 has ended; its log:"
    ):
        ensemble.wait_ready(deadline_s=5)


def test_another_process_gives_its_orders_through_the_socket(ensemble: Ensemble, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with control_socket(ensemble, path):
        servers = Servers.from_environment({"LAB_CONTROL": str(path)})
        assert servers is not None
        assert [status.hosts for status in servers.status()] == ensemble.hosts.split(",")
        leader = leader_of(ensemble).index
        until(lambda: servers.leader() == leader, servers.status)
        for order, undo in ((servers.pause, servers.resume), (servers.partition, servers.heal)):
            order(leader)
            undo(leader)
        servers.stop(leader)
        servers.restart(leader)
        servers.kill(leader)
        assert servers.status()[leader - 1].mode is None
        servers.mend()
        until(lambda: all(status.mode and status.pid for status in servers.status()), servers.status)
        assert servers.log(leader).strip(), "it has lost and found its peers"
        with pytest.raises(ServersError, match="there is no server 9: they are numbered 1 to 3"):
            servers.kill(9)
    with pytest.raises(ServersError, match="does not answer"):
        servers.status()


def test_what_is_no_request_is_answered_in_one_line(ensemble: Ensemble, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with control_socket(ensemble, path), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        with connection.makefile("rwb") as lines:
            for nonsense in (
                b"what?",
                b"[]",
                b'{"do": "explode", "server": 1}',
                b'{"do": "kill", "server": "x"}',
            ):
                lines.write(nonsense + b"\n")
                lines.flush()
                assert b'"ok": false' in lines.readline()
