"""`python -m lab up`: what it announces is true, its url leads to the master, and nothing survives it.

Most of it is about the laboratory, so the workers are stand-ins that start quickly; the last tests run real
ones.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lab import workers
from lab.ensemble import free_ports
from lab.guard import GuardedDirectory
from lab.workers import Workers
from tests.conftest import nobody_listens
from tests.lab.conftest import until
from tests.lab.running import NEW_MASTER_S, Running, alive, answer, supervisor
from tests.lab.supervisor import RUN_S, TOP, Supervisor

SMALL = ("--workers", "3", "--servers", "1")


@pytest.fixture
def lab() -> Iterator[Supervisor]:
    with supervisor() as opened:
        yield opened


def any_port() -> tuple[str, str]:
    return ("--port", str(free_ports(1)[0]))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Running]:
    """One for many tests: who is killed comes back."""
    with supervisor() as opened:
        yield Running(opened.start("up", *SMALL, *any_port(), "--restart", "--json"))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A ZooKeeper server that outlives the laboratories that use it."""
    with supervisor("lab") as opened:
        process = opened.start("servers", "--json", "--servers", "1")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=RUN_S)[1]
        yield str(json.loads(line)["zk_hosts"])


def test_the_line_of_json_is_complete_and_true(cluster: Running) -> None:
    found = cluster.announced
    assert set(found) == {"zk_hosts", "control", "url", "servers", "workers", "shared_dir"}
    assert [set(server) for server in found["servers"]] == [{"index", "pid", "container", "hosts"}]
    assert all(set(worker) == {"pod", "pid", "url", "backup_dir", "log"} for worker in found["workers"])
    assert found["zk_hosts"] == found["servers"][0]["hosts"]
    assert Path(found["control"]).is_socket()
    assert Path(found["shared_dir"]).is_dir()
    assert [worker["pod"] for worker in found["workers"]] == ["worker-1", "worker-2", "worker-3"]
    for worker in found["workers"]:
        assert Path(worker["log"]).is_file()
        assert Path(worker["backup_dir"], "mine").is_file()


def test_a_worker_is_told_what_it_needs_and_not_how_to_harm_the_servers(cluster: Running) -> None:
    cluster.wait_whole()
    worker = cluster.announced["workers"][1]
    found = cluster.who(worker["url"])
    assert found["pod"] == "worker-2"
    told = {
        "ZK_HOSTS": cluster.announced["zk_hosts"],
        "POD_NAME": "worker-2",
        "BIND": "127.0.0.1",
        "PORT": worker["url"].rpartition(":")[2],
        "SHARED_DIR": cluster.announced["shared_dir"],
        "BACKUP_DIR": worker["backup_dir"],
        "MIN_NODES": "3",
    }
    assert told.items() <= found["environment"].items()
    assert "LAB_CONTROL" not in found["environment"]


def test_the_url_leads_to_the_master(cluster: Running) -> None:
    cluster.wait_whole()
    assert all(cluster.who()["leads"] for _ in range(20))


def test_a_request_right_after_the_master_was_killed_is_answered_by_the_next_one(cluster: Running) -> None:
    cluster.wait_whole()
    master = cluster.who()
    os.kill(master["pid"], signal.SIGKILL)
    found = cluster.who()
    assert found["leads"]
    assert found["pid"] != master["pid"]
    cluster.until_said(f"{found['pod']} leads now (pid {found['pid']})")


def test_a_worker_that_was_killed_comes_back_with_its_name_its_port_and_another_pid(cluster: Running) -> None:
    cluster.wait_whole()
    killed = cluster.announced["workers"][2]
    before = cluster.who(killed["url"])["pid"]
    os.kill(before, signal.SIGKILL)
    cluster.until_said(f"worker-3 (pid {before}) was ended by SIGKILL")
    after = cluster.who(killed["url"])
    assert after["pod"] == "worker-3"
    assert after["pid"] != before
    cluster.until_said(f"worker-3 is started again: pid {after['pid']}")


