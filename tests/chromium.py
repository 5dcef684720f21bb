"""One browser for all tests of a process: Debian's Chromium, driven by Playwright, which starts only once."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from proof.browser import REMEDY, found, launch

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def missing(what: str) -> NoReturn:
    """Skip; but where a browser was promised, fail."""
    if os.environ.get("CI") or os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    sync = pytest.importorskip("playwright.sync_api") if not _promised() else _imported()
    program = found()
    if program is None:
        missing(REMEDY)
    with sync.sync_playwright() as playwright:
        browser = launch(playwright, program)
        yield browser
        browser.close()


def _promised() -> bool:
    return bool(os.environ.get("CI")) or os.environ.get("REQUIRE_BROWSER") == "1"


def _imported() -> Any:
    from playwright import sync_api

    return sync_api
