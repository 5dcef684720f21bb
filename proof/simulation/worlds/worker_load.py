"""What users do to the simulated workers: uploads with known results, and changes of the configuration."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import eventlet

from app.consistency.eventual import publish
from app.demo.recording import NOT_A_RESULT, recorded_write
from app.zookeeper import client as zk
from proof.chaos.audit import Ending, ZnodeValue
from proof.simulation.jobs import seals
from proof.simulation.stage import Stage
from proof.simulation.worlds.worker_hosts import Answer, Host

CHUNK_SIZES = (2, 3, 5, 8, 20)
# A user's patience with one request, and with one upload, in seconds.
_REQUEST_S = (0.3, 2.0, 8.0, 15.0)
_UPLOAD_S = 40.0
_BREATH_S = (0.1, 1.0)
_THINK_S = ((0.0, 0.5), (0.5, 3.0), (2.0, 10.0))
_STUBBORN = 0.8
# How often a user sends an upload again that is stored already.
_SENDS_AGAIN = 0.3
_STEP_S = 5.0


@dataclass(eq=False)
class Upload:
    """One upload: what is sent, what must come of it, and what did.

    Attributes:
        name: the file's, which no other upload has.
        reduced: the reduced value that its job must have; None where any bytes will do.
        ids: those that its user was told.
    """

    name: str
    job: str
    data: bytes
    right: bytes
    reduced: bytes | None
    key: str
    ids: list[str] = field(default_factory=list)
    ending: Ending = "in doubt"
    found: ZnodeValue = "unseen"

    def is_right(self, result: bytes) -> bool:
        if self.job == "wordcount":
            return bool(json.loads(result)["words"] == json.loads(self.right))
        return result == self.right


def drawn(name: str, choose: random.Random) -> Upload:
    """An input, and its result by another hand than the job's."""
    key = name if choose.random() < 0.7 else f"{choose.getrandbits(128):032x}"
    if choose.random() < 0.5:
        lines = [
            " ".join(choose.choices(("ant", "bee", "cow", "dog"), k=4)) for _ in range(choose.randint(1, 30))
        ]
        counted = Counter(word for line in lines for word in line.split())
        return Upload(name, "wordcount", "\n".join(lines).encode(), json.dumps(counted).encode(), None, key)
    data = choose.randbytes(seals.ROW_BYTES * choose.randint(1, 30))
    value = seals.value_of(seals.rows_of(data))
    return Upload(name, "seals", data, seals.result_of(data), value, key)


class Cluster:
    """All workers, as a user knows them: one of them is the master, and each says whether it is."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._guess = 0

    def ask(self, method: str, path: str, patience_s: float, **more: Any) -> tuple[Answer | None, bool]:
        """The master's answer, or the last worker's; and whether anybody may have acted on it unheard."""
        unknown, answer = False, None
        for _ in self._hosts:
            host = self._hosts[self._guess]
            answer = host.ask(method, path, patience_s, **_anew(more))
            if answer is not None and answer.status not in (0, 403):
                return answer, unknown
            unknown = unknown or answer is None
            self._guess = (self._guess + 1) % len(self._hosts)
        return answer, unknown


def _anew(more: dict[str, Any]) -> dict[str, Any]:
    """A form's file is read by whoever it is sent to."""
    if "file" not in more:
        return more
    name, data, job = more["file"]
    rest = {key: value for key, value in more.items() if key != "file"}
    return {**rest, "data": {"job": job, "image": (io.BytesIO(data), name)}}


