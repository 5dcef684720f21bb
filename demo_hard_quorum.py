"""Hard: Gifford's quorums. Five replicas, a write needs three, a read asks three: N-W-R = 5-3-3.

The claim: the replicated register behaves like one copy (it is linearizable), for any number of clients,
while three hosts live.

What you will see: the notes compare the replicas' own znode versions, which count the writes to *that
replica*: with at most two replicas down per write, a read of three returns a value that was overwritten.
Under the same faults, versions (counter, id of the write) return the newest. Then hosts that die in the
middle of a write; two writers at once; a read that repairs what it finds; too few hosts; and a load under
random faults, from two processes of clients, all of it checked.

How to break it: return before the write-back (``Register.read`` in app/consistency/quorum.py), or run with
``--weak --r 2 --w 2``. Read that file next. (van Steen & Tanenbaum, ch. 7.5; Gifford, SOSP 1979; Attiya,
Bar-Noy & Dolev, JACM 1995.)

    python3 demo_hard_quorum.py [--step] [--protocol both|full|notes] [--participants local|pods] [--help]
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from app.checker.history import History
from app.checker.linearizability import check_register, check_registers
from app.checker.verdict import Verdict
from app.consistency import quorum
from app.consistency.as_in_the_notes import NotesRegister
from app.consistency.engine.replicas import Replicas
from app.consistency.quorum import Quorum, Register
from app.demo.demo_run import Demo, leave, main_of
from app.demo.live_replicas import Watch
from app.demo.load import RegisterClient
from app.demo.options import Options
from app.demo.recording import recorded_read
from app.demo.replica_set import SLOW_FAULTS_S, ReplicaSet
from app.demo.stage import Stage
from app.errors import InDoubt, Refused
from app.zookeeper import client as zk

OBJECT = "histogram_matrix"
BREATH_S = 0.2

# --- the notes' names -----------------------------------------------------------------------------------

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


def register(object_id: str, client: Any) -> Register:
    """The object through ``client``."""
    clients = client if isinstance(client, list) else [client] * N
    return Register(Replicas(object_id, clients), Quorum(N, W, R))


# --- what is real here ----------------------------------------------------------------------------------

SERVED = "replica i is served while its host's session lives: a host that dies takes it offline, and leaves"
AT_HOME = f"""{SERVED} the data behind. All replicas share one ensemble; what is real is that each fails
alone, behind a link of its own"""
AFAR = f"""{SERVED} the data behind. The clients reach the znodes themselves, so only a host's death is a
fault; it is noticed when its session has run out"""

# --- the acts -------------------------------------------------------------------------------------------


class Play:
    """The acts, on one shelf of replicas."""

    def __init__(self) -> None:
        self.replica_set: ReplicaSet

    def opening(self, stage: Stage) -> None:
        if stage.options.watch_s is not None:
            return
        self.replica_set = ReplicaSet(stage)
        q = self.replica_set.quorum
        stage.story.act(f"{q.n} hosts, one replica each; W={q.w}, R={q.r}")
        self.replica_set.bring()
        stage.story.say(AFAR if self.replica_set.remote else AT_HOME)
        if self.replica_set.remote:
            stage.story.say(
                f"the hosts are live workers, whose guest this run is: {', '.join(stage.cast.pods)}"
            )
        rule = ">" if q.r + q.w > q.n else "<="
        session_s = stage.options.session_timeout_s
        stage.story.say(
            f"R+W = {q.r + q.w} {rule} {q.n}; sessions of {session_s:g} s; seed {stage.options.seed}"
        )
        stage.story.look_with(f"zkCli.sh ls {stage.chroot}/hosts")

    def perform(self, stage: Stage, protocol: str) -> None:
        if stage.options.watch_s is not None:
            Watch(stage, OBJECT).perform(stage.options.watch_s)
            return
        standard = self.replica_set.quorum == Quorum()
        acts: list[Callable[[Stage], None]]
        if protocol == "notes":
            acts = [self.notes_stale_read] if standard else []
            if stage.options.protocol == "notes":
                acts.append(self.under_load)
        elif self.replica_set.quorum.weak and not standard:
            acts = [self.what_weak_costs, self.under_load]
        elif standard:
            acts = [
                self.same_faults,
                self.hosts_die_in_mid_write,
                self.two_writers,
                self.a_read_repairs,
                self.too_few,
                self.under_load,
            ]
        else:
            acts = [self.under_load]
        for act in acts:
            stage.perform(act)

    def missed_writes(self, write: Callable[[str], object], read: Callable[[], object]) -> object:
        """v1 everywhere; v2 without 2 and 3; v3 without 1 and 4; then a read of 1, 2, 3."""
        write("v1")
        self.replica_set.only(1, 4, 5)
        write("v2")
        self.replica_set.only(2, 3, 5)
        write("v3")
        self.replica_set.only(1, 2, 3)
        return read()

    def notes_stale_read(self, stage: Stage) -> None:
        stage.story.act("the notes: a replica's own znode version taken for a clock")
        object_id = stage.unique("as_in_the_notes")
        notes = NotesRegister(self.replica_set.replicas(object_id), self.replica_set.quorum)
        notes.create()
        client = RegisterClient("client-1", stage.key(object_id), notes, stage.recorder)
        tag = stage.unique("")
        found = self.missed_writes(lambda value: client.write(value + tag), client.read)
        stage.story.say("v1 to all; v2 while 2 and 3 are down; v3 while 1 and 4 are down: each had W=3")
        stage.story.table(("replica", "its own version", "value"), self.replica_set.holdings(object_id))
        self.replica_set.up()
        stage.story.say(f"a read of 1, 2, 3 finds equal versions, and returns {found}")
        stage.story.verdict_of(check_registers(stage.history("notes")))

    def same_faults(self, stage: Stage) -> None:
        stage.story.act("the full protocol: the same faults, versions (counter, id of the write)")
        object_id = stage.unique(OBJECT)
        tag, key = stage.unique(""), stage.key(object_id)
        clients = self.replica_set.clients

        def write(value: str) -> None:
            payload = (value + tag).encode()
            stage.write(
                "client-1", key, value + tag, lambda: quorum_write(payload, object_id, client=clients)
            )

        def look() -> tuple[str, None]:
            return quorum_read(object_id, client=clients).decode(), None

        found = self.missed_writes(write, lambda: recorded_read(stage.recorder, "client-1", key, look))
        stage.story.table(("replica", "version", "value"), self.replica_set.holdings(object_id))
        self.replica_set.up()
        stage.story.say(f"the read of 1, 2, 3 returns {found}: and before it returned, W replicas held it")
        stage.story.verdict_of(check_registers(stage.history("full")))

    def hosts_die_in_mid_write(self, stage: Stage) -> None:
        if self.replica_set.remote:
            self.hosts_die_meanwhile(stage)
            return
        stage.story.act("two hosts die between the first and the third acknowledgement")
        acks: list[int] = []

        def die_after_the_first(version: object, index: int) -> None:
            acks.append(index)
            if len(acks) == 1:
                self.replica_set.die(2, 3)

        self.replica_set.up()
        for host in self.replica_set.hosts[1:]:
            host.slow(0.15)  # so that replica 1 is first, and the others are on their way
        client, object_id = self.client(stage, "client-1", OBJECT, on_ack=die_after_the_first)
        client.write(stage.unique("v"))
        client.close()
        stage.story.say(
            f"replica {acks[0]} acknowledges; host-2 and host-3 die; replicas {acks[1]} and {acks[2]} "
            f"acknowledge: three of five, committed"
        )
        stage.story.table(("replica", "version", "value"), self.replica_set.holdings(object_id))
        self.replica_set.up()
        found = self.client(stage, "client-2", OBJECT)[0].read()
        stage.story.say(f"back again, 2 and 3 are stale; any three replicas include a fresh one: {found}")

    def hosts_die_meanwhile(self, stage: Stage) -> None:
        """With pods: nobody can time a death between two acknowledgements, so writes go on until it shows."""
        stage.story.act("two hosts die while a client writes")
        self.replica_set.up()
        client, object_id = self.client(stage, "client-1", OBJECT)
        for number in (2, 3):
            self.replica_set.hosts[number - 1].crash()
        patience, writes = zk.Deadline(20), 0
        while not self.replica_set.dead(2, 3) and not patience.passed:
            client.write(stage.unique("v"))
            writes += 1
            stage.rest(BREATH_S)
        newest = stage.unique("v")
        client.write(newest)
        client.close()
        stage.story.say(
            f"{self.replica_set.name(2)} and {self.replica_set.name(3)} crash; {writes} writes succeed "
            f"until their sessions have run out, and {newest} after it"
        )
        stage.story.table(("replica", "version", "value"), self.replica_set.holdings(object_id))
        self.replica_set.up()
        found = self.client(stage, "client-2", OBJECT)[0].read()
        stage.story.say(f"back again, 2 and 3 are stale; any three replicas include a fresh one: {found}")

    def two_writers(self, stage: Stage) -> None:
        stage.story.act("two writers at once")
        ada, _ = self.client(stage, "ada", OBJECT)
        bob, _ = self.client(stage, "bob", OBJECT)
        first, second = stage.unique("v"), stage.unique("v")
        stage.run_all(lambda: ada.write(first), lambda: bob.write(second))
        stage.story.say(
            f"ada writes {first} while bob writes {second}: maybe the same counter, never the same id"
        )
        reads = [self.client(stage, f"reader-{number}", OBJECT)[0].read() for number in (1, 2, 3)]
        stage.story.say(f"three reads, each of three random replicas: {reads}")

    def a_read_repairs(self, stage: Stage) -> None:
        stage.story.act("a read whose quorum is partly stale writes back before it returns")
        client, object_id = self.client(stage, "client-1", OBJECT)
        self.replica_set.only(1, 2, 3)
        client.write(stage.unique("v"))
        client.close()  # or it would bring 4 and 5 up to date as soon as they are back
        self.replica_set.only(3, 4, 5)
        before = self.replica_set.holdings(object_id)
        found = client.read()
        after = self.replica_set.holdings(object_id)
        stage.story.say("written to 1, 2, 3; read from 3, 4, 5, of which only 3 has it")
        rows = [
            (old[0], f"{old[1]} {old[2]}", f"{new[1]} {new[2]}")
            for old, new in zip(before, after, strict=True)
        ]
        stage.story.table(("replica", "before the read", "after it"), rows)
        stage.story.say(
            f"the read returns {found}. Without the write-back, a later read could miss replica 3"
        )
        self.replica_set.up()

    def too_few(self, stage: Stage) -> None:
        stage.story.act("fewer than W hosts live")
        client, object_id = self.client(stage, "client-1", OBJECT)
        self.replica_set.only(4, 5)
        before = self.replica_set.holdings(object_id)
        try:
            client.write(stage.unique("v"))
        except (Refused, InDoubt) as ending:
            stage.story.say(f"a write with two hosts: {type(ending).__name__}: {ending}")
        unchanged = self.replica_set.holdings(object_id) == before
        stage.story.say(f"{'no replica has changed' if unchanged else 'A REPLICA HAS CHANGED'}")
        self.replica_set.up()
        stage.story.say(f"the hosts are back: a read returns {client.read()}")

    def what_weak_costs(self, stage: Stage) -> None:
        q = self.replica_set.quorum
        stage.story.act(f"--weak: R+W = {q.r + q.w} <= N = {q.n}")
        client, _ = self.client(stage, "client-1", OBJECT)
        client.write(stage.unique("v"))
        self.replica_set.only(*range(1, q.w + 1))
        newest = stage.unique("v")
        client.write(newest)
        client.close()
        self.replica_set.only(*range(q.w + 1, q.n + 1))
        found = client.read()
        self.replica_set.up()
        stage.story.say(f"{newest} is written to {q.w} replicas, and acknowledged; a read of others: {found}")
        stage.story.verdict_of(check_registers(stage.history("full")))

    def under_load(self, stage: Stage) -> None:
        options, q = stage.options, self.replica_set.quorum
        title = f"{options.operations} operations by {options.clients} clients in two processes"
        stage.story.act(f"{title}; faults: {options.faults}")
        object_id = stage.unique("under_load")
        made: Any = self.replica_set.register(object_id)
        if stage.protocol == "notes":
            made = NotesRegister(self.replica_set.replicas(object_id), q)
        made.create()
        began_ns = time.monotonic_ns()
        often = {"every_s": SLOW_FAULTS_S} if self.replica_set.remote else {}
        with stage.faults(at_most=q.n - max(q.r, q.w), **often):
            self.replica_set.load(object_id, stage.protocol)
        stage.story.say(f"meanwhile: {stage.faults_since(began_ns) or 'no fault'}")
        done = stage.history(stage.protocol).by_key()[stage.key(object_id)]
        endings = {
            ending: sum(op.outcome == ending for op in done) for ending in ("ok", "refused", "unknown")
        }
        stage.story.say(
            f"of {len(done)}: " + ", ".join(f"{count} {ending}" for ending, count in endings.items())
        )
        stage.story.verdict_of(check_register(done))

    def client(self, stage: Stage, name: str, object_id: str, **options: Any) -> tuple[RegisterClient, str]:
        made = self.replica_set.register(object_id, **options)
        made.create()
        return RegisterClient(name, stage.key(object_id), made, stage.recorder), object_id


def judge(history: History) -> Verdict:
    verdict = check_registers(history)
    if verdict.outcome != "held":
        return verdict
    return Verdict(
        "held",
        f"every read returned the newest completed write ({len(history.operations)} operations, "
        f"linearizable; up to {most_down(history)} replicas down)",
    )


def most_down(history: History) -> int:
    """How many hosts were cut or dead at the same time, at most."""
    down: set[object] = set()
    most = 0
    for fault in history.faults:
        if fault.op in ("cut", "crash", "gone"):
            down.add(fault.value)
        elif fault.op in ("heal", "restart", "back"):
            down.discard(fault.value)
        most = max(most, len(down))
    return most


def pods_of(options: Options) -> tuple[int, int]:
    """How many take part, and how many of them must be left; who is only watched isn't invited."""
    q = options.quorum
    return (q.n, max(q.r, q.w)) if options.watch_s is None else (0, 0)


def main(argv: Sequence[str] | None = None) -> int:
    play = Play()
    return main_of(
        Demo(
            name="hard",
            program="demo_hard_quorum.py",
            claim="Gifford's N-W-R quorums over replicas that fail alone.",
            guarantee="linearizable register",
            opening=play.opening,
            play=play.perform,
            judge=judge,
            quorum=True,
            pods=pods_of,
        ),
        argv,
    )


if __name__ == "__main__":
    leave(main())
