"""What a demo and its guests say to each other, and what a demo makes of a pod that is gone."""

import random
from typing import Any

import eventlet
import pytest

from app import errors
from app.checker.history import Fault, History, Operation, Recorder
from app.checker.judges import judge_copies, most_down
from app.cluster.messages import Entry, Part, PrimaryStatus, Reply, Report, Request
from app.demo.faults import TO_PARTICIPANTS, Powers
from app.demo.nemesis import nemesis
from app.demo.participants import Participant
from app.demo.pod_selection import _by_number
from app.errors import InDoubt, LessonError, Malformed, Unreachable

ENDINGS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LessonError)]


@pytest.mark.parametrize("kind", ENDINGS)
def test_every_ending_crosses_as_the_same_type_with_its_message(kind: type[LessonError]) -> None:
    crossed = Reply.from_bytes(Reply.of_error(kind("what went wrong")).to_bytes())
    with pytest.raises(kind, match="what went wrong") as raised:
        crossed.checked("job-1")
    assert type(raised.value) is kind
    if isinstance(raised.value, InDoubt):
        assert raised.value.ask_again == "job-1"


@pytest.mark.parametrize("name", ["SystemExit", "Sequence", "__builtins__", "nothing"])
def test_an_ending_that_nobody_knows_is_in_doubt(name: str) -> None:
    with pytest.raises(InDoubt):
        Reply(error=name, message="?").checked("job-1")


def test_words_are_the_same_on_the_other_side() -> None:
    report = Report(
        incarnation="a",
        machine="m",
        number=3,
        leads=PrimaryStatus(id=1, number=4, name="w"),
        log=(Entry(at_ns=5),),
    )
    assert Report.from_bytes(report.to_bytes()) == report
    ask = Request(incarnation="a", do="submit", job_id="job", payload=bytes(range(256)))
    assert Request.from_bytes(ask.to_bytes()) == ask
    start = Request(incarnation="a", do="start", part=Part(kind="host", index=5))
    assert Request.from_bytes(start.to_bytes()) == start


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b'{"life": "a", "do": "rm"}',
        b'{"life": "a", "do": "load", "job_id": "../etc"}',
        b'{"life": "a", "do": "load", "digest": "../../etc/passwd"}',
        b'{"life": "a", "do": "slow", "delay_s": 1e9}',
        b'{"life": "a", "do": "start", "part": {"kind": "root"}}',
    ],
)
def test_an_ask_that_does_not_fit_is_not_understood(data: bytes) -> None:
    with pytest.raises(Malformed):
        Request.from_bytes(data)


def test_workers_are_taken_in_the_order_of_their_numbers() -> None:
    names = ["worker-10", "worker-2", "zk", "worker-1", "worker"]
    assert sorted(names, key=_by_number) == ["worker", "worker-1", "worker-2", "worker-10", "zk"]


def test_copies_of_pods_that_are_gone_at_the_end_need_not_converge_and_those_that_are_back_must() -> None:
    write = Operation("master", "write", "k", 2, 10, 11, "ok", (2, ""))
    reads = [Operation(name, "read", "k", value, at, at, "ok", (value, "")) for name, value, at in
             (("worker-1", 2, 20), ("worker-1", 2, 21), ("worker-2", 1, 5))]  # fmt: skip
    first = Operation("setup", "write", "k", 1, 1, 2, "ok", (1, ""))
    gone = History.of([first, write, *reads, Fault("gone", "worker-2", 6)])
    assert judge_copies(gone).outcome == "held"
    back = History.of([first, write, *reads, Fault("gone", "worker-2", 6), Fault("back", "worker-2", 7)])
    assert judge_copies(back).outcome == "violated"


def test_hosts_that_are_gone_count_as_down() -> None:
    faults = [Fault("crash", "a", 1), Fault("gone", "b", 2), Fault("restart", "a", 3), Fault("back", "b", 4)]
    assert most_down(History.of(faults)) == 2


class Stone:
    """A body that does nothing."""

    hosts, connected, session, roles = "", True, None, ()

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def at_most(number: int, of: list[Participant]) -> Powers:
    return Powers(TO_PARTICIPANTS, len(of), number, (0.001, 0.002), (0.001, 0.01))


def test_the_nemesis_leaves_the_dead_alone_and_counts_them() -> None:
    recorder = Recorder()
    cast = [Participant(name, Stone(), recorder) for name in "abc"]
    cast[0].lost()
    most = 0
    with nemesis(cast, at_most(2, of=cast), None, random.Random(1), recorder):
        for _ in range(200):
            eventlet.sleep(0.001)
            most = max(most, sum(one.state != "up" for one in cast))
    assert most == 2
    assert [one.state for one in cast] == ["gone", "up", "up"]
    assert {fault.value for fault in recorder.history().faults if fault.op != "gone"} == {"b", "c"}


def test_a_participant_that_cannot_be_healed_does_not_hide_what_ended_the_load() -> None:
    """Else a run whose ZooKeeper is lost would wait for it once more, and Ctrl-C would not be heard."""

    class Broken(Stone):
        def heal(self) -> None:
            raise Unreachable("nobody answers")

    broken = Participant("a", Broken(), Recorder())

    def interrupted_load() -> None:
        with nemesis([broken], at_most(0, of=[broken]), None, random.Random(1), Recorder()):
            broken.cut()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_load()
    assert broken.state == "cut"
