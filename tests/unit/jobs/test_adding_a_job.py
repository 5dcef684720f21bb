"""The page for students says what is so: its example is a job, and runs as it stands there."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from app.jobs.job import Job, Unusable
from tests.conftest import ROOT
from tests.unit.jobs.local import run

PAGE = (ROOT / "docs" / "adding-a-job.md").read_text(encoding="utf-8")
TEXT = "Ämter öffnen um acht.\nDon't be late!\n\nÀ bientôt\n" * 5


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """What the page's only block of Python defines."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    path = tmp_path / "letters.py"
    path.write_text(block, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("letters", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Job = module.JOB
    return found


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_the_pages_example_counts_letters(job: Job, tmp_path: Path, chunk_size: int) -> None:
    source = tmp_path / "text.txt"
    source.write_text(TEXT, encoding="utf-8")
    done = run(job, source, tmp_path / "run", chunk_size)
    expected = Counter(letter for letter in TEXT.casefold() if letter.isalpha())
    assert json.loads(done.out.read_text(encoding="utf-8")) == expected
    assert expected["ä"] == 5
    assert done.out.suffix == ".json"


def test_the_pages_example_refuses_what_is_no_text(job: Job, tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(Unusable) as caught:
        run(job, source, tmp_path / "run")
    assert caught.value.unknown_format


def test_the_pages_example_is_sent_under_its_name(job: Job) -> None:
    assert f"-F job={job.name} " in PAGE
    assert f"app/jobs/{job.name}.py" in PAGE


@pytest.mark.parametrize("path", re.findall(r"\]\(\.\./([^)#]+)\)", PAGE))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).is_file()
