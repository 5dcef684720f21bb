"""A demo's command line: bad usage is one line and status 2; the five that one needs come first."""

import re

import pytest

from app.demo.options import Options, parse

BAD_USAGE = {
    "an unknown option": ["--frobnicate"],
    "an abbreviation": ["--proto", "full"],
    "an argument too many": ["now"],
    "an unknown protocol": ["--protocol", "raft"],
    "unknown participants": ["--participants", "everybody"],
    "a seed in words": ["--seed", "lucky"],
    "a value that is missing": ["--seed"],
    "no operations": ["--operations", "0"],
    "too many operations": ["--operations", "1000001"],
    "half an operation": ["--operations", "1.5"],
    "no clients": ["--clients", "0"],
    "too many clients": ["--clients", "65"],
    "an unknown fault": ["--faults", "earthquake"],
    "no patience": ["--ack-timeout-s", "0"],
    "patience that is no number": ["--ack-timeout-s", "nan"],
    "endless patience": ["--ack-timeout-s", "inf"],
    "too short a session": ["--session-timeout-s", "0.5"],
    "live workers that are simulated": ["--simulated", "--participants", "pods"],
    "the history and JSON on one output": ["--history", "-", "--json"],
}
BAD_QUORUMS = {
    "no acknowledgement": ["--w", "0"],
    "no answer": ["--r", "0"],
    "more answers than replicas": ["--r", "6", "--n", "5"],
    "more acknowledgements than replicas": ["--w", "6", "--n", "5"],
    "quorums that need not meet": ["--r", "2", "--w", "3"],
    "impossible even if weak": ["--w", "0", "--weak"],
    "no replicas": ["--n", "0", "--weak"],
    "too many replicas": ["--n", "52", "--w", "50", "--r", "50"],
}


def parsed(*argv: str, quorum: bool = True) -> Options:
    return parse(list(argv), program="demo.py", claim="A claim.", quorum=quorum)


@pytest.mark.parametrize("argv", [*BAD_USAGE.values(), *BAD_QUORUMS.values()], ids=[*BAD_USAGE, *BAD_QUORUMS])
def test_bad_usage_is_one_line_and_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*argv)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("demo.py: ")
    assert "--help lists the options" in printed.err


def test_the_refused_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--clients", "65")
    assert "--clients: 65 is not between 1 and 64" in capsys.readouterr().err


def test_quorums_that_need_not_meet_say_how_to_see_what_that_costs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("--r", "2", "--w", "3")
    assert "--weak" in capsys.readouterr().err
    assert parsed("--r", "2", "--w", "3", "--weak").quorum.weak


def test_only_the_demo_of_quorums_knows_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--w", "3", quorum=False)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_lists_the_five_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--help")
    assert ended.value.code == 0
    first, advanced = capsys.readouterr().out.split("Advanced:")
    listed = [
        name for name in re.findall(r"^  (?:-h, )?(--[a-z-]+)", first, re.MULTILINE) if name != "--help"
    ]
    assert listed == ["--step", "--protocol", "--participants", "--seed", "--json"]
    for option in (
        "history",
        "operations",
        "clients",
        "faults",
        "ack-timeout-s",
        "session-timeout-s",
        "no-color",
    ):
        assert f"--{option}" in advanced


def test_nothing_said_means_both_protocols_and_a_seed_to_repeat_the_run_with() -> None:
    options = parsed()
    assert options.shows == ("notes", "full")
    assert 0 <= options.seed < 10_000
    assert (options.quorum.n, options.quorum.w, options.quorum.r) == (5, 3, 3)


def test_one_protocol_is_shown_alone() -> None:
    assert parsed("--protocol", "notes").shows == ("notes",)
    assert parsed("--protocol", "full").shows == ("full",)


def test_a_given_seed_is_kept_even_if_it_is_0() -> None:
    assert parsed("--seed", "0").seed == 0
