"""Medium: synchronous primary-backup. The user is answered only when two disks have the payload.

The claim: what was acknowledged is on two disks, and survives the loss of the primary; what was refused is
never stored; the same request twice is stored once; a deposed primary decides nothing. Each operation is
recorded, and the checker judges the record at the end of an act and of the run.

What you will see: the notes' primary takes a timeout for a decision and answers "aborted", and the backup
comes back and acknowledges the payload; under the same fault the full protocol's answer stays true. Then the
sequence step by step; a repeated request; a primary that is cut off after its answer, and a successor that
reads the payload from its own disk; the old primary is fenced; and a load runs under faults.

Read app/consistency/primary_backup.py next. How to break it: docs/break-it-yourself.md has two patches. (van
Steen & Tanenbaum, ch. 7.5; Alsberg & Day, ICSE 1976; Budhiraja et al. 1993; Liskov & Cowling 2012.)

    python3 demo_medium_primary_backup.py [--step] [--protocol both|full|notes] [--participants local|pods]
"""

import uuid
from collections.abc import Sequence
from functools import partial

from app.checker.judges import judge_payloads
from app.consistency.engine.transactions import job_id_for
from app.consistency.primary_backup import Backup
from app.demo.demo_run import Demo, leave, main_of
from app.demo.pair import Leading, NotesPair, Pair
from app.demo.stage import Stage
from app.demo.users import under_load
from app.errors import Aborted, Fenced, IdConflict, Refused

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


def opening(stage: Stage) -> Pair:
    story, ack_s = stage.story, stage.options.ack_timeout_s
    story.act("who takes part")
    pair = Pair(stage)
    pair.bring()
    leader, other = pair.ready()
    epoch = pair.leading().epoch.number
    story.say(
        f"first in the election, {leader.name} is the primary of epoch {epoch}; {other.name} backs it up"
    )
    story.say("each change of the pair begins a new epoch; each has a link, a session and a disk of its own")
    story.say(f"the primary waits {ack_s:g} s for the ACK (the notes: 10; --ack-timeout-s 10)")
    stage.introduce()
    story.look_with(f"zkCli.sh get {stage.chroot}/epoch")
    return pair


def play(pair: Pair, protocol: str) -> None:
    full = [backup_dies, the_sequence, the_same_request_again, primary_cut_off, under_load]
    for act in full if protocol == "full" else [notes_backup_dies]:
        pair.stage.perform(act, pair)
    if protocol == "full":
        pair.audit()


def notes_backup_dies(pair: Pair) -> None:
    stage, story = pair.stage, pair.stage.story
    story.act("the notes: the backup is dead when the request comes")
    notes = NotesPair(stage)
    *good, late = (str(uuid.uuid4()) for _ in range(4))
    for job_id in good:  # three that succeed: the checker has acknowledged writes to judge, too
        notes.submit(job_id)
        notes.wait_for_ack(job_id)
    notes.backup.crash()
    asked = stage.timed()
    try:
        notes.submit(late)
        story.say("the user is answered: STORED")
    except Refused:
        story.say(f"{asked.seconds()} after asking, the user is answered: aborting transaction")
    notes.backup.restart()
    notes.wait_for_ack(late)
    story.say("the backup returns, finds the record still there, and acknowledges it")
    story.verdict_of(judge_payloads(stage.history("notes")))
    stage.dismiss(notes.backup)


def backup_dies(pair: Pair) -> None:
    stage, story = pair.stage, pair.stage.story
    story.act("the full protocol: the backup is dead when the request comes")
    _, other = pair.ready()
    other.crash()
    (job_id, payload), asked = pair.request(), stage.timed()
    try:
        pair.submit("user", job_id, payload)
        story.say("the user is answered: STORED")
    except Aborted as aborted:
        story.say(f"{asked.seconds()} after asking, the user is answered (Aborted):")
        story.say(f"  {str(aborted).replace(job_id, job_id[:8])}")
    other.restart()
    pair.ready()
    pair.listen(other, backup_replication_listener)
    story.say(f"{other.name} returns, and its listener finds the record; but the decision is there, too:")
    story.say(f"  {pair.decision(job_id)}")
    stage.require(lambda: pair.copies(job_id) == 0, "no disk has it")
    story.say("after that, neither disk has a copy: the answer is still true")


def the_sequence(pair: Pair) -> None:
    stage, story = pair.stage, pair.stage.story
    story.act("the sequence, step by step")
    pair.ready()
    primary, (job_id, payload), asked = pair.leading(), pair.request(), stage.timed()
    ask = partial(master_synchronous_write, payload, client=primary, request_id=job_id)  # a uuid is its own
    answer = pair.record("user", job_id, payload, ask)
    pair.show_steps(job_id, asked, answered=asked.ms())
    story.say(f"the answer: {answer}")


def the_same_request_again(pair: Pair) -> None:
    stage, story = pair.stage, pair.stage.story
    story.act("the same request again, as after a lost answer")
    pair.ready()
    job_id, payload = pair.request()
    pair.submit("user", job_id, payload)
    pair.submit("user", job_id, payload)
    stage.require(lambda: pair.copies(job_id) == 2, "each disk has it")
    story.say("asked twice with one request id: answered twice, and each disk has its copy")
    try:
        pair.leading().submit(job_id, b"something else")
        story.say("the same id with a different payload: STORED")
    except IdConflict as conflict:
        story.say(f"the same id with a different payload: {str(conflict).replace(job_id, job_id[:8])}")


def primary_cut_off(pair: Pair) -> None:
    stage, story = pair.stage, pair.stage.story
    story.act("the primary is cut off after its answer; the backup takes over")
    leader, other = pair.ready()
    old, (job_id, payload) = pair.leading(), pair.request()
    pair.submit("user", job_id, payload)
    leader.cut()
    since = stage.timed()
    pair.wipe(job_id)
    story.say(f"{leader.name} is cut off after its answer; we empty the znode: only disks have the payload")
    stage.require(lambda: pair.member(other).primary is not None, f"{other.name} leads", 20)
    new = pair.leading()
    story.say(f"{other.name} leads epoch {new.epoch.number}, {since.seconds()} later")
    found = new.read(job_id)
    stage.recorder.observe("successor", stage.key(job_id), found.decode() if found else None)
    same = "byte for byte" if found == payload.encode() else "NOT what was stored"
    story.say(f"from its own disk: {found!r}: {same}")
    leader.heal()
    stage.require(lambda: leader.body.connected, f"{leader.name} is connected")
    story.say(f"{leader.name} is linked again; we ask its old primary object, of epoch {old.epoch.number}:")
    try:
        story.say(f"  its read: NOT FENCED: {old.read(job_id)!r}")
    except Fenced:
        story.say("  its read: Fenced, although it has the copy: it may have missed a decision")
    try:
        pair.submit("user", *pair.request(), old)
        story.say("  its write: NOT FENCED: STORED")
    except Fenced as fenced:
        story.say(f"  its write: Fenced: {fenced}")
    story.say("{.name} leads now, and {.name} is its backup".format(*pair.ready()))


DEMO = Demo(
    name="medium",
    program="demo_medium_primary_backup.py",
    claim="Synchronous primary-backup: the user is answered when two disks have the payload.",
    guarantee="durability of acknowledged writes, no aborted write stored, one copy of each request",
    opening=opening,
    play=play,
    judge=judge_payloads,
    operations=60,
    pods=lambda options: (2, 2),
)


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(DEMO, argv)


if __name__ == "__main__":
    leave(main())
