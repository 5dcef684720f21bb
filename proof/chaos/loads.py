"""What clients do to a chaos run's cluster: uploads with known results, and changes of the configuration."""

import io
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import eventlet
import numpy as np
from PIL import Image

from app.checker.history import Recorder
from app.cluster.guest_actor import Actor
from app.consistency.eventual import ConfigReplica, Copy, publish
from app.demo.recording import NOT_A_RESULT, recorded_write
from app.jobs.wordcount import words
from app.zookeeper import client as zk
from proof.chaos.audit import Ending, Upload, ZnodeValue
from proof.chaos.jobs.dwell import PIECE_BYTES, result_of
from proof.chaos.site import Site

# Pauses between two requests of one client, least and most, in seconds.
_UPLOAD_EVERY_S = (0.3, 1.2)
_PUBLISH_EVERY_S = (0.2, 0.8)
# A client repeats its request this long before it gives up; some give up at the first refusal.
_PATIENCE_S = 20.0
_BREATH_S = 0.5
_STEP_S = 3.0
PUBLISHERS, COPIES = 3, 2
_COPY_SESSION_S = 3.0


# --- inputs, and what must come of them ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Input:
    """Something to upload: the field ``job``, the bytes, and whether a result is the right one."""

    job: str
    data: bytes
    right: Callable[[bytes], bool]


def picture(choose: random.Random) -> Input:
    """A small grey picture; the right result is equal to the pixel."""
    chance = np.random.default_rng(choose.randrange(2**32))
    height, width = choose.randint(40, 400), choose.randint(40, 300)
    pixels = np.linspace(40, 180, width)[None, :] + chance.normal(0, 12, (height, width))
    grey = pixels.clip(0, 255).astype(np.uint8)
    cdf = np.ma.masked_equal(np.cumsum(np.bincount(grey.ravel(), minlength=256)), 0)
    table = np.ma.filled((cdf - cdf.min()) * 255 / (cdf.max() - cdf.min()), 0).astype(np.uint8)

    def right(result: bytes) -> bool:
        return bool(np.array_equal(np.asarray(Image.open(io.BytesIO(result))), table[grey]))

    file = io.BytesIO()
    Image.fromarray(grey).save(file, "TIFF")
    return Input("equalize", file.getvalue(), right)


def text(choose: random.Random) -> Input:
    """Lines of a few words; the right result counts them."""
    known = [f"word{number}" for number in range(40)]
    lines = [" ".join(choose.choices(known, k=8)) for _ in range(choose.randint(20, 400))]
    whole = "\n".join(lines) + "\n"
    counted = Counter(words(whole))
    return Input("wordcount", whole.encode(), lambda result: json.loads(result)["words"] == counted)


def dwelling(choose: random.Random, pieces: int) -> Input:
    """Bytes for a slow job: that many tasks of two seconds."""
    data = choose.randbytes(pieces * PIECE_BYTES)
    expected = result_of(data)
    return Input("dwell", data, lambda result: result == expected)


# --- uploads ------------------------------------------------------------------------------------------------


class Uploads:
    """Clients that upload, each until it knows how that ended, or has no patience left.

    Attributes:
        done: what is known of each upload; ``found`` is filled in when its result has been looked at.
    """

    def __init__(self, site: Site, choose: random.Random) -> None:
        self._site = site
        self._choose = choose
        self._threads = eventlet.GreenPool()
        self.done: dict[str, Upload] = {}

    def client(self, until_s: float) -> None:
        """One client: one upload after the other."""
        while time.monotonic() < until_s:
            make = self._choose.choice((picture, picture, text))
            self.upload(make(self._choose))
            eventlet.sleep(self._choose.uniform(*_UPLOAD_EVERY_S))

    def upload(self, given: Input) -> str:
        """Send it, and check its result in the background; returns the job's id."""
        job_id = str(uuid.UUID(int=self._choose.getrandbits(128), version=4))
        ending = self._insist(job_id, given, stubborn=self._choose.random() < 0.8)
        self.done[job_id] = Upload(
            job_id, given.job, ending, "unseen" if ending == "refused" else "unfinished"
        )
        if ending != "refused":
            self._threads.spawn_n(self._follow, job_id, given)
        return job_id

    def _insist(self, job_id: str, given: Input, *, stubborn: bool) -> Ending:
        deadline, unknown = zk.Deadline(_PATIENCE_S), False
        while True:
            answer = None
            if master := self._site.master():
                answer = self._site.ask(
                    "POST", master, "/upload",
                    files={"image": ("chaos.bin", given.data)}, data={"job": given.job},
                    headers={"Idempotency-Key": job_id},
                )  # fmt: skip
            if answer is not None and answer.status_code == 200:
                return "stored"
            # No answer, or 504: it may have happened, or may yet. All others say that nothing was stored.
            unknown = unknown or (master is not None and (answer is None or answer.status_code in (500, 504)))
            if deadline.passed or not (stubborn or unknown):
                return "in doubt" if unknown else "refused"
            eventlet.sleep(_BREATH_S)

    def _follow(self, job_id: str, given: Input) -> None:
        """Look at the result as soon as there is one: only those of the last jobs are kept."""
        while self._found(job_id) in ("unfinished", "absent"):
            eventlet.sleep(zk.jittered(_BREATH_S))
            self.look(job_id, given.right)

    def look(self, job_id: str, right: Callable[[bytes], bool]) -> bool:
        """Whether its state is known."""
        found = self._look(job_id, right)
        if found is not None:
            self.done[job_id] = replace(self.done[job_id], found=found)
        return found is not None

    def _found(self, job_id: str) -> ZnodeValue:
        return self.done[job_id].found

    def _look(self, job_id: str, right: Callable[[bytes], bool]) -> ZnodeValue | None:
        """None: unknown."""
        answer = self._site.of_master(f"/jobs/{job_id}")
        if answer is None or answer.status_code not in (200, 404):
            return None
        if answer.status_code == 404:
            return "absent"
        job = answer.json()
        if job["state"] == "failed":
            return "failed"
        if job["state"] != "done":
            return "unfinished"
        result = self._site.of_master(str(job["download"]))
        if result is None or result.status_code not in (200, 410):
            return None
        if result.status_code == 410:
            return "unknown"
        return "right" if right(result.content) else "wrong"

    def settle(self, for_s: float) -> None:
        """Until all that was stored has ended; then what was refused is looked for."""
        deadline = zk.Deadline(for_s)
        while not deadline.passed and any(
            one.ending == "stored" and one.found in ("unfinished", "absent") for one in self.done.values()
        ):
            eventlet.sleep(_BREATH_S)
        for thread in list(self._threads.coroutines_running):
            eventlet.kill(thread)
        for one in list(self.done.values()):
            if one.ending == "refused":
                while not self.look(one.job_id, lambda result: False) and not deadline.passed:
                    eventlet.sleep(_BREATH_S)


