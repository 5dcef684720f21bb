"""A history as one HTML page: who did what when, which faults it met, and the order that explains it.

points (one folder up)  when each operation can have taken effect
spans                   faults with a beginning and an end, out of single entries
chapters                a history with what is said of it, as the page is told of it
page                    all of it in one file, which needs nothing else
static/                 the page itself: a template, a style sheet, and scripts that draw on a canvas

From a command line: python -m app.checker.timeline HISTORY.jsonl OUT.html
"""

from app.checker.timeline.chapters import Chapter
from app.checker.timeline.page import page

__all__ = ["Chapter", "page"]
