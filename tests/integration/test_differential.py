"""Is the simulated ensemble true to ZooKeeper? The same programs on real servers, and the same answers.

Sessions take turns and are brought up to date after each step, so each answer is determined. What the
simulation may do besides (lag, lose, reorder) is not asked here.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from app.zookeeper import client as zk
from proof.simulation.program import Run
from tests.conftest import ROOT, STEADY_SESSION_S, Ensemble, Place

pytestmark = pytest.mark.whole

PROGRAMS, MOST_STEPS, SESSIONS = 80, 25, 3

Both = Callable[[list[dict[str, Any]]], tuple[list[Any], list[Any]]]

# --- the programs ---------------------------------------------------------------------------------------

_PATHS = ("/a", "/a/b", "/a/b/c", "/d", "/a/s-0000000000", "/a/s-0000000001", "/d/s-0000000001")
_NEW = (*_PATHS, "/a/s-", "/d/s-", "/a/b/s-")
_paths, _new = st.sampled_from(_PATHS), st.sampled_from(_NEW)
_versions = st.sampled_from((-1, -1, 0, 1, 2))
_data = st.sampled_from(("", "x", "yy"))
_flags = {"ephemeral": st.booleans(), "sequence": st.booleans()}

_parts: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict, do=st.just("create"), path=_new, data=_data, **_flags),
    st.builds(dict, do=st.just("delete"), path=_paths, version=_versions),
    st.builds(dict, do=st.just("set_data"), path=_paths, data=_data, version=_versions),
    st.builds(dict, do=st.just("check"), path=_paths, version=_versions),
)
_by = st.integers(0, SESSIONS - 1)
_creates: st.SearchStrategy[Any] = st.builds(
    dict, by=_by, do=st.just("create"), path=_new, data=_data, **_flags, makepath=st.booleans(),
    include_data=st.booleans(),
)  # fmt: skip
_reads: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict, by=_by, do=st.sampled_from(("get", "exists")), path=_paths, watch=st.booleans()),
    st.builds(
        dict, by=_by, do=st.just("get_children"), path=st.sampled_from(("/", *_PATHS)), watch=st.booleans(),
        include_data=st.booleans(),
    ),
)  # fmt: skip
_steps = st.one_of(
    _creates,
    _creates,
    st.builds(dict, by=_by, do=st.just("delete"), path=_paths, version=_versions),
    st.builds(dict, by=_by, do=st.just("set"), path=_paths, data=_data, version=_versions),
    _reads,
    _reads,
    st.builds(dict, by=_by, do=st.just("ensure_path"), path=_paths),
    st.builds(dict, by=_by, do=st.just("transaction"), parts=st.lists(_parts, min_size=1, max_size=4)),
    st.builds(dict, by=_by, do=st.just("close")),
)


# --- both ensembles -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated() -> Iterator[Callable[[Any], Any]]:
    """A process that lives in virtual time."""
    command = [sys.executable, "-W", "ignore", "-m", "proof.simulation.program"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def play(program: Any) -> Any:
            print(json.dumps(program), file=asked, flush=True)
            return json.loads(told.readline())

        yield play
        asked.close()


@pytest.fixture
def both(ensemble: Ensemble, place: Place, simulated: Callable[[Any], Any]) -> Both:
    """What real servers say of a program, and what the simulated ones do."""
    owner, roots = place.client(), itertools.count(1)

    def play(program: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        root = f"/program-{next(roots)}"
        owner.create(root)

        def connect() -> Any:
            return zk.connect(
                ensemble.hosts, chroot=place.chroot + root, session_timeout_s=STEADY_SESSION_S, deadline_s=30
            )

        return Run(connect).play(program), simulated(program)

    return play


def same(program: list[dict[str, Any]], both: Both) -> list[Any]:
    """What both say. Fails where they differ."""
    real, simulated = both(program)
    for step, one, other in zip(program, real, simulated, strict=True):
        assert other == one, f"{step}: the simulation says {other}, real servers {one}"
    return real


def test_random_programs_end_the_same(both: Both) -> None:
    @settings(
        max_examples=PROGRAMS, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(st.lists(_steps, min_size=5, max_size=MOST_STEPS))
    def compare(program: list[dict[str, Any]]) -> None:
        same(program, both)

    compare()


# --- one at a time ----------------------------------------------------------------------------------------


def step(do: str, path: str = "/", by: int = 0, **more: Any) -> dict[str, Any]:
    return {"by": by, "do": do, "path": path, **more}


def answers(told: list[Any]) -> list[Any]:
    return [answer for answer, _ in told]


def fired(told: list[Any], who: int) -> list[list[Any]]:
    """The events of one participant's watches, with the step that left the watch."""
    return [event for _, heard in told for event in heard.get(str(who), [])]


def test_a_delete_looks_for_the_node_then_its_version_then_its_children(both: Both) -> None:
    told = same(
        [
            step("delete", "/a", version=7),
            step("create", "/a/b", makepath=True),
            step("delete", "/a", version=7),
            step("delete", "/a", version=0),
            step("delete", "/a/b", version=0),
            step("delete", "/a", version=0),
        ],
        both,
    )
    assert answers(told) == ["NoNodeError", "/a/b", "BadVersionError", "NotEmptyError", True, True]


