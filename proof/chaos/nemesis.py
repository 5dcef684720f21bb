"""What is done to a chaos run: harms from a seed, none of them more than the protocols promise to survive.

At most one worker is killed or cut off at a time, two are stopped at most, one ZooKeeper server is harmed at
a time, one member of the trio, and the register's clients keep a way to three of five replicas, but for the
one writer that is cut off in the middle of a write. Each harm undoes itself.

Two lists go on side by side: what is done to workers and servers, and what is done to the two groups.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Mapping

import eventlet
from eventlet import semaphore

from app.checker.history import Recorder
from app.cluster.guest_actor import Actor
from app.demo.recording import NOT_A_RESULT
from app.demo.servers import ServersError
from proof.chaos.cluster_harms import ClusterHarms
from proof.chaos.group_harms import GroupHarms
from proof.chaos.groups import LiveRegister, Trio
from proof.chaos.harms import Harm
from proof.chaos.site import Site
from proof.chaos.stale_task import StaleTask

log = logging.getLogger(__name__)

# Between two harms of one list, least and most, in seconds.
_REST_S = (0.5, 2.0)


class Nemesis:
    """Both lists, from the seed.

    Attributes:
        done: how often each harm was done, from its beginning to its undoing.
    """

    def __init__(
        self,
        site: Site,
        register: LiveRegister,
        trio: Trio,
        copies: list[Actor],
        stale: StaleTask,
        recorder: Recorder,
        of_the_trio: Recorder,
        seed: int,
    ) -> None:
        # One for each list: they go on side by side, and neither may depend on the other's pace.
        self._choose = random.Random(f"{seed} cluster")
        self._choose_group = random.Random(f"{seed} groups")
        # Both lists harm servers, and never two at a time.
        turn = semaphore.Semaphore()
        self.done: Counter[str] = Counter()
        self._cluster = ClusterHarms(site, stale, recorder, self._choose, turn).by_name()
        self._groups = GroupHarms(
            site, register, trio, copies, recorder, of_the_trio, self._choose_group, turn
        ).by_name()

    def torment(self, until_s: float) -> None:
        """Until that moment; each harm that has begun is undone when this returns."""
        lists = [
            eventlet.spawn(self._go_on, self._cluster, self._choose, until_s),
            eventlet.spawn(self._go_on, self._groups, self._choose_group, until_s),
        ]
        for one in lists:
            one.wait()

    def _go_on(self, harms: Mapping[str, Harm], choose: random.Random, until_s: float) -> None:
        """Every harm once, in an order of the seed; then again in another."""
        waiting: list[str] = []
        while time.monotonic() < until_s:
            if not waiting:
                waiting = choose.sample(sorted(harms), len(harms))
            name = waiting.pop()
            try:
                harms[name]()
                self.done[name] += 1
            except (*NOT_A_RESULT, ServersError) as error:  # type: ignore[misc] # a tuple of exceptions
                log.info("%s: %r", name, error)
            eventlet.sleep(choose.uniform(*_REST_S))
