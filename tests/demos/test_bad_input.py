"""Whatever is wrong is said in one line that names the cause and the remedy, with the right status."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.demos.playing import DEMOS, assert_one_line, play

USAGE, UNREACHABLE = 2, 3
# The demo gives up after seven seconds; the rest is for starting Python on a machine that is busy elsewhere.
SAID_WITHIN_S = 20.0
# Bad usage is found before anybody is asked, so it doesn't matter that nobody is there.
NOBODY = {"ZK_HOSTS": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--w", "0"), ("w=0", "n=5", "choose 1 to 5")),
        (("--w", "6"), ("w=6", "n=5", "choose 1 to 5")),
        (("--r", "6", "--n", "5"), ("r=6", "n=5", "choose 1 to 5")),
        (("--r", "2", "--w", "2"), ("r=2 + w=2 is not over n=5", "--weak")),
        (("--n", "52", "--w", "40", "--r", "40"), ("n=52", "between 1 and 51")),
        (("--n", "many"), ("--n", "many", "--help")),
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
        (("--operations", "-3"), ("--operations",)),
        (("--operations", "1e3"), ("--operations", "1e3")),
        (("--clients", "0"), ("--clients", "between 1 and 64")),
        (("--ack-timeout-s", "nan"), ("--ack-timeout-s", "nan")),
        (("--session-timeout-s", "0.1"), ("--session-timeout-s", "between 1 and 60")),
        (("--seed", "lucky"), ("--seed", "lucky")),
        (("--protocol", "paxos"), ("--protocol", "both", "full", "notes")),
        (("--faults", "all"), ("--faults", "none", "random")),
        (("--participants", "pods"), ("no live workers", "--participants local")),
        (("--json", "--history", "-"), ("--json", "--history -", "name a file")),
        (("everything",), ("everything", "--help")),
    ],
)
def test_an_option_out_of_range_is_refused(options: tuple[str, ...], said: tuple[str, ...]) -> None:
    played = play("easy", *options, zookeeper=NOBODY)
    assert played.status == USAGE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, "demo_easy_eventual.py: ", *said)


@pytest.mark.parametrize("demo", DEMOS)
@pytest.mark.parametrize("option", ["--bogus", "--oper=3"])
def test_an_unknown_option_is_refused_and_none_is_guessed(demo: str, option: str) -> None:
    played = play(demo, option, zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, option, "--help lists the options")


@pytest.mark.parametrize("demo", ["easy", "medium"])
def test_only_the_hard_demo_has_quorums(demo: str) -> None:
    played = play(demo, "--w", "3", zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, "--w")


@pytest.mark.parametrize("where", ["no-such-folder/history.jsonl", "."])
def test_an_unwritable_history_file_is_refused_before_anything_runs(where: str, tmp_path: Path) -> None:
    file = tmp_path / where
    played = play("easy", "--history", str(file), zookeeper=NOBODY)
    assert played.status == USAGE
    assert_one_line(played.stderr, "--history", str(file), "choose another file")


@pytest.mark.parametrize("hosts", ["nonsense", "host:99999", "host:0", "a b:2181", "127.0.0.1:1,", "host:"])
def test_zk_hosts_that_are_no_hosts_are_refused(hosts: str) -> None:
    played = play("medium", zookeeper={"ZK_HOSTS": hosts})
    assert played.status == USAGE, str(played)
    assert_one_line(played.stderr, "ZK_HOSTS", "host:port", "for example")


def test_a_name_that_nobody_knows_is_said_with_what_to_do() -> None:
    played = play("hard", zookeeper={"ZK_HOSTS": "no-such-host.invalid:2181"}, within_s=SAID_WITHIN_S)
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
    played = play("easy", zookeeper={}, within_s=SAID_WITHIN_S)
    assert played.status == UNREACHABLE, str(played)
    assert_one_line(played.stderr, "'zookeeper'", "unknown", "ZK_HOSTS=host:port", "make demo")


@pytest.fixture
def deserted_port() -> int:
    """Nobody listens there, and the next to ask for a free port seldom gets it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Somebody listens there, takes the connection, and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as found:
        yield found.getsockname()[1]


@pytest.mark.parametrize("demo", DEMOS)
def test_a_port_where_nobody_listens_is_said_within_ten_seconds_or_so(demo: str, deserted_port: int) -> None:
    hosts = f"127.0.0.1:{deserted_port}"
    played = play(demo, zookeeper={"ZK_HOSTS": hosts}, within_s=SAID_WITHIN_S)
    assert played.status == UNREACHABLE, str(played)
    assert played.stdout == ""
    assert_one_line(played.stderr, hosts, "did not answer", "make demo", "ZK_HOSTS=host:port")


def test_a_server_that_never_answers_is_given_up_within_ten_seconds_or_so(mute_port: int) -> None:
    hosts = f"127.0.0.1:{mute_port}"
    played = play("easy", zookeeper={"ZK_HOSTS": hosts}, within_s=SAID_WITHIN_S)
    assert played.status == UNREACHABLE, str(played)
    assert_one_line(played.stderr, hosts, "did not answer", "make demo")
    assert played.left == []


def test_with_json_what_is_wrong_is_still_said_on_standard_error(deserted_port: int) -> None:
    hosts = f"127.0.0.1:{deserted_port}"
    played = play("easy", "--json", zookeeper={"ZK_HOSTS": hosts}, within_s=SAID_WITHIN_S)
    assert (played.status, played.stdout) == (UNREACHABLE, "")
    assert_one_line(played.stderr, hosts)


def test_help_shows_the_five_options_first_and_ends_well() -> None:
    played = play("hard", "--help", zookeeper={})
    assert played.status == 0
    first, advanced = played.stdout.split("Advanced:")
    for option in ("--step", "--protocol", "--participants", "--seed", "--json"):
        assert option in first.split("options:")[1]
    for option in ("--history", "--operations", "--clients", "--faults", "--ack-timeout-s", "--weak"):
        assert option in advanced
    assert os.environ.get("COLUMNS") or max(map(len, played.lines)) <= 80
