"""On a machine that is too busy the bench goes on: it tries again, and leaves out what it can't have."""

import pytest

from app.errors import InDoubt
from proof.bench import cluster
from proof.bench.cluster import Cluster
from proof.bench.measuring import Effort, Figure, NotDone
from proof.bench.replicas import SIZES
from proof.bench.report import Report
from proof.bench.run import Measured, _section


class Busy(Cluster):
    """It answers 504 so many times, and then well."""

    def __init__(self, times: int) -> None:
        self._left = times

    def upload_to_done(self, body: bytes) -> float:
        self._left -= 1
        if self._left >= 0:
            raise NotDone("an upload was answered 504: in doubt")
        return 0.5

    def settled(self) -> None:
        """At once."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_BREATH_S", 0.0)


def test_an_upload_that_is_in_doubt_is_said_aloud_and_another_is_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Busy(2).patient_upload(b"") == 0.5
    assert capsys.readouterr().err.count("answered 504") == 2


def test_patience_with_uploads_ends() -> None:
    with pytest.raises(NotDone, match="504"):
        Busy(3).patient_upload(b"")


@pytest.mark.parametrize(
    "trouble", [NotDone("answered 504"), InDoubt("no answer"), ConnectionRefusedError("refused")]
)
def test_a_section_that_fails_is_left_out_with_its_reason(trouble: Exception) -> None:
    report = Report(3, {})

    def fails() -> Measured:
        raise trouble

    _section("pictures", fails, report)
    _section("tasks", lambda: [Figure("a task", 1.0, "x", 1.5)], report)

    assert report.left_out == [f"pictures: {trouble}"]
    assert [figure.what for figure in report.figures] == ["a task"]
    assert f"left out: pictures: {trouble}" in report.as_text()


def test_a_mistake_of_ours_is_not_left_out() -> None:
    def mistaken() -> Measured:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _section("pictures", mistaken, Report(3, {}))


def test_fewer_samples_mean_less_of_everything_but_never_nothing() -> None:
    assert Effort(200).times(25) == 25
    assert Effort(400).times(25) == 25
    assert Effort(40).times(25) == 5
    assert Effort(1).times(25) == 1
    assert Effort(20).loads(SIZES) == SIZES
    assert Effort(19).loads(SIZES) == SIZES[:3]
