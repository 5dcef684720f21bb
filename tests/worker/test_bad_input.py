"""What a class uploads by mistake or for fun: a status, one plain sentence, and nothing left behind."""

import io
import socket
import struct
import time
import zlib
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from app.settings import DEFAULT_MAX_UPLOAD_MIB
from app.zookeeper import client as zk, paths
from tests.client import PATIENCE_S
from tests.worker.conftest import Cluster, as_file, as_pixels, equalized, noise


@pytest.fixture(autouse=True)
def nothing_is_left(cluster: Cluster) -> Iterator[None]:
    """Whatever a test sends: afterwards no file is there that wasn't, but for results."""
    before = cluster.files() | cluster.znodes()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while left := {path for path in cluster.files() if "/results/" not in path} - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert cluster.roles(), "the service goes on"


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    """With this status, and one sentence that has these words."""
    said = answer.json()["error"]
    assert answer.status_code == status, said
    assert all(word in said for word in words), said
    assert "Traceback" not in said
    assert "\n" not in said


def test_a_form_without_a_file(cluster: Cluster) -> None:
    answer = cluster.http.post(f"{cluster.master_url()}/upload", files={"job": (None, "equalize")})
    refused(answer, 400, "no file", "image")


def test_a_body_that_is_no_form(cluster: Cluster) -> None:
    answer = cluster.http.post(f"{cluster.master_url()}/upload", content=b"hello")
    refused(answer, 415, "multipart/form-data")


def test_a_form_that_is_cut_off(cluster: Cluster) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nabc'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(cluster.http.post(f"{cluster.master_url()}/upload", content=body, headers=kind), 400, "broke off")


def test_two_files_at_once(cluster: Cluster) -> None:
    data = as_file(noise(20, 20))
    files = [("image", ("a.tif", data)), ("image", ("b.tif", data))]
    refused(cluster.http.post(f"{cluster.master_url()}/upload", files=files), 400, "one file")


def test_an_empty_file(cluster: Cluster) -> None:
    refused(cluster.upload(b"", "empty.png"), 400, "empty")


def test_text_that_is_called_a_picture(cluster: Cluster) -> None:
    refused(cluster.upload(b"this is no picture at all\n" * 40, "holiday.png"), 415)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG"])
def test_a_picture_that_is_cut_off(cluster: Cluster, kind: str) -> None:
    data = as_file(noise(300, 300), kind)
    refused(cluster.upload(data[: len(data) // 2]), 422, "truncated or damaged")


def test_a_png_of_a_few_bytes_that_claims_to_be_huge(cluster: Cluster) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    refused(cluster.upload(bomb + b"\0\0\0\0IDAT" + bytes(4)), 422, "100")


def test_a_moving_picture(cluster: Cluster) -> None:
    out = io.BytesIO()
    frames = [Image.fromarray(noise(20, 20)) for _ in range(3)]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    refused(cluster.upload(out.getvalue()), 422, "3 frames")


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_the_smallest_pictures(cluster: Cluster, kind: str, shape: tuple[int, int]) -> None:
    picture = np.full(shape, 7, dtype=np.uint8)
    out = as_pixels(cluster.result(cluster.stored(as_file(picture, kind))))
    assert np.array_equal(out, picture)  # one grey level has no distribution to spread


def test_a_palette_with_transparency(cluster: Cluster) -> None:
    out = io.BytesIO()
    Image.fromarray(noise(60, 60)).convert("P").save(out, "PNG", transparency=3)
    result = Image.open(io.BytesIO(cluster.result(cluster.stored(out.getvalue()))))
    assert result.size == (60, 60)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "a\nb.tif", "x" * 5000]
)
def test_a_name_is_for_people_and_never_a_path(cluster: Cluster, name: str) -> None:
    picture = noise(30, 40)
    job_id = cluster.stored(as_file(picture), name)
    told = cluster.ended(job_id)["name"]
    assert "/" not in told
    assert "\\" not in told
    assert len(told) <= 200
    assert np.array_equal(as_pixels(cluster.result(job_id)), equalized(picture))


@pytest.mark.parametrize(
    "path", ["../x", "%2e%2e/x", "..%2f..%2fetc%2fpasswd", "x_final.png", "", "a" * 3000]
)
def test_a_download_of_something_else(cluster: Cluster, path: str) -> None:
    assert cluster.http.get(f"{cluster.master_url()}/download/{path}").status_code == 404


@pytest.mark.parametrize("job_id", ["nobody", "00000000-0000-0000-0000-000000000000", "%00"])
def test_an_unknown_job(cluster: Cluster, job_id: str) -> None:
    assert cluster.http.get(f"{cluster.master_url()}/jobs/{job_id}").status_code == 404


def test_a_job_of_an_unknown_kind(cluster: Cluster) -> None:
    refused(cluster.upload(as_file(noise(20, 20)), job="../equalize"), 400, "equalize, wordcount")


def test_a_body_over_the_limit_is_refused_by_its_length(cluster: Cluster) -> None:
    size = (DEFAULT_MAX_UPLOAD_MIB + 3) << 20
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n"
    port = cluster.who("master").port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096).splitlines()[0]


def test_a_client_that_goes_away_in_mid_upload(cluster: Cluster) -> None:
    head = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.tif"\r\n\r\n'
    port = cluster.who("master").port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall((head + part).encode() + bytes(3_000_000))


def test_a_worker_says_who_is_master(cluster: Cluster) -> None:
    master = cluster.who("master")
    worker = cluster.who("worker")
    for method, path in (("GET", "/"), ("POST", "/upload"), ("GET", "/jobs")):
        refused(cluster.http.request(method, worker.url + path), 403, master.pod, master.url)


def test_a_configuration_that_is_no_json_while_a_job_runs(cluster: Cluster) -> None:
    cluster.configure(8)
    picture = noise(1500, 1000)
    job_id = cluster.caught(as_file(picture), "histograms")
    overwrite(cluster, b"__import__('os').system('touch /tmp/pwned')")

    assert np.array_equal(as_pixels(cluster.result(job_id)), equalized(picture))
    again = cluster.stored(as_file(picture))  # planned with the last good one
    assert np.array_equal(as_pixels(cluster.result(again)), equalized(picture))
    cluster.configure(1024)


def test_a_worker_that_comes_while_the_configuration_is_no_json_works_all_the_same(cluster: Cluster) -> None:
    overwrite(cluster, b"chunk_size: 2048")
    for worker in cluster.workers.all:
        cluster.kill(worker)

    cluster.workers.revive()
    cluster.settle()

    picture = noise(200, 300)
    assert np.array_equal(as_pixels(cluster.result(cluster.stored(as_file(picture)))), equalized(picture))
    cluster.configure(1024)


def overwrite(cluster: Cluster, data: bytes) -> None:
    client = zk.connect(cluster.hosts, session_timeout_s=10, deadline_s=30)
    try:
        client.set(paths.CONFIG, data)
    finally:
        zk.disconnect(client)
