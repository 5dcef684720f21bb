"""What the simulated workers must have kept: judged by the store's own log, by the files, and by the users.

The log shows every transaction at the moment when it takes effect, so nothing between two looks is missed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.consistency.engine.fencing import Epoch
from app.consistency.engine.transactions import Outcome
from app.consistency.engine.versions import UNWRITTEN, decode
from app.consistency.quorum import W
from app.mapreduce.records import Attempt, Done, Manifest, Offer, Result
from app.zookeeper import paths
from proof.chaos import audit
from proof.chaos.audit import Violation
from proof.simulation.ensemble import Ensemble, Entry
from proof.simulation.tree import Change
from proof.simulation.worlds.worker_load import Upload

_RECORD = {"backup_ack", "outcome", "result"}


class LogJudge:
    """Looks at each transaction.

    Args:
        disks: the workers' own.

    Attributes:
        on_claim: told of each claim that takes effect: the task, who has it, and which attempt it is.
    """

    def __init__(self, ensemble: Ensemble, disks: Sequence[Path]) -> None:
        self._ensemble, self._disks = ensemble, disks
        self.on_claim: list[Callable[[str, str, int], object]] = []
        self.violations: list[Violation] = []
        self.manifests: dict[str, Manifest] = {}  # of every record that there ever was
        self._uploads: dict[str, Upload] = {}  # by name
        self._decided: dict[str, str] = {}
        self._digests: dict[str, str] = {}  # of committed and aborted payloads
        self._planned: set[str] = set()
        self._ended: set[str] = set()
        ensemble.listeners.append(self._look)

    def expect(self, upload: Upload) -> None:
        """It is about to be sent."""
        self._uploads[upload.name] = upload

    def _look(self, entry: Entry) -> None:
        for change in entry.changes:
            parts = change.path.split("/")[1:]
            if _is_the_masters(parts) and change.kind in ("created", "changed"):
                self._fenced(change, entry.session)
            if parts[0] == "jobs" and len(parts) > 1:
                self._look_at_job(change, parts[1], parts[2:])
            elif parts[0] == "board" and len(parts) > 1 and change.node is not None:
                self._look_at_offer(parts[1], change.node.data)
            elif parts[0] == "objects" and len(parts) == 3 and change.node is not None:
                self._look_at_replica(parts[1], change.node.data)

    def _fenced(self, change: Change, session: int) -> None:
        """The session that asked for it must hold the seat of who leads in the present epoch."""
        nodes = self._ensemble.nodes
        epoch = Epoch.from_znode(nodes[paths.EPOCH].data, 0)
        seat = nodes.get(paths.seat(epoch.primary_seat))
        if seat is None or seat.owner != session:
            self._say("the store listens to one master", f"{change.path} is another's than {epoch.primary}'s")

    def _look_at_job(self, change: Change, job_id: str, below: list[str]) -> None:
        kind, node = change.kind, change.node
        match below:
            case [] if kind == "created" and node is not None:
                self._recorded(job_id, Manifest.from_bytes(node.data))
            case ["outcome"] if node is not None:
                self._outcome(job_id, Outcome.from_bytes(node.data))
            case ["plan"] if kind in ("created", "changed", "deleted"):
                self._plan(job_id, kind)
            case ["result"] if node is not None:
                self._result(job_id, Result.from_bytes(node.data))
            case [phase, task, "lock"] if kind == "created" and node is not None:
                record = self._ensemble.nodes[change.path.removesuffix("/lock")]
                for told in self.on_claim:
                    told(
                        f"{job_id}/{phase}/{task}", node.data.decode(), Attempt.from_bytes(record.data).number
                    )
            case [phase, task, "done"] if kind == "created" and node is not None:
                self._done(job_id, f"{phase}/{task}", Done.from_bytes(node.data))

    def _recorded(self, job_id: str, manifest: Manifest) -> None:
        twins = [one for one, known in self.manifests.items() if known.name == manifest.name]
        if set(twins) - {job_id}:
            self._say("one key is one job", f"{manifest.name} is recorded as {twins[0]} and as {job_id}")
        self.manifests[job_id] = manifest

    def _outcome(self, job_id: str, outcome: Outcome) -> None:
        before = self._decided.setdefault(job_id, outcome.decision)
        if before != outcome.decision:
            self._say("a decision stands", f"{self._name(job_id)} was {before}, and is {outcome.decision}")
        self._digests[job_id] = outcome.sha256

    def answered(self, job_id: str) -> None:
        """A user is being told that it is stored."""
        manifest, digest = self.manifests[job_id], self._digests.get(job_id)
        held = [
            disk
            for disk in self._disks
            if (disk / "copies" / f"{job_id}.{digest}").exists()
            and _same_size(disk / "uploads" / f"{job_id}.{manifest.sha256}", manifest.size)
        ]
        if len(held) < 2 and job_id not in self._ended:
            self._say("an acknowledged payload is on two disks", f"{manifest.name} is on {len(held)}")

    def _plan(self, job_id: str, kind: str) -> None:
        name = self._name(job_id)
        if kind == "created" and self._decided.get(job_id) != "committed":
            self._say("a job begins when its upload is committed", f"{name} has begun before")
        if (kind == "created" and job_id in self._planned) or kind == "changed":
            self._say("a job is cut once", f"{name} was planned again")
        if kind == "deleted" and job_id not in self._ended:
            self._say("a plan stays until its job has ended", f"that of {name} is gone")
        self._planned.add(job_id)

    def _result(self, job_id: str, result: Result) -> None:
        name = self._name(job_id)
        if job_id in self._ended:
            self._say("a job ends once", f"{name} has ended twice")
        if result.state == "failed":
            self._say("results are right", f"{name} has failed: {result.error}")
        self._ended.add(job_id)

    def _done(self, job_id: str, task: str, done: Done) -> None:
        record = self._ensemble.nodes[f"{paths.job(job_id)}/{task}"]
        last = Attempt.from_bytes(record.data)
        if (done.attempt, done.by) != (last.number, last.by):
            self._say(
                "a task counts for its last claimant alone",
                f"{task} of {self._name(job_id)} is held by {last.by} (attempt {last.number}), "
                f"and {done.by} (attempt {done.attempt}) has stored its result",
            )

    def _look_at_offer(self, job_id: str, data: bytes) -> None:
        """A phase that maps with the reduced value is open only when it can be read with R replicas."""
        upload = self._upload(job_id)
        if upload is None or upload.reduced is None or Offer.from_bytes(data).phase == "gather":
            return
        found = [self._ensemble.nodes.get(paths.replica(paths.matrix(job_id), i)) for i in range(1, 6)]
        held = [node for node in found if node is not None and decode(node.data) != UNWRITTEN]
        if len(held) < W:
            self._say("a phase opens with its value on W replicas", f"{upload.name} has {len(held)}")

    def _look_at_replica(self, object_id: str, data: bytes) -> None:
        upload = self._upload(object_id.removesuffix("_matrix"))
        held = decode(data)
        if upload is None or upload.reduced is None or held == UNWRITTEN:
            return
        if held.value[:1] == b"=" and held.value[1:] != upload.reduced:
            self._say("results are right", f"the reduced value of {upload.name} is another one")

    def _upload(self, job_id: str) -> Upload | None:
        manifest = self.manifests.get(job_id)
        return self._uploads.get(manifest.name) if manifest else None

    def _name(self, job_id: str) -> str:
        return self.manifests[job_id].name if job_id in self.manifests else job_id

    def _say(self, promise: str, sentence: str) -> None:
        self.violations.append(Violation(promise, sentence))

    # -- in the end --

    def was_committed(self, job_id: str | None) -> bool:
        return job_id is not None and self._decided.get(job_id) == "committed"

    def unfinished(self) -> list[str]:
        """Jobs that were committed, and have not ended."""
        return sorted(
            one for one, what in self._decided.items() if what == "committed" and one not in self._ended
        )


def of_users(uploads: Sequence[Upload], judge: LogJudge) -> Iterator[Violation]:
    """What the users were told, against what there is."""
    names = {manifest.name: job_id for job_id, manifest in judge.manifests.items()}
    yield from audit.of_uploads(audit.Upload(one.name, one.job, one.ending, one.found) for one in uploads)
    for one in uploads:
        if len(set(one.ids)) > 1:
            yield Violation("one key is one job", f"{one.name} was told two ids: {', '.join(one.ids)}")
        job_id = names.get(one.name)
        if one.ending == "refused" and judge.was_committed(job_id):
            yield Violation("what is refused never happens", f"{one.name} was refused, and is committed")


def leftovers(ensemble: Ensemble, root: Path, workers: int) -> dict[str, list[str]]:
    """By kind: what has no reason to be there."""
    nodes = ensemble.nodes
    records = _children(nodes, paths.JOBS)
    parts = [
        f"{job_id}/{part}"
        for job_id in records
        for part in _children(nodes, paths.job(job_id))
        if part not in _RECORD
    ]
    counted = (paths.NODES, paths.ELECTION, paths.HOSTS)
    wrong = [
        f"{path} has {len(found)} children"
        for path in counted
        if len(found := _children(nodes, path)) != workers
    ]
    files = sorted(f"{folder}/{name}" for folder, _, names in os.walk(root) for name in names)
    return {
        "jobs on the board": _children(nodes, paths.BOARD),
        "parts of jobs that have ended": parts,
        "quorum objects of jobs": _children(nodes, paths.OBJECTS),
        "znodes too many or too few": wrong,
        "files": [str(Path(name).relative_to(root)) for name in audit.leftover(files, records)],
    }


def _is_the_masters(parts: list[str]) -> bool:
    """Whether only the master makes or changes this znode."""
    if parts[0] == "jobs":
        return len(parts) == 2 or (len(parts) == 3 and parts[2] != "backup_ack")
    return parts[0] == "board" and len(parts) == 2


def _children(nodes: Mapping[str, Any], path: str) -> list[str]:
    return sorted(nodes[path].children) if path in nodes else []


def _same_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
