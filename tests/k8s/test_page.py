"""`make page`: one port that leads to the master, and to the next one; with a kubectl that isn't one."""

import argparse
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lab import page
from lab.interrupts import Interrupts
from lab.kubectl import ClusterError
from tests.k8s.conftest import Tools

pytestmark = pytest.mark.whole

SOON_S = 60.0


def pods(*names: str, ready: bool = True, leaving: bool = False) -> dict[str, Any]:
    """As kubectl lists those that have the label."""
    went = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}
    conditions = [{"type": "Ready", "status": str(ready)}]
    items = [{"metadata": {"name": name, **went}, "status": {"conditions": conditions}} for name in names]
    return {"items": items}


def listed(*names: str) -> dict[str, dict[str, str]]:
    return {"get pods -l app=zk-app,role=master -o json": {"output": json.dumps(pods(*names))}}


def test_who_is_ready_and_stays_can_be_led_to() -> None:
    assert page.masters_in(pods("a", "b")) == {"a", "b"}
    assert page.masters_in(pods("a", ready=False)) == set()
    assert page.masters_in(pods("a", leaving=True)) == set()
    assert page.masters_in({}) == set()
    assert page.masters_in({"items": [{"metadata": {"name": "a"}}]}) == set()


@pytest.mark.parametrize(
    ("masters", "before", "current", "wanted"),
    [
        ({"a"}, set(), None, "a"),
        ({"a"}, {"a"}, "a", "a"),
        ({"a", "b"}, {"a"}, "a", "b"),  # the old one can't take its label off
        ({"a", "b"}, {"a", "b"}, "b", "b"),  # and this stays so
        ({"b"}, {"a"}, "a", "b"),
        (set(), {"a"}, "a", None),
        ({"a"}, {"a"}, None, "a"),  # its port-forward had failed: again
    ],
)
def test_who_has_just_got_the_label_is_led_to(
    masters: set[str], before: set[str], current: str | None, wanted: str | None
) -> None:
    assert page.chosen(masters, before, current) == wanted


def started(tools: Tools, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Its process, and the address that it names."""
    process = tools.start("page", *(options or ("--port", "0")))
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=SOON_S)[1]
    address = re.search(r"http://localhost:(\d+)", line)
    assert address
    return process, f"http://127.0.0.1:{address[1]}"


def until(look: Callable[[], object], wanted: object) -> None:
    deadline = time.monotonic() + SOON_S
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"last seen: {seen!r}"
        time.sleep(0.05)


def answer_of(url: str) -> str:
    try:
        # Without verify=False each call reads every certificate of this machine, for plain http as well.
        return httpx.get(url, timeout=SOON_S, trust_env=False, verify=False).text
    except httpx.TransportError as error:  # its connection was broken when the master went
        return repr(error)


@pytest.fixture
def cluster(tools: Tools) -> Tools:
    tools.install("kubectl")
    tools.answer(listed("pod-a"))
    return tools


def test_it_leads_to_the_master_and_to_the_next_one_when_its_pod_is_gone(cluster: Tools) -> None:
    process, url = started(cluster)
    assert answer_of(url) == "pod-a"

    cluster.answer(listed())
    (cluster.folder / "gone-pod-a").touch()
    cluster.answer(listed("pod-b"))
    until(lambda: answer_of(url), "pod-b")

    process.terminate()
    _, errors = process.communicate(timeout=SOON_S)
    assert process.returncode == 0
    assert "lab: pod-a leads" in errors
    assert "lab: pod-b leads" in errors


def test_it_follows_the_role_also_when_the_old_masters_pod_lives_on_with_its_label(cluster: Tools) -> None:
    _, url = started(cluster)
    assert answer_of(url) == "pod-a"

    cluster.answer(listed("pod-a", "pod-b"))
    until(lambda: answer_of(url), "pod-b")


def test_while_nobody_leads_a_request_waits_for_who_does(cluster: Tools) -> None:
    _, url = started(cluster)
    cluster.answer(listed())
    (cluster.folder / "gone-pod-a").touch()
    looks = len(cluster.commands())
    until(lambda: len(cluster.commands()) > looks + 2, wanted=True)

    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        waiting.settimeout(1.0)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        cluster.answer(listed("pod-b"))
        waiting.settimeout(SOON_S)
        assert b"pod-b" in waiting.recv(4096)


def test_a_cluster_that_does_not_answer_for_a_moment_is_waited_for(cluster: Tools) -> None:
    process, url = started(cluster)
    cluster.answer({"get pods": {"status": 1, "errors": "connection refused\n"}})
    looks = len(cluster.commands())
    until(lambda: len(cluster.commands()) > looks + 1, wanted=True)

    assert answer_of(url) == "pod-a"
    assert process.poll() is None


def test_a_port_that_is_taken_gives_way_to_the_next_one_and_says_so(cluster: Tools) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        process, url = started(cluster, "--port", str(wanted))
        assert answer_of(url) == "pod-a"
        process.terminate()
        _, errors = process.communicate(timeout=SOON_S)
    assert f"port {wanted} is taken, so the page is on port {url.rpartition(':')[2]}" in errors


def test_where_nothing_is_deployed_it_says_what_to_do(cluster: Tools) -> None:
    cluster.answer({"get deployment/zk-app": {"status": 1, "errors": "deployments not found\n"}})
    status, output, errors = cluster.run("page")

    assert (status, output) == (3, "")
    assert errors == "lab: nothing is deployed on minikube (deployments not found): make deploy\n"


def test_where_nobody_gets_the_label_it_says_where_to_look(
    cluster: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.answer(listed())
    monkeypatch.setenv("PATH", str(cluster.bin))
    monkeypatch.setattr(page, "FIRST_MASTER_S", 0.5)

    with pytest.raises(ClusterError, match=r"no ready pod has had role=master .* kubectl get pods"):
        page.page(argparse.Namespace(context="minikube", port=0), Interrupts())


def test_ctrl_c_ends_it_and_its_port_forward(cluster: Tools) -> None:
    process, _ = started(cluster)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SOON_S)

    assert process.returncode == 0
    assert "Traceback" not in errors
    (forward,) = [one["pid"] for one in cluster.asked() if "port-forward" in one["asked"]]
    alive = subprocess.run(["ps", "-p", str(forward)], capture_output=True, timeout=10, check=False)
    assert alive.returncode == 1


def test_another_cluster_than_minikube_can_be_named(cluster: Tools) -> None:
    started(cluster, "--port", "0", "--context", "kind-kind")
    assert all("--context kind-kind" in line for line in cluster.commands())
