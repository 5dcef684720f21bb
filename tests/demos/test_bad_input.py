"""Whatever is wrong is said in one line that names the cause and the remedy, with the right status."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import nobody_listens
from tests.demos.playing import DEMOS, SCRIPTS, Played, assert_one_line, play, play_at_once

USAGE, UNREACHABLE = 2, 3
# Its own word for how long it has waited: what a busy machine adds to that says nothing about it.
GIVEN_UP = "did not answer within 7 s"
# Bad usage is found before anybody is asked, so it doesn't matter that nobody is there.
NOBODY = {"ZK_HOSTS": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--w", "0"), ("w=0", "n=5", "choose 1 to 5")),
        (("--r", "6", "--n", "5"), ("r=6", "n=5", "choose 1 to 5")),
        (("--r", "2", "--w", "2"), ("r=2 + w=2 is not over n=5", "--weak")),
        (("--n", "0"), ("n=0", "choose 1 to")),
    ],
)
def test_a_quorum_that_cannot_work_is_refused(options: tuple[str, ...], said: tuple[str, ...]) -> None:
    played = play("hard", *options, zookeeper=NOBODY)
    assert played.status == USAGE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, "demo_hard_quorum.py: ", *said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--operations", "0"), ("--operations", "0 is not between 1 and")),
        (("--ack-timeout-s", "nan"), ("--ack-timeout-s", "nan")),
        (("--live", "nonsense"), ("--live", "'nonsense'", "KEY=VALUE", "chunk_size=2048")),
        (("--live", "=5"), ("--live", "'=5'", "KEY=VALUE")),
        (("--live", "chunk_size=5", "--history", "h.jsonl"), ("--live", "--history")),
        (("--json", "--history", "-"), ("--json", "--history -", "name a file")),
    ],
)
def test_an_option_out_of_range_is_refused(options: tuple[str, ...], said: tuple[str, ...]) -> None:
    played = play("easy", *options, zookeeper=NOBODY)
    assert played.status == USAGE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, "demo_easy_eventual.py: ", *said)


@pytest.mark.parametrize("demo", DEMOS)
def test_an_unknown_option_is_refused(demo: str) -> None:
    played = play(demo, "--bogus", zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, SCRIPTS[demo], "--bogus", "--help lists the options")


@pytest.mark.parametrize("where", ["no-such-folder/history.jsonl", "."])
def test_an_unwritable_history_file_is_refused_before_anything_runs(where: str, tmp_path: Path) -> None:
    file = tmp_path / where
    played = play("easy", "--history", str(file), zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, "--history", str(file), "choose another file")


@pytest.mark.parametrize("hosts", ["nonsense", "host:99999", "127.0.0.1:1,"])
def test_zk_hosts_that_are_no_hosts_are_refused(hosts: str) -> None:
    played = play("medium", zookeeper={"ZK_HOSTS": hosts})
    assert played.status == USAGE, str(played)
    assert_one_line(played.stderr, "ZK_HOSTS", "host:port", "for example")


def test_a_name_that_nobody_knows_is_said_with_what_to_do() -> None:
    played = play("hard", zookeeper={"ZK_HOSTS": "no-such-host.invalid:2181"})
    assert played.status == UNREACHABLE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, "'no-such-host.invalid'", "unknown", "ZK_HOSTS=host:port", "make demo")


def test_without_zk_hosts_a_laptop_is_told_what_to_do() -> None:
    try:
        socket.getaddrinfo("zookeeper", None)
    except OSError:
        pass
    else:
        pytest.skip("here the name 'zookeeper' is known, as in a cluster")
    played = play("easy", zookeeper={})
    assert played.status == UNREACHABLE, str(played)
    assert_one_line(played.stderr, "'zookeeper'", "unknown", "ZK_HOSTS=host:port", "make demo")


@pytest.fixture(scope="module")
def deserted() -> Iterator[str]:
    with nobody_listens() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def given_up(deserted: str) -> list[Played]:
    """Each demo, and one with --json, where nobody listens; at once, for all they do is wait."""
    runs = [*((demo,) for demo in DEMOS), ("easy", "--json")]
    return play_at_once(runs, {"ZK_HOSTS": deserted})


@pytest.mark.parametrize("which", range(4), ids=[*DEMOS, "with --json"])
def test_a_port_where_nobody_listens_is_given_up_within_ten_seconds(
    which: int, given_up: list[Played], deserted: str
) -> None:
    played = given_up[which]
    assert played.status == UNREACHABLE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, deserted, GIVEN_UP, "make demo", "ZK_HOSTS=host:port")


def test_a_server_that_never_answers_is_given_up_within_ten_seconds() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as mute:
        hosts = f"127.0.0.1:{mute.getsockname()[1]}"
        played = play("easy", zookeeper={"ZK_HOSTS": hosts})
    assert played.status == UNREACHABLE, str(played)
    assert_one_line(played.stderr, hosts, GIVEN_UP, "make demo")
    assert played.left == []


def test_help_shows_the_five_options_first_and_ends_well() -> None:
    played = play("hard", "--help", zookeeper={})
    assert played.status == 0
    first, advanced = played.stdout.split("Advanced:")
    for option in ("--step", "--protocol", "--participants", "--seed", "--json"):
        assert option in first.split("options:")[1]
    for option in ("--history", "--operations", "--clients", "--faults", "--ack-timeout-s", "--weak"):
        assert option in advanced
