"""The README's commands for `make lab`, as a user types them in another terminal."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.test_readme import LINES
from tests.worker.conftest import Cluster, as_file, as_pixels, equalized, noise

pytestmark = pytest.mark.whole

CURL_LINES = [line for line in LINES if line.startswith("curl")]
DEMO_LINES = [line for line in LINES if "<as printed>" in line]


def typed(line: str, folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in ("ZK_HOSTS", "LAB_CONTROL")}
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environ, capture_output=True, text=True, timeout=timeout_s
    )


def test_there_is_something_to_type() -> None:
    assert len(CURL_LINES) == 4
    assert len(DEMO_LINES) == 3


def test_an_upload_by_curl_gives_the_picture_that_one_process_makes(cluster: Cluster, tmp_path: Path) -> None:
    picture = noise(700, 900)
    (tmp_path / "picture.png").write_bytes(as_file(picture, "PNG"))
    (tmp_path / "words.txt").write_text("to be or not to be\n", encoding="utf-8")
    said = {}

    for line in CURL_LINES:
        done = typed(line.replace("http://localhost:8080", cluster.master_url()), tmp_path, 60)
        said[line] = json.loads(done.stdout)

    upload, jobs, words, nodes = (said[line] for line in CURL_LINES)
    assert np.array_equal(as_pixels(cluster.result(upload["job_id"])), equalized(picture))
    assert any(job["id"] == upload["job_id"] for job in jobs)
    assert b'"be": 2' in cluster.result(words["job_id"])
    assert sorted(node["slot"] for node in nodes["nodes"]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("line", DEMO_LINES)
def test_a_demo_with_live_workers_holds(cluster: Cluster, line: str) -> None:
    command = line.replace("<as printed>", cluster.hosts).replace(".venv/bin/python", sys.executable)
    command = command.replace("--watch 60", "--watch 8")  # a minute is for who deletes pods meanwhile

    done = typed(command, ROOT, 170)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.match("VERDICT held", done.stdout.splitlines()[-1])
    assert all(f"worker-{number}" in done.stdout for number in range(1, 6))
