"""Five copies of one configuration: do all come to hold the last value, and is no update lost?

Two to four publishers with keys of their own and shared ones. Sessions expire, copies and publishers crash
and begin anew. In some seeds a rogue writes invalid values; in some the store loses its history, or all that
it had. The copies' safety net looks every second, as in the demo, every half minute, as in the worker, or
practically never.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import eventlet

from app.checker.history import History
from app.checker.verdict import Verdict, violated
from app.consistency.eventual import INITIAL, Copy, publish
from app.demo.faults import TO_PARTICIPANTS, Fault, Powers
from app.demo.recording import recorded_write
from app.zookeeper import client as zk, paths
from proof.chaos.audit import of_histories
from proof.simulation.nemesis import Nemesis, harm_servers
from proof.simulation.script import Played, Script
from proof.simulation.stage import Stage
from proof.simulation.worlds import configuration
from proof.simulation.worlds.copies import (
    LOSS_ORDER,
    ROGUES_ORDER,
    Cast,
    CopyPod,
    PublisherPod,
    lose_history,
    rogue,
)

COPIES = 5
_REST_S = ((0.02, 0.3), (0.1, 1.0), (0.5, 4.0))
_LASTING_S = (0.003, 12.0)
# Seconds for all to have a session again after healing: a worker's patience with a suspended one, and more;
# and then until all have converged, which is before the worker's safety net looks.
_RETURN_S, _SETTLE_S = 120.0, 15.0
# For so long the nemesis goes on when nothing is published any more, in seconds: no news mends what it broke.
_WITHOUT_NEWS_S = (0.0, 5.0, 20.0)
# What is under way arrives within this, in seconds.
_ARRIVES_S = 2.0


def play(script: Script) -> Played:
    stage = Stage(script)
    cast = Cast.drawn(stage)
    _begin(cast)
    copies = [CopyPod(cast, f"copy-{number}") for number in range(1, COPIES + 1)]
    publishers = [PublisherPod(cast, f"publisher-{i}", keys) for i, keys in enumerate(cast.keys, 1)]
    everybody: list[CopyPod | PublisherPod] = [*copies, *publishers]
    for one in everybody:
        one.pod.start()
    nemeses = _nemeses(cast, everybody)
    extras = [
        stage.spawn(act, cast) for act, wanted in ((rogue, cast.rogue), (lose_history, cast.loss)) if wanted
    ]
    for publisher in publishers:
        publisher.done.wait()
    cast.published.send()
    for extra in extras:
        extra.wait()
    eventlet.sleep(stage.chance("end").choice(_WITHOUT_NEWS_S))
    for nemesis in nemeses:
        nemesis.stop()
    untrue = _settle(cast, copies, publishers)
    history = stage.recorder.history()
    judge, verdict = _judged(cast, history, untrue)
    extra_orders = [ROGUES_ORDER] * cast.rogue + [LOSS_ORDER] * cast.loss
    return Played(
        script, verdict, judge, list(history.lines()),
        Counter(operation.outcome for operation in history.operations),
        sum((nemesis.faults for nemesis in nemeses), Counter(cast.faults)),
        [number for nemesis in nemeses for number in nemesis.struck] + extra_orders,
        len(publishers), stage.hub.now_s,
    )  # fmt: skip


def _begin(cast: Cast) -> None:
    cast.stage.ensemble.listeners.append(cast.log.heard)
    director = cast.stage.connect(cast.stage.line())
    zk.ensure(director, paths.ROOTS, zk.Deadline(60))

    def first() -> tuple[int, str]:
        return publish(director, INITIAL, timeout_s=60).mzxid, ""

    recorded_write(cast.stage.recorder, "setup", "chunk_size", INITIAL["chunk_size"], first)
    zk.disconnect(director)


def _nemeses(cast: Cast, victims: Sequence[CopyPod | PublisherPod]) -> list[Nemesis]:
    choose = cast.stage.chance("nemesis")

    def harm(fault: Fault, victim: int, delay_s: float) -> Callable[[], object]:
        pod = victims[victim - 1].pod
        if fault == Fault.CRASH:
            pod.crash()
            return pod.restart
        if fault == Fault.CUT:
            pod.line.cut_at_random(choose)
        else:
            pod.line.slow(delay_s)
        return pod.line.heal

    count = len(victims)
    powers = Powers(TO_PARTICIPANTS, count, choose.randint(1, count), choose.choice(_REST_S), _LASTING_S)
    nemeses = [Nemesis(cast.stage, powers, [victim.name for victim in victims], harm, choose=choose)]
    if choose.random() < 0.7:
        nemeses.append(harm_servers(cast.stage))
    return nemeses


# --- the end --------------------------------------------------------------------------------------------


def _settle(cast: Cast, copies: list[CopyPod], publishers: list[PublisherPod]) -> list[str]:
    """Wait until all is quiet, then look at each copy; returns what is not as it should be, in words."""
    pods = [copy.pod for copy in copies] + [publisher.pod for publisher in publishers]
    eventlet.sleep(_ARRIVES_S)  # who has lost its connection knows it
    _until(lambda: all(pod.lives_on for pod in pods), _RETURN_S)
    if cast.disturbed:
        for thread in [cast.stage.spawn(publisher.insist) for publisher in publishers]:
            thread.wait()
    eventlet.sleep(_ARRIVES_S)
    _until(lambda: not any(_untrue(cast, copies)), _SETTLE_S)
    for copy in copies:
        copy.look(sorted({key for key, _ in cast.asked.changes}))
    return list(_untrue(cast, copies))


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = zk.Deadline(seconds)
    while not holds() and not deadline.passed:
        eventlet.sleep(0.1)


def _untrue(cast: Cast, copies: list[CopyPod]) -> Iterator[str]:
    """Copies that don't hold what the store holds, and announcements that say something else than these."""
    nodes = cast.stage.ensemble.nodes
    stored = nodes.get(paths.CONFIG)
    if stored is None:
        yield "the store has no configuration"
        return
    for copy in copies:
        held = copy.replica.copy if copy.replica else Copy()
        if (held.mzxid, held.value) != (stored.mzxid, configuration.valid(stored.data)):
            yield f"{copy.name} holds zxid {held.mzxid}, the store {stored.mzxid}"
        told = nodes.get(paths.node(copy.name))
        if told is None or told.owner != copy.pod.session:
            yield f"{copy.name} is not announced by its session"
        elif json.loads(told.data) != {"config_version": held.mzxid}:
            yield f"{copy.name} is announced with {told.data.decode()}, and holds zxid {held.mzxid}"


def _judged(cast: Cast, history: History, untrue: list[str]) -> tuple[str, Verdict]:
    """The judge whose verdict counts, and that: the first of the worst."""
    verdicts = [("the store's log", found) for found in configuration.updates(cast.log, cast.asked)]
    verdicts += [("what copies serve", found) for found in configuration.copies(cast.log, cast.seen)]
    # The last two of chaos: no copy goes back; all converge, and no change is lost.
    kept = configuration.without_the_lost(history, cast.log)
    verdicts += list(of_histories(History(), History(), kept))[-2:]
    verdicts += [("in the end", violated(sentence)) for sentence in untrue]
    return max(verdicts, key=lambda one: ("held", "in doubt", "violated").index(one[1].outcome))
