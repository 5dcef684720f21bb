"""The lesson's pages: every link leads somewhere, every name that they link to is in the code."""

import re

import pytest

from docs.generate.diffs import PAGE, regenerated
from tests.conftest import ROOT
from tests.docs.pages import blocks, exists, links, named

PAGES = (
    "docs/architecture.md",
    "CONTRIBUTING.md",
    "docs/README.md",
    "docs/models.md",
    "docs/protocols/eventual.md",
    "docs/protocols/primary-backup.md",
    "docs/protocols/quorum.md",
    "docs/matrix.md",
    "docs/chaos.md",
    "docs/bench.md",
    "docs/break-it-yourself.md",
    "docs/power.md",
    "docs/beyond.md",
    "docs/glossary.md",
    "docs/instructor.md",
)
# In a walk through the code a link's text is a name: `publish`, `Register.read`.
_NAME = re.compile(r"`(\w+(?:\.\w+)?)`")


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    assert [target for _, target in links(page) if not exists(target)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_name_is_defined_in_the_file_that_its_link_leads_to(page: str) -> None:
    missing = [
        f"{name[1]} in {target}"
        for text, target in links(page)
        if target.endswith(".py")
        and (name := _NAME.fullmatch(text))
        and not set(name[1].split(".")) <= named(target)
    ]
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if "protocols" in page])
def test_a_protocol_page_walks_through_the_code_of_both_protocols(page: str) -> None:
    targets = [target for text, target in links(page) if _NAME.fullmatch(text)]
    assert len(targets) >= 8
    assert "app/consistency/as_in_the_notes.py" in targets


def test_the_reading_order_leads_to_every_page() -> None:
    reached = {target for _, target in links("docs/README.md")}
    assert {page for page in PAGES if page != "docs/README.md"} <= reached


def test_the_glossary_fits_on_a_page_and_is_in_order() -> None:
    terms = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|", terms, flags=re.M)
    words = rows[1:]
    assert len(words) <= 45
    assert words == sorted(words, key=str.lower)


def test_no_block_is_of_a_kind_that_no_test_knows() -> None:
    kinds = {block.kind for page in PAGES for block in blocks(page)}
    assert kinds <= {"sh", "text", "diff", "mermaid", "history"}


def test_the_diffs_on_the_page_of_exercises_are_their_patches() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```diff\n") == len(list((ROOT / "docs" / "exercises").glob("*.patch")))
    assert regenerated(page) == page, "stale: python -m docs.generate.diffs"
    assert regenerated(page.replace("N, W, R = 5, 2, 2", "N, W, R = 5, 1, 1")) == page


def test_one_process_has_at_most_four_names() -> None:
    _, names = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").split("## One process, four names")
    assert len(re.findall(r"^\| (.+?) \|", names, flags=re.M)[1:]) <= 4
