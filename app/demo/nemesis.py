"""The nemesis: random faults while a load runs, from the run's seed, and all undone at the end.

To participants: cuts, slow links, crashes. To servers, where the run's starter owns them (``python -m lab``):
pauses, partitions, kills. At most as many at once as the protocol survives: a verdict on a system
that only refuses says nothing. Which, when and for how long is a plan's (``app.demo.faults``).
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import eventlet
from eventlet import event

from app.checker.history import Recorder
from app.demo.faults import HEALED_BY, TO_SERVERS, Fault, Moment, Order, Powers, orders
from app.demo.participants import Participant
from app.demo.servers import Servers, ServersError
from app.errors import InDoubt, Unreachable
from app.zookeeper import client as zk

log = logging.getLogger(__name__)

# The shortest fault is over before one operation is.
SHORTEST_S = 0.005
# Servers: a follower that hears no leader serves old data for three seconds, at most.
_SERVER_REST_S, _SERVER_HURT_S = (1.0, 3.0), (0.1, 3.0)
# A partition twice: it alone leaves a server that answers, and knows nothing new.
_TO_SERVERS = (*TO_SERVERS, Fault.PARTITION)
# A run on real servers is short: so many orders, and another plan is drawn.
ORDERS_A_PLAN = 3
# A moment that doesn't come is waited for this long; then the fault comes at any time.
_AIM_S = 1.5
_BREATH_S = 0.3


class Aim:
    """Where an operation says how far it has come, and a nemesis lies in wait."""

    def __init__(self, patience_s: float = _AIM_S) -> None:
        self._patience_s = patience_s
        self._wanted: Moment | None = None
        self._come: Any = None

    def reached(self, moment: Moment | None) -> None:
        """An operation has come to this moment. The nemesis strikes when its caller next lets others run."""
        if moment is not None and moment is self._wanted:
            self._wanted = None
            self._come.send()

    def wait(self, moment: Moment | None) -> None:
        """Until then; without a ``moment`` no time."""
        if moment is not None:
            self._wanted, self._come = moment, event.Event()
            self._come.wait(timeout=self._patience_s)
            self._wanted = None


@contextmanager
def nemesis(
    participants: Sequence[Participant],
    powers: Powers,
    servers: Servers | None,
    choose: random.Random,
    recorder: Recorder,
    aim: Aim | None = None,
) -> Iterator[None]:
    """Harm participants as ``powers`` allow, and one server at a time, until the block ends. Then heal."""
    pool = eventlet.GreenPool()
    pool.spawn_n(_torment, participants, powers, random.Random(choose.random()), aim or Aim(), pool)
    if servers is not None:
        pool.spawn_n(_torment_servers, servers, random.Random(choose.random()), recorder)
    try:
        yield
    finally:
        for thread in list(pool.coroutines_running):
            eventlet.kill(thread)
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
    participants: Sequence[Participant], powers: Powers, choose: random.Random, aim: Aim, pool: Any
) -> None:
    for order in orders(powers, choose, ORDERS_A_PLAN):
        eventlet.sleep(order.after_s)
        aim.wait(order.moment)
        whole = [one for one in participants if one.state == "up"]
        room = powers.at_most - (len(participants) - len(whole))  # those that are gone count, too
        victims = [one for number in order.victims if (one := participants[number - 1]) in whole]
        for victim in victims[: max(room, 0)]:
            try:
                _harm(victim, order)
            except (Unreachable, InDoubt) as error:
                log.info("not done, or not known to be: %s", error)
            pool.spawn_n(_heal, victim, order.for_s)


def _harm(victim: Participant, order: Order) -> None:
    if order.fault is Fault.SLOW:
        victim.slow(order.delay_s)
    elif order.fault is Fault.CRASH:
        victim.crash()
    else:
        victim.cut()


def _heal(victim: Participant, after_s: float) -> None:
    """Until it is done: a restart needs a server, which may be away for a moment."""
    eventlet.sleep(after_s)
    while victim.state in ("cut", "slow", "crashed"):
        try:
            victim.heal()
        except (Unreachable, InDoubt) as error:
            log.info("not healed yet: %s", error)
            eventlet.sleep(zk.jittered(_BREATH_S))


def _torment_servers(servers: Servers, choose: random.Random, recorder: Recorder) -> None:
    try:
        count = len(servers.status())
    except ServersError as error:
        log.warning("no harm to servers: %s", error)
        return
    # With a single server every harm is an outage of everything.
    powers = Powers(_TO_SERVERS, count, min(1, count - 1), _SERVER_REST_S, _SERVER_HURT_S)
    for order in orders(powers, choose, ORDERS_A_PLAN):
        eventlet.sleep(order.after_s)
        try:
            for server in order.victims:
                recorder.fault(f"{order.fault} server", server)
                getattr(servers, order.fault)(server)
                eventlet.sleep(order.for_s)
                getattr(servers, HEALED_BY[order.fault])(server)
                recorder.fault("heal server", server)
        except ServersError as error:
            log.warning("servers %s: %s", order.victims, error)
            eventlet.sleep(zk.jittered(1.0))