def test_an_ephemeral_node_has_no_children(both: Both) -> None:
    told = same(
        [
            step("create", "/a", ephemeral=True),
            step("create", "/a/b", by=1),
            step("create", "/a/s-", by=1, sequence=True),
            step("create", "/a/b/c"),
        ],
        both,
    )
    assert answers(told)[1:] == [
        "NoChildrenForEphemeralsError",
        "NoChildrenForEphemeralsError",
        "NoNodeError",
    ]


def test_sequence_numbers_count_what_was_ever_created(both: Both) -> None:
    told = same(
        [
            step("create", "/a/x", makepath=True),
            step("create", "/a/s-", sequence=True),
            step("delete", "/a/s-0000000001"),
            step("delete", "/a/x"),
            step("create", "/a/s-", sequence=True, by=1),
            step(
                "transaction", parts=[step("create", "/a/s-", sequence=True), step("check", "/a", version=9)]
            ),
            step("create", "/a/s-", sequence=True, ephemeral=True),
            step("get", "/a"),
        ],
        both,
    )
    assert answers(told)[4:7] == [
        "/a/s-0000000002",
        ["RolledBackError", "BadVersionError"],
        "/a/s-0000000003",
    ]


@pytest.mark.parametrize("look", ["exists", "get"])
def test_a_look_at_a_missing_node_leaves_a_watch_if_it_asks_whether_it_exists(both: Both, look: str) -> None:
    alone = [step(look, "/a", watch=True), step("create", "/a", by=1), step("set", "/a", by=1, data="x")]
    beside = [alone[0], step("exists", "/a", watch=True), *alone[1:]]
    created = ["CREATED", "/a"]
    assert fired(same(alone, both), 0) == ([[*created, 0]] if look == "exists" else [])
    assert fired(same(beside, both), 0) == [
        [*created, number] for number in ([0, 1] if look == "exists" else [1])
    ]


def test_a_deletion_tells_each_watch_once(both: Both) -> None:
    told = same(
        [
            step("create", "/a"),
            step("get", "/a", by=1, watch=True),
            step("exists", "/a", by=1, watch=True),
            step("get_children", "/a", by=1, watch=True),
            step("get_children", "/", by=1, watch=True),
            step("delete", "/a"),
            step("create", "/a"),
        ],
        both,
    )
    assert sorted(fired(told, 1)) == [
        ["CHILD", "/", 4], ["DELETED", "/a", 1], ["DELETED", "/a", 2], ["DELETED", "/a", 3],
    ]  # fmt: skip


@pytest.mark.parametrize("failing", range(4))
def test_a_transaction_that_fails_says_where_and_changes_nothing(both: Both, failing: int) -> None:
    parts = [
        step("create", "/b", ephemeral=True),
        step("set_data", "/a", data="y"),
        step("check", "/a", version=1),
        step("delete", "/a", version=1),
    ]
    parts[failing] = step("delete", "/nowhere")
    watching = [step("get", "/a", by=1, watch=True), step("get_children", "/", by=1, watch=True)]
    told = same(
        [
            step("create", "/a"),
            *watching,
            step("transaction", parts=parts),
            step("get", "/a"),
            # the failed one has its place in the order, but no node shows it
            step("set", "/a", data="z"),
        ],
        both,
    )
    assert answers(told)[3] == [
        *["RolledBackError"] * failing, "NoNodeError", *["RuntimeInconsistency"] * (3 - failing)
    ]  # fmt: skip
    assert fired(told, 1) == [["CHANGED", "/a", 1]]


def test_a_transaction_sees_its_own_changes(both: Both) -> None:
    told = same(
        [
            step("get_children", "/", by=1, watch=True),
            step("exists", "/a", by=1, watch=True),
            step(
                "transaction",
                parts=[
                    step("create", "/a", data="x"),
                    step("create", "/a/s-", sequence=True),
                    step("delete", "/a/s-0000000000"),
                    step("set_data", "/a", data="y", version=0),
                    step("check", "/a", version=1),
                    step("delete", "/a", version=1),
                ],
            ),
            step("get", "/", by=1),
        ],
        both,
    )
    assert answers(told)[2][0:3] == ["/a", "/a/s-0000000000", True]


def test_the_end_of_a_session_takes_its_ephemeral_nodes_and_tells_the_others(both: Both) -> None:
    told = same(
        [
            step("create", "/a"),
            step("create", "/a/b", by=1, ephemeral=True),
            step("create", "/a/s-", by=1, ephemeral=True, sequence=True),
            step("get", "/a/b", watch=True),
            step("get_children", "/a", watch=True),
            step("close", by=1),
            step("get_children", "/a", include_data=True),
            step("create", "/a/b", by=1, ephemeral=True),
            step("get", "/a/b"),
        ],
        both,
    )
    assert sorted(fired(told, 0)) == [["CHILD", "/a", 4], ["DELETED", "/a/b", 3]]


def test_what_a_session_may_not_do_is_refused_alike(both: Both) -> None:
    same(
        [
            step("set", "/", data="x", version=5),
            step("set", "/", data="x"),
            step("get", "/"),
            step("delete", "/a", version=-1),
            step("create", "/a", sequence=True),
            step("create", "/a"),
            step("create", "/a"),
            step("get_children", "/nowhere", watch=True),
            step("transaction", parts=[step("check", "/nowhere", version=-1)]),
            step("transaction", parts=[step("check", "/a", version=-1), step("create", "/a")]),
        ],
        both,
    )
