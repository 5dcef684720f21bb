"""Easy: eventual consistency. Five pods, each with a copy of one configuration znode.

The claim: once nobody writes, all copies hold the last value; no copy ever goes back; two publishers at once
lose nothing. Not claimed, and shown: a copy that is cut off goes on answering, and what it says is stale.

What you will see: the notes' publisher, which sets what it last read, loses another's update without a
word; the same two publishers lose nothing once the set is conditional; an update reaches five copies in
milliseconds; a copy behind a cut link knows since when it may be stale, and catches up when it is healed;
code that somebody writes into the znode stays text.

How to break it: in ``publish`` (app/consistency/eventual.py) leave out ``version=``. How it works: read that
file next. (van Steen & Tanenbaum, ch. 7.2; Terry et al., PDIS 1994; Shapiro et al., SSS 2011.)

    python3 demo_easy_eventual.py [--step] [--protocol both|full|notes] [--participants local|pods] [--help]
    python3 demo_easy_eventual.py --live chunk_size=2048      publish to the live workers, see each one's lag
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from kazoo.recipe.watchers import DataWatch

from app.checker.history import History
from app.checker.replicas import converged, monotonic_reads
from app.checker.verdict import Verdict, worst
from app.cluster.messages import Entry, Part
from app.consistency.as_in_the_notes import BlindPublisher, overwrite
from app.consistency.eventual import INITIAL, ConfigReplica, Copy, current_zxid, encoded, publish
from app.demo.demo_run import Demo, leave, main_of
from app.demo.load import crowd
from app.demo.participants import Participant
from app.demo.remote import RemoteConfig
from app.demo.stage import Stage
from app.errors import InDoubt, Malformed
from app.zookeeper import paths

REPLICAS = 5
REFRESH_S = 1.0  # the safety net's period; 30 s in a worker, where nobody looks at "since when"
SMUGGLED = b"__import__('os').system('touch /tmp/pwned')"

# --- the notes' names -----------------------------------------------------------------------------------

global_app_config: dict[str, Any] = dict(INITIAL)


def watch_global_config(data: bytes | None, stat: Any, event: Any, *, client: ConfigReplica) -> None:
    """What the ``DataWatch`` calls on every change: keep the value if it is valid and newer."""
    client.hear(data, stat, event)
    global_app_config.update(client.copy.value or {})


def master_push_update(*, client: Any) -> Copy:
    """Publish a new ``chunk_size`` for every pod. ``client``: a connected kazoo client."""
    return publish(client, {"chunk_size": 2048})


# --- the acts -------------------------------------------------------------------------------------------


def opening(stage: Stage) -> None:
    stage.story.act("five pods, one configuration")
    overwrite(stage.client, encoded(INITIAL))
    part = Part(kind="config", refresh_s=REFRESH_S)
    for name in stage.names("replica", REPLICAS):
        stage.bring(name, partial(replica, stage, name), part=part, heard=partial(heard, stage, name))
    settle(stage)
    if stage.cast.pods:
        stage.story.say(f"live workers: {', '.join(stage.cast.pods)}; this run is their guest")
    stage.story.say(
        "each has a session of its own on a link of its own, and its own copy of /config/mapreduce_params: "
        f"{shown(stage)}"
    )
    stage.story.say(f"sessions of {stage.options.session_timeout_s:g} s; seed {stage.options.seed}")
    stage.story.look_with(f"zkCli.sh get {stage.chroot}/config/mapreduce_params")


def replica(stage: Stage, name: str, client: Any) -> list[ConfigReplica]:
    """A copy that tells the checker of each value that it applies."""
    return [ConfigReplica(client, name, on_apply=partial(observe, stage, name), refresh_s=REFRESH_S)]


def heard(stage: Stage, name: str, entry: Entry, at_ns: int) -> None:
    """The same from a pod: what it has applied, and when."""
    observe(stage, name, Copy(entry.mzxid, entry.value), at_ns)


def play(stage: Stage, protocol: str) -> None:
    start_from_the_initial_one(stage)
    if protocol == "notes":
        stage.perform(two_blind_publishers)
    else:
        for act in (two_publishers, an_update, a_cut_replica, code_stays_text, under_load):
            stage.perform(act)
    everyone_reads(stage)


def two_blind_publishers(stage: Stage) -> None:
    stage.story.act("the notes: two publishers set what they last read")
    ada, bob = BlindPublisher(stage.client), BlindPublisher(stage.session())
    stage.story.say(f"ada reads {ada.read()}; bob reads {bob.read()}")
    size, reducers = stage.fresh(), stage.fresh()
    stage.write("ada", stage.key("chunk_size"), size, lambda: (ada.push({"chunk_size": size}), ""))
    stage.write("bob", stage.key("reducers"), reducers, lambda: (bob.push({"reducers": reducers}), ""))
    stage.story.say(f"ada publishes chunk_size={size}: ok.  bob publishes reducers={reducers}: ok")
    how_it_ends(stage)


def two_publishers(stage: Stage) -> None:
    stage.story.act("the full protocol: the same two, with a conditional set")
    bob = stage.session()
    size, reducers = stage.fresh(), stage.fresh()
    stage.run_all(
        lambda: update(stage, "ada", stage.client, "chunk_size", size),
        lambda: update(stage, "bob", bob, "reducers", reducers),
    )
    stage.story.say(f"ada publishes chunk_size={size} while bob publishes reducers={reducers}")
    stage.story.say("the second writer's set fails its version check; it reads again and merges")
    how_it_ends(stage)


def how_it_ends(stage: Stage) -> None:
    """What every replica holds in the end, and what the checker says of it."""
    settle(stage)
    stage.story.say(f"every replica ends with {shown(stage)}")
    everyone_reads(stage)
    stage.story.verdict_of(converged(stage.history(stage.protocol)))


def an_update(stage: Stage) -> None:
    stage.story.act("an update, and how long each copy lags behind it")
    mine = ConfigReplica(stage.client, "global_app_config")
    DataWatch(stage.client, paths.CONFIG, partial(watch_global_config, client=mine))
    began = time.monotonic()
    pushed = stage.write(
        "master", stage.key("chunk_size"), 2048, lambda: (master_push_update(client=stage.client).mzxid, "")
    )
    answer_ms = (time.monotonic() - began) * 1000
    settle(stage)
    stage.story.say(f"chunk_size=2048 is zxid {pushed[0]:#x}; its publisher knows after {answer_ms:.1f} ms")
    rows = []
    for one in stage.present:
        lag_ms = (role(one).applied_at - began) * 1000
        rows.append((one.name, f"{role(one).copy.mzxid:#x}", f"{lag_ms:.1f} ms"))
    stage.story.table(("replica", "applied zxid", "after the call"), rows)
    stage.require(lambda: mine.copy.mzxid >= pushed[0], "watch_global_config has the update")
    stage.story.say(f"the notes' own watch has it, too: global_app_config = {global_app_config}")
    stage.story.look_with(f"zkCli.sh get {stage.chroot}/nodes/{stage.present[0].name}")


def a_cut_replica(stage: Stage) -> None:
    stage.story.act("a replica is cut off: available, and stale")
    victim = stage.choose.choice(stage.present)
    victim.cut()
    size = stage.fresh()
    update(stage, "master", stage.client, "chunk_size", size)
    settle(stage, without=victim)
    stage.rest(stage.options.session_timeout_s * 1.5)
    observe(stage, victim.name, role(victim).copy)
    stage.story.say(f"{victim.name} is cut; the master publishes chunk_size={size}; the others have it")
    stage.story.say(
        f"{victim.name} still answers {shown(stage, victim)}, and says that this may be stale: "
        f"it last heard from ZooKeeper {role(victim).silent_s:.1f} s ago"
    )
    healed = time.monotonic()
    victim.heal()
    settle(stage)
    late_ms = (role(victim).applied_at - healed) * 1000
    stage.story.say(f"healed, it converges {late_ms:.0f} ms later: {shown(stage, victim)}")
    stage.story.say("its session had expired meanwhile; it has come back with a new one")


def code_stays_text(stage: Stage) -> None:
    stage.story.act("somebody writes code into the znode")
    overwrite(stage.client, SMUGGLED)
    stage.until(lambda: all(role(one).rejected for one in stage.present))
    stage.story.say(f"it now holds {SMUGGLED.decode()}")
    stage.story.say("the notes would eval that, in every pod. Here every replica reports:")
    stage.story.say(f"  {role(stage.present[0]).rejected}")
    stage.story.say(f"and keeps the last good one: {shown(stage)}")
    start_from_the_initial_one(stage)
    try:
        publish(stage.client, {"chunk_size": -1})
    except Malformed as error:
        stage.story.say(f"a publisher of chunk_size=-1 is told: {error}; nothing is written")


def under_load(stage: Stage) -> None:
    options = stage.options
    stage.story.act(f"{options.operations} updates by {options.clients} publishers; faults: {options.faults}")
    publishers = [stage.session() for _ in range(options.clients)]
    began_ns = time.monotonic_ns()

    def publish_one(number: int) -> None:
        update(stage, f"publisher-{number}", publishers[number - 1], f"key_{number % 3}", stage.fresh())

    with stage.faults(at_most=REPLICAS - 1):
        crowd(options.clients, options.operations, publish_one, stage.choose)
    settle(stage)
    stage.story.say(f"meanwhile: {stage.faults_since(began_ns) or 'no fault'}")
    stage.story.say(f"all {len(stage.present)} replicas hold zxid {role(stage.present[0]).copy.mzxid:#x}")


# --- small things ---------------------------------------------------------------------------------------


def role(participant: Participant) -> ConfigReplica | RemoteConfig:
    """The copy that this participant keeps, here or in its pod."""
    only = participant.role
    assert isinstance(only, ConfigReplica | RemoteConfig)
    return only


def shown(stage: Stage, participant: Participant | None = None) -> dict[str, Any]:
    return dict(role(participant or stage.present[0]).copy.value or {})


def update(stage: Stage, process: str, client: Any, key: str, value: int) -> None:
    """Publish one key, and record it."""
    stage.write(process, stage.key(key), value, lambda: (publish(client, {key: value}).mzxid, ""))


def observe(stage: Stage, name: str, copy: Copy, at_ns: int | None = None) -> None:
    """Tell the checker what a replica holds at this moment, or held at that one."""
    for key, value in (copy.value or {}).items():
        assert isinstance(value, int)
        stage.recorder.observe(name, stage.key(key), value, (copy.mzxid, ""), at_ns)
    stage.tell()


def everyone_reads(stage: Stage) -> None:
    for one in stage.present:
        observe(stage, one.name, role(one).copy)


def settle(stage: Stage, without: Participant | None = None) -> None:
    """Wait until every replica (but one) holds what the store holds."""
    latest = current_zxid(stage.client)

    def there() -> bool:
        return all(role(one).copy.mzxid >= latest for one in stage.present if one is not without)

    if not stage.until(there):
        raise InDoubt(f"the replicas have not converged on zxid {latest:#x} within 10 s")


def start_from_the_initial_one(stage: Stage) -> None:
    """A configuration with one known key, recorded as a write like any other."""
    size = stage.fresh()
    data = encoded({"chunk_size": size})
    stage.write("setup", stage.key("chunk_size"), size, lambda: (overwrite(stage.client, data), ""))
    settle(stage)


def judge(history: History) -> Verdict:
    verdict = worst([converged(of_the_living(history)), monotonic_reads(history)])
    if verdict.outcome != "held":
        return verdict
    return Verdict(
        "held",
        f"all copies converged, none went back, no acknowledged update was lost "
        f"({len(history.operations)} operations, {len(history.faults)} faults)",
    )


def of_the_living(history: History) -> History:
    """Without what was read by pods that had died by the end: they are to converge when they return."""
    ends = {fault.value: fault.op for fault in history.faults if fault.op in ("gone", "back")}
    kept = [operation for operation in history.operations if ends.get(operation.process) != "gone"]
    return History.of([*kept, *history.faults])


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(
        Demo(
            name="easy",
            program="demo_easy_eventual.py",
            claim="Eventual consistency: a DataWatch carries one configuration to five copies.",
            guarantee="eventual convergence, monotonic reads, no lost update",
            opening=opening,
            play=play,
            judge=judge,
            live=True,
            pods=lambda options: (REPLICAS, 2),
        ),
        argv,
    )


if __name__ == "__main__":
    leave(main())
