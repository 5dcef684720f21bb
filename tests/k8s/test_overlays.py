"""What the overlays change, and that kustomize makes the same of them as these tests do."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import FILES, K8S, OVERLAYS, Object, built, containers, environment, find, key, read


def by_key(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {key(one): one for one in objects}


@pytest.mark.parametrize("folder", [".", *OVERLAYS])
def test_all_four_files_are_in(folder: str) -> None:
    (plan,) = read(K8S / folder / "kustomization.yaml")
    names = [(K8S / folder / name).resolve() for name in plan["resources"]]
    assert names == [K8S / name for name in FILES]


def test_nothing_is_there_twice() -> None:
    keys = [key(one) for one in built()]
    assert sorted(keys) == sorted(set(keys))


def test_the_small_one_changes_the_number_of_servers_and_nothing_else() -> None:
    whole, small = by_key(built()), by_key(built(K8S / "overlays/small"))
    server = find(list(small.values()), "StatefulSet")
    changed = [name for name in whole if whole[name] != small[name]]

    assert whole.keys() == small.keys()
    assert changed == [("StatefulSet", "zookeeper")]
    assert server["spec"]["replicas"] == 1
    before = environment(containers(find(list(whole.values()), "StatefulSet"))[0])
    after = environment(containers(server)[0])
    assert {name for name in before if before[name] != after[name]} == {"ZOO_SERVERS"}


def test_on_several_nodes_the_volume_is_one_that_all_of_them_reach() -> None:
    objects = built(K8S / "overlays/multi-node")
    claim = find(objects, "PersistentVolumeClaim")["spec"]

    assert ("PersistentVolume", "shared-data-pv") not in by_key(objects)
    assert "volumeName" not in claim
    assert claim["storageClassName"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    images = {one["image"] for one in containers(find(objects, "Deployment"))}
    assert len(images) == 1
    assert "/" in images.pop(), "from a registry that every node reaches"


@pytest.mark.parametrize("folder", [".", *OVERLAYS])
def test_kustomize_makes_the_same_of_it(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine to compare with")
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(K8S / folder)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    objects: list[Any] = list(yaml.safe_load_all(made.stdout))
    assert by_key(objects) == by_key(built(K8S / folder))
