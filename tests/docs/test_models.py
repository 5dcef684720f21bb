"""docs/models.md says of its histories what the checker says."""

import re
from typing import get_args

import pytest

from app.checker.guarantees import Guarantee, judge_all
from tests.conftest import ROOT
from tests.docs.pages import blocks
from tests.unit.checker.figures import figure

PAGE = "docs/models.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
HISTORIES = [block for block in blocks(PAGE) if block.kind == "history"]
CLAIMS = [claim.lower() for claim in re.findall(r"^```\nChecker: (.*)$", TEXT, flags=re.M)]


def claimed(claim: str) -> dict[str, str]:
    """Guarantee -> verdict, of "violated: a, b. held: c." """
    parts = re.findall(r"(held|violated): ([^.]+)\.", claim)
    return {name.strip(): verdict for verdict, names in parts for name in names.split(",")}


def test_every_model_of_the_chapter_has_a_history_and_every_history_a_verdict() -> None:
    headings = [block.heading for block in HISTORIES]
    assert headings == [
        "Strict, and linearizable", "Sequential", "Causal", "Eventual",
        "Monotonic reads", "Read your writes", "Monotonic writes", "Writes follow reads",
    ]  # fmt: skip
    assert len(CLAIMS) == len(HISTORIES)


@pytest.mark.parametrize(
    ("drawing", "claim"), [(one.text, claim) for one, claim in zip(HISTORIES, CLAIMS, strict=True)]
)
def test_the_checker_says_what_the_page_says(drawing: str, claim: str) -> None:
    expected = claimed(claim)
    assert expected
    assert set(expected) <= set(get_args(Guarantee))
    found = judge_all(figure(drawing))
    assert {name: found[name].verdict for name in found if name in expected} == expected


def test_each_is_violated_somewhere() -> None:
    verdicts = [claimed(claim) for claim in CLAIMS]
    for name in get_args(Guarantee):
        assert any(one.get(name) == "violated" for one in verdicts), name
