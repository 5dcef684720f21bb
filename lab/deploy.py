"""`make deploy` and `make undeploy`: the notes' commands on minikube, one by one, each with a deadline.

The image is built inside of minikube, so nothing is pushed or pulled. Applying twice is applying once; what
runs already is replaced pod by pod, so uploads go on meanwhile.
"""

import argparse
import json
import os
import re
import shutil
import uuid
from pathlib import Path

from lab.console import print_to_stderr
from lab.interrupts import Interrupts
from lab.kubectl import ClusterError, Said, kubectl, run

TOP = Path(__file__).resolve().parent.parent
MANIFESTS = TOP / "k8s"
IMAGE = "zk-app:latest"
MEMORY_MIB, SMALL_MEMORY_MIB = 4096, 3072
START_S = 900.0  # the first start downloads a machine of half a gigabyte
BUILD_S = 900.0  # the first build downloads Python and the packages
ROLLOUT_S = 420  # the first one pulls ZooKeeper's image
DELETE_S = 120

NEXT = """\
Five workers and their ZooKeeper are ready. What now:
  kubectl get pods -l app=zk-app -L role
  kubectl exec -it deployment/zk-app -- python3 demo_easy_eventual.py
  kubectl exec -it deployment/zk-app -- python3 demo_medium_primary_backup.py
  kubectl exec -it deployment/zk-app -- python3 demo_hard_quorum.py
  make page        # the master's page on http://localhost:8080
  make undeploy    # when you are done"""

LEFT = """\
Removed, with ZooKeeper's volumes. What is left:
  pictures and results on the node:  minikube ssh -- sudo rm -rf /data/shared
  the machine:                       minikube stop, or minikube delete"""


