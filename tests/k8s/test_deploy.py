"""`make deploy` and `make undeploy`. No cluster runs here: the tools only write down what they are asked."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from lab import kubectl
from lab.interrupts import Interrupts
from tests.conftest import ROOT
from tests.k8s.conftest import Answers, Tools

KUBECTL = "kubectl --context minikube --namespace default"
ENGINE = {"DOCKER_HOST": "tcp://192.0.2.1:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
RUNNING: Answers = {
    "docker-env": {"output": json.dumps(ENGINE)},
    "kubectl kustomize": {"output": "kind: Everything\n"},
}
STOPPED: Answers = {**RUNNING, "minikube status": {"status": 7, "output": "host: Stopped\n"}}
THERE: Answers = {**RUNNING, "get deployment/zk-app": {"output": "deployment.apps/zk-app\n"}}


@pytest.fixture
def minikube(tools: Tools) -> Tools:
    """A machine with all three tools, and minikube running."""
    tools.install("minikube", "kubectl", "docker")
    tools.answer(RUNNING)
    return tools


def last_line(errors: str) -> str:
    line = errors.splitlines()[-1]
    assert line.startswith("lab: ")
    assert "Traceback" not in errors
    return line


def test_from_nothing_it_goes_the_whole_way_in_order(minikube: Tools) -> None:
    minikube.answer(STOPPED)
    status, output, errors = minikube.run("deploy")

    assert status == 0, errors
    assert minikube.commands() == [
        f"kubectl kustomize --load-restrictor LoadRestrictionsNone {ROOT}/k8s",
        "minikube status -p minikube",
        "minikube start -p minikube --memory=4096 --cpus=2",
        "minikube docker-env -p minikube -o json",
        f"docker build -t zk-app:latest {ROOT}",
        f"{KUBECTL} get deployment/zk-app --ignore-not-found -o name",
        f"{KUBECTL} apply -f -",
        f"{KUBECTL} rollout status statefulset/zookeeper --timeout=420s",
        f"{KUBECTL} rollout status deployment/zk-app --timeout=420s",
    ]
    assert "demo_hard_quorum.py" in output
    assert "make page" in output


def test_the_image_is_built_on_minikubes_engine_and_what_is_applied_is_all_of_it(minikube: Tools) -> None:
    minikube.run("deploy")
    build = next(one for one in minikube.asked() if one["asked"].startswith("docker build"))
    apply = next(one for one in minikube.asked() if "apply" in one["asked"])

    assert build["engine"] == ENGINE["DOCKER_HOST"]
    assert apply["given"] == "kind: Everything\n"


def test_a_mirror_of_the_packages_is_passed_on(minikube: Tools) -> None:
    minikube.run("deploy", PIP_INDEX_URL="https://mirror.example/simple")
    build = f"docker build --build-arg PIP_INDEX_URL -t zk-app:latest {ROOT}"
    assert build in minikube.commands()


def test_what_runs_already_is_not_started_but_its_pods_take_the_new_image(minikube: Tools) -> None:
    minikube.answer(THERE)
    status, _, errors = minikube.run("deploy")
    commands = minikube.commands()

    assert status == 0, errors
    assert not [line for line in commands if "minikube start" in line]
    restart = commands.index(f"{KUBECTL} rollout restart deployment/zk-app")
    assert commands.index(f"{KUBECTL} apply -f -") < restart < len(commands) - 1


def test_the_small_one_has_one_server_and_less_memory(minikube: Tools) -> None:
    minikube.answer(STOPPED)
    minikube.run("deploy", "--small")
    commands = minikube.commands()

    assert commands[0].endswith(f"{ROOT}/k8s/overlays/small")
    assert "minikube start -p minikube --memory=3072 --cpus=2" in commands


def test_the_memory_and_the_profile_can_be_chosen(minikube: Tools) -> None:
    minikube.answer(STOPPED)
    minikube.run("deploy", "--memory", "6144", MINIKUBE_PROFILE="class")
    commands = minikube.commands()

    assert "minikube start -p class --memory=6144 --cpus=2" in commands
    assert "kubectl --context class --namespace default apply -f -" in commands


def test_no_other_cluster_is_ever_touched(minikube: Tools) -> None:
    minikube.answer(THERE)
    minikube.run("deploy")
    minikube.run("undeploy")
    touching = [
        line for line in minikube.commands() if line.startswith("kubectl") and "kustomize" not in line
    ]

    assert touching
    assert all(line.startswith(KUBECTL) for line in touching)


@pytest.mark.parametrize("missing", ["minikube", "kubectl"])
def test_a_missing_tool_is_said_in_one_line_that_says_where_to_get_it(tools: Tools, missing: str) -> None:
    tools.install(*{"minikube", "kubectl"} - {missing})
    status, output, errors = tools.run("deploy")

    assert (status, output) == (3, "")
    assert errors.count("\n") == 1
    assert f"{missing} isn't installed: https://" in last_line(errors)


@pytest.mark.whole
def test_too_little_memory_for_minikube_says_what_to_do(minikube: Tools) -> None:
    words = "X Exiting due to RSRC_INSUFFICIENT_SYS_MEMORY: System only has 3072MiB available\n"
    minikube.answer({**STOPPED, "minikube start": {"status": 29, "errors": words}})
    status, _, errors = minikube.run("deploy")

    assert status == 3
    assert "RSRC_INSUFFICIENT_SYS_MEMORY" in errors, "minikube's own words, too"
    assert "4096 MiB" in last_line(errors)
    assert "OPTIONS=--small" in last_line(errors).replace('"', "")


def test_a_minikube_that_does_not_start_is_quoted(minikube: Tools) -> None:
    minikube.answer({**STOPPED, "minikube start": {"status": 1, "errors": "X no driver fits\n"}})
    status, _, errors = minikube.run("deploy")

    assert status == 3
    assert "X no driver fits" in last_line(errors)


def test_a_build_that_fails_ends_it_before_anything_is_applied(minikube: Tools) -> None:
    minikube.answer({"docker build": {"status": 1, "errors": "no matching distribution\n"}})
    status, _, errors = minikube.run("deploy")

    assert status == 3
    assert "the image can't be built (no matching distribution)" in last_line(errors)
    assert not [line for line in minikube.commands() if "apply" in line]


def test_without_docker_minikube_builds(tools: Tools) -> None:
    tools.install("minikube", "kubectl")
    tools.answer({**RUNNING, "image ls": {"output": "docker.io/library/zookeeper:3.9\n"}})
    status, _, errors = tools.run("deploy")
    built = next(line for line in tools.commands() if "image build" in line).split()[-2]

    assert status == 3, "it ends with 0 even if it has failed, so the image is looked for"
    assert "the image can't be built" in last_line(errors)
    assert built.startswith("zk-app:building-")


def test_an_image_that_minikube_has_built_gets_its_name(tools: Tools) -> None:
    tools.install("minikube", "kubectl", "docker")
    # Its containerd has no Docker engine; the list of images repeats every name that it was ever told.
    tools.answer({"docker-env": {"status": 89, "errors": "X no docker\n"}, "image ls": {"repeat": True}})
    status, _, errors = tools.run("deploy")
    commands = tools.commands()

    assert status == 0, errors
    once = next(line for line in commands if "image build" in line).split()[-2]
    assert f"minikube -p minikube image build --all -t {once} {ROOT}" in commands
    assert f"minikube -p minikube image tag {once} zk-app:latest" in commands
    assert not [line for line in commands if line.startswith("docker build")]


@pytest.mark.parametrize(
    ("what", "label"), [("statefulset/zookeeper", "zookeeper"), ("deployment/zk-app", "zk-app")]
)
def test_a_rollout_that_does_not_end_says_where_to_look(minikube: Tools, what: str, label: str) -> None:
    minikube.answer({f"rollout status {what}": {"status": 1, "errors": "error: timed out waiting\n"}})
    status, output, errors = minikube.run("deploy")

    assert (status, output) == (3, "")
    assert f"{what} isn't ready (error: timed out waiting)" in last_line(errors)
    assert f"kubectl describe pods -l app={label}" in last_line(errors)


def test_a_rollout_for_which_there_is_no_memory_says_so(minikube: Tools) -> None:
    why = "0/1 nodes are available: 1 Insufficient memory."
    minikube.answer({"rollout status": {"status": 1}, "Unschedulable": {"output": why}})
    status, _, errors = minikube.run("deploy")

    assert status == 3
    assert "not enough memory" in last_line(errors)


def test_what_kubectl_refuses_is_quoted(minikube: Tools) -> None:
    minikube.answer({"apply -f -": {"status": 1, "errors": "error: forbidden\n"}})
    status, _, errors = minikube.run("deploy")

    assert status == 3
    assert last_line(errors) == "lab: kubectl apply: error: forbidden"


def test_undeploy_removes_what_was_applied_and_zookeepers_volumes(minikube: Tools) -> None:
    status, output, errors = minikube.run("undeploy")

    assert status == 0, errors
    assert minikube.commands()[1:] == [
        f"{KUBECTL} delete -k {ROOT}/k8s --ignore-not-found --timeout=120s",
        f"{KUBECTL} delete pvc -l app=zookeeper --ignore-not-found --timeout=120s",
    ]
    assert "minikube delete" in output


def test_undeploy_has_nothing_to_do_where_nothing_runs(minikube: Tools) -> None:
    minikube.answer(STOPPED)
    status, _, errors = minikube.run("undeploy")

    assert status == 0
    assert "nothing to remove" in last_line(errors)
    assert minikube.commands() == ["minikube status -p minikube"]


@pytest.mark.whole
def test_a_tool_that_never_ends_is_ended(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.install("kubectl")
    tools.answer({"kubectl": {"seconds": 60}})
    monkeypatch.setenv("PATH", str(tools.bin))

    with pytest.raises(kubectl.ClusterError, match=r"no end within 0\.5 s: kubectl wait"):
        kubectl.run(["kubectl", "wait"], Interrupts(), 0.5)
    assert all(gone(one["pid"]) for one in tools.asked())


@pytest.mark.whole
def test_told_to_end_it_ends_its_tool_first(minikube: Tools) -> None:
    minikube.answer({"docker build": {"seconds": 60}})
    deploying = minikube.start("deploy")
    deadline = time.monotonic() + 60
    while not any("docker build" in line for line in minikube.commands()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    deploying.send_signal(signal.SIGTERM)
    _, errors = deploying.communicate(timeout=60)

    assert deploying.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    assert all(gone(one["pid"]) for one in minikube.asked())


def gone(pid: int) -> bool:
    """Whether it has ended; who has started it has waited for it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "(zombie)" in (Path("/proc") / str(pid) / "status").read_text(encoding="utf-8")
