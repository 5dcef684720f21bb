"""One HTML file that needs nothing else: no server, no network, no other file.

Whatever stands in a history is somebody else's text. It reaches the page as JSON in a data block, in ASCII
and without < > &, so that no text can end the block; the scripts write it as text, never as HTML; and the
page's policy admits these scripts and this style sheet, by their digests, and nothing else at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from app.checker.timeline.chapters import Chapter, told, visible

_STATIC = Path(__file__).parent / "static"
# One scope for all of them, in the order in which they need each other.
_SCRIPTS = ("model.js", "scale.js", "layout.js", "sheet.js", "paint.js", "tell.js", "steer.js", "hand.js")


def page(title: str, chapters: Sequence[Chapter]) -> str:
    """The page; the first chapter is open, the others a click away. HistoryError if one can't be drawn."""
    book = {"title": visible(title), "chapters": [told(chapter) for chapter in chapters]}
    script = '"use strict";\n{\n' + "\n".join(_static(name) for name in _SCRIPTS) + "}\n"
    style = _static("page.css")
    policy = f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; base-uri 'none'"
    return Template(_static("page.html")).substitute(
        title=html.escape(visible(title)),
        policy=policy,
        style=style,
        history=harmless(json.dumps(book, separators=(",", ":"), allow_nan=False)),
        script=script,
    )


def harmless(ascii_json: str) -> str:
    """The same JSON, without a letter that HTML knows."""
    for letter in "<>&":
        ascii_json = ascii_json.replace(letter, f"\\u{ord(letter):04x}")
    return ascii_json


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