@pytest.mark.whole
def test_clients_of_a_stopped_master_are_cut_off_and_find_the_next_one(cluster: Running) -> None:
    cluster.wait_whole()
    stopped = cluster.who()
    port = int(cluster.url.rpartition(":")[2])
    with ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=NEW_MASTER_S))
        os.kill(stopped["pid"], signal.SIGSTOP)
        stack.callback(os.kill, stopped["pid"], signal.SIGKILL)  # it comes back as a new one
        client.sendall(b"GET /who HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        # Where it reached the stopped one it is cut off; it may also have come too late for that.
        with suppress(ConnectionResetError):
            said = b"".join(iter(lambda: client.recv(1 << 16), b""))
            assert json.loads(said.partition(b"\r\n\r\n")[2])["pod"] != stopped["pod"]
        found = cluster.who()
        assert found["leads"]
        assert found["pod"] != stopped["pod"]


@pytest.mark.whole
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_leaves_no_process_no_directory_no_container(
    lab: Supervisor, signum: signal.Signals
) -> None:
    running = Running(lab.start("up", *SMALL, *any_port(), "--json"))
    assert all(alive(pid) for pid in running.pids)
    assert running.end(signum) == 0
    assert not any(alive(pid) for pid in running.pids)
    assert lab.leftovers() == []
    assert not any("Traceback" in line for line in running.said)


@pytest.mark.whole
def test_interrupted_while_the_workers_start_it_leaves_nothing(lab: Supervisor, elsewhere: str) -> None:
    process = lab.start("up", *SMALL, *any_port(), ZK_HOSTS=elsewhere, STAND_IN_UNREADY="worker-1")
    until(lambda: bool(list(lab.directory.glob("*/worker-3.log"))), lab.leftovers)
    for _ in range(3):  # an impatient user
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=RUN_S)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    assert lab.leftovers() == []


@pytest.mark.whole
def test_workers_end_with_a_laboratory_that_is_killed_and_the_next_one_starts_afresh(
    lab: Supervisor, elsewhere: str
) -> None:
    running = Running(lab.start("up", *SMALL, *any_port(), "--json", ZK_HOSTS=elsewhere))
    assert (running.announced["servers"], running.announced["control"]) == ([], None)
    running.end(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in running.pids), lambda: running.pids)
    until(lambda: lab.leftovers() == [], lab.leftovers)
    again = Running(lab.start("up", *SMALL, *any_port(), "--json", ZK_HOSTS=elsewhere))
    assert answer(f"{again.url}/readyz").status_code == 200
    assert again.end() == 0


@pytest.mark.whole
def test_a_worker_that_dies_stays_down_unless_wished_otherwise(lab: Supervisor, elsewhere: str) -> None:
    running = Running(lab.start("up", *SMALL, *any_port(), "--json", ZK_HOSTS=elsewhere))
    os.kill(running.pids[0], signal.SIGKILL)
    running.until_said(f"worker-1 (pid {running.pids[0]}) was ended by SIGKILL")
    time.sleep(workers.RESTART_AFTER_S + 0.5)
    assert running.end() == 0
    assert sum("worker-1 (pid" in line and "leads" not in line for line in running.said) == 1
    assert not any("started again" in line for line in running.said)


@pytest.mark.whole
def test_a_port_that_is_taken_gives_way_to_the_next_one_and_that_is_said(
    lab: Supervisor, elsewhere: str
) -> None:
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as taken:
        wanted = taken.getsockname()[1]
        running = Running(
            lab.start("up", "--workers", "1", "--port", str(wanted), "--json", ZK_HOSTS=elsewhere)
        )
        port = int(running.url.rpartition(":")[2])
        assert port > wanted
        running.until_said(f"port {wanted} is taken, so the page is on port {port}")
        assert running.who()["leads"]  # alone, and without a backup
        assert running.end() == 0


@pytest.mark.whole
def test_without_json_a_person_reads_where_the_page_is_and_how_to_kill_the_master(
    lab: Supervisor, elsewhere: str
) -> None:
    port = any_port()
    process = lab.start("up", *SMALL, *port, ZK_HOSTS=elsewhere)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    text = "".join(lines)
    url = f"http://127.0.0.1:{port[1]}"
    master = answer(f"{url}/who").json()
    process.send_signal(signal.SIGINT)
    assert process.wait(RUN_S) == 0
    assert f"curl -F image=@picture.png {url}/upload" in text
    assert f"kill -9 {master['pid']}" in text
    assert len(lines) <= 10
    assert max(len(line) for line in lines) <= 81


@pytest.mark.whole
def test_a_worker_that_can_not_start_is_said_in_one_line_with_status_3(
    lab: Supervisor, elsewhere: str
) -> None:
    status, output, errors = lab.run("up", *SMALL, *any_port(), ZK_HOSTS=elsewhere, STAND_IN_FAILS="worker-2")
    assert (status, output) == (3, "")
    last = errors.splitlines()[-1]
    assert last.startswith("lab: no workers: worker-2 (pid ")
    assert last.endswith("has ended with status 2; its log ends: BACKUP_DIR: can't write there")
    assert errors.count("\n") == 2  # the other one: which ZooKeeper
    assert lab.leftovers() == []


