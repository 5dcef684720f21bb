"""How a row goes quiet: what nobody answered may come to light only then."""

from typing import Any, cast

import pytest

from app.checker.guarantees import judge_all
from app.checker.history import Recorder, Value, Version
from app.demo.recording import recorded_write
from app.errors import InDoubt
from proof.matrix.orders import Orders
from proof.matrix.row import Row
from proof.matrix.schedule import CLIENTS

ORDERS = Orders("quorum", "", "", "", "", 1)
QUIET_S = 0.3


class LateToBeSeen:
    """A register whose last write was not answered, and is seen by nobody before the third read."""

    def __init__(self) -> None:
        self._reads = 0

    def write(self) -> None:
        raise InDoubt("nobody answered")

    def read(self, client: str, key: str) -> tuple[Value, Version | None]:
        self._reads += 1
        return ("v2" if self._reads >= 3 else "v1"), None


def test_a_write_that_comes_to_light_when_it_goes_quiet_is_followed_by_quiet() -> None:
    register, recorder = LateToBeSeen(), Recorder()
    recorded_write(recorder, "ada", "storm", "v1", lambda: None)
    with pytest.raises(InDoubt):
        recorded_write(recorder, "ada", "storm", "v2", register.write)
    row = Row(ORDERS, cast("Any", register), recorder)
    for client in CLIENTS:
        row._known[client].add("storm")

    row._goes_quiet("storm", QUIET_S, 5.0)

    found = judge_all(recorder.history(), quiet_s=QUIET_S)["eventually convergent"]
    assert (found.verdict, found.operations) == ("held", len(CLIENTS)), found.sentence
