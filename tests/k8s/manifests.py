"""The manifests as data: what each file says, and what is left after an overlay's patches.

The overlays use little of kustomize, so that little is applied here; where kubectl is at hand,
test_overlays.py compares.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

K8S = ROOT / "k8s"
FILES = ("storage.yaml", "zookeeper.yaml", "rbac.yaml", "app.yaml")
OVERLAYS = ("overlays/small", "overlays/multi-node")
Object = dict[str, Any]


def read(path: Path) -> list[Object]:
    """The objects in one file."""
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]


def built(folder: Path = K8S) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    (plan,) = read(folder / "kustomization.yaml")
    objects = [one for name in plan["resources"] for one in read(folder / name)]
    for patch in plan.get("patches", []):
        objects = _patched(objects, yaml.safe_load(patch["patch"]))
    for image in plan.get("images", []):
        for container in (one for workload in workloads(objects) for one in containers(workload)):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return objects


def _patched(objects: list[Object], patch: Object) -> list[Object]:
    fits = [one for one in objects if key(one) == key(patch)]
    assert len(fits) == 1, f"a patch for {key(patch)}, of which there are {len(fits)}"
    if patch.get("$patch") == "delete":
        return [one for one in objects if one is not fits[0]]
    return [_merged(one, patch) if one is fits[0] else one for one in objects]


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: maps by key, named things by name, null takes away, all else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        whole = {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
        return {name: value for name, value in whole.items() if value is not None}
    if isinstance(old, list) and isinstance(new, list) and all("name" in one for one in old + new):
        changes = {one["name"]: one for one in new}
        return [_merged(one, changes.pop(one["name"], {})) for one in old] + list(changes.values())
    return new


def key(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def find(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The only one of its kind, or the one of this name."""
    found = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name or ''}: there are {[key(one) for one in found]}"
    return found[0]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def workloads(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "Deployment", "StatefulSet")


def labels_of_pods(workload: Object) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Object) -> list[Object]:
    """All of them, those that prepare included."""
    return [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]


def environment(container: Object) -> dict[str, str]:
    """The variables with a value that stands in the manifest."""
    return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}


def everything(value: Any, wanted: Callable[[str], bool]) -> Iterator[Any]:
    """Every value under a key that is wanted, however deep."""
    if isinstance(value, dict):
        for name, below in value.items():
            if wanted(name):
                yield below
            yield from everything(below, wanted)
    elif isinstance(value, list):
        for below in value:
            yield from everything(below, wanted)


def mebibytes(quantity: str) -> int:
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]