@pytest.mark.whole
def test_a_worker_that_ends_again_and_again_is_given_up(lab: Supervisor, elsewhere: str) -> None:
    status, _, errors = lab.run(
        "up", "--workers", "1", *any_port(), "--restart", ZK_HOSTS=elsewhere, STAND_IN_FAILS="worker-1"
    )
    assert status == 3
    assert errors.count("is started again") == workers.RESTARTS
    assert f"after {workers.RESTARTS} restarts in 60 s" in errors.splitlines()[-1]
    assert lab.leftovers() == []


@pytest.mark.whole
def test_a_worker_that_is_never_ready_is_named_with_status_3(lab: Supervisor, elsewhere: str) -> None:
    status, _, errors = lab.run(
        "up", *SMALL, *any_port(), ZK_HOSTS=elsewhere, STAND_IN_UNREADY="worker-3", READY_S="4"
    )
    assert status == 3
    assert "no workers: not ready within 4 s: worker-3 answers 503" in errors.splitlines()[-1]
    assert lab.leftovers() == []


@pytest.mark.whole
def test_a_zookeeper_that_nobody_reaches_is_said_with_status_3(lab: Supervisor) -> None:
    with nobody_listens() as nobody:  # it gives up by itself, long before RUN_S
        status, _, errors = lab.run("up", *SMALL, *any_port(), ZK_HOSTS=f"127.0.0.1:{nobody}")
    assert status == 3
    assert "no ZooKeeper: no reply from" in errors.splitlines()[-1]
    assert lab.leftovers() == []


@pytest.mark.parametrize("arguments", [("--workers", "0"), ("--port", "70000"), ("--port", "http")])
def test_bad_usage_is_one_line_and_status_2(lab: Supervisor, arguments: tuple[str, str]) -> None:
    status, _, errors = lab.run("up", *arguments)
    assert status == 2
    assert errors.count("\n") == 1


DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.mark.whole
def test_a_worker_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "END_S", 0.3)
    said: list[str] = []
    with GuardedDirectory() as den:
        crew = Workers(2, "nowhere:1", den, said.append, command=(sys.executable, "-c", DEAF))
        with crew:
            pids = [worker.pid for worker in crew.all]
            until(lambda: all(w.log.read_text() for w in crew.all), lambda: said)
        assert not any(alive(pid) for pid in pids if pid is not None)
    assert said == []


def test_a_command_that_does_not_exist_is_an_error_and_leaves_nothing() -> None:
    with GuardedDirectory() as den:
        crew = Workers(2, "nowhere:1", den, print, command=("/nowhere/python",))
        with pytest.raises(workers.WorkersError, match="can't be started: No such file"), crew:
            pass


# -- real workers --

real = pytest.mark.skipif(not (TOP / "app" / "__main__.py").is_file(), reason="there is no worker yet")


@pytest.fixture(scope="module")
def real_cluster() -> Iterator[Running]:
    with supervisor("lab") as opened:
        yield Running(opened.start("up", "--servers", "1", *any_port(), "--restart", "--json"))


@real
def test_five_real_workers_are_ready_and_the_page_answers(real_cluster: Running) -> None:
    assert len(real_cluster.pids) == 5
    for worker in real_cluster.announced["workers"]:
        assert answer(f"{worker['url']}/healthz").status_code == 200
        assert answer(f"{worker['url']}/readyz").status_code == 200
    assert answer(f"{real_cluster.url}/readyz").status_code == 200


@pytest.mark.whole
@real
def test_a_real_worker_that_can_not_start_says_why_in_one_line() -> None:
    with supervisor("lab") as lab:
        status, _, errors = lab.run("up", "--servers", "1", *any_port(), SESSION_TIMEOUT_S="never")
        assert status == 3
        assert "has ended with status 2; its log ends: worker: SESSION_TIMEOUT_S: 'never'" in errors
        assert errors.count("\n") == 2  # the other one: which ZooKeeper
        assert lab.leftovers() == []


@pytest.mark.whole
@real
def test_the_page_answers_again_after_the_real_master_was_killed(real_cluster: Running) -> None:
    leads = real_cluster.until_said("leads now")
    os.kill(int(leads.rpartition("pid ")[2].rstrip(")")), signal.SIGKILL)
    assert answer(f"{real_cluster.url}/healthz").status_code == 200
    until(lambda: sum("leads now" in line for line in real_cluster.said) == 2, lambda: real_cluster.said)
    real_cluster.wait_whole()
