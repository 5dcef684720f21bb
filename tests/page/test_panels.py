"""Each panel, before five workers in order."""

import json
import re
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.page.conftest import Tab, photo, static
from tests.worker.conftest import Cluster, as_file, as_pixels, equalized, noise


def test_an_upload_is_followed_to_its_result(tab: Tab, cluster: Cluster) -> None:
    picture = noise(600, 500)
    cluster.configure(50)

    tab.send(as_file(picture))

    tab.follows("Done in")
    assert tab.page.locator(".phase").count() == 2
    assert tab.page.locator(".phase .cells i:not([class=''])").count() == 2 * 12
    with tab.page.expect_download() as download:
        tab.page.click("#result a")
    assert np.array_equal(as_pixels(download.value.path().read_bytes()), equalized(picture))


@pytest.mark.whole
def test_a_tiff_that_no_browser_shows_is_shown_before_and_after(tab: Tab) -> None:
    tab.send(photo())

    tab.follows("Done in")
    tab.page.wait_for_selector("#pictures figure:nth-of-type(2)")
    assert tab.page.locator("#pictures figcaption").all_text_contents() == ["before", "after"]
    widths = tab.page.eval_on_selector_all("#pictures img", "all => all.map((image) => image.naturalWidth)")
    assert widths == [500, 500]


def test_every_task_says_which_pod_has_done_it(tab: Tab, cluster: Cluster) -> None:
    cluster.configure(10)

    tab.send(photo(300, 300))

    tab.follows("Done in")
    titles = tab.page.eval_on_selector_all(
        ".phase:first-child .cells i", "all => all.map((cell) => cell.title)"
    )
    assert len(titles) == 30
    assert all(re.fullmatch(r"task \d+: done by worker-[1-5]", title) for title in titles), titles


@pytest.mark.whole
def test_a_thousand_tasks_are_some_hundred_cells(tab: Tab, cluster: Cluster) -> None:
    cluster.configure(1)

    tab.send(photo(500, 30))

    tab.follows("Done in")
    assert 100 <= tab.page.locator(".phase:first-child .cells i").count() <= 400
    assert "500 tasks done" in str(tab.page.get_attribute(".phase:first-child .cells", "aria-label"))


@pytest.mark.whole
def test_words_are_counted_and_their_beginning_is_shown(tab: Tab) -> None:
    tab.send(b"to be or not to be\n" * 100, "play.txt", "wordcount")

    tab.says("#pictures pre", '"be": 200')


def test_a_job_that_fails_or_is_refused_says_why(tab: Tab) -> None:
    tab.send(b"no picture at all", "fake.png")

    tab.says("#said", "fake.png: not done", "no TIFF, PNG or JPEG")


