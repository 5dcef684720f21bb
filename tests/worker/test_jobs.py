"""Jobs on five workers, with nothing in their way."""

import json
from collections import Counter

import numpy as np

from tests.worker.conftest import Cluster, as_file, as_pixels, equalized, noise


def test_a_picture_is_equalized_to_the_pixel(cluster: Cluster) -> None:
    picture = noise(1500, 700)

    out = as_pixels(cluster.result(cluster.stored(as_file(picture))))

    assert np.array_equal(out, equalized(picture))


def test_many_small_tasks_give_the_same_picture_as_one(cluster: Cluster) -> None:
    cluster.configure(7)
    picture = noise(1500, 300)

    job_id = cluster.stored(as_file(picture))

    assert np.array_equal(as_pixels(cluster.result(job_id)), equalized(picture))


def test_the_engine_knows_nothing_of_pictures(cluster: Cluster) -> None:
    cluster.configure(50)
    text = "the quick brown fox\njumps over the lazy dog\n" * 400

    job_id = cluster.stored(text.encode(), "text.txt", job="wordcount")

    words = json.loads(cluster.result(job_id))
    assert json.dumps(words).count('"the": 800') == 1, words
    assert Counter(text.split())["the"] == 800


def test_a_job_that_is_done_leaves_its_record_and_its_result(cluster: Cluster) -> None:
    job_id = cluster.stored(as_file(noise(900, 900)))

    cluster.ended(job_id)

    cluster.leaves_only_its_record(job_id)


def test_the_plan_takes_the_chunk_size_of_its_moment(cluster: Cluster) -> None:
    cluster.configure(100)
    job_id = cluster.caught(as_file(noise(2000, 2000)), "equalize")
    cluster.configure(2000)

    assert cluster.until(job_id, lambda job: job["tasks_total"] or job["state"] == "done")["tasks_total"] in (
        20,
        0,
    )
    assert cluster.ended(job_id)["state"] == "done"


def test_two_uploads_at_once_are_both_done(cluster: Cluster) -> None:
    cluster.configure(64)
    pictures = [noise(1500, 1200), noise(1400, 1300)]

    jobs = [cluster.stored(as_file(picture)) for picture in pictures]

    for job_id, picture in zip(jobs, pictures, strict=True):
        assert np.array_equal(as_pixels(cluster.result(job_id)), equalized(picture))


def test_the_event_stream_tells_of_a_job_as_it_goes(cluster: Cluster) -> None:
    master = cluster.who("master")
    states = []
    with cluster.http.stream("GET", f"{master.url}/events") as events:
        lines = events.iter_lines()
        assert next(lines).startswith(":")  # it is open: from here on nothing is missed
        job_id = cluster.stored(as_file(noise(500, 500)))
        for line in lines:
            if line.startswith("data: ") and job_id in line:
                states.append(json.loads(line[6:])["state"])
                if states[-1] == "done":
                    break

    assert states[0] == "running"
    assert states[-1] == "done"


def test_the_page_comes_from_the_master_and_asks_no_other_host(cluster: Cluster) -> None:
    page = cluster.http.get(cluster.master_url())
    script = cluster.http.get(f"{cluster.master_url()}/static/page.js")

    assert page.status_code == script.status_code == 200
    assert "://" not in page.text + script.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
