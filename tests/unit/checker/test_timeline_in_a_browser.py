"""A history's page in a real browser: what it shows, how it is stepped through, and how fast it is drawn.

REQUIRE_BROWSER=1, and CI, fail where others skip.
"""

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.checker.history import Fault, History, Operation
from app.checker.linearizability import check_registers
from app.checker.timeline import Chapter, page
from app.checker.verdict import Verdict
from tests.unit.checker.making import SECOND, large_history, read, write

pytestmark = pytest.mark.whole

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NOTES = History.of(
    [
        write("client-1", "v1", 0, 1, key="notes/x"),
        write("client-1", "v2", 2, 3, key="notes/x"),
        write("client-2", "v3", 4, 5, key="notes/x"),
        read("client-1", "v2", 6, 7, key="notes/x"),
        Fault("crash", "host-1", 4 * SECOND),
        Fault("restart", "host-1", 5 * SECOND),
    ]
)
FULL = History.of([write("ada", "w1", 0, 2, key="full/y"), read("bob", None, 1, 3, key="full/z")])

Opened = Callable[..., "Shown"]


class Shown:
    """A page that was opened, and what went wrong in it."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        page.on("request", lambda request: self.asked.append(request.url))

    def press(self, *keys: str) -> str:
        """Press them in the chart; what is announced then."""
        self.page.focus("#chart")
        for key in keys:
            self.page.keyboard.press(key)
        return self.said

    @property
    def said(self) -> str:
        return self.page.inner_text("#said")

    @property
    def drawing_ms(self) -> tuple[float, float]:
        """When it was last drawn, since it was opened, and how long that took."""
        at, took = str(self.page.evaluate("document.documentElement.dataset.drawn")).split()
        return float(at), float(took)


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Opened]:
    with closing(browser.new_context(viewport={"width": 1280, "height": 800})) as context:

        def opened(*chapters: Chapter) -> Shown:
            file = tmp_path / "timeline.html"
            file.write_text(page("a <title>", chapters), encoding="utf-8")
            shown = Shown(context.new_page())
            shown.page.goto(file.as_uri())
            return shown

        yield opened


def notes_and_full() -> tuple[Chapter, Chapter]:
    notes = Chapter("The notes' listing", NOTES, check_registers(NOTES), participants=("host-1", "host-2"))
    return notes, Chapter("The full protocol", FULL, check_registers(FULL))


def large(count: int = 2_000) -> History:
    operations = [
        replace(
            one, invoked_ns=one.invoked_ns // 100, returned_ns=(one.returned_ns or 0) // 100, version=(7, "w")
        )
        for one in large_history(count, count // 40)
    ]
    faults = [
        Fault(op, f"host-{host}", (second * 5 + host) * SECOND + late)
        for host in range(5)
        for second in range(4)
        for op, late in (("cut", 0), ("heal", SECOND))
    ]
    return History.of([*operations, *faults])


def test_the_verdict_comes_first_and_the_guilty_are_numbered(opened: Opened) -> None:
    shown = opened(*notes_and_full())
    assert shown.page.title() == "a <title>"
    assert "VIOLATED" in shown.page.inner_text("#outcome")
    assert 'client-1 read "v2"' in shown.page.inner_text("#sentence")
    assert shown.page.locator("#witness li").all_inner_texts() == [
        '1 client-1 wrote "v2"', '2 client-2 wrote "v3"', '3 client-1 read "v2"',
    ]  # fmt: skip
    shown.page.click("#witness li:last-child button")
    assert shown.said.startswith('Guilty, number 3: client-1 read "v2"')
    assert "No moment between fits" in shown.said
    assert shown.wrong == []


def test_arrow_keys_step_through_the_operations_and_each_is_announced(opened: Opened) -> None:
    shown = opened(*notes_and_full())
    assert shown.page.get_attribute("#said", "aria-live") == "polite"
    assert shown.press("ArrowRight").startswith('client-1 wrote "v1"')
    assert shown.press("ArrowRight", "ArrowRight").startswith('Guilty, number 2: client-2 wrote "v3"')
    assert "Meanwhile: host-1 crash" in shown.said
    assert "taken effect at 4.500 s, number 3 of 3" in shown.said
    assert "client-1" in shown.press("ArrowUp")
    assert shown.press("End").startswith("Guilty, number 3")
    assert shown.press("Home", "Shift+ArrowRight").startswith('Guilty, number 1: client-1 wrote "v2"')
    shown.press("+", "+", "-", "0", "g", "Escape")
    assert shown.wrong == []


def test_the_other_protocol_and_every_key_are_one_choice_away(opened: Opened) -> None:
    shown = opened(*notes_and_full())
    shown.page.get_by_role("button", name="The full protocol: held").click()
    assert "HELD" in shown.page.inner_text("#outcome")
    assert shown.said.startswith("2 operations in 2 lanes")
    names = shown.page.locator("#key option").all_inner_texts()
    assert names == ["all keys", "full/y", "full/z"]
    shown.page.select_option("#key", label="full/y")
    assert shown.said.startswith("1 operation in 1 lane")
    shown.page.click("#list summary")
    shown.page.wait_for_selector("#list tbody tr")  # made when the list is opened, not before
    assert shown.page.locator("#list tbody tr").count() == 1
    assert shown.wrong == []


def test_pointing_at_a_bar_tells_what_it_is_and_a_click_chooses_it(opened: Opened) -> None:
    shown = opened(*notes_and_full())
    box = shown.page.locator("#canvas").bounding_box()
    assert box
    first_bar = {"x": 200.0, "y": 80.0}
    shown.page.mouse.move(box["x"] + first_bar["x"], box["y"] + first_bar["y"])
    assert 'client-1 wrote "v1"' in shown.page.inner_text("#tip")
    shown.page.mouse.down()
    shown.page.mouse.up()
    assert shown.said.startswith('client-1 wrote "v1"')
    shown.page.mouse.move(0, 0)
    assert not shown.page.is_visible("#tip")


def test_hostile_texts_are_shown_and_do_nothing(opened: Opened) -> None:
    bad = "</script><img src=x onerror=alert(1)>\u2028<script>alert(2)</script>"
    history = History.of(
        [
            Operation(bad, "write", bad, bad, 0, SECOND, "ok", (1, bad)),
            Fault("cut", bad, 0),
            Fault(bad, "x", 5),
        ]
    )
    shown = opened(Chapter(bad, history, Verdict("held", bad), bad, (bad,)), *notes_and_full())
    assert "<img src=x onerror=alert(1)>" in shown.press("ArrowRight")
    shown.page.click("#list summary")
    assert shown.page.locator("img").count() == 0
    assert shown.wrong == []
    assert len(shown.asked) == 1  # the page itself


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_is_drawn_in_both_schemes(scheme: Any, opened: Opened) -> None:
    shown = opened(*notes_and_full())
    shown.page.emulate_media(color_scheme=scheme)
    colours = shown.page.evaluate(
        """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const seen = new Set();
            for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 3).join());
            resolve([seen.size, data[0]]);
        })))"""
    )
    assert colours[0] > 30
    assert (colours[1] > 200) == (scheme == "light")


def test_it_prints_on_one_page(opened: Opened) -> None:
    for chapters in (notes_and_full(), (Chapter("load", large(), check_registers(large())),)):
        shown = opened(*chapters)
        printed = shown.page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
        assert shown.wrong == []


def test_two_thousand_operations_follow_the_hand_as_two_hundred_do(opened: Opened) -> None:
    few, many = (
        opened(Chapter("load", history, check_registers(history))) for history in (large(200), large(2_000))
    )
    slow, fast = statistics.median(frames_ms(many)), statistics.median(frames_ms(few))
    # In proportion, at worst, and a clock that a browser blurs on purpose.
    assert slow < 12 * max(fast, 0.5), (slow, fast)
    assert "2000 of 2000" in many.press("End")
    assert many.wrong == []


def frames_ms(shown: Shown) -> list[float]:
    """How long each frame took to draw, while somebody zooms in, moves along, and zooms again."""
    frames = []
    for step in range(16):
        shown.page.evaluate(
            """(step) => new Promise((resolve) => {
                const box = chart.getBoundingClientRect();
                const zoom = step < 4 || step >= 12;
                chart.dispatchEvent(new WheelEvent("wheel", {
                    ctrlKey: zoom, deltaY: zoom ? (step < 4 ? -60 : 60) : 0, deltaX: zoom ? 0 : 25,
                    clientX: box.left + 500, clientY: box.top + 90, cancelable: true,
                }));
                requestAnimationFrame(() => requestAnimationFrame(resolve));
            })""",
            step,
        )
        frames.append(shown.drawing_ms[1])
    return frames
