"""Recording a history, writing it down, and reading it back, well-formed or not."""

import io
import json
from itertools import count

import pytest
from hypothesis import given, strategies as st

from app.checker.history import Fault, History, HistoryError, Operation, Recorder
from app.checker.parsing import from_json, read_history
from tests.unit.checker.making import any_histories, read, write

FAULTS = st.builds(
    Fault,
    op=st.sampled_from(("cut", "heal", "crash", "restart")),
    value=st.none() | st.integers() | st.text() | st.lists(st.integers()),
    at_ns=st.integers(0, 10**10),
)


def recorder(sink: io.StringIO | None = None) -> Recorder:
    """A recorder whose clock shows 1, 2, 3, ..."""
    ticks = count(1)
    return Recorder(sink, clock=lambda: next(ticks))


@given(any_histories(), st.lists(FAULTS, max_size=4))
def test_a_history_survives_being_written_and_read(operations: list[Operation], faults: list[Fault]) -> None:
    history = History.of([*operations, *faults])
    assert read_history(history.lines()) == history


@given(st.text(), st.text(), st.text() | st.integers() | st.none(), st.tuples(st.integers(), st.text()))
def test_any_names_values_and_versions_survive_too(
    process: str, key: str, value: str | int | None, version: tuple[int, str]
) -> None:
    operation = Operation(f"p-{process}", "read", key, value, 1, 2, "ok", version)
    assert from_json(operation.to_json()) == operation
    assert "\n" not in operation.to_json()


def test_the_lines_have_the_agreed_format() -> None:
    operation = Operation("client-2", "write", "x", "v1", 5, None, "unknown", (3, "client-2"))
    assert json.loads(operation.to_json()) == {
        "process": "client-2",
        "op": "write",
        "key": "x",
        "value": "v1",
        "invoked_ns": 5,
        "returned_ns": None,
        "outcome": "unknown",
        "version": [3, "client-2"],
    }
    fault = Fault("cut", "replica-2", 7)
    assert json.loads(fault.to_json()) == {
        "process": "nemesis",
        "op": "cut",
        "value": "replica-2",
        "at_ns": 7,
    }


GOOD = json.loads(write("client-1", "v1", 0, 1).to_json())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
        ("[1, 2]", "not a JSON object: [1, 2]"),
        ("{}", '"process" is missing'),
        (json.dumps({**GOOD, "process": 7}), '"process" must be a string, not 7'),
        (json.dumps({**GOOD, "op": "append"}), '"op" must be "write" or "read", not "append"'),
        (json.dumps({**GOOD, "key": None}), '"key" must be a string, not null'),
        (json.dumps({**GOOD, "value": 1.5}), '"value" must be a string or a whole number or null, not 1.5'),
        (json.dumps({**GOOD, "value": True}), '"value" must be a string or a whole number or null, not true'),
        (json.dumps({**GOOD, "invoked_ns": "now"}), '"invoked_ns" must be a whole number, not "now"'),
        (json.dumps({**GOOD, "returned_ns": []}), '"returned_ns" must be a whole number or null, not []'),
        (json.dumps({**GOOD, "returned_ns": None}), '"returned_ns" is null, but the outcome is "ok"'),
        (json.dumps({**GOOD, "returned_ns": -1}), '"returned_ns" is before "invoked_ns"'),
        (json.dumps({**GOOD, "outcome": 3}), '"outcome" must be a string, not 3'),
        (json.dumps({**GOOD, "version": [1]}), '"version" must be [counter, "writer"] or null, not [1]'),
        (json.dumps({**GOOD, "version": [True, "a"]}), '"version" must be [counter, "writer"] or null'),
        ('{"process": "nemesis", "op": "cut", "value": 1}', '"at_ns" is missing'),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong_with_it(line: str, complaint: str) -> None:
    with pytest.raises(HistoryError) as caught:
        read_history([write("client-1", "v1", 0, 1).to_json(), "\n", line])
    assert str(caught.value).startswith("line 3: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_but_the_nemesis_is_called_nemesis() -> None:
    with pytest.raises(HistoryError, match="nemesis"):
        recorder().invoke("nemesis", "write", "x", "v1")


def test_each_ending_is_recorded_with_its_moments() -> None:
    notes = recorder()
    notes.invoke("client-1", "write", "x", "v1").ok(version=(1, "client-1"))
    notes.invoke("client-2", "read", "x").ok("v1", (1, "client-1"))
    notes.invoke("client-1", "write", "x", "v2").refused()
    notes.invoke("client-1", "write", "x", "v3").unknown()
    notes.observe("replica-1", "x", "v1")
    notes.fault("cut", "replica-1")
    assert notes.history() == History(
        (
            Operation("client-1", "write", "x", "v1", 1, 2, "ok", (1, "client-1")),
            Operation("client-2", "read", "x", "v1", 3, 4, "ok", (1, "client-1")),
            Operation("client-1", "write", "x", "v2", 5, 6, "refused"),
            Operation("client-1", "write", "x", "v3", 7, 8, "unknown"),
            Operation("replica-1", "read", "x", "v1", 9, 9, "ok"),
        ),
        (Fault("cut", "replica-1", 10),),
    )


@pytest.mark.parametrize("first", ["ok", "refused", "unknown"])
@pytest.mark.parametrize("second", ["ok", "refused", "unknown"])
def test_an_operation_ends_exactly_once(first: str, second: str) -> None:
    notes = recorder()
    pending = notes.invoke("client-1", "write", "x", "v1")
    getattr(pending, first)()
    with pytest.raises(RuntimeError, match="the write of client-1 has already ended"):
        getattr(pending, second)()
    assert [operation.outcome for operation in notes.history().operations] == [first]


def test_what_is_still_pending_is_unknown_and_may_end_later() -> None:
    notes = recorder()
    pending = notes.invoke("client-1", "write", "x", "v1")
    assert notes.history().operations == (Operation("client-1", "write", "x", "v1", 1, None, "unknown"),)
    pending.ok()
    assert notes.history().operations == (Operation("client-1", "write", "x", "v1", 1, 2, "ok"),)


def test_every_finished_operation_is_in_the_sink_at_once_and_pending_ones_at_the_close() -> None:
    sink = io.StringIO()
    notes = recorder(sink)
    notes.invoke("client-1", "write", "x", "v1")
    assert sink.getvalue() == ""
    notes.invoke("client-2", "read", "x").ok()
    notes.fault("crash", "replica-3")
    assert len(sink.getvalue().splitlines()) == 2
    notes.close()
    notes.close()
    assert read_history(sink.getvalue().splitlines()) == notes.history()
    assert [operation.returned_ns for operation in notes.history().operations] == [None, 3]


def test_histories_of_several_processes_merge_in_the_order_of_invocation() -> None:
    one = History.of([write("client-1", "v1", 0, 1), write("client-1", "v2", 4, 5), Fault("cut", 1, 9)])
    other = History.of([read("client-2", "v1", 2, 3), Fault("heal", 1, 3)])
    merged = History.merged([one, other])
    assert [operation.process for operation in merged.operations] == ["client-1", "client-2", "client-1"]
    assert [fault.op for fault in merged.faults] == ["heal", "cut"]
    assert merged.start_ns == 0
