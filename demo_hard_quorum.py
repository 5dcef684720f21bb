"""Hard: Gifford's quorums. Five replicas, a write needs three, a read asks three: N-W-R = 5-3-3.

The claim: while three hosts live, the replicated register behaves like one copy (it is linearizable). Each
operation is recorded, and the checker judges the record at the end of an act and of the run.

What you will see: the notes compare the replicas' own znode versions, which count the writes to *that
replica*: with at most two replicas down per write, a read of three returns a value that was overwritten.
Under the same faults, versions (counter, id of the write) return the newest. Then hosts die during a write;
two clients write at once; a read repairs what it finds; too few hosts live; and a load runs under faults.

Read app/consistency/quorum.py next. How to break it: in ``Register.read`` return before the write-back, or
run with ``--weak --r 2 --w 2``. (van Steen & Tanenbaum, ch. 7.5; Gifford, SOSP 1979; Attiya, Bar-Noy &
Dolev, JACM 1995.)

    python3 demo_hard_quorum.py [--step] [--protocol both|full|notes] [--participants local|pods] [--help]
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from app.checker.judges import judge_registers
from app.consistency import quorum
from app.consistency.engine.replicas import Replicas
from app.demo.demo_run import Demo, leave, main_of
from app.demo.quorum_variants import hosts_die_while_a_client_writes, what_weak_costs
from app.demo.replica_set import OBJECT, ReplicaSet
from app.demo.stage import Stage
from app.errors import InDoubt, Refused

# The notes' names: N, W, R, quorum_write, quorum_read.
N, W, R = quorum.N, quorum.W, quorum.R


def quorum_write(payload_data: bytes, object_id: str, *, client: Any) -> bool:
    """Store at W of N replicas. ``client``: a connected kazoo client, or a list of N, one for each replica.

    Returns True, or raises Refused (provably not stored) or InDoubt; never False.
    """
    with closing(register(object_id, client)) as replicated:
        replicated.create()  # the first write makes the object; a read never does
        replicated.write(payload_data)
    return True


def quorum_read(object_id: str, *, client: Any) -> bytes:
    """The newest completed value; creates nothing. ``client`` as above. Raises Refused or InDoubt."""
    with closing(register(object_id, client)) as replicated:
        return replicated.read().value


def register(object_id: str, client: Any) -> quorum.Register:
    clients = client if isinstance(client, list) else [client] * N
    return quorum.Register(Replicas(object_id, clients), quorum.Quorum(N, W, R))


# --- the acts -------------------------------------------------------------------------------------------


def opening(stage: Stage) -> ReplicaSet:
    replicas = ReplicaSet(stage)
    q = replicas.quorum
    stage.story.act(f"{q.n} hosts, one replica each; W={q.w}, R={q.r}")
    replicas.bring()
    replicas.introduce()
    return replicas


def play(replicas: ReplicaSet, protocol: str) -> None:
    q = replicas.quorum
    die = hosts_die_while_a_client_writes if replicas.remote else hosts_die_during_a_write
    acts: list[Callable[[ReplicaSet], None]] = [notes_stale_read]
    if protocol == "full":
        acts = [same_faults, die, two_writers, a_read_repairs, too_few]
    if (q.n, q.w, q.r) != (N, W, R):  # which these acts count on
        acts = [] if protocol == "notes" or replicas.overlaps else [what_weak_costs]
    if protocol == replicas.stage.options.shows[-1]:
        acts.append(ReplicaSet.load)  # under the protocol that the verdict is about
    for act in acts:
        replicas.stage.perform(act, replicas)


def missed_writes(replicas: ReplicaSet, write: Callable[[str], object]) -> None:
    """red everywhere; green without 2 and 3; blue without 1 and 4; then 1, 2, 3 are there to be read."""
    write(replicas.stage.unique("red"))
    replicas.only(1, 4, 5)
    write(replicas.stage.unique("green"))
    replicas.only(2, 3, 5)
    write(replicas.stage.unique("blue"))
    replicas.only(1, 2, 3)


def notes_stale_read(replicas: ReplicaSet) -> None:
    stage, story = replicas.stage, replicas.stage.story
    replicas.act("the notes: a replica's own znode version taken for a clock")
    object_id = stage.unique("as_in_the_notes")
    notes_client = replicas.client("client-1", object_id)  # by the protocol that is shown: a NotesRegister
    missed_writes(replicas, notes_client.write)
    found = notes_client.read()
    story.say("red to all; green without 2 and 3; blue without 1 and 4; each write has at least three ACKs")
    replicas.show(object_id, "its own version")
    story.say(f"with 4 and 5 down, a read of 1, 2, 3 finds equal versions, and returns {found}")
    story.verdict_of(judge_registers(stage.history("notes")))


def same_faults(replicas: ReplicaSet) -> None:
    stage, story, clients = replicas.stage, replicas.stage.story, replicas.clients
    replicas.act("the full protocol: the same faults, versions (counter, id of the write)")
    key = stage.key(OBJECT)

    def write(value: str) -> None:
        stage.write("client-1", key, value, lambda: quorum_write(value.encode(), OBJECT, client=clients))

    missed_writes(replicas, write)
    before = replicas.holdings()
    found = stage.read("client-1", key, lambda: quorum_read(OBJECT, client=clients).decode())
    replicas.show_changes(before, "the read")
    story.say(f"a read of 1, 2, 3 returns {found}, the largest version, and brings replica 1 up to date")
    story.verdict_of(judge_registers(stage.history("full")))


def hosts_die_during_a_write(replicas: ReplicaSet) -> None:
    story = replicas.stage.story
    replicas.act("two hosts die between the first and the third acknowledgement")
    acks: list[int] = []

    def die_after_the_first(version: object, index: int) -> None:
        acks.append(index)
        if len(acks) == 1:
            replicas.die(2, 3)

    for host in replicas.hosts[1:]:
        host.slow(0.15)  # so that replica 1 is first, and the others are on their way
    client = replicas.client("client-1", on_ack=die_after_the_first)
    newest = client.write()  # a new value, which it returns
    client.close()
    story.say(f"hosts 2 and 3 die after the first ACK; the third ACK commits: ACKs from replicas {acks}")
    replicas.show_and_read(newest)


def two_writers(replicas: ReplicaSet) -> None:
    stage, story = replicas.stage, replicas.stage.story
    replicas.act("two writers at once")
    first, second = stage.run_all(replicas.client("ada").write, replicas.client("bob").write)
    story.say(f"ada writes {first} while bob writes {second}; if the counters are equal, the ids decide")
    reads = {replicas.client(f"reader-{number}").read() for number in (1, 2, 3)}
    how = "agree" if len(reads) == 1 else "DISAGREE"
    story.say(f"three reads afterwards, each of three random replicas, {how}: {', '.join(map(str, reads))}")


def a_read_repairs(replicas: ReplicaSet) -> None:
    story = replicas.stage.story
    replicas.act("a read whose quorum is partly stale writes back before it returns")
    writer, reader = replicas.client("client-1"), replicas.client("client-2")
    replicas.only(1, 2, 3)
    writer.write()
    writer.close()  # or it would bring 4 and 5 up to date as soon as they are back
    replicas.only(3, 4, 5)
    before = replicas.holdings()
    found = reader.read()
    story.say("written to 1, 2, 3; read from 3, 4, 5, of which only 3 has it")
    replicas.show_changes(before, "the read")
    story.say(f"it returns {found}. If 3 alone had it, without a write-back a read of 1, 4, 5 would miss it")


def too_few(replicas: ReplicaSet) -> None:
    story = replicas.stage.story
    replicas.act("fewer than W hosts live")
    client = replicas.client("client-1")
    last = client.read()
    replicas.only(4, 5)
    before = replicas.holdings()
    try:
        story.say(f"a write with two hosts SUCCEEDS: {client.write()}")
    except (Refused, InDoubt) as ending:
        story.say(f"a write with two hosts ends in {type(ending).__name__}, since {ending}")
    story.say(f"we look: {'no replica' if replicas.holdings() == before else 'A REPLICA'} has changed")
    replicas.up()
    story.say(f"the hosts are back: a read returns {client.read()}; the last completed value was {last}")


DEMO = Demo(
    name="hard",
    program="demo_hard_quorum.py",
    claim="Gifford's N-W-R quorums over replicas that fail alone.",
    guarantee="linearizable register",
    opening=opening,
    play=play,
    judge=judge_registers,
    quorum=True,
    pods=lambda options: (options.quorum.n, max(options.quorum.r, options.quorum.w)),
)


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(DEMO, argv)


if __name__ == "__main__":
    leave(main())
