"""kazoo's connection as we use it: request numbers that never start again."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.protocol.connection import ConnectionDropped

from app.connection import client_of


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
