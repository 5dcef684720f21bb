"""What became of a request is said as it is: done, refused, or in doubt. And nothing is taken from a hand."""

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.page.conftest import Tab, photo
from tests.worker.conftest import Cluster

pytestmark = pytest.mark.whole

if TYPE_CHECKING:
    from playwright.sync_api import Route

ABORTED = '{"error": "aborted: not stored, and never will be: a new attempt takes a new id", "aborted": true}'


def test_an_upload_that_was_aborted_is_sent_again_under_another_key(tab: Tab) -> None:
    keys: list[str] = []

    def abort_the_first(route: "Route") -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fulfill(status=503, content_type="application/json", body=ABORTED)
        else:
            route.continue_()

    tab.page.route("**/upload", abort_the_first)
    tab.send(photo())

    tab.says("#said", "stored on two disks")
    assert len(set(keys)) == len(keys) == 2


@pytest.mark.parametrize(
    ("button", "path", "where"),
    [
        ("#quorum button[value=write]", "**/quorum/write", "#quorum-said"),
        ("#publish button", "**/config", "#config-said"),
    ],
)
def test_what_nobody_answers_is_in_doubt_and_not_refused(
    tab: Tab, button: str, path: str, where: str
) -> None:
    tab.page.route(path, lambda route: route.abort())

    tab.press(button)

    tab.says(where, "in doubt", "no answer")


def test_what_is_typed_stays_until_it_is_published(tab: Tab, cluster: Cluster) -> None:
    tab.page.fill("#chunk", "77")
    tab.page.focus("#publish button")
    cluster.configure(555)
    tab.says("#config-now", "chunk_size 555")

    assert tab.page.input_value("#chunk") == "77"
    tab.press("#publish button")

    tab.says("#config-said", "published chunk_size 77")
    tab.says("#config-now", "chunk_size 77")
    cluster.configure(444)
    tab.says("#config-now", "chunk_size 444")
    assert tab.page.input_value("#chunk") == "444"


def test_a_finger_on_an_old_job_stays_there_while_another_job_runs(tab: Tab, cluster: Cluster) -> None:
    tab.send(photo(), "old.tif")
    tab.says("#jobs tr:first-child", "old.tif", "done")
    tab.page.focus("#jobs tr:first-child button")

    cluster.stored(photo(), "new.tif")

    tab.says("#jobs tr:first-child", "new.tif", "done")
    assert tab.page.evaluate("() => document.activeElement.textContent") == "old.tif"


def test_the_end_of_a_job_that_was_sent_from_here_is_said_to_a_screen_reader(tab: Tab) -> None:
    tab.send(photo(), "mine.tif")

    tab.says("#ended", "mine.tif: Done in")
    assert tab.page.get_attribute("#ended", "role") == "status"


@pytest.mark.parametrize("value", ["null", '"\\ud800"', "17"])
def test_what_is_no_text_is_refused_in_a_sentence(cluster: Cluster, value: str) -> None:
    answer: httpx.Response = cluster.http.post(
        f"{cluster.master_url()}/quorum/write",
        content=f'{{"value": {value}}}',
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 400
    assert "send" in answer.json()["error"]
