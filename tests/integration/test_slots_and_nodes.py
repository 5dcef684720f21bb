"""Replica slots and membership on a real ensemble: taken by whoever is there, free with their session."""

from typing import Any

import eventlet

from app.cluster.nodes import Nodes, described
from app.cluster.slots import Slot
from app.zookeeper import client as zk, paths
from tests.conftest import Place, eventually


def slot(place: Place, name: str, client: Any = None) -> Slot:
    made: Slot = place.started(Slot(client or place.client(), name, lambda: None))
    return made


def hosting(client: Any) -> list[str]:
    """The slots that are taken now."""
    zk.wait(client.sync_async(paths.HOSTS), zk.Deadline(20))  # our server may lag behind theirs
    return list(zk.wait(client.get_children_async(paths.HOSTS), zk.Deadline(20)))


def test_five_workers_take_five_slots(place: Place) -> None:
    slots = [slot(place, f"worker-{number}") for number in range(1, 6)]

    eventually(lambda: sorted(one.number or 0 for one in slots) == [1, 2, 3, 4, 5], what="five slots")


def test_a_sixth_worker_waits_for_a_slot_and_takes_the_one_that_falls_free(place: Place) -> None:
    dying = place.client()
    first = slot(place, "worker-0", dying)
    eventually(lambda: first.number == 1)
    others = [slot(place, f"worker-{number}") for number in range(1, 5)]
    eventually(lambda: all(one.number for one in others))
    spare = slot(place, "spare")
    eventlet.sleep(0.3)
    assert spare.number is None

    first.stop()
    zk.disconnect(dying)

    eventually(lambda: spare.number == 1)


def test_a_slot_that_a_former_session_left_behind_is_freed_at_once(place: Place) -> None:
    former = place.client()
    zk.wait(former.create_async(paths.host(1), b"worker-1", ephemeral=True), zk.Deadline(20))

    again = slot(place, "worker-1")

    eventually(lambda: again.number is not None)
    looker = place.client()
    eventually(lambda: len(hosting(looker)) == 1)


def test_a_worker_keeps_a_slot_through_a_new_session(place: Place) -> None:
    link = place.link()
    client = place.client(link)
    one = slot(place, "worker-1", client)
    eventually(lambda: one.number == 1)
    before = zk.session_id(client)

    link.cut()
    looker = place.client()
    eventually(lambda: not hosting(looker), what="expired")
    link.heal()

    def holds_it_again() -> bool:
        found = zk.get(looker, paths.host(1), zk.Deadline(20))
        return found is not None and found[1].ephemeralOwner == zk.session_id(client) != before

    eventually(holds_it_again)
    eventually(lambda: one.number == 1)


def test_nodes_come_and_go_with_their_sessions(place: Place) -> None:
    heard: list[frozenset[str]] = []
    nodes = Nodes(place.client(), lambda: heard.append(nodes.live))
    place.started(nodes)
    dying = place.client()
    for client, name in ((dying, "worker-1"), (place.client(), "worker-2")):
        zk.wait(client.create_async(paths.node(name), b'{"role": "worker"}', ephemeral=True), zk.Deadline(20))
    eventually(lambda: nodes.live == {"worker-1", "worker-2"})

    zk.disconnect(dying)

    eventually(lambda: nodes.live == {"worker-2"})
    assert heard[-1] == {"worker-2"}
    place.all_servers_know()
    assert list(described(place.client())) == ["worker-2"]
