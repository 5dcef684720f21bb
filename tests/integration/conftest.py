"""What is seen here was brought by a watch or by the connection's return: the safety nets never come."""

import logging
from collections.abc import Iterator

import pytest

from app.zookeeper.reconcile import Reconciler

NEVER_S = 3600.0


@pytest.fixture(autouse=True)
def _no_safety_net() -> Iterator[None]:
    defaults = Reconciler.__init__.__kwdefaults__
    assert defaults is not None
    with pytest.MonkeyPatch.context() as patch:  # a test's own is undone before its place is left
        patch.setitem(defaults, "recheck_s", NEVER_S)
        patch.setattr("app.zookeeper.client.STEP_S", 15.0)  # a busy machine may take more than three seconds
        patch.setattr("app.mapreduce.sweeper._SWEEP_S", NEVER_S)
        yield


@pytest.fixture
def no_trouble(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No green thread dies with a traceback, and kazoo meets nothing that it can't handle."""
    yield
    assert "Traceback" not in capfd.readouterr().err
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []
