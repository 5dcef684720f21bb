"""The environment, read once into one frozen, validated value and passed in from there."""

import math
import re
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import BadSettingError

# The name that the manifests give ZooKeeper's client service, as in the notes.
DEFAULT_ZK_HOSTS = "zookeeper:2181"

_SERVER = re.compile(r"[A-Za-z0-9._-]+:(?P<port>[0-9]{1,5})")
# The notes' service routes to this port.
DEFAULT_PORT = 5000
# Long enough for a busy laptop, short enough that a class sees a dead master replaced within ten seconds.
DEFAULT_SESSION_TIMEOUT_S = 6.0
# A photo is a few MiB, the largest picture that a job takes about 200.
DEFAULT_MAX_UPLOAD_MIB = 256
# The course's cluster: with fewer live workers an upload is refused.
DEFAULT_MIN_NODES = 5

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


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told from outside, beside :class:`Settings`.

    Attributes:
        bind, port: where its HTTP listens (``BIND``, ``PORT``).
        url: where others reach it.
        shared_dir: the volume that all workers mount (``SHARED_DIR``).
        backup_dir: its own disk (``BACKUP_DIR``).
        min_nodes: live workers that an upload needs (``MIN_NODES``).
        session_timeout_s: of its ZooKeeper session (``SESSION_TIMEOUT_S``).
        max_upload_bytes: of one upload (``MAX_UPLOAD_MIB``).
        namespace: where its pod lives (``POD_NAMESPACE``), None outside Kubernetes.
    """

    bind: str
    port: int
    url: str
    shared_dir: Path
    backup_dir: Path
    min_nodes: int
    session_timeout_s: float
    max_upload_bytes: int
    namespace: str | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "WorkerSettings":
        """Read and validate. Raises BadSettingError with one line that names the variable."""
        bind = environ.get("BIND", "0.0.0.0")
        port = int(_number(environ, "PORT", DEFAULT_PORT, 1, 65535))
        host = environ.get("POD_IP") or (socket.gethostname() if bind == "0.0.0.0" else bind)
        in_kubernetes = "KUBERNETES_SERVICE_HOST" in environ
        return cls(
            bind=bind,
            port=port,
            url=f"http://{host}:{port}",
            shared_dir=_writable("SHARED_DIR", environ.get("SHARED_DIR", "/shared")),
            backup_dir=_writable("BACKUP_DIR", environ.get("BACKUP_DIR", "/backup")),
            min_nodes=int(_number(environ, "MIN_NODES", DEFAULT_MIN_NODES, 1, 1000)),
            session_timeout_s=_number(environ, "SESSION_TIMEOUT_S", DEFAULT_SESSION_TIMEOUT_S, 1, 60),
            max_upload_bytes=int(_number(environ, "MAX_UPLOAD_MIB", DEFAULT_MAX_UPLOAD_MIB, 1, 100_000))
            << 20,
            namespace=environ.get("POD_NAMESPACE") if in_kubernetes else None,
        )


def _number(environ: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        message = (
            f"{name}: {text!r} is not a number from {least:,} to {most:,}; for example {name}={default:g}"
        )
        raise BadSettingError(message)
    return value


def _writable(name: str, text: str) -> Path:
    """A folder that this process can write to: found out now, not when somebody's upload fails."""
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = (
            f"{name}: can't write to {folder} ({error.strerror}): name a folder of this user's, or mount one"
        )
        raise BadSettingError(message) from error
    return folder


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
