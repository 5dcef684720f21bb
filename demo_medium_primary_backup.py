"""Medium: synchronous primary-backup. The user is answered only when two disks have the payload.

The claim: what was acknowledged is on two disks, and survives the loss of either pod; what was told "not
stored" is never stored; the same request twice is stored once; a deposed primary decides nothing.

What you will see: the notes' primary takes a timeout for a decision, says "aborted", and the backup comes
back and acknowledges what its user was told is lost; under the same fault the full protocol's answer stays
true. Then the sequence step by step; a repeated request; a primary that dies after its answer, whose
successor reads the payload back from its own disk; and the old one, which wakes up and is fenced.

How to break it: create the ACK before the copy is written, or drop the epoch check from ``Primary.read``
(both in app/consistency/primary_backup.py); docs/break-it-yourself.md has them as patches, with a scene that
convicts each. Read that file next. (van Steen & Tanenbaum, ch. 7.5; Alsberg & Day,
ICSE 1976; Budhiraja et al. 1993; Liskov & Cowling 2012.)

    python3 demo_medium_primary_backup.py [--protocol both|full|notes] [--participants local|pods] [--help]
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from app.checker.durability import durable
from app.checker.history import History
from app.checker.verdict import Verdict
from app.consistency.as_in_the_notes import NotesBackup, NotesPrimary
from app.consistency.engine.transactions import job_id_for
from app.consistency.primary_backup import Backup
from app.demo.demo_run import Demo, leave, main_of
from app.demo.load import crowd
from app.demo.pair import Leading, Pair
from app.demo.stage import Stage
from app.errors import Fenced, Refused
from app.zookeeper import paths

# One pod lost at a time, and time to notice: a session has to run out before the next in line takes over.
FAULT_EVERY_S = (1.5, 4.0)
THINK_S = (0.05, 0.35)

# --- the notes' names -----------------------------------------------------------------------------------


def master_synchronous_write(
    payload_data: bytes | str, *, client: Leading, request_id: str | None = None
) -> dict[str, str]:
    """Store a payload on two disks, then answer. ``client``: the primary to ask.

    Raises Refused (provably not stored) or InDoubt (ask again with the same ``request_id``).
    """
    payload = payload_data.encode() if isinstance(payload_data, str) else payload_data
    job_id = job_id_for(request_id or str(uuid.uuid4()))
    client.submit(job_id, payload)
    return {"status": "success", "job_id": job_id}


def backup_replication_listener(children: list[str], *, client: Backup) -> None:
    """What the backup does when ``/jobs`` changes: copy what is new to its disk, then acknowledge it."""
    client.replicate(children)


# --- the acts -------------------------------------------------------------------------------------------


class Play:
    """The acts, on one pair."""

    def __init__(self) -> None:
        self.pair: Pair

    def opening(self, stage: Stage) -> None:
        stage.story.act("who takes part")
        self.pair = Pair(stage)
        self.pair.bring()
        leader, other = self.pair.ready()
        patience_s = stage.options.ack_timeout_s
        stage.story.say(
            f"{leader.name} stood in line first: it is the primary. {other.name} is next: the backup"
        )
        stage.story.say("each has a session on a link of its own, and a disk of its own")
        if stage.cast.pods:
            stage.story.say("both are live workers, whose guest this run is; the notes' pair stays in here")
        stage.story.say(f"the primary waits {patience_s:g} s for the ACK (the notes: 10; --ack-timeout-s 10)")
        stage.story.say(f"sessions of {stage.options.session_timeout_s:g} s; seed {stage.options.seed}")
        stage.story.look_with(f"zkCli.sh get {stage.chroot}/epoch")

    def perform(self, stage: Stage, protocol: str) -> None:
        if protocol == "notes":
            stage.perform(self.notes_backup_dies)
            return
        for act in (
            self.backup_dies,
            self.the_sequence,
            self.the_same_request_again,
            self.primary_dies,
            self.under_load,
        ):
            stage.perform(act)
        self.pair.audit()

    def notes_backup_dies(self, stage: Stage) -> None:
        stage.story.act("the notes: the backup dies before its ACK")
        stage.apart("/notes")
        backup = stage.bring(
            "notes-backup", lambda client: [NotesBackup(client, "notes-backup")], root="/notes"
        )
        primary = NotesPrimary(stage.session(root="/notes"), ack_timeout_s=stage.options.ack_timeout_s)
        # Some that go well, so that the verdict isn't about a system that only refuses.
        for _ in range(3):
            self.notes_submit(stage, primary, backup)
        backup.crash()
        job_id = str(uuid.uuid4())
        payload = stage.unique("order")
        began = time.monotonic()
        try:
            stage.write("user", stage.key(job_id), payload, lambda: primary.submit(payload.encode(), job_id))
        except Refused:
            stage.story.say(
                f"{time.monotonic() - began:.1f} s after asking, the user is told: aborting transaction"
            )
        backup.restart()
        notes = backup.role
        assert isinstance(notes, NotesBackup)
        stage.require(lambda: job_id in notes.acknowledged, "the backup has acknowledged it")
        stage.recorder.observe("notes-backup", stage.key(job_id), notes.acknowledged[job_id].decode())
        stage.story.say("the backup returns, finds the record that nobody took back, and acknowledges it")
        stage.story.verdict_of(durable(stage.history("notes")))
        stage.dismiss(backup)

    def notes_submit(self, stage: Stage, primary: NotesPrimary, backup: Any) -> None:
        job_id, payload = str(uuid.uuid4()), stage.unique("order")
        stage.write("user", stage.key(job_id), payload, lambda: primary.submit(payload.encode(), job_id))
        stage.require(lambda: job_id in backup.role.acknowledged, "the backup has said so")
        found = backup.role.acknowledged[job_id].decode()
        stage.recorder.observe("notes-backup", stage.key(job_id), found)

    def backup_dies(self, stage: Stage) -> None:
        stage.story.act("the full protocol: the backup dies before its ACK")
        leader, other = self.pair.ready()
        primary = self.leading()
        other.crash()
        job_id, payload = str(uuid.uuid4()), stage.unique("order")
        began = time.monotonic()
        try:
            self.pair.submit("user", primary, job_id, payload)
        except Refused as refused:
            waited_s = time.monotonic() - began
            stage.story.say(f"{waited_s:.1f} s after asking, the user is told ({type(refused).__name__}):")
            stage.story.say(f"  {str(refused).replace(job_id, job_id[:8])}")
        other.restart()
        self.pair.ready()
        stage.story.say(f"{other.name} returns, and copies what it missed; but the decision is on record:")
        outcome = stage.peek(paths.outcome(job_id))
        stage.story.say(f"  {paths.outcome(job_id[:8])}: {outcome[:60]}...")
        stage.require(lambda: not any(map(self.pair.copies_of(job_id), (leader, other))), "no disk has it")
        stage.story.say("neither disk has a copy of it: the answer was true, and stays true")

    def the_sequence(self, stage: Stage) -> None:
        stage.story.act("the sequence, step by step")
        self.pair.ready()
        primary, request, payload = self.leading(), str(uuid.uuid4()), stage.unique("order")
        job_id = job_id_for(request)
        self.pair.submitted[job_id] = payload
        began = time.monotonic()
        answer = stage.write(
            "user",
            stage.key(job_id),
            payload,
            lambda: master_synchronous_write(payload, client=primary, request_id=request),
        )
        answered_ms = (time.monotonic() - began) * 1000
        stage.until(lambda: {"ACK created", "committed"} <= {what for _, _, what in self.steps_of(job_id)}, 2)
        rows = [(f"{(at - began) * 1000:.1f} ms", who, what) for at, who, what in self.steps_of(job_id)]
        stage.story.table(("after", "who", "what"), [*rows, (f"{answered_ms:.1f} ms", "user", "is answered")])
        stage.story.say(f"the answer: {answer}")
        stage.story.look_with(f"zkCli.sh get {stage.chroot}{paths.backup_ack(job_id)}")

    def the_same_request_again(self, stage: Stage) -> None:
        stage.story.act("the same request again, as after a lost answer")
        self.pair.ready()
        primary, job_id, payload = self.leading(), str(uuid.uuid4()), stage.unique("order")
        self.pair.submit("user", primary, job_id, payload)
        self.pair.submit("user", primary, job_id, payload)
        stage.story.say("asked twice with one request id: answered twice, one record, one copy on each disk")
        try:
            primary.submit(job_id, b"something else")
        except Refused as refused:
            stage.story.say(f"another payload under this id: {str(refused).replace(job_id, job_id[:8])}")

    def primary_dies(self, stage: Stage) -> None:
        stage.story.act("the primary dies after its answer; the next in line takes over")
        leader, other = self.pair.ready()
        old, job_id, payload = self.leading(), str(uuid.uuid4()), stage.unique("order")
        self.pair.submit("user", old, job_id, payload)
        leader.cut()
        began = time.monotonic()
        stage.story.say(f"{leader.name} has answered, and is cut off: for everybody else it is dead")
        stage.wipe(paths.job(job_id))
        stage.story.say("and we empty the payload's znode: from here on only a disk can have it")
        stage.require(lambda: self.pair.member(other).primary is not None, f"{other.name} leads", 20)
        new = self.leading()
        stage.story.say(
            f"{other.name} leads epoch {new.epoch.number}, {time.monotonic() - began:.1f} s later"
        )
        found = new.read(job_id)
        stage.recorder.observe("successor", stage.key(job_id), found.decode() if found else None)
        same = found == payload.encode()
        stage.story.say(f"from its own disk: {found!r}: {'byte for byte' if same else 'NOT what was stored'}")
        leader.heal()
        stage.story.say(f"{leader.name} wakes, and still believes in epoch {old.epoch.number}:")
        stage.require(lambda: leader.body.connected, f"{leader.name} is connected")
        try:
            old.read(job_id)
        except Fenced:
            stage.story.say("  its read: Fenced, although it has the copy: it may have missed a decision")
        try:
            self.pair.submit("user", old, str(uuid.uuid4()), stage.unique("order"))
        except Fenced as fenced:
            stage.story.say(f"  its write: Fenced: {fenced}")
        self.pair.ready()
        stage.story.say(f"it stands in line again, copies what it missed, and is {other.name}'s backup")

    def under_load(self, stage: Stage) -> None:
        options = stage.options
        stage.story.act(f"{options.operations} requests by {options.clients} users; faults: {options.faults}")
        began_ns = time.monotonic_ns()

        def request(number: int) -> None:
            if stage.enough():  # else everybody has gone home
                self.pair.submit_to_whoever_leads(f"user-{number}", str(uuid.uuid4()), stage.unique("order"))

        self.pair.ready()
        with stage.faults(at_most=1, every_s=FAULT_EVERY_S):
            crowd(options.clients, options.operations, request, stage.choose, THINK_S)
        self.pair.ready()
        stage.story.say(f"meanwhile: {stage.faults_since(began_ns) or 'no fault'}")
        stage.story.say(
            f"epoch {self.leading().epoch.number} now; every answer is checked against both disks"
        )

    def steps_of(self, job_id: str) -> list[tuple[float, str, str]]:
        """(when, who, what): in the order of time, for what pods tell may come in another."""
        return sorted((at, who, what) for at, who, what, job in self.pair.steps if job == job_id)

    def leading(self) -> Leading:
        primary = self.pair.primary()
        assert primary is not None
        return primary


def judge(history: History) -> Verdict:
    verdict = durable(history)
    if verdict.outcome != "held":
        return verdict
    requests = [operation for operation in history.operations if operation.op == "write"]
    stored = sum(operation.outcome == "ok" for operation in requests)
    return Verdict(
        "held",
        f"what was acknowledged is on two disks, what was refused on none, nothing twice "
        f"({len(requests)} requests, {stored} acknowledged; {len(history.faults)} faults)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    play = Play()
    return main_of(
        Demo(
            name="medium",
            program="demo_medium_primary_backup.py",
            claim="Synchronous primary-backup: the user is answered when two disks have the payload.",
            guarantee="durability of acknowledged writes, no aborted write stored, one copy of each request",
            opening=play.opening,
            play=play.perform,
            judge=judge,
            operations=60,
            pods=lambda options: (2, 2),
        ),
        argv,
    )


if __name__ == "__main__":
    leave(main())
