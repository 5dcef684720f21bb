"""What two rows of the matrix are there to show, without its clock: a write that is left half done."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from app.checker.guarantees import judge_all
from app.checker.history import Recorder, Value
from app.demo.recording import NOT_A_RESULT, recorded_read, recorded_write
from app.zookeeper import client as zk
from proof.matrix.orders import Orders
from proof.matrix.schedule import WRITER
from proof.matrix.systems import System, system_of
from tests.conftest import Place

KEY = "storm"


class Scene:
    """A system, a recorder, and clients that try again where a busy machine gave no answer in time."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.recorder = Recorder()
        self.newest = ""

    def write(self) -> None:
        self.newest = value = f"{self.newest}v"
        recorded_write(self.recorder, WRITER, KEY, value, lambda: self.system.write(WRITER, KEY, value))

    def reads_newest(self, client: str) -> bool:
        def read() -> Value:
            return recorded_read(self.recorder, client, KEY, lambda: self.system.read(client, KEY))

        return bool(self.insist(read) == self.newest)

    def verdicts(self) -> dict[Any, str]:
        return {name: found.verdict for name, found in judge_all(self.recorder.history()).items()}

    @staticmethod
    def insist(act: Callable[[], Any]) -> Any:
        patience = zk.Deadline(60)
        while not patience.passed:
            with suppress(*NOT_A_RESULT):
                return act()
        pytest.fail("no operation ended well within a minute")


@pytest.fixture
def half_written(request: pytest.FixtureRequest, place: Place) -> Iterator[Scene]:
    """One value at all five replicas, and the next one at the first alone: its writer was cut off."""
    system = system_of(Orders(request.param, place.hosts, place.hosts, place.chroot, "", 1))
    try:
        system.open()
        system.begin(KEY)
        scene = Scene(system)
        scene.insist(scene.write)
        system.maim((1,))
        with pytest.raises(NOT_A_RESULT):
            scene.write()
        yield scene
    finally:
        system.unmaim()
        system.close()


@pytest.mark.parametrize("half_written", ["no-write-back"], indirect=True)
def test_without_write_back_a_reader_goes_back(half_written: Scene) -> None:
    patience = zk.Deadline(60)
    for met in (True, False):  # by three reads of five, as three of five replicas are asked
        while half_written.reads_newest("bob") != met and not patience.passed:
            continue
    found = half_written.verdicts()
    assert (found["monotonic reads"], found["linearizable"]) == ("violated", "violated")


@pytest.mark.parametrize("half_written", ["quorum"], indirect=True)
def test_with_write_back_what_one_reader_has_seen_all_see(half_written: Scene) -> None:
    patience = zk.Deadline(60)
    while not half_written.reads_newest("bob") and not patience.passed:
        continue
    assert all(half_written.reads_newest(client) for _ in range(10) for client in ("bob", "carol"))
    assert "violated" not in half_written.verdicts().values()
