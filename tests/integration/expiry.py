"""A session's end, when a test wants it."""

from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.eventlet import SequentialEventletHandler

from app.zookeeper import client as zk

_ATTEMPTS = 10


def expire(client: Any, hosts: str = "") -> None:
    """End a client's session for the servers, behind its back: who presents its id and password may close it.

    Its owner notices that the session has moved, and may move it back before it is closed. So it is asked for
    until the servers don't know it any more. ``hosts``: past the client's own link.
    """
    hosts = hosts or ",".join(f"{host}:{port}" for host, port in client.hosts)
    session = client.client_id
    for _ in range(_ATTEMPTS):
        thief = KazooClient(hosts, client_id=session, handler=SequentialEventletHandler(), timeout=2.0)
        thief.start_async().wait(30)
        assert thief.connected, "the session could not be taken over"
        got = thief.client_id
        zk.disconnect(thief)
        if got[0] != session[0]:
            return
    pytest.fail("the session could not be ended: its owner took it back each time")
