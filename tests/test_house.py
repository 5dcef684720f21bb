"""The lesson stays short enough to be read in one sitting."""

import pytest

from tests.conftest import ROOT

# A protocol file's limit, its docstring included: four screens of sixty lines.
PROTOCOL_LINES = 250


@pytest.mark.parametrize("protocol", ["eventual", "quorum"])
def test_a_protocols_file_is_read_in_one_sitting(protocol: str) -> None:
    path = ROOT / "app" / "consistency" / f"{protocol}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= PROTOCOL_LINES
