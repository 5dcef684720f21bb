"""A pod as a container: what a manifest says, in the Docker SDK's words; nothing is copied from it.

What Docker has no word for stands here in its stead: Services are network aliases, volumes are Docker's named
ones, the downward API is filled in, and nobody restarts a container but the tests, as a kubelet would.
"""

from dataclasses import dataclass
from typing import Any

import docker
import httpx
from docker.models.containers import Container
from docker.models.networks import Network

from lab import docker_engine
from tests.k8s.manifests import Object, containers, mebibytes, pod

NAMESPACE = "default"


@dataclass(frozen=True)
class Kind:
    """One workload of the manifests.

    Attributes:
        aliases: names by which its Services lead to one of its pods.
        extra: further keywords for the SDK, for what no manifest says.
    """

    workload: Object
    aliases: tuple[str, ...] = ()
    extra: dict[str, Any] | None = None

    @property
    def main(self) -> Object:
        (container,) = pod(self.workload)["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def grace_s(self) -> int:
        """How long an orderly end may take before it is a kill; Kubernetes' own is 30 s."""
        return int(pod(self.workload).get("terminationGracePeriodSeconds", 30))


class Pod:
    """One pod of a kind, from its start to :meth:`delete`.

    Args:
        run: a prefix for all that is made in the engine.
        name: the pod's.
        address: its own, also after it was cut off.
    """

    def __init__(
        self, engine: docker.DockerClient, run: str, network: Network, kind: Kind, name: str, address: str
    ) -> None:
        self.name = name
        self.address = address
        # One for all calls: each new one reads every certificate of this machine.
        self._http = httpx.Client(timeout=2, trust_env=False)
        self._kind = kind
        self._network = network
        self._aliases = [name, *kind.aliases, f"{name}.{kind.workload['spec'].get('serviceName', 'pods')}"]
        self._volumes = {one["name"]: self._volume(run, one) for one in _volumes(kind.workload)}
        labels = docker_engine.labels_of(run)
        for volume in self._volumes.values():
            engine.volumes.create(volume, labels=labels)  # one that is there is left as it is
        for preparing in containers(kind.workload)[:-1]:
            engine.containers.run(network_mode="none", remove=True, **self._options(preparing))
        endpoint: Any = engine.api.create_endpoint_config(aliases=self._aliases, ipv4_address=address)
        self.container: Container = engine.containers.create(
            name=f"{run}-{name}",
            hostname=name,
            labels=labels,
            network=network.name,
            networking_config={str(network.name): endpoint},
            **self._options(kind.main),
            **(kind.extra or {}),
        )
        self.container.start()

    def _volume(self, run: str, volume: Object) -> str:
        shared = "persistentVolumeClaim" in volume
        return f"{run}-{volume['name']}" if shared else f"{run}-{self.name}-{volume['name']}"

    def _options(self, container: Object) -> dict[str, Any]:
        """The SDK's keywords for one container of this pod."""
        security = {**pod(self._kind.workload).get("securityContext", {}), **container["securityContext"]}
        memory = container.get("resources", {}).get("limits", {}).get("memory")
        limits = (
            {"mem_limit": f"{mebibytes(memory)}m", "memswap_limit": f"{mebibytes(memory)}m"} if memory else {}
        )
        assert security["allowPrivilegeEscalation"] is False
        return {
            "image": container["image"],
            "entrypoint": container.get("command"),
            "command": container.get("args"),
            "environment": dict(map(self._variable, container.get("env", []))),
            "user": f"{security['runAsUser']}:{security['runAsGroup']}",
            "read_only": security.get("readOnlyRootFilesystem", False),
            "cap_drop": security["capabilities"]["drop"],
            "cap_add": security["capabilities"].get("add", []),
            "security_opt": ["no-new-privileges"],
            "volumes": {
                self._volumes[one["name"]]: {"bind": one["mountPath"], "mode": "rw"}
                for one in container["volumeMounts"]
            },
            **limits,
        }

    def _variable(self, one: Object) -> tuple[str, str]:
        """A variable of the manifest; the downward API's are filled in."""
        if "value" in one:
            return one["name"], one["value"]
        fields = {"metadata.name": self.name, "metadata.namespace": NAMESPACE, "status.podIP": self.address}
        return one["name"], fields[one["valueFrom"]["fieldRef"]["fieldPath"]]

    # -- looking --

    @property
    def url(self) -> str:
        (port,) = self._kind.main["ports"]
        return f"http://{self.address}:{port['containerPort']}"

    def probed(self) -> bool:
        """What the manifest's readiness probe says now."""
        probe = self._kind.main["readinessProbe"]
        if "exec" in probe:
            self.container.reload()
            running = self.container.status == "running"
            return running and self.container.exec_run(probe["exec"]["command"]).exit_code == 0
        answer = self.get(probe["httpGet"]["path"])
        return answer is not None and answer.status_code == 200

    def get(self, path: str) -> httpx.Response | None:
        """What it answers; None if it doesn't."""
        try:
            return self._http.get(self.url + path)
        except httpx.TransportError:
            return None

    def last_words(self) -> str:
        return f"{self.name}: {self.container.logs(tail=15).decode(errors='replace')}"

    def used_mb(self) -> float:
        """Its memory as the kubelet counts it: the working set, without what the cache could give back."""
        told: Any = self.container.stats(stream=False)
        stats = told["memory_stats"]
        return float(stats["usage"] - stats["stats"].get("inactive_file", 0)) / 1e6

    # -- harm, and mending --

    def kill(self) -> None:
        self.container.kill()
        self.container.wait(timeout=20)

    def pause(self) -> None:
        docker_engine.freeze(self.container)

    def cut(self) -> None:
        self._network.disconnect(self.container)

    def mend(self) -> None:
        """On the network, running, and not paused; as a kubelet would have it."""
        self.container.reload()
        if self.container.status == "paused":
            self.container.unpause()
        self._network.reload()
        if not self.container.attrs["NetworkSettings"]["Networks"]:
            self._network.connect(self.container, aliases=self._aliases, ipv4_address=self.address)
        if self.container.status == "exited":
            self.container.start()

    def stop(self) -> int:
        """An orderly end, as before a deletion: its exit status."""
        self.container.stop(timeout=self._kind.grace_s)
        return int(self.container.wait(timeout=20)["StatusCode"])

    def restart(self) -> None:
        self.stop()
        self.container.start()

    def delete(self) -> None:
        """Gone for good; a pod that comes in its stead has another name, and another disk."""
        self._http.close()
        self.container.remove(v=True, force=True)


def _volumes(workload: Object) -> list[Object]:
    claims = workload["spec"].get("volumeClaimTemplates", [])
    return [*pod(workload).get("volumes", []), *({"name": one["metadata"]["name"]} for one in claims)]