def deploy(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """From nothing, or from what is there, to five ready workers."""
    profile = arguments.context
    manifests = _manifests(MANIFESTS / "overlays" / "small" if arguments.small else MANIFESTS, interrupts)
    if run(["minikube", "status", "-p", profile], interrupts).status != 0:
        usual_mib = SMALL_MEMORY_MIB if arguments.small else MEMORY_MIB
        _start(profile, arguments.memory or usual_mib, interrupts)
    _build(profile, interrupts)
    words = ["get", "deployment/zk-app", "--ignore-not-found", "-o", "name"]
    again = bool(_checked(words, run([*kubectl(profile), *words], interrupts)).output.strip())
    _do(profile, ["apply", "-f", "-"], interrupts, given=manifests)
    if again:  # the same words in the manifest, another image behind them: kubectl would change nothing
        _do(profile, ["rollout", "restart", "deployment/zk-app"], interrupts)
    _rollout(profile, "statefulset/zookeeper", "app=zookeeper", interrupts)
    _rollout(profile, "deployment/zk-app", "app=zk-app", interrupts)
    print(NEXT)
    return 0


def undeploy(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """Remove what deploy has applied."""
    profile = arguments.context
    if run(["minikube", "status", "-p", profile], interrupts).status != 0:
        print_to_stderr(f"minikube ({profile}) isn't running: nothing to remove from it")
        return 0
    patience = ["--ignore-not-found", f"--timeout={DELETE_S}s"]
    _do(profile, ["delete", "-k", str(MANIFESTS), *patience], interrupts)
    # A StatefulSet leaves its volumes behind, in case that was a mistake.
    _do(profile, ["delete", "pvc", "-l", "app=zookeeper", *patience], interrupts)
    print(LEFT)
    return 0


def _manifests(folder: Path, interrupts: Interrupts) -> str:
    # The files of an overlay lie above its folder, which kustomize allows only with this option.
    words = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    return _checked(words, run(["kubectl", *words], interrupts)).output


def _start(profile: str, memory_mib: int, interrupts: Interrupts) -> None:
    print_to_stderr(f"starting minikube ({profile}) with {memory_mib} MiB; the first time takes minutes")
    command = ["minikube", "start", "-p", profile, f"--memory={memory_mib}", "--cpus=2"]
    said = run(command, interrupts, START_S, show=True)
    if said.status != 0:
        if re.search(r"RSRC_\w*MEM|memory", said.errors + said.output, flags=re.I):
            raise ClusterError(
                f"minikube can't have {memory_mib} MiB of memory: give Docker or this machine more, or run "
                'a single ZooKeeper server in less: make deploy OPTIONS="--small"'
            )
        raise ClusterError(
            f"minikube doesn't start ({said.last_line}): see minikube logs, or minikube delete"
        )


def _build(profile: str, interrupts: Interrupts) -> None:
    engine = _engine_of(profile, interrupts)
    if engine is None:
        _build_by_minikube(profile, interrupts)
        return
    print_to_stderr(f"building {IMAGE} on minikube's Docker engine")
    mirror = ["--build-arg", "PIP_INDEX_URL"] if "PIP_INDEX_URL" in os.environ else []
    command = ["docker", "build", *mirror, "-t", IMAGE, str(TOP)]
    said = run(command, interrupts, BUILD_S, show=True, environment=engine)
    if said.status != 0:
        raise ClusterError(f"the image can't be built ({said.last_line}): what went wrong stands above")


def _engine_of(profile: str, interrupts: Interrupts) -> dict[str, str] | None:
    """What leads our docker to minikube's engine, as `eval $(minikube docker-env)`; None: it has none."""
    if shutil.which("docker") is None:
        return None
    said = run(["minikube", "docker-env", "-p", profile, "-o", "json"], interrupts)
    try:
        engine = json.loads(said.output) if said.status == 0 else {}
    except ValueError:
        engine = {}
    fits = isinstance(engine, dict) and "DOCKER_HOST" in engine
    return {str(name): str(value) for name, value in engine.items()} if fits else None


def _build_by_minikube(profile: str, interrupts: Interrupts) -> None:
    """Without Docker: minikube's own build, which ends with 0 even when it has failed (its issue 12556).

    So it builds under a name that can't be there already, and then the name is looked for.
    """
    print_to_stderr(f"building {IMAGE} with minikube image build")
    once = f"zk-app:building-{uuid.uuid4().hex[:8]}"
    image = ["minikube", "-p", profile, "image"]
    said = run([*image, "build", "--all", "-t", once, str(TOP)], interrupts, BUILD_S, show=True)
    if once not in run([*image, "ls"], interrupts).output:
        raise ClusterError(f"the image can't be built ({said.last_line}): what went wrong stands above")
    tagged = run([*image, "tag", once, IMAGE], interrupts)
    if tagged.status != 0:
        raise ClusterError(f"minikube image tag {once} {IMAGE}: {tagged.last_line}")
    run([*image, "rm", once], interrupts)


def _rollout(profile: str, what: str, label: str, interrupts: Interrupts) -> None:
    print_to_stderr(f"waiting for {what} (at most {ROLLOUT_S} s)")
    command = [*kubectl(profile), "rollout", "status", what, f"--timeout={ROLLOUT_S}s"]
    said = run(command, interrupts, ROLLOUT_S + 30.0, show=True)
    if said.status == 0:
        return
    reasons = '{.items[*].status.conditions[?(@.reason=="Unschedulable")].message}'
    why = run([*kubectl(profile), "get", "pods", "-l", label, "-o", f"jsonpath={reasons}"], interrupts)
    if "Insufficient memory" in why.output:
        raise ClusterError(
            "minikube has not enough memory for all pods: minikube delete, then make deploy "
            'OPTIONS="--memory 6144", or OPTIONS="--small" for a single ZooKeeper server'
        )
    raise ClusterError(
        f"{what} isn't ready ({said.last_line}): look with kubectl get pods, "
        f"kubectl describe pods -l {label}, kubectl logs -l {label} --all-containers"
    )


def _do(profile: str, words: list[str], interrupts: Interrupts, given: str = "") -> None:
    said = run([*kubectl(profile), *words], interrupts, DELETE_S + 30.0, show=True, given=given)
    _checked(words, said)


def _checked(words: list[str], said: Said) -> Said:
    if said.status != 0:
        raise ClusterError(f"kubectl {words[0]}: {said.last_line}")
    return said
