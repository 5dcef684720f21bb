"""What is seen here was brought by a watch or by the connection's return: the safety nets never come."""

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
        patch.setattr("app.cluster.guest._RECHECK_S", NEVER_S)
        yield
