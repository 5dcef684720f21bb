"""Easy: eventual consistency. Five replicas, each with a copy of one configuration znode.

The claim: when the writing ends, all copies come to hold the last value; none goes back to an older one; two
publishers at once lose nothing. Not claimed, and shown: a copy that is cut off answers, and is stale. Each
operation is recorded, and the checker judges the record at the end of an act and of the run.

What you will see: the notes' publisher sets the whole value without a version, loses another's update, and
reports nothing; the same two publishers lose nothing once the set is conditional; an update reaches five
copies in milliseconds; a copy behind a cut link knows since when it may be stale, and catches up when it is
healed; code that is written into the znode stays text; and many publish at once, under faults.

Read app/consistency/eventual.py next. How to break it: in ``publish`` leave out ``version=``. (van Steen &
Tanenbaum, ch. 7.2; Terry et al., PDIS 1994; Shapiro et al., SSS 2011.)

    python3 demo_easy_eventual.py [--step] [--protocol both|full|notes] [--participants local|pods] [--help]
    python3 demo_easy_eventual.py --live chunk_size=2048      publish to the live workers, see each one's lag
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from app.checker.judges import judge_copies
from app.consistency.as_in_the_notes import BlindPublisher, overwrite
from app.consistency.eventual import INITIAL, ConfigReplica, Copy, DataWatch, publish
from app.demo.copies import Copies
from app.demo.demo_run import Demo, leave, main_of
from app.demo.stage import Stage
from app.errors import Malformed
from app.zookeeper import paths

REPLICAS = 5
SMUGGLED = b"__import__('os').system('touch /tmp/pwned')"

# --- the notes' names -----------------------------------------------------------------------------------

global_app_config: dict[str, Any] = dict(INITIAL)


def watch_global_config(data: bytes | None, stat: Any, event: Any, *, client: ConfigReplica) -> None:
    """What the ``DataWatch`` calls: the replica ``client`` keeps a valid, newer value; we merge it in."""
    client.hear(data, stat, event)
    global_app_config.update(client.copy.value or {})


def master_push_update(*, client: Any) -> Copy:
    """Publish a new ``chunk_size`` for every pod. ``client``: a connected kazoo client."""
    return publish(client, {"chunk_size": 2048})


# --- the acts -------------------------------------------------------------------------------------------


def opening(stage: Stage) -> Copies:
    stage.story.act("five replicas, one configuration")
    copies = Copies(stage)
    copies.bring(REPLICAS)
    stage.story.say("each has a session on a link of its own, and its own copy of /config/mapreduce_params:")
    stage.story.say(f"  {copies.common().value}")
    stage.introduce()
    stage.story.look_with(f"zkCli.sh get {stage.chroot}/config/mapreduce_params")
    return copies


def play(copies: Copies, protocol: str) -> None:
    acts = [two_blind_publishers]
    if protocol == "full":
        acts = [two_publishers, an_update, a_cut_replica, code_stays_text, under_load]
    for act in acts:
        copies.stage.perform(act, copies)
    copies.read()  # for the checker


def two_blind_publishers(copies: Copies) -> None:
    stage, story = copies.stage, copies.stage.story
    story.act("the notes: two publishers set the whole value, without a version")
    copies.start_again()
    ada, bob = BlindPublisher(stage.client), BlindPublisher(stage.session())
    story.say(f"ada reads {ada.read()}; bob reads {bob.read()}")
    size, reducers = stage.fresh(), stage.fresh()
    copies.write("ada", "chunk_size", size, ada.push)
    copies.write("bob", "reducers", reducers, bob.push)
    story.say(f"ada publishes chunk_size={size}: ok.  bob publishes reducers={reducers}: ok")
    how_it_ends(copies)


def two_publishers(copies: Copies) -> None:
    stage, story = copies.stage, copies.stage.story
    story.act("the full protocol: the same two, with a conditional set")
    copies.start_again()
    bob = stage.session()
    size, reducers = stage.fresh(), stage.fresh()
    tries = stage.run_all(
        lambda: copies.publish("ada", stage.client, "chunk_size", size),
        lambda: copies.publish("bob", bob, "reducers", reducers),
    )
    story.say(f"ada publishes chunk_size={size} while bob publishes reducers={reducers}")
    story.say("sets sent (ada, bob): {}, {}; who loses the race reads, merges, and sets again".format(*tries))
    how_it_ends(copies)


def how_it_ends(copies: Copies) -> None:
    """What every copy holds in the end, and what the checker says of it."""
    stage = copies.stage
    copies.settle()
    stage.story.say(f"every replica ends with {copies.common().value}")
    copies.read()  # for the checker
    stage.story.verdict_of(judge_copies(stage.history(stage.protocol)))


def an_update(copies: Copies) -> None:
    stage, story, client = copies.stage, copies.stage.story, copies.stage.client
    story.act("an update, and how long each copy lags behind it")
    mine = ConfigReplica(client, "global_app_config")
    DataWatch(client, paths.CONFIG, partial(watch_global_config, client=mine))
    called = stage.timed()
    zxid = copies.write("master", "chunk_size", 2048, lambda _: master_push_update(client=client).mzxid)
    answered = called.ms()
    copies.settle()
    story.say(f"chunk_size=2048 has zxid {zxid:#x}; the answer takes {answered}: copies can be earlier")
    story.table(("replica", "applied zxid", "since the call began"), copies.lags(called))
    stage.require(lambda: mine.copy.mzxid >= zxid, "watch_global_config has the update")
    story.say(f"watch_global_config has it, too: global_app_config = {global_app_config}")
    story.look_with(f"zkCli.sh get {stage.chroot}/nodes/{stage.present[0].name}")


def a_cut_replica(copies: Copies) -> None:
    stage, story = copies.stage, copies.stage.story
    story.act("a replica is cut off: available, and stale")
    victim = stage.choose.choice(stage.present)
    session = victim.body.session
    victim.cut()
    size = stage.fresh()
    copies.publish("master", stage.client, "chunk_size", size)
    copies.settle(without=victim)
    story.say(f"{victim.name} is cut; the master publishes chunk_size={size}; the others have it")
    stage.rest(stage.options.session_timeout_s * 1.5)
    copies.read(victim)
    story.say(
        f"{victim.name} still answers {copies.value(victim)}; it last heard from ZooKeeper "
        f"{copies.of(victim).silent_s:.1f} s ago, so this may be stale"
    )
    healed = stage.timed()
    victim.heal()
    copies.settle()
    if victim.body.session != session:
        story.say("its session has expired by now; once healed, it opens a new one")
    story.say(f"healed, it converges {healed.ms(copies.of(victim).applied_at)} later: {copies.value(victim)}")


def code_stays_text(copies: Copies) -> None:
    stage, story = copies.stage, copies.stage.story
    story.act("code is written into the znode")
    overwrite(stage.client, SMUGGLED)
    stage.require(lambda: all(copies.of(one).rejected for one in stage.present), "every replica rejects it")
    story.say(f"it now holds {SMUGGLED.decode()}")
    story.say("the notes would eval that, in every pod. Here every replica rejects it:")
    story.say(f"  {copies.of(stage.present[0]).rejected}")
    story.say(f"and keeps the last good one: {copies.common().value}")
    copies.start_again()
    try:
        story.say(f"chunk_size=-1 is PUBLISHED: {publish(stage.client, {'chunk_size': -1}).value}")
    except Malformed as error:
        story.say(f"chunk_size=-1 is refused at its publisher: {error}")


def under_load(copies: Copies) -> None:
    stage = copies.stage
    publishers = [stage.session() for _ in range(stage.options.clients)]

    def publish_one(publisher: int) -> None:
        key = f"key_{publisher % 3}"  # fewer keys than publishers: some collide
        copies.publish(f"publisher-{publisher}", publishers[publisher - 1], key, stage.fresh())

    with stage.load(f"updates by {len(publishers)} publishers", at_most=REPLICAS - 1):  # faulty at once
        stage.crowd(publish_one)
    copies.settle()
    stage.story.say(f"all {len(stage.present)} replicas hold zxid {copies.common().mzxid:#x}")


DEMO = Demo(
    name="easy",
    program="demo_easy_eventual.py",
    claim="Eventual consistency: a DataWatch carries one configuration to five copies.",
    guarantee="eventual convergence, monotonic reads, no lost update",
    opening=opening,
    play=play,
    judge=judge_copies,
    live=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(DEMO, argv)


if __name__ == "__main__":
    leave(main())
