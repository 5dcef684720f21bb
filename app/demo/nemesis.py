"""The nemesis: random faults while a load runs, from the run's seed, and all undone at the end.

To participants: cuts, slow links, crashes. To servers, where the run's starter owns them (``python -m lab``):
pauses, partitions, kills. At most as many at once as the protocol survives: a verdict on a system
that only refuses says nothing.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import eventlet

from app.checker.history import Recorder
from app.demo.participants import Participant
from app.demo.servers import Servers, ServersError
from app.errors import InDoubt, Unreachable
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# Between two harms to servers, and how long each lasts; in seconds.
_SERVER_REST_S = (2.0, 4.0)
_SERVER_HURT_S = (0.5, 1.5)
_SLOW_S = 0.1


@contextmanager
def nemesis(
    participants: Sequence[Participant],
    at_most: int,
    every_s: tuple[float, float],
    servers: Servers | None,
    choose: random.Random,
    recorder: Recorder,
) -> Iterator[None]:
    """Harm at most ``at_most`` participants and one server at a time, until the block ends; then heal all.

    ``every_s``: least and most seconds between two orders to participants.
    """
    threads = [eventlet.spawn(_torment, participants, at_most, every_s, choose)]
    if servers is not None:
        threads.append(eventlet.spawn(_torment_servers, servers, choose, recorder))
    try:
        yield
    finally:
        for thread in threads:
            thread.kill()
        if servers is not None:
            servers.mend()
            recorder.fault("mend servers")
        try:
            for participant in participants:
                participant.heal()
        except (Unreachable, InDoubt) as error:
            # The next act will notice; what ended the block (Ctrl-C, ZooKeeper lost) must not be hidden.
            log.info("not healed: %s", error)


def _torment(
    participants: Sequence[Participant], at_most: int, every_s: tuple[float, float], choose: random.Random
) -> None:
    while at_most:
        eventlet.sleep(choose.uniform(*every_s))
        gone = [one for one in participants if one.state == "gone"]
        hurt = [one for one in participants if one.state in ("cut", "slow", "crashed")]
        whole = [one for one in participants if one.state == "up"]
        may_harm = len(gone) + len(hurt) < at_most and whole
        try:
            if hurt and (not may_harm or choose.random() < 0.4):
                choose.choice(hurt).heal()
            elif may_harm:
                _harm(choose.choice(whole), choose)
        except (Unreachable, InDoubt) as error:
            log.info("not done, or not known to be: %s", error)


def _harm(victim: Participant, choose: random.Random) -> None:
    fault = choose.choice(("cut", "cut", "crash", "slow"))
    if fault == "slow":
        victim.slow(_SLOW_S)
    elif fault == "crash":
        victim.crash()
    else:
        victim.cut()


def _torment_servers(servers: Servers, choose: random.Random, recorder: Recorder) -> None:
    harms = {"pause": (servers.pause, servers.resume), "partition": (servers.partition, servers.heal),
             "kill": (servers.kill, servers.restart)}  # fmt: skip
    try:
        count = len(servers.status())
    except ServersError as error:
        log.warning("no harm to servers: %s", error)
        return
    while count > 1:  # with a single server every harm is an outage of everything
        eventlet.sleep(choose.uniform(*_SERVER_REST_S))
        name, server = choose.choice(sorted(harms)), choose.randint(1, count)
        hurt, heal = harms[name]
        try:
            recorder.fault(f"{name} server", server)
            hurt(server)
            eventlet.sleep(choose.uniform(*_SERVER_HURT_S))
            heal(server)
            recorder.fault("heal server", server)
        except ServersError as error:
            log.warning("server %d: %s", server, error)
            eventlet.sleep(zk.jittered(1.0))
