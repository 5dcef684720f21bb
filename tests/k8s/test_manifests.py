"""What no schema sees: that the objects fit each other, and the code."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from app import settings
from app.settings import DEFAULT_PORT, DEFAULT_SESSION_TIMEOUT_S, DEFAULT_ZK_HOSTS, WorkerSettings
from app.web.events import Events
from app.web.site import site
from tests.conftest import ROOT
from tests.k8s.manifests import (
    K8S,
    OVERLAYS,
    Object,
    built,
    containers,
    environment,
    everything,
    find,
    key,
    labels_of_pods,
    mebibytes,
    of_kind,
    pod,
    workloads,
)

APP_CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "app").rglob("*.py")))
# Set by the elected pod itself, so that no template has it.
GIVEN_LATER = {"role": "master"}


@pytest.fixture(scope="module", params=[".", *OVERLAYS])
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return built(K8S / str(request.param))


@pytest.fixture(scope="module")
def app(objects: list[Object]) -> Object:
    return find(objects, "Deployment", "zk-app")


@pytest.fixture(scope="module")
def zookeeper(objects: list[Object]) -> Object:
    return find(objects, "StatefulSet", "zookeeper")


def chosen(objects: list[Object], selector: dict[str, str]) -> list[Object]:
    """The workloads whose pods fit."""
    wanted = {name: value for name, value in selector.items() if GIVEN_LATER.get(name) != value}
    return [one for one in workloads(objects) if wanted and wanted.items() <= labels_of_pods(one).items()]


def ports_of(workload: Object) -> dict[Any, int]:
    """By number and by name."""
    ports = [port for container in containers(workload) for port in container.get("ports", [])]
    return {known: port["containerPort"] for port in ports for known in (port["containerPort"], port["name"])}


# -- labels and ports --


def test_every_selector_chooses_pods_that_there_are(objects: list[Object]) -> None:
    selectors = list(everything(objects, lambda name: name in ("labelSelector", "podSelector")))
    selectors += [one["spec"]["selector"] for one in of_kind(objects, "PodDisruptionBudget")]
    assert len(selectors) >= 6
    for selector in selectors:
        assert chosen(objects, selector["matchLabels"]), selector


def test_every_workload_owns_the_pods_of_its_template(objects: list[Object]) -> None:
    for workload in workloads(objects):
        assert workload["spec"]["selector"]["matchLabels"] == labels_of_pods(workload)


def test_every_service_leads_to_a_port_that_its_pods_listen_on(objects: list[Object]) -> None:
    for service in of_kind(objects, "Service"):
        (workload,) = chosen(objects, service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in ports_of(workload), key(service)


def test_the_network_lets_in_clients_and_peers_and_nobody_else(objects: list[Object]) -> None:
    policy = find(objects, "NetworkPolicy", "zookeeper")["spec"]
    let_in = {
        tuple(one["podSelector"]["matchLabels"].items()): {port["port"] for port in rule["ports"]}
        for rule in policy["ingress"]
        for one in rule["from"]
    }

    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"] == {"matchLabels": {"app": "zookeeper"}}
    assert let_in == {(("app", "zk-app"),): {2181}, (("app", "zookeeper"),): {2888, 3888}}


def test_what_the_notes_name_keeps_its_name(objects: list[Object], app: Object) -> None:
    master = find(objects, "Service", "master-service")["spec"]
    assert master["selector"] == {"app": "zk-app", "role": "master"}
    assert [(port["port"], port["targetPort"]) for port in master["ports"]] == [(80, 5000)]
    assert app["spec"]["replicas"] == 5
    assert labels_of_pods(app) == {"app": "zk-app"}
    assert pod(app)["serviceAccountName"] == find(objects, "ServiceAccount")["metadata"]["name"]
    assert pod(app)["serviceAccountName"] == "app-service-account"
    assert find(objects, "PersistentVolumeClaim")["metadata"]["name"] == "shared-data-pvc"


def test_the_master_label_is_the_one_that_the_code_sets() -> None:
    label = (ROOT / "app/cluster/label.py").read_text(encoding="utf-8")
    assert '"labels": {"role": role}' in label
    assert '"master" if wanted' in label


# -- storage --


def test_the_volume_and_the_claim_bind_each_other() -> None:
    objects = built()
    volume, claim = find(objects, "PersistentVolume"), find(objects, "PersistentVolumeClaim")

    assert key(volume) == ("PersistentVolume", "shared-data-pv")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"] == {"namespace": "default", "name": claim["metadata"]["name"]}
    # Absent is not the same: it would become the default class.
    assert volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"] == ""
    assert set(claim["spec"]["accessModes"]) <= set(volume["spec"]["accessModes"])
    capacity = mebibytes(volume["spec"]["capacity"]["storage"])
    assert mebibytes(claim["spec"]["resources"]["requests"]["storage"]) <= capacity
    assert volume["spec"]["hostPath"]["path"] == "/data/shared"


def test_every_mount_has_its_volume_and_every_volume_its_mount(objects: list[Object]) -> None:
    for workload in workloads(objects):
        templates = workload["spec"].get("volumeClaimTemplates", [])
        declared = {one["name"] for one in pod(workload).get("volumes", [])}
        declared |= {one["metadata"]["name"] for one in templates}
        mounted = {mount["name"] for one in containers(workload) for mount in one.get("volumeMounts", [])}
        assert mounted == declared, key(workload)


def test_every_claim_that_a_pod_names_is_there(objects: list[Object]) -> None:
    claims = {one["metadata"]["name"] for one in of_kind(objects, "PersistentVolumeClaim")}
    assert {
        one["claimName"] for one in everything(objects, lambda name: name == "persistentVolumeClaim")
    } == claims


def test_a_worker_can_write_where_it_does_and_nowhere_else(
    app: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "_writable", lambda name, text: Path(text))
    local = WorkerSettings.from_environment(environment(pod(app)["containers"][0]))
    (worker,) = pod(app)["containers"]

    mounted = {Path(mount["mountPath"]) for mount in worker["volumeMounts"]}
    assert mounted == {local.shared_dir, local.backup_dir, Path("/tmp")}
    assert worker["securityContext"]["readOnlyRootFilesystem"] is True


def test_zookeeper_keeps_all_that_it_writes_on_its_volume(zookeeper: Object) -> None:
    (server,) = containers(zookeeper)
    environ = {"ZOO_DATA_DIR": "/data", "ZOO_DATA_LOG_DIR": "/datalog", **environment(server)}
    assert {mount["mountPath"] for mount in server["volumeMounts"]} == {
        environ["ZOO_DATA_DIR"],
        environ["ZOO_DATA_LOG_DIR"],
    }
    (template,) = zookeeper["spec"]["volumeClaimTemplates"]
    assert "storageClassName" not in template["spec"], "the default class, whatever its name"


def test_only_the_giving_away_of_the_folder_is_roots(app: Object) -> None:
    (giving,) = pod(app)["initContainers"]
    assert giving["command"] == ["chown", "1000:1000", "/shared"]
    assert giving["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert [mount["mountPath"] for mount in giving["volumeMounts"]] == ["/shared"]


# -- who it is, and what it may do --


def test_nothing_that_stays_runs_as_root_or_can_become_more(objects: list[Object]) -> None:
    for workload in workloads(objects):
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["securityContext"]["runAsUser"] == 1000
        assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod(workload)["containers"]:
            assert {"runAsUser", "runAsNonRoot"}.isdisjoint(container["securityContext"])
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for container in containers(workload):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_worker_may_do_exactly_what_its_code_does(objects: list[Object]) -> None:
    verbs = {"read": "get", "replace": "update"}
    call = r"\.(read|list|watch|create|patch|replace|delete)_(?:namespaced_)?(\w+)\("
    used = {
        (verbs.get(verb, verb), f"{what}s")
        for verb, what in re.findall(call, (ROOT / "app/cluster/label.py").read_text(encoding="utf-8"))
    }
    rules = find(objects, "Role")["rules"]
    allowed = {(verb, what) for rule in rules for verb in rule["verbs"] for what in rule["resources"]}

    assert allowed == used
    assert used, "or this test reads the code wrongly"
    assert [rule["apiGroups"] for rule in rules] == [[""]]


def test_nobody_but_the_label_talks_to_kubernetes() -> None:
    imports = re.compile(r"^\s*(?:from|import) kubernetes\b", flags=re.M)
    users = [
        path for path in (ROOT / "app").rglob("*.py") if imports.search(path.read_text(encoding="utf-8"))
    ]
    assert users == [ROOT / "app/cluster/label.py"]


def test_the_role_is_given_to_the_workers(objects: list[Object]) -> None:
    binding = find(objects, "RoleBinding")
    assert binding["roleRef"]["name"] == find(objects, "Role")["metadata"]["name"]
    namespace = find(built(), "PersistentVolume")["spec"]["claimRef"]["namespace"]
    account = find(objects, "ServiceAccount")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]


# -- probes, settings, images --


def test_every_probe_of_a_worker_asks_a_route_that_there_is(app: Object) -> None:
    client = site(cast(Any, object()), Events()).test_client()
    (worker,) = pod(app)["containers"]
    probes = {name: worker[name]["httpGet"] for name in worker if name.endswith("Probe")}

    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/healthz",
    }
    for probe in probes.values():
        assert ports_of(app)[probe["port"]] == DEFAULT_PORT
    assert client.get("/healthz").status_code == 200
    rules = {rule.rule for rule in client.application.url_map.iter_rules()}
    assert {probe["path"] for probe in probes.values()} <= rules


def test_zookeeper_is_ready_with_a_quorum_and_alive_without(zookeeper: Object) -> None:
    (server,) = containers(zookeeper)
    ready, alive = (" ".join(server[name]["exec"]["command"]) for name in ("readinessProbe", "livenessProbe"))
    words = environment(server)["ZOO_4LW_COMMANDS_WHITELIST"].split(",")

    assert "printf srvr" in ready
    assert "Mode: (leader|follower|standalone)" in ready
    assert "printf ruok" in alive
    assert {"srvr", "ruok"} == set(words), "every word that a probe asks, and no other"


def test_no_probe_outlives_the_time_that_it_is_given(objects: list[Object]) -> None:
    for container in (one for workload in workloads(objects) for one in containers(workload)):
        for probe in (container[name] for name in container if name.endswith("Probe")):
            if "exec" in probe:
                limit, seconds = probe["exec"]["command"][:2]
                assert limit == "timeout"
                assert float(seconds) < probe["timeoutSeconds"]
            assert probe["timeoutSeconds"] <= max(probe.get("periodSeconds", 10), 2)


def test_every_setting_that_a_worker_is_given_is_one_that_it_reads(app: Object) -> None:
    (worker,) = pod(app)["containers"]
    for variable in worker["env"]:
        assert f'"{variable["name"]}"' in APP_CODE, variable
    fields = {
        one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in worker["env"] if "valueFrom" in one
    }
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_IP": "status.podIP",
    }


def test_workers_find_zookeeper_at_its_service(objects: list[Object], app: Object) -> None:
    hosts = environment(pod(app)["containers"][0])["ZK_HOSTS"]
    name, _, port = hosts.partition(":")
    assert hosts == DEFAULT_ZK_HOSTS
    assert [one["port"] for one in find(objects, "Service", name)["spec"]["ports"]] == [int(port)]


def test_the_servers_of_an_ensemble_are_its_pods(objects: list[Object], zookeeper: Object) -> None:
    (server,) = containers(zookeeper)
    headless = find(objects, "Service", zookeeper["spec"]["serviceName"])["spec"]
    listed = re.findall(r"server\.(\d+)=([\w.-]+):(\d+):(\d+);(\d+)", environment(server)["ZOO_SERVERS"])
    name, service = zookeeper["metadata"]["name"], zookeeper["spec"]["serviceName"]

    assert [(int(number), host) for number, host, *_ in listed] == [
        (ordinal + 1, f"{name}-{ordinal}.{service}") for ordinal in range(zookeeper["spec"]["replicas"])
    ]
    assert {port for *_, peer, election, client in listed for port in (peer, election, client)} == {
        str(port) for port in ports_of(zookeeper) if isinstance(port, int)
    }
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    assert {port["port"] for port in headless["ports"]} == {2888, 3888}
    assert zookeeper["spec"]["podManagementPolicy"] == "Parallel"
    assert 'let "ZOO_MY_ID = ${HOSTNAME##*-} + 1"' in server["args"][0]


def test_sessions_of_two_seconds_and_of_the_workers_are_allowed(zookeeper: Object) -> None:
    environ = environment(containers(zookeeper)[0])
    longest = re.search(r"maxSessionTimeout=(\d+)", environ["ZOO_CFG_EXTRA"])
    assert longest
    least_ms = 2 * int(environ["ZOO_TICK_TIME"])
    assert least_ms <= 2000 <= DEFAULT_SESSION_TIMEOUT_S * 1000 <= int(longest[1])


def test_zookeepers_heap_fits_well_into_its_limit(zookeeper: Object) -> None:
    (server,) = containers(zookeeper)
    environ = environment(server)
    heap = re.search(r"-Xmx(\d+)m", environ["SERVER_JVMFLAGS"])
    assert heap
    limit = mebibytes(server["resources"]["limits"]["memory"])
    assert (int(heap[1]), limit) == (128, 320)
    assert int(heap[1]) + int(environ["ZK_CLIENT_HEAP"]) + 100 <= limit, "zkCli.sh runs within it, too"
    assert int(environ["ZOO_AUTOPURGE_PURGEINTERVAL"]) > 0


def test_memory_is_asked_for_and_limited_and_the_processor_not(objects: list[Object]) -> None:
    limits = {}
    for workload in workloads(objects):
        (container,) = pod(workload)["containers"]
        resources = container["resources"]
        limits[container["name"]] = (resources["requests"]["memory"], resources["limits"])
    assert limits == {
        "zk-app": ("96Mi", {"memory": "700Mi"}),
        "zookeeper": ("192Mi", {"memory": "320Mi"}),
    }


def test_images_of_others_carry_a_version_and_ours_is_not_pulled(objects: list[Object]) -> None:
    for container in (one for workload in workloads(objects) for one in containers(workload)):
        _, _, tag = container["image"].rpartition(":")
        if container["image"] == "zk-app:latest":
            # Without this line, a tag of latest is always pulled.
            assert container["imagePullPolicy"] == "IfNotPresent"
        else:
            assert re.fullmatch(r"[\w.-]*\d[\w.-]*", tag), container["image"]


def test_a_worker_goes_only_when_another_has_come(app: Object) -> None:
    assert app["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_pods_spread_where_they_can_and_start_where_they_can_not(app: Object, zookeeper: Object) -> None:
    assert [one["whenUnsatisfiable"] for one in pod(app)["topologySpreadConstraints"]] == ["ScheduleAnyway"]
    assert set(pod(zookeeper)["affinity"]["podAntiAffinity"]) == {
        "preferredDuringSchedulingIgnoredDuringExecution"
    }


def test_one_server_at_a_time_may_be_drained(objects: list[Object]) -> None:
    assert find(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
