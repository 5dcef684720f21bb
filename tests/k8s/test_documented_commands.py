"""Every command for a cluster that a page or a program shows names things that exist."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from lab import deploy
from lab.__main__ import _parser
from proof.__main__ import _parser as proof_parser
from tests.conftest import ROOT
from tests.k8s.manifests import K8S, built, containers, key, labels_of_pods, of_kind, workloads

PAGES = ("README.md", "docs/kubernetes.md")
# As the course's notes print them.
NOTES = """\
eval $(minikube docker-env)
docker build -t zk-app:latest .
kubectl apply -f k8s/storage.yaml
kubectl apply -f k8s/zookeeper.yaml
kubectl apply -f k8s/rbac.yaml
kubectl apply -f k8s/app.yaml
kubectl rollout status deployment/zk-app
kubectl get pods -l app=zk-app
kubectl exec -it <pod> -- python3 demo_easy_eventual.py
kubectl exec -it <pod> -- python3 demo_medium_primary_backup.py
kubectl exec -it <pod> -- python3 demo_hard_quorum.py
kubectl port-forward svc/master-service 8080:80""".splitlines()
TOOLS = ("kubectl", "minikube", "docker", "make", "kind", "eval", ".venv/bin/python")
KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "svc": "Service",
    "pvc": "PersistentVolumeClaim",
}
OBJECTS = built()


def lines_of(page: str) -> list[str]:
    """The lines of a page's code blocks, without their comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|powershell)\n(.*?)```", text, flags=re.S)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def commands_in(page: str) -> list[str]:
    """Of its blocks, and those that it names in a sentence."""
    text = (ROOT / page).read_text(encoding="utf-8")
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line for line in (*lines_of(page), *inline) if line.split()[0] in TOOLS and " " in line]


def printed() -> list[str]:
    """What `make deploy` and `make undeploy` tell a user to type."""
    lines = [line.split("  #")[0].strip() for line in f"{deploy.NEXT}\n{deploy.LEFT}".splitlines()]
    return [line for line in lines if line.split()[0] in TOOLS]


COMMANDS = sorted({*(line for page in PAGES for line in commands_in(page)), *printed()})
KUBECTL = [line for command in COMMANDS for line in command.split(" | ") if line.startswith("kubectl")]


@pytest.mark.parametrize("command", NOTES)
def test_every_command_of_the_notes_stands_in_the_readme_as_printed(command: str) -> None:
    assert command in lines_of("README.md")


def test_the_readme_goes_from_the_start_to_the_clean_up() -> None:
    lines = [
        line for line in lines_of("README.md") if line.startswith(("minikube", "kubectl", "docker", "eval"))
    ]
    assert lines[0].startswith("minikube start")
    assert lines[-1] == "minikube delete"
    assert "kubectl delete -k k8s" in lines
    assert [line for line in lines if line in NOTES] == NOTES, "in the order of the notes"


@pytest.mark.parametrize("command", KUBECTL)
def test_every_kubectl_command_names_what_exists(command: str) -> None:
    words = shlex.split(command.replace("<pod>", "POD"))
    for option, value in pairwise(words):
        if option == "-f" and value != "-":
            assert (ROOT / value).is_file()
        if option == "-k" or (words[1] == "kustomize" and value.startswith("k8s")):
            assert (ROOT / value / "kustomization.yaml").is_file()
        if option == "-l":
            assert value in LABELS
    for word in words:
        check_name(word)


def check_name(word: str) -> None:
    kind, slash, name = word.partition("/")
    if slash and kind in KINDS:
        assert (KINDS[kind], name) in [key(one) for one in OBJECTS]
    if re.fullmatch(r"zookeeper-\d", word):
        assert int(word[-1]) < 3
    if re.fullmatch(r"\w+\.py", word):
        assert (ROOT / word).is_file()
    if (fits := re.fullmatch(r"(\d+):(\d+)", word)) is not None:
        assert int(fits[2]) in SERVICE_PORTS


def labels() -> set[str]:
    """Those that pods have, and the one that the elected pod gives itself."""
    pods = {f"{name}={value}" for one in workloads(OBJECTS) for name, value in labels_of_pods(one).items()}
    return pods | {"role=master"}


LABELS = labels()
SERVICE_PORTS = {port["port"] for one in of_kind(OBJECTS, "Service") for port in one["spec"]["ports"]}


@pytest.mark.parametrize("command", [line for line in COMMANDS if "zk-app:" in line])
def test_every_image_that_is_built_is_the_one_that_runs(command: str) -> None:
    image = next(word for word in shlex.split(command) if ":" in word)
    assert image in {one["image"] for app in of_kind(OBJECTS, "Deployment") for one in containers(app)}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_command_can_be_given(command: str) -> None:
    _, target, *options = shlex.split(command)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.M)
    parser = proof_parser() if f" -m proof {target} " in makefile else _parser()
    for option in options:
        name, _, words = option.partition("=")
        assert name == "OPTIONS"
        parser.parse_known_args([target, *words.split()])


@pytest.mark.parametrize("command", [line for line in COMMANDS if " -m lab " in line])
def test_every_command_of_the_laboratory_can_be_given(command: str) -> None:
    _parser().parse_known_args(shlex.split(command)[3:])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert all(((ROOT / page).parent / link).exists() for link in links if link), links


@pytest.mark.parametrize("page", PAGES)
def test_every_manifest_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"\bk8s/[\w/-]+(?:\.yaml)?", (ROOT / page).read_text(encoding="utf-8")))
    assert all((ROOT / name).exists() for name in named), named


@pytest.mark.parametrize("path", sorted(K8S.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_that_a_manifest_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:app|k8s|overlays)/[\w/-]+(?:\.py)?", text):
        assert (ROOT / name).exists() or (K8S / name).exists(), name


@pytest.mark.parametrize("path", sorted(K8S.rglob("*.yaml")), ids=lambda path: path.name)
def test_a_manifest_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
