"""Each demo as the class sees it: no option that changes what is shown, servers that are harmed meanwhile."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from app.checker.history import History
from app.checker.parsing import read_history
from app.checker.verdict import Verdict, substance
from tests.demos.conftest import DefaultRun
from tests.demos.playing import DEMOS, SCRIPTS, acts_in
from tests.docs.pages import blocks

pytestmark = [pytest.mark.timeout(180), pytest.mark.parametrize("demo", DEMOS)]

Run = Callable[[str], DefaultRun]


def test_it_ends_with_verdict_held_and_status_0(demo: str, default_run: Run) -> None:
    played = default_run(demo).played
    assert played.verdict.startswith("VERDICT held: "), str(played)
    assert played.status == 0, str(played)


def test_the_line_before_the_verdict_says_that_the_notes_are_violated(demo: str, default_run: Run) -> None:
    played = default_run(demo).played
    assert played.lines[-2].startswith("NOTES violated: "), str(played)
    assert len(played.notes) == 1


def test_nothing_is_said_on_standard_error_and_there_is_no_traceback(demo: str, default_run: Run) -> None:
    played = default_run(demo).played
    assert played.stderr == ""
    assert "Traceback" not in played.stdout


def test_every_act_fits_on_a_screen(demo: str, default_run: Run) -> None:
    for act in default_run(demo).played.acts:
        assert len(act) <= 20, "\n".join(act)
        assert max(map(len, act)) <= 80, "\n".join(line for line in act if len(line) > 80)


def test_into_a_pipe_it_writes_no_colour(demo: str, default_run: Run) -> None:
    assert "\x1b" not in default_run(demo).played.stdout


def test_the_page_of_outputs_shows_these_acts(demo: str, default_run: Run) -> None:
    page = next(one for one in blocks("docs/outputs.md") if one.heading.lower().startswith(f"{demo}:"))
    shown = [act[0] for act in acts_in(page.text)]
    assert shown == [act[0] for act in default_run(demo).played.acts], (
        "stale: python -m docs.generate.outputs"
    )


def test_nothing_is_left_in_zookeeper(demo: str, default_run: Run) -> None:
    left = {root for root in default_run(demo).left_in_zookeeper if root.startswith(f"{demo}-")}
    assert left == set()


def test_no_process_and_no_temporary_file_is_left(demo: str, default_run: Run) -> None:
    assert default_run(demo).played.left == []


def test_the_acts_come_in_the_order_of_the_lesson(demo: str, default_run: Run) -> None:
    played = default_run(demo).played
    opening, notes, full, *further = played.acts
    cast = {"easy": "five replicas", "medium": "who takes part", "hard": "5 hosts"}[demo]
    assert opening[0].startswith(f"Act 1: {cast}"), opening
    assert notes[0].startswith("Act 2: the notes: "), notes
    assert full[0].startswith("Act 3: the full protocol: "), full
    assert len(further) >= 3
    assert further[-1][0].endswith("; faults: random"), further[-1]
    numbers = [int(act[0].split(":")[0].removeprefix("Act ")) for act in played.acts]
    assert numbers == list(range(1, len(played.acts) + 1))


def test_the_seed_is_said_so_that_the_run_can_be_repeated(demo: str, default_run: Run) -> None:
    assert "; seed " in " ".join(default_run(demo).played.acts[0])


def test_the_checker_shows_where_the_notes_break(demo: str, default_run: Run) -> None:
    notes = " ".join(default_run(demo).played.acts[1])
    assert "checker: " in notes
    assert " violated: " in notes


def test_the_full_protocol_meets_the_same_fault_as_the_notes(demo: str, default_run: Run) -> None:
    notes, full = default_run(demo).played.acts[1:3]
    if demo == "medium":
        assert notes[0].removeprefix("Act 2: the notes: ") == full[0].removeprefix(
            "Act 3: the full protocol: "
        )
        assert "still true" in " ".join(full)
    else:
        same = {"easy": "the same two", "hard": "the same faults"}[demo]
        assert same in full[0]
        assert " held: " in " ".join(full)


def test_the_load_ran_under_faults(demo: str, default_run: Run) -> None:
    load = " ".join(default_run(demo).played.acts[-1])
    assert "meanwhile: no fault" not in load
    assert " x " in load


def test_the_history_can_be_read_again_and_judged_alike(demo: str, default_run: Run) -> None:
    run = default_run(demo)
    notes, full = (of_protocol(history_of(run), protocol) for protocol in ("notes", "full"))
    judge = judge_of(demo)
    assert f"NOTES {told(notes, judge)}" == run.played.notes[0]
    assert f"VERDICT {told(full, judge)}" == run.played.verdict


def test_the_history_tells_of_faults_too(demo: str, default_run: Run) -> None:
    assert {"cut", "heal", "crash", "restart"} & {fault.op for fault in history_of(default_run(demo)).faults}


def test_the_two_protocols_use_different_keys(demo: str, default_run: Run) -> None:
    keys = {operation.key for operation in history_of(default_run(demo)).operations}
    assert {key.split("/")[0] for key in keys} == {"notes", "full"}


def test_no_value_is_written_to_two_keys_so_that_the_history_is_decidable(
    demo: str, default_run: Run
) -> None:
    writes = [op for op in history_of(default_run(demo)).operations if op.op == "write"]
    assert len({(op.key, op.value) for op in writes}) == len({op.value for op in writes})
    if demo == "hard":  # a register's values are unique altogether; a request may be made again
        assert len({op.value for op in writes}) == len(writes)


def history_of(run: DefaultRun) -> History:
    with run.history.open(encoding="utf-8") as lines:
        return read_history(lines)


def of_protocol(history: History, protocol: str) -> History:
    wanted = [operation for operation in history.operations if operation.key.startswith(f"{protocol}/")]
    return History.of([*wanted, *history.faults])


def judge_of(demo: str) -> Callable[[History], Verdict]:
    module: Any = importlib.import_module(SCRIPTS[demo].removesuffix(".py"))
    judge: Callable[[History], Verdict] = module.DEMO.judge
    return judge


def told(history: History, judge: Callable[[History], Verdict]) -> str:
    verdict = substance(history.operations, judge(history))
    return f"{verdict.outcome}: {verdict.sentence}"
