"""A stand-in for the Kubernetes API, which has no place on a Docker network: it keeps the pods' labels.

With TLS and a token, as in a cluster, so that the worker's own configuration is what is tried. It lets a pod
do what k8s/rbac.yaml lets it do, and nothing else.
"""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.k8s.manifests import K8S, find, read

TOKEN = "of-the-service-account"
# Where Kubernetes mounts it, and the client looks for it.
MOUNTED_AT = "/var/run/secrets/kubernetes.io/serviceaccount"
_VERBS = {"GET": "get", "PATCH": "patch", "PUT": "update", "DELETE": "delete", "POST": "create"}


class Api(ThreadingHTTPServer):
    """Serves on ``address`` from now until :meth:`close`.

    Args:
        folder: for the service account's files: a token and a certificate.

    Attributes:
        labels: of each pod that has changed its own.
        denied: requests that k8s/rbac.yaml doesn't allow.
    """

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__((address, 0), _Handler)
        self.labels: dict[str, dict[str, Any]] = {}
        self.denied: list[str] = []
        (rule,) = find(read(K8S / "rbac.yaml"), "Role")["rules"]
        self.allowed = {(resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}
        self._folder = folder
        self._secure(address)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def _secure(self, address: str) -> None:
        key, certificate = self._folder.parent / "key.pem", self._folder / "ca.crt"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=kubernetes",
        ]
        command += ["-addext", f"subjectAltName=IP:{address}", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        (self._folder / "token").write_text(TOKEN)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def environment(self) -> dict[str, str]:
        """What Kubernetes tells every container of its API."""
        host, port = self.server_address[:2]
        return {"KUBERNETES_SERVICE_HOST": str(host), "KUBERNETES_SERVICE_PORT": str(port)}

    def with_role_master(self) -> set[str]:
        """The pods that master-service would lead to."""
        return {name for name, labels in self.labels.items() if labels.get("role") == "master"}

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # /api/v1/namespaces/<namespace>/<resource>/<name>
        _, _, _, _, _, resource, name = (self.path + "///").split("/")[:7]
        allowed = (resource, _VERBS[method]) in self.server.allowed
        if not allowed or self.headers.get("Authorization", "").lower() != f"bearer {TOKEN}":
            self.server.denied.append(f"{method} {self.path}")
            self._send(403)
            return
        changes = json.loads(body)["metadata"]["labels"]
        self.server.labels.setdefault(name, {}).update(changes)
        self._send(200)

    def _send(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        del format, args
