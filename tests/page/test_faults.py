"""What the page shows when pods die: a class watches this on the projector."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from app.web.stream import _BEAT_S
from lab.proxy import Forwarder
from tests.page.conftest import Tab, photo, playwright_errors
from tests.worker.conftest import Cluster

pytestmark = pytest.mark.whole


def test_the_master_is_killed_in_mid_job_and_the_page_sees_the_job_to_its_end(
    tab: Tab, cluster: Cluster
) -> None:
    cluster.configure(6)
    old = cluster.who("master")
    tab.send(photo(2400, 600))
    tab.follows("Running: histograms")
    tab.has_cells(20)

    cluster.kill(old)

    tab.says("#connection", "Lost the master", old.pod)
    tab.says("#connection", "The master has changed", "leads now")
    new = cluster.who("master")
    tab.says("#leader", f"{new.pod} leads")
    tab.says(".card.master", new.pod)
    tab.follows("Done in")
    tab.says(".card.gone", old.pod, "gone at")


def test_a_new_master_is_seen_within_a_second_of_its_taking_over(tab: Tab, cluster: Cluster) -> None:
    old = cluster.who("master")
    cluster.kill(old)
    cluster.new_master(other_than=old)
    began = time.monotonic()

    tab.says("#connection", "leads now")

    # A busy machine gets some slack; who waits for the stream to say that it still lives, gets none.
    assert time.monotonic() - began < _BEAT_S


def test_a_page_that_came_to_a_worker_says_so_and_finds_the_master(
    cluster: Cluster, tab_of: Callable[..., Tab]
) -> None:
    worker, master = cluster.who("worker"), cluster.who("master")
    with Forwarder(0) as door:
        door.point_to(worker.port)
        tab = tab_of(url=f"http://127.0.0.1:{door.port}", blank=True)
        tab.goes_there()
        tab.says("#connection", f"{worker.pod} is a worker: the master is {master.pod}")

        door.point_to(master.port)

        tab.says("#connection", f"Connected to the master, {master.pod}")


@pytest.mark.parametrize("lost", ["page.js", "stream.js"])
def test_a_page_that_lost_one_of_its_scripts_on_the_way_starts_again(
    cluster: Cluster, tab_of: Callable[..., Tab], lost: str
) -> None:
    del cluster
    tab = tab_of(blank=True)
    tab.page.route(f"**/static/{lost}", lambda route: route.abort("connectionreset"), times=2)

    tab.open()

    tab.says("#connection", "Connected to the master")


def test_a_page_that_cannot_get_its_scripts_says_so(cluster: Cluster, tab_of: Callable[..., Tab]) -> None:
    del cluster
    tab = tab_of(blank=True)
    tab.page.route("**/static/stream.js", lambda route: route.abort("connectionreset"))

    tab.goes_there()

    tab.says("#connection", "The page can't start", "Reload it.")


def test_a_worker_that_dies_goes_grey_and_its_tasks_move(tab: Tab, cluster: Cluster) -> None:
    cluster.configure(8)
    victim = cluster.who("worker")
    with cluster.stopped(victim):  # it holds what it has claimed, until its session expires
        tab.send(photo(1600, 600))
        tab.follows("Done in")
        tab.says(".card.gone", victim.pod, "gone at")
        owners = tab.page.eval_on_selector_all(".cells i", "all => all.map((cell) => cell.title)")
        assert all("done by" in owner for owner in owners)
    tab.page.wait_for_function("() => document.querySelectorAll('.card:not(.gone)').length === 5")


def test_what_stopped_workers_hold_is_marked_while_the_job_waits(tab: Tab, cluster: Cluster) -> None:
    cluster.configure(20)
    master = cluster.who("master")
    victims = [worker for worker in cluster.workers.all if worker is not master]

    held = False
    for _ in range(6):  # they may be stopped between two tasks: then they hold none
        tab.send(photo(1600, 1200))
        tab.follows("Running")
        with ExitStack() as stopping:
            for victim in victims:
                stopping.enter_context(cluster.stopped(victim))
            held = _is_held_by(tab, [victim.pod for victim in victims])
        tab.follows("Done in")
        cluster.settle()
        if held:
            break

    assert held


def _is_held_by(tab: Tab, pods: list[str]) -> bool:
    """Whether a cell says that one of these pods holds it, within the time of a session."""
    held = ", ".join(f".cells i.held[title*='held by {pod}']" for pod in pods)
    with suppress(playwright_errors()):
        tab.page.wait_for_selector(held, timeout=8_000)
        return True
    return False


def test_a_replica_that_missed_a_write_is_shown_stale_and_written_back(tab: Tab, cluster: Cluster) -> None:
    tab.page.fill("#value", "before")
    tab.press("#quorum button[value=write]")
    tab.says("#quorum-said", "wrote version")
    for victim in cluster.plain()[:2]:
        cluster.kill(victim)
    tab.page.wait_for_function("() => document.querySelectorAll('.replica.offline').length === 2")
    tab.page.fill("#value", "after")
    tab.press("#quorum button[value=write]")
    tab.says("#quorum-said", "wrote version")
    cluster.heal()
    tab.page.wait_for_function("() => document.querySelectorAll('.replica.offline').length === 0")
    tab.page.wait_for_function("() => document.querySelectorAll('.replica.behind').length === 2")

    for _ in range(30):  # two of five are stale: a read of three asks one of them nine times out of ten
        tab.press("#quorum button[value=read]")
        said = tab.says("#quorum-said", "read version", "after")
        if "stale" in said and "written back to" in said:
            break

    assert "stale" in said
    assert tab.page.locator(".replica.back").count() >= 1


def test_too_few_replicas_refuse_in_a_sentence(tab: Tab, cluster: Cluster) -> None:
    for victim in cluster.plain():
        cluster.kill(victim)
    tab.page.wait_for_function("() => document.querySelectorAll('.replica.offline').length === 3")

    tab.press("#quorum button[value=read]")

    tab.says("#quorum-said", "read refused", "replicas answered")


def test_an_upload_waits_for_its_five_workers(tab: Tab, cluster: Cluster, tab_of: Callable[..., Tab]) -> None:
    victim = cluster.who("worker")
    cluster.kill(victim)
    tab.says(".card.gone", victim.pod)

    tab.send(photo())

    tab.says("#said", "4 of 5 workers are alive")
    cluster.workers.revive()
    tab.follows("Done in")