@pytest.mark.whole
def test_a_file_can_be_dropped_on_the_page(tab: Tab) -> None:
    tab.page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["one two two"], "dropped.txt"));
            const how = { dataTransfer: data, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", how));
        }"""
    )

    tab.says("#job-name", "dropped.txt (wordcount")
    tab.says("#jobs", "dropped.txt")


@pytest.mark.whole
def test_somebody_elses_upload_is_shown_as_it_comes(tab: Tab, cluster: Cluster) -> None:
    cluster.stored(photo(), "by-curl.tif")

    tab.says("#job-name", "by-curl.tif")
    tab.says("#jobs tr:first-child", "by-curl.tif", "done")


def test_the_cards_tell_who_is_who(tab: Tab, cluster: Cluster) -> None:
    tab.says(".card.master", cluster.who("master").pod, "★ master", "hosts")
    tab.says(".card.backup", cluster.who("backup").pod, "◆ backup")
    assert tab.page.locator(".card").count() == 5
    tab.says("#leader", f"{cluster.who('master').pod} leads")


def test_a_published_configuration_is_seen_to_converge(tab: Tab) -> None:
    tab.says("#config-now", "chunk_size 1024")  # whoever is seen old and then new has a lag

    tab.page.fill("#chunk", "333")
    tab.press("#publish button")

    tab.says("#config-said", "published chunk_size 333")
    tab.says("#config-now", "chunk_size 333")
    for row in range(1, 6):
        lag = re.search(r"has it after (\d+) ms", tab.says(f"#copies li:nth-child({row})", "has it after"))
        assert lag
        assert 0 <= int(lag[1]) < 30_000


def test_a_bad_configuration_is_refused_in_a_sentence(tab: Tab) -> None:
    answer = tab.page.evaluate(
        """async () => {
            const headers = { "Content-Type": "application/json" };
            const answer = await fetch("/config", { method: "POST", headers, body: '{"chunk_size": -1}' });
            return [answer.status, (await answer.json()).error];
        }"""
    )

    assert answer[0] == 400
    assert "chunk_size" in answer[1]


def test_the_ack_trail_has_its_steps_and_times(tab: Tab, cluster: Cluster) -> None:
    tab.send(photo())

    lanes = tab.says("#lanes", "creates /jobs/", "creates backup_ack", "stored at +", "outcome: committed")
    assert cluster.who("master").pod in lanes
    assert cluster.who("backup").pod in lanes
    times = [float(ms) for ms in re.findall(r"(?<![+\d.])(\d+(?:\.\d)?) ms", lanes)]
    assert times == sorted(times), lanes


def test_a_quorum_write_and_a_read_light_up_who_took_part(tab: Tab) -> None:
    tab.page.fill("#value", "a new value")
    tab.press("#quorum button[value=write]")

    tab.says("#quorum-said", "wrote version", "stored at")
    tab.says("#object-name", "page_register")
    assert tab.page.locator(".replica.stored").count() >= 3

    tab.press("#quorum button[value=read]")

    said = tab.says("#quorum-said", "read version", "a new value", "answered")
    assert re.search(r"; \d, \d, \d answered", said), said
    assert tab.page.locator(".replica.answered").count() == 3
    written = tab.page.locator("#replicas li", has_text="a new value").filter(has_text="worker-")
    written.nth(2).wait_for()  # W of them; one that was too busy may be behind


@pytest.mark.whole
def test_the_replicas_of_a_jobs_matrix_are_shown_until_another_object_comes(tab: Tab) -> None:
    for _ in range(5):  # a matrix that lives for less than a look takes is not seen
        tab.send(photo(1500, 1500))
        tab.follows("Done in")
        if "matrix" in str(tab.page.text_content("#object-name")):
            break

    tab.says("#object-name", "The matrix of job", "gone with its job")
    tab.says("#replicas li:nth-child(3)", "bytes")


@pytest.mark.whole
def test_the_logs_of_all_pods_are_read_while_somebody_looks(tab: Tab) -> None:
    tab.press("#show-logs")
    tab.page.wait_for_function("() => document.querySelectorAll('.pane').length === 5")

    tab.send(photo())

    tab.says("#panes", "backup has it on disk", "ACK received")
    tab.press("#pause")
    before = tab.page.locator("#panes p").count()
    tab.send(photo())
    tab.says("#held", "paused;", "waiting")
    assert tab.page.locator("#panes p").count() == before
    tab.press("#pause")
    tab.page.wait_for_function(f"() => document.querySelectorAll('#panes p').length > {before}")


@pytest.mark.whole
def test_a_connection_that_breaks_goes_on_where_it_stopped(tab: Tab, cluster: Cluster) -> None:
    url = f"{cluster.master_url()}/events?page"
    with cluster.http.stream("GET", url) as events:
        first = next(line for line in events.iter_lines() if line.startswith("id: "))[4:]
    cluster.configure(777)

    with cluster.http.stream("GET", url, headers={"Last-Event-ID": first}) as events:
        kinds: list[str] = []
        for line in events.iter_lines():
            kinds += [line[7:]] if line.startswith("event: ") else []
            if line.startswith("data: ") and '"chunk_size":777' in line:
                break

    assert kinds[0] == "resumed"
    assert "snapshot" not in kinds


def test_who_comes_from_another_master_gets_a_snapshot(tab: Tab, cluster: Cluster) -> None:
    url = f"{cluster.master_url()}/events?page&after=abc.17"

    with cluster.http.stream("GET", url) as events:
        kind = next(line for line in events.iter_lines() if line.startswith("event: "))

    assert kind == "event: snapshot"


@pytest.mark.whole
def test_ten_pages_hear_of_a_change_within_a_tenth_of_a_second_or_little_more(
    tab: Tab, tab_of: Callable[..., Tab], cluster: Cluster
) -> None:
    """The figure itself is measured by ``python -m lab page-bench``; a busy machine gets some slack here."""
    tabs = [tab, *(tab_of() for _ in range(3))]
    began = time.monotonic()
    cluster.configure(4242)
    for one in tabs:
        one.says("#config-now", "chunk_size 4242")
    assert time.monotonic() - began < 10


def test_all_of_it_is_under_60_kb_and_needs_no_build() -> None:
    files = list(static().iterdir())

    assert sum(file.stat().st_size for file in files) < 60_000
    assert {file.suffix for file in files} == {".html", ".css", ".js", ".svg"}
    assert json.dumps([file.name for file in files if "://" in file.read_text(encoding="utf-8")]) in (
        "[]",
        '["icon.svg"]',  # the name of SVG itself
    )