# --- the configuration --------------------------------------------------------------------------------------


class _Quiet(ConfigReplica):
    """A copy that announces nothing: below /nodes are the workers, which share out work by it."""

    def __init__(self, client: Any, name: str, on_apply: Callable[[Copy], None]) -> None:
        super().__init__(client, name, on_apply=on_apply)
        self._announcement.start = lambda: None  # type: ignore[method-assign] # nothing else differs


class Configuration:
    """Publishers with a key each, which overwrite no other's, and copies that can be cut off."""

    def __init__(self, site: Site, recorder: Recorder, choose: random.Random) -> None:
        self._recorder = recorder
        self._choose = choose
        self._clients = [zk.connect(site.hosts, session_timeout_s=10) for _ in range(PUBLISHERS)]
        self._lives: Counter[str] = Counter()
        self._keys: set[str] = set()  # with a value that a publisher has tried to publish
        self.copies = [
            Actor(site.hosts, "", _COPY_SESSION_S, partial(self._replica, f"copy-{number}"))
            for number in range(1, COPIES + 1)
        ]
        for copy in self.copies:
            copy.start()

    def _replica(self, name: str, client: Any) -> list[ConfigReplica]:
        # A next life has forgotten what the last one had read, so it promises nothing about that.
        self._lives[name] += 1
        return [_Quiet(client, name, on_apply=partial(self._observe, f"{name}.{self._lives[name]}"))]

    def publisher(self, number: int, until_s: float) -> None:
        key, written = f"chaos_{number}", 0
        while time.monotonic() < until_s:
            written += 1
            self._keys.add(key)
            with suppress(*NOT_A_RESULT):
                publishing = partial(self._publish, number, key, written)
                recorded_write(self._recorder, f"publisher-{number}", key, written, publishing)
            eventlet.sleep(self._choose.uniform(*_PUBLISH_EVERY_S))

    def _publish(self, number: int, key: str, value: int) -> tuple[int, str]:
        made = publish(self._clients[number - 1], {key: value}, timeout_s=_STEP_S)
        return made.mzxid, ""

    def _observe(self, name: str, copy: Copy) -> None:
        for key, value in _ours(copy):
            self._recorder.observe(name, key, value, (copy.mzxid, ""))

    def look(self) -> int:
        """What each copy holds now that all is quiet, also if that is nothing; the version of the newest."""
        roles = [role for copy in self.copies for role in copy.roles if isinstance(role, ConfigReplica)]
        held = [role.copy for role in roles]
        for number, copy in enumerate(held, 1):
            name = f"copy-{number}.{self._lives[f'copy-{number}']}"
            self._observe(name, copy)
            for key in self._keys - dict(_ours(copy)).keys():
                self._recorder.observe(name, key, None, (copy.mzxid, ""))
        return max(copy.mzxid for copy in held)

    def close(self) -> None:
        for copy in self.copies:
            copy.close()
        for client in self._clients:
            zk.disconnect(client)


def _ours(copy: Copy) -> Iterator[tuple[str, int]]:
    for key, value in (copy.value or {}).items():
        if key.startswith("chaos_") and isinstance(value, int):
            yield key, value
