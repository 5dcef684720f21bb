"""The pod's role label: what is sent to the Kubernetes API, and that it is sent until it is so."""

import json
import threading
from collections.abc import Iterator

# Not "import http.server": that name is eventlet's green copy once eventlet.wsgi has been imported, and its
# server can't be shut down from another thread.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import eventlet
import pytest
from kubernetes import client

from app.cluster.label import RoleLabel


class Api(ThreadingHTTPServer):
    """A Kubernetes API that takes patches, and refuses as often as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.patches: list[tuple[str, str, Any]] = []
        self.refusals = 0


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused, self.server.refusals = self.server.refusals > 0, max(0, self.server.refusals - 1)
        if not refused:
            self.server.patches.append((self.path, self.headers["Content-Type"], body))
        answer = b"{}"
        self.send_response(403 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        del format, args


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def label_at(api: Api) -> RoleLabel:
    label = RoleLabel("zk-app-1", "class")
    configuration = client.Configuration(host=f"http://127.0.0.1:{api.server_port}")
    label._api = client.CoreV1Api(client.ApiClient(configuration))
    return label


def test_the_label_is_set_on_winning_and_removed_on_losing(api: Api) -> None:
    label = label_at(api)

    label.set(leads=True)
    label.settle(10)
    label.set(leads=False)
    label.settle(10)

    paths, kinds, bodies = zip(*api.patches, strict=True)
    assert set(paths) == {"/api/v1/namespaces/class/pods/zk-app-1"}
    assert all("merge-patch" in kind for kind in kinds)
    assert [body["metadata"]["labels"] for body in bodies] == [{"role": "master"}, {"role": None}]


def test_a_label_that_is_as_wanted_is_left_alone(api: Api) -> None:
    label = label_at(api)
    for _ in range(3):
        label.set(leads=True)
        label.settle(10)

    assert len(api.patches) == 1


def test_a_refused_patch_is_sent_again_until_it_is_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cluster.label._RETRY_S", 0.01)
    api.refusals = 2
    label = label_at(api)

    label.set(leads=True)
    label.settle(10)

    assert len(api.patches) == 1


def test_what_is_wanted_last_is_what_it_becomes(api: Api) -> None:
    label = label_at(api)

    for leads in (True, False, True, False):
        label.set(leads=leads)
    label.settle(10)

    assert api.patches[-1][2]["metadata"]["labels"] == {"role": None}


def test_outside_kubernetes_nobody_is_asked() -> None:
    label = RoleLabel("worker-1", None)

    label.set(leads=True)
    eventlet.sleep(0)

    assert label._thread is None
