"""kazoo's connection as we use it: request numbers that never start again."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from eventlet.green import socket
from kazoo.protocol.connection import ConnectionDropped

from app.zookeeper.connection import Handler, client_of


def connection() -> Any:
    return client_of("127.0.0.1:1")._connection


def test_request_numbers_go_on_after_a_reconnect() -> None:
    one = connection()
    one._xid = 7
    one._xid = 0  # what kazoo does on every new connection

    assert one._xid == 7


def test_a_reply_to_a_request_of_an_earlier_connection_breaks_this_one() -> None:
    one = connection()
    one.client._pending = deque([(object(), None, 8)])

    with pytest.raises(ConnectionDropped):
        one._read_response(SimpleNamespace(xid=3, zxid=0, err=0), b"", 0)

    assert one.client._pending, "what is pending is for kazoo to end as unknown"


def test_a_reply_that_nobody_waits_for_breaks_the_connection() -> None:
    with pytest.raises(ConnectionDropped):
        connection()._read_response(SimpleNamespace(xid=3, zxid=0, err=0), b"", 0)


def test_a_socket_that_is_ready_is_told_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"packet")

        assert Handler().select([ours], [], [], 1.0) == ([ours], [], [])
        assert Handler().select([], [ours], [], 1.0) == ([], [ours], [])


def test_a_socket_that_is_not_ready_is_waited_for_while_others_run() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        eventlet.spawn_n(theirs.send, b"packet")

        assert Handler().select([ours], [], [], 1.0) == ([ours], [], [])


def test_a_socket_on_which_nothing_comes_is_waited_for_no_longer_than_asked() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert Handler().select([ours], [], [], 0.01) == ([], [], [])


def test_two_sockets_that_are_ready_at_once_wake_the_caller_once() -> None:
    """kazoo reads what it was told of, waits for more of it, and hears nothing of the other one."""
    handler, told = Handler(), []
    ours, theirs = socket.socketpair()
    bell, ringer = socket.socketpair()

    def loop() -> None:
        told.append(handler.select([ours, bell], [], [], 5.0)[0])
        ours.recv(6)
        told.append(handler.select([ours], [], [], 0.2)[0])

    with ours, theirs, bell, ringer:
        reader = eventlet.spawn(loop)
        eventlet.sleep(0)
        theirs.send(b"header")
        ringer.send(b"\0")
        reader.wait()

    assert told[1] == [], "nothing has come on the only socket it waits for"
