"""The lesson stays short enough to be read in one sitting."""

from tests.conftest import ROOT

# A protocol file's limit, its docstring included: four screens of sixty lines.
PROTOCOL_LINES = 250


def test_the_quorums_file_is_read_in_one_sitting() -> None:
    path = ROOT / "app" / "consistency" / "quorum.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= PROTOCOL_LINES
