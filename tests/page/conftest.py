"""A real browser before five real processes: Debian's Chromium, driven by Playwright.

It comes in through the one port that always leads to the master.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.leadership import Leadership
from lab.proxy import Forwarder
from tests.worker.conftest import Cluster, as_file, cluster, cluster_of_five, noise

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["cluster", "cluster_of_five"]

PATIENCE_MS = 60_000
# Chromium drops what it is loading when an address of this machine changes, and each container is one.
VISITS = 6
BLANK_MS = 10_000


@pytest.fixture(scope="package")
def entrance(cluster_of_five: Cluster) -> Iterator[str]:
    """The address of the master, as ``make lab`` has it."""
    workers = cluster_of_five.workers
    with Forwarder(0) as forwarder:
        hosts = cluster_of_five.hosts
        with Leadership(hosts, lambda pod: forwarder.point_to(workers.port_of(pod))):
            yield f"http://127.0.0.1:{forwarder.port}"


def playwright_errors() -> type[Exception]:
    """Where Playwright is missing, nothing here runs."""
    from playwright.sync_api import Error

    return Error


class Tab:
    """One page, and what happened in it."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.sent = ""
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self) -> None:
        """Have the page, and the five pods on it."""
        self.goes_there()
        try:
            self.page.wait_for_function("() => document.querySelectorAll('.card:not(.gone)').length >= 5")
        except Exception as error:
            # Playwright's own message says only that it took too long.
            shown = [self.page.text_content(part) for part in ("#connection", "#leader", "#cards")]
            raise AssertionError(f"five pods were never there; the page says {shown}") from error

    def goes_there(self) -> None:
        """As a person would: again, where the network of this machine has changed (a container came)."""
        for _ in range(VISITS):
            with suppress(playwright_errors()):
                self.page.goto(self.url)
                script = "() => !document.getElementById('connection').textContent.startsWith('connecting')"
                self.page.wait_for_function(script, timeout=BLANK_MS)
                return
        raise AssertionError(f"no page at {self.url} in {VISITS} visits")

    def says(self, selector: str, *words: str) -> str:
        """Wait until all these words stand there; all that does."""
        script = """([selector, words]) => {
            const text = document.querySelector(selector)?.textContent ?? "";
            return words.every((word) => text.includes(word)) ? text : null;
        }"""
        try:
            return str(self.page.wait_for_function(script, arg=[selector, list(words)]).json_value())
        except Exception as error:
            # Playwright's own message says only that it took too long.
            last = self.page.text_content(selector)
            raise AssertionError(f"{selector} never said {words}; it says {last!r}") from error

    def press(self, button: str) -> None:
        """By keyboard: pictures that come above move it from under a mouse between its going down and up."""
        self.page.press(button, "Enter")

    def send(self, data: bytes, name: str | None = None, kind: str = "equalize") -> None:
        """As a person does: choose a file, and a job, and press the button."""
        self.sent = name = name or f"photo-{next(_numbers)}.tif"
        file: Any = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        self.page.set_input_files("#drop input", files=[file])
        self.page.select_option("#kinds", kind)
        self.page.click("#upload button")

    def follows(self, *words: str) -> None:
        """Wait until the job that was sent is shown, in a state that says so."""
        self.says("#job-name", self.sent)
        self.says("#job-state", *words)

    def has_cells(self, more_than: int) -> None:
        """Wait until so many tasks of the job that is shown are done."""
        script = "(least) => document.querySelectorAll('.cells i:not([class=\"\"])').length > least"
        self.page.wait_for_function(script, arg=more_than)


_numbers = itertools.count()


@pytest.fixture
def tab_of(browser: "Browser", entrance: str) -> Iterator[Callable[..., Tab]]:
    """Opens pages, each in a context of its own (other arguments are that one's), and waits for the pods."""
    contexts = []

    def opened(url: str = entrance, *, blank: bool = False, **options: Any) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        tab = Tab(context.new_page(), url)
        if not blank:
            tab.open()
        return tab

    yield opened
    for context in contexts:
        with suppress(Exception):  # its browser may have gone
            context.close()


@pytest.fixture
def tab(cluster: Cluster, tab_of: Callable[..., Tab]) -> Iterator[Tab]:
    """A page before five workers in order. It may have raised nothing."""
    del cluster
    tab = tab_of()
    yield tab
    assert not tab.errors


def photo(height: int = 400, width: int = 500) -> bytes:
    return as_file(noise(height, width))


def static() -> Path:
    return Path(__file__).resolve().parents[2] / "app" / "web" / "static"
