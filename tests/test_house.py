"""The lesson stays short enough to be read in one sitting."""

import pytest

from tests.conftest import ROOT

# A protocol file's limit, its docstring included: four screens of sixty lines.
PROTOCOL_LINES = 250
# A demo's, its docstring included, and how many modules of app it may open.
DEMO_LINES = 200
DEMO_IMPORTS = 8
DEMOS = ("demo_easy_eventual.py", "demo_medium_primary_backup.py", "demo_hard_quorum.py")


@pytest.mark.parametrize("protocol", ["eventual", "primary_backup", "quorum"])
def test_a_protocols_file_is_read_in_one_sitting(protocol: str) -> None:
    path = ROOT / "app" / "consistency" / f"{protocol}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= PROTOCOL_LINES


@pytest.mark.parametrize("script", DEMOS)
def test_a_demo_is_read_in_one_sitting(script: str) -> None:
    lines = (ROOT / script).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= DEMO_LINES
    assert sum(line.startswith(("from app", "import app")) for line in lines) <= DEMO_IMPORTS
