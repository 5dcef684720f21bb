"""`make screenshots`: the page in each of its states, as docs/page.md shows them.

Five real workers, Debian's Chromium, and what a class would do: a photo, a quorum, a kill.
"""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.leadership import Leadership
from lab.proxy import Forwarder
from lab.workers import Worker, Workers
from proof import browser

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
PATIENCE_MS = 60_000
COLOURS = 200  # a palette: a tenth of the bytes, and nothing that a person would miss


def photo(height: int, width: int) -> bytes:
    """A landscape at dusk, badly exposed: grey levels from 60 to 120 and no others. A TIFF."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width] / height
    ridge = 0.55 + 0.1 * np.sin(5 * x) + 0.05 * np.sin(13 * x + 1) + 0.02 * np.sin(41 * x)
    near = 0.75 + 0.07 * np.sin(3 * x + 2) + 0.02 * np.sin(29 * x)
    sun = np.exp(-(((x - 0.9) ** 2 + (y - 0.4) ** 2) / 0.02))
    sky = 88 + 12 * (1 - y) + 20 * sun
    scene = np.where(y > near, 62 + 6 * (y - near), np.where(y > ridge, 74 + 9 * (y - ridge), sky))
    grey = (scene + random.normal(0, 1.2, scene.shape)).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "TIFF")
    return out.getvalue()


class Studio:
    """One browser before one cluster."""

    def __init__(self, browser: Browser, url: str, workers: Workers) -> None:
        self._browser = browser
        self._url = url
        self._workers = workers

    def open(self, width: int, height: int, scheme: str = "light") -> Page:
        size = {"width": width, "height": height}
        page = self._browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        page.goto(self._url)
        page.wait_for_function("() => document.querySelectorAll('.card').length >= 5")
        return page

    def configure(self, chunk_size: int) -> None:
        body = json.dumps({"chunk_size": chunk_size}).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self._url}/config", body, headers), timeout=30):
            pass
        time.sleep(0.5)

    def send(self, page: Page, data: bytes, name: str) -> None:
        file: Any = {"name": name, "mimeType": "image/tiff", "buffer": data}
        page.set_input_files("#drop input", files=[file])
        page.click("#upload button")
        page.wait_for_function(
            "(name) => document.querySelector('#job-name').textContent.includes(name)", arg=name
        )

    def has_cells(self, page: Page, least: int) -> None:
        script = "(least) => document.querySelectorAll('.cells i:not([class=\"\"])').length > least"
        page.wait_for_function(script, arg=least)

    def done(self, page: Page) -> None:
        page.wait_for_function("() => document.querySelector('#job-state').textContent.startsWith('Done')")
        page.wait_for_selector("#pictures figure:nth-of-type(2)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(700)

    def ask(self, page: Page, op: str) -> str:
        page.click(f"#quorum button[value={op}]")
        script = "() => / m?s \\(|refused|doubt/.test(document.querySelector('#quorum-said').textContent)"
        page.wait_for_function(script)
        page.wait_for_timeout(400)
        return page.text_content("#quorum-said") or ""

    def who(self, role: str) -> list[Worker]:
        return [worker for worker in self._workers.all if worker.role() == role]

    def whole(self) -> None:
        """All five alive again, one of them master, one backup."""
        self._workers.revive()
        expected = ["backup", "master", "worker", "worker", "worker"]
        deadline = time.monotonic() + 60
        while sorted(worker.role() or "" for worker in self._workers.all) != expected:
            if time.monotonic() > deadline:
                raise TimeoutError("the workers are not whole again within a minute")
            time.sleep(0.1)

    def kill(self, worker: Worker) -> None:
        worker.send(signal.SIGKILL)
        worker.gone(time.monotonic() + 10)


def shoot(page: Page, name: str, selector: str | None = None) -> None:
    """A PNG of what is on the screen, or of one panel."""
    data = page.locator(selector).screenshot() if selector else page.screenshot()
    picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(FOLDER / f"{name}.png", optimize=True)
    print(f"docs/screenshots/{name}.png")


def whole_page(page: Page, name: str) -> None:
    """All of it, however long: the screen is made as long as the page."""
    size = page.viewport_size or {"width": 1280, "height": 800}
    length = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": length})
    page.wait_for_timeout(200)
    shoot(page, name)
    page.set_viewport_size(size)


def take(studio: Studio) -> None:
    page = studio.open(1280, 900)
    whole_page(page, "empty-1280-light")
    studio.configure(40)
    data = photo(1600, 2400)
    studio.send(page, data, "dusk.tif")
    studio.done(page)
    studio.ask(page, "write")
    page.click("#show-logs")
    page.wait_for_function("() => document.querySelector('#panes').textContent.includes('ACK received')")
    whole_page(page, "done-1280-light")
    page.fill("#chunk", "2")
    page.click("#publish button")
    page.wait_for_function("() => document.querySelectorAll('#copies .has').length === 5")
    page.wait_for_timeout(500)
    shoot(page, "eventual", "#config")
    shoot(page, "ack-trail", "#trail")
    _kill_the_master(studio, page, data)
    studio.whole()
    _a_stale_replica(studio, page)
    studio.whole()
    page.close()
    studio.configure(40)
    for width, height, scheme in (
        (2560, 1440, "dark"),
        (2560, 1440, "light"),
        (360, 740, "light"),
        (1280, 900, "dark"),
    ):
        page = studio.open(width, height, scheme)
        studio.send(page, data, f"dusk-{width}.tif")
        studio.done(page)
        studio.ask(page, "write")
        studio.ask(page, "read")
        (shoot if width == 2560 else whole_page)(page, f"done-{width}-{scheme}")
        page.close()


def _kill_the_master(studio: Studio, page: Page, data: bytes) -> None:
    """In mid-job: lost, then followed to another."""
    studio.send(page, data, "dusk-killed.tif")
    studio.has_cells(page, 120)
    studio.kill(studio.who("master")[0])
    page.wait_for_selector("body.lost")
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "master-lost")
    page.wait_for_selector("body:not(.lost)")
    page.wait_for_selector(".card.gone")
    studio.has_cells(page, 120)
    shoot(page, "master-changed")
    studio.done(page)


def _a_stale_replica(studio: Studio, page: Page) -> None:
    studio.ask(page, "write")
    for victim in studio.who("worker")[:2]:
        studio.kill(victim)
    page.wait_for_function("() => document.querySelectorAll('.replica.offline').length === 2")
    page.fill("#value", "without two")
    studio.ask(page, "write")
    shoot(page, "quorum-two-down", "#object")
    studio.whole()
    page.wait_for_function("() => document.querySelectorAll('.replica.offline').length === 0")
    for _ in range(20):  # a read of three usually asks one of the two
        if "written back" in studio.ask(page, "read"):
            break
    shoot(page, "quorum-stale", "#object")


def main() -> int:
    hosts, program = os.environ["ZK_HOSTS"], browser.found()
    if program is None:
        print(browser.REMEDY, file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        GuardedDirectory() as den,
        Workers(5, hosts, den, print_to_stderr) as workers,
        Forwarder(0) as forwarder,
    ):
        leadership = Leadership(hosts, lambda pod: forwarder.point_to(workers.port_of(pod)))
        with leadership, sync_playwright() as playwright:
            chromium = browser.launch(playwright, program)
            studio = Studio(chromium, f"http://127.0.0.1:{forwarder.port}", workers)
            studio.whole()
            take(studio)
            chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
