"""The environment, read once into one frozen, validated value and passed in from there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import BadSettingError

# The name that the manifests give ZooKeeper's client service, as in the notes.
DEFAULT_ZK_HOSTS = "zookeeper:2181"

_SERVER = re.compile(r"[A-Za-z0-9._-]+:(?P<port>[0-9]{1,5})")
# What Kubernetes calls a pod, or a person a worker; it becomes the name of a znode.
_POD = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process is told from outside.

    Attributes:
        zk_hosts: ``host:port[,host:port...]`` of the ZooKeeper servers, without a chroot.
        zk_hosts_given: whether somebody chose them (``ZK_HOSTS``), or they are the pods' default.
        pod_name: this participant's name (``POD_NAME``).
        lab_control: socket through which the owner of the servers pauses and partitions them, or None.
    """

    zk_hosts: str
    zk_hosts_given: bool
    pod_name: str
    lab_control: Path | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and validate. Raises BadSettingError with one line that names the variable."""
        given = environ.get("ZK_HOSTS", "").strip()
        control = environ.get("LAB_CONTROL", "")
        return cls(
            zk_hosts=checked_hosts(given or DEFAULT_ZK_HOSTS),
            zk_hosts_given=bool(given),
            pod_name=_checked_pod(environ.get("POD_NAME", "local")),
            lab_control=Path(control) if control else None,
        )


def checked_hosts(hosts: str) -> str:
    """``hosts`` if every part is ``host:port`` with a port from 1 to 65535, else BadSettingError."""
    servers = [part.strip() for part in hosts.split(",")]
    for server in servers:
        fits = _SERVER.fullmatch(server)
        if not fits or not 0 < int(fits["port"]) < 65536:
            message = f"ZK_HOSTS: {server!r} is not host:port; for example ZK_HOSTS=127.0.0.1:2181"
            raise BadSettingError(message)
    return ",".join(servers)


def _checked_pod(name: str) -> str:
    if not _POD.fullmatch(name):
        message = f"POD_NAME: {name!r} is not a pod's name; for example POD_NAME=worker-1"
        raise BadSettingError(message)
    return name
