"""One way to start a browser without windows: Chromium as the machine has it, driven by Playwright.

Playwright is not in requirements.txt: only ``make pagebench``, ``make screenshots`` and tests need it.
"""

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

# The shell has no windows and menus of its own to draw: half of Chromium's processor time.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# What a browser would ask of its maker, and of others, by itself, is neither tested nor measured.
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
REMEDY = "no Chromium here: apt-get install chromium"


def found() -> str | None:
    """The program's path, or None; then say ``REMEDY``."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def launch(playwright: "Playwright", program: str) -> "Browser":
    """Started; its caller closes it. ``program`` is what :func:`found` returned."""
    return playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