class User:
    """Uploads, insists, and asks for results."""

    def __init__(
        self, stage: Stage, hosts: Sequence[Host], name: str, told: Callable[[Upload], object]
    ) -> None:
        """``told``: of every upload before it is sent."""
        self._told = told
        self._recorder = stage.recorder
        self._cluster = Cluster(hosts)
        self._choose = stage.chance(name)
        self._name = name
        self._patience_s = self._choose.choice(_REQUEST_S)
        self._think_s = self._choose.choice(_THINK_S)
        self.uploads: list[Upload] = []

    def act(self, uploads: int) -> None:
        for number in range(1, uploads + 1):
            upload = drawn(f"{self._name}-{number}", self._choose)
            self.uploads.append(upload)
            self._told(upload)
            self._record(upload)
            eventlet.sleep(self._choose.uniform(*self._think_s))
            if self._choose.random() < _SENDS_AGAIN:
                self._again([one for one in self.uploads if one.ending != "refused"])

    def _record(self, upload: Upload) -> None:
        pending = self._recorder.invoke(self._name, "write", upload.name, upload.name)
        upload.ending = self._insist(upload, stubborn=self._choose.random() < _STUBBORN)
        if upload.ending == "stored":
            pending.ok()
        elif upload.ending == "refused":
            pending.refused()
        else:
            pending.unknown()

    def _insist(self, upload: Upload, *, stubborn: bool) -> Ending:
        """Until it is known how it ended, or there is no patience left."""
        deadline, unknown = zk.Deadline(_UPLOAD_S), False
        while True:
            answer, unheard = self._send(upload)
            if answer is not None and answer.status == 200:
                return "stored"
            # 500 and 504: it may have happened, or may yet. All others say that nothing was stored.
            unknown = unknown or unheard or answer is None or answer.status in (500, 504)
            if answer is not None and (answer.json or {}).get("aborted"):
                return "refused"  # the one decision on it
            if deadline.passed or not (stubborn or unknown):
                return "in doubt" if unknown else "refused"
            eventlet.sleep(self._choose.uniform(*_BREATH_S))

    def _send(self, upload: Upload) -> tuple[Answer | None, bool]:
        answer, unheard = self._cluster.ask(
            "POST", "/upload", self._patience_s, file=(upload.name, upload.data, upload.job),
            headers={"Idempotency-Key": upload.key},
        )  # fmt: skip
        if answer is not None and answer.status == 200:
            upload.ids.append(answer.json["job_id"])
        return answer, unheard

    def _again(self, uploads: Sequence[Upload]) -> None:
        """Send one of them again: an answer that it is stored counts, whenever it comes."""
        if not uploads:
            return
        upload = self._choose.choice(uploads)
        answer, _ = self._send(upload)
        if answer is not None and answer.status == 200:
            upload.ending = "stored"

    # -- results --

    def look(self, upload: Upload) -> bool:
        """Ask for the state of what was told to be stored; whether that is known now."""
        if not upload.ids:
            return True
        answer, _ = self._cluster.ask("GET", f"/jobs/{upload.ids[0]}", _STEP_S)
        if answer is None or answer.status not in (200, 404):
            return False
        if answer.status == 404:
            upload.found = "absent"
            return True
        state = answer.json["state"]
        upload.found = "failed" if state == "failed" else "unfinished"
        return self._fetch(upload, answer.json["download"]) if state == "done" else True

    def _fetch(self, upload: Upload, path: str) -> bool:
        pending = self._recorder.invoke(self._name, "read", upload.name)
        answer, _ = self._cluster.ask("GET", path, _STEP_S)
        if answer is None or answer.status not in (200, 410):
            pending.unknown()
            return False
        upload.found = "wrong"
        if answer.status == 200 and upload.is_right(answer.body):
            upload.found = "right"
        pending.ok(upload.name if upload.found == "right" else f"{answer.status} {len(answer.body)} bytes")
        return True


class Publisher:
    """Changes chunk_size now and then, until it is told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._recorder = stage.recorder
        self._choose = stage.chance("publisher")
        self._client = stage.connect(stage.line(), 60.0)
        self._left = list(CHUNK_SIZES)
        self._choose.shuffle(self._left)
        self.publish(self._left.pop())

    def act(self) -> None:
        while self._left:
            eventlet.sleep(self._choose.uniform(0.5, 8.0))
            self.publish(self._left.pop())

    def publish(self, chunk_size: int) -> None:
        def published() -> tuple[int, str]:
            return publish(self._client, {"chunk_size": chunk_size}, timeout_s=_STEP_S).mzxid, ""

        try:
            recorded_write(self._recorder, "publisher", "chunk_size", chunk_size, published)
        except NOT_A_RESULT:
            eventlet.sleep(0.1)
