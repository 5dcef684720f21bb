"""Names, log lines and other sites that mean no good."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from app.zookeeper import client as zk, paths
from tests.page.conftest import Tab, photo
from tests.worker.conftest import Cluster

EVIL = "<img src=x onerror=window.hacked=1>"


class _EvilLog(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        for number, line in enumerate(
            [EVIL, "</li><script>window.hacked=1</script>", "last line\u2028\r\nid: 7"], 1
        ):
            told = {"n": number, "at": 1.0, "level": EVIL, "line": line}
            self.wfile.write(f"data: {json.dumps(told)}\n\n".encode())
        self.wfile.write(b"data: no json\n\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name is http.server's)
        del format, args


@contextmanager
def _evil_pod(cluster: Cluster) -> Iterator[None]:
    """A znode that anybody could make, and a log that anybody could serve."""
    server = HTTPServer(("127.0.0.1", 0), _EvilLog)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The longest that servers grant: while the browser is waited for, its green threads stand still.
    client = zk.connect(cluster.hosts, session_timeout_s=40, deadline_s=30)
    told = {"role": EVIL, "url": f"http://127.0.0.1:{server.server_port}", "doing": [EVIL], "slot": EVIL}
    try:
        client.create(f"{paths.NODES}/{EVIL}", json.dumps(told).encode(), ephemeral=True)
        yield
    finally:
        zk.disconnect(client)
        server.shutdown()
        server.server_close()


def test_a_name_and_a_log_line_that_try_to_inject_are_text(tab: Tab, cluster: Cluster) -> None:
    with _evil_pod(cluster):
        tab.press("#show-logs")
        tab.says("#cards", EVIL)
        tab.says("#panes", EVIL, "</li><script>", "last line")
        cluster.stored(photo(), f"{EVIL}.tif")
        tab.says("#jobs", EVIL)
        tab.says("#job-name", EVIL)

    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("img[src=x], main script").count() == 0


@pytest.mark.whole
def test_nothing_is_asked_of_another_host(tab: Tab) -> None:
    tab.press("#show-logs")
    tab.send(photo())
    tab.page.wait_for_selector("#pictures figure:nth-of-type(2)")
    tab.press("#quorum button[value=read]")
    tab.says("#quorum-said", "read")

    assert {url for url in tab.requests if not url.startswith(f"{tab.url}/")} == set()


@pytest.mark.whole
def test_the_policy_lets_no_inline_script_run(tab: Tab) -> None:
    tab.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 2";
            document.body.append(script);
        }"""
    )

    assert tab.page.evaluate("window.hacked") is None
    policy = httpx.get(tab.url, trust_env=False).headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script" not in policy  # default-src 'self' holds for scripts, too


@pytest.mark.parametrize("path", ["/upload", "/config", "/quorum/write", "/quorum/read"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_another_sites_page_changes_nothing(cluster: Cluster, path: str, headers: dict[str, str]) -> None:
    answer = cluster.http.post(f"{cluster.master_url()}{path}", json={"value": "x"}, headers=headers)

    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]


def test_a_program_without_an_origin_may_upload_and_ask(cluster: Cluster) -> None:
    assert cluster.upload(photo()).status_code == 200
    answer = cluster.http.post(f"{cluster.master_url()}/quorum/write", json={"value": "by curl"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/config", {"chunk_size": "many"}, 400),
        ("/config", {"chunk_size": True}, 400),
        ("/config", {"chunk_size": 10, "more": 1}, 400),
        ("/config", [1], 400),
        ("/quorum/write", {}, 400),
        ("/quorum/write", {"value": "x" * 201}, 400),
    ],
)
def test_bad_orders_are_refused(cluster: Cluster, path: str, body: object, status: int) -> None:
    answer = cluster.http.post(f"{cluster.master_url()}{path}", json=body)

    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_form_of_another_site_is_no_order(cluster: Cluster) -> None:
    answer = cluster.http.post(f"{cluster.master_url()}/config", content="chunk_size=1")

    assert answer.status_code == 415


def test_previews_are_of_jobs_and_of_nothing_else(cluster: Cluster) -> None:
    url = cluster.master_url()

    for name in ("..%2f..%2fetc%2fpasswd", "x_before.png", f"{'0' * 36}_after.png"):
        assert cluster.http.get(f"{url}/preview/{name}").status_code == 404
