"""A client of the workers over HTTP: as a student's curl, but more patient."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

# A new master serves within ten seconds of its predecessor's SIGKILL. A busy machine takes longer, and where
# a watch was missed a safety net comes after up to 75 s (app/worker.py). Patience costs nothing otherwise.
PATIENCE_S = 100.0
# Who leads answers at once; who is stopped, or gone, never does.
GLANCE_S = 2.0
# So many jobs are sent until one is seen in the middle of a phase.
TRIES = 10


class Client(ABC):
    """What can be asked of whoever leads."""

    def __init__(self) -> None:
        self.http = httpx.Client(timeout=30, trust_env=False)
        self._led = ""  # who led when it was last asked

    @abstractmethod
    def master_url(self) -> str:
        """Where whoever leads now is reached; waits until somebody does."""

    def of_master(self, path: str) -> httpx.Response:
        """What whoever leads answers. Who led last is asked first, alone: most looks are of a wait."""
        if self._led:
            with suppress(httpx.TransportError):
                answer = self.http.get(self._led + path, timeout=GLANCE_S)
                if answer.status_code not in (403, 503):
                    return answer
        self._led = self.master_url()
        return self.http.get(self._led + path)

    def upload(
        self, data: bytes, name: str = "picture.png", key: str | None = None, **fields: str
    ) -> httpx.Response:
        """Send to whoever leads, once; the answer, whatever it is."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.master_url()}/upload"
        return self.http.post(url, files={"image": (name, data)}, data=fields, headers=headers)

    def insist(self, data: bytes, key: str, name: str = "picture.png") -> str:
        """A stubborn client: the same request, with its key, until somebody says that it is stored."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said: object
            try:
                answer = self.upload(data, name, key)
                if answer.status_code == 200:
                    return str(answer.json()["job_id"])
                said = (answer.status_code, answer.text)
                assert answer.status_code in (403, 503, 504), said
            except httpx.TransportError as error:
                said = error
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def stored(self, data: bytes, name: str = "picture.png", **fields: str) -> str:
        """Upload, and be told that it is stored; the job's id. A busy cluster that refuses is asked again.

        So is one in doubt, by the same key; an aborted one by another.
        """
        deadline, key = time.monotonic() + PATIENCE_S, str(uuid.uuid4())
        while (answer := self.upload(data, name, key, **fields)).status_code in (503, 504):
            assert time.monotonic() < deadline, answer.text
            key = str(uuid.uuid4()) if answer.json().get("aborted") else key
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any] | None:
        """What whoever leads says of a job; None while nobody does."""
        try:
            answer = self.of_master(f"/jobs/{job_id}")
        except (httpx.TransportError, AssertionError):
            return None
        return dict(answer.json()) if answer.status_code == 200 else None

    def until(self, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a job is as wished; on failure, what it was last."""
        deadline = time.monotonic() + PATIENCE_S
        last = None
        while last is None or not condition(last):
            assert time.monotonic() < deadline, f"job {job_id} was last {last}"
            time.sleep(0.05)
            last = self.job(job_id) or last
        return last

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.until(job_id, lambda job: job["state"] in ("done", "failed"))

    def result(self, job_id: str) -> bytes:
        job = self.ended(job_id)
        assert job["state"] == "done", job
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said: object
            try:
                answer = self.of_master(str(job["download"]))
                if answer.status_code == 200:
                    return answer.content
                said = (answer.status_code, answer.text)
                assert answer.status_code in (403, 503), said
            except httpx.TransportError as error:
                said = error
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def caught(self, data: bytes, phase: str, at_least: int = 1) -> str:
        """Upload, and wait until the job is in the middle of a phase; its id.

        A busy machine looks away while a whole phase goes by: then another job is sent.
        """
        for _ in range(TRIES):
            job_id = self.stored(data)
            if self._is_seen_in(job_id, phase, at_least):
                return job_id
        raise AssertionError(f"{TRIES} jobs went by, and none was seen in {phase}")

    def _is_seen_in(self, job_id: str, phase: str, at_least: int) -> bool:
        """Whether it is; False once the job has ended. Asks one process, as long as that one leads."""
        url, deadline = self.master_url(), time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(0.002)
            answer = self.http.get(f"{url}/jobs/{job_id}")
            if answer.status_code != 200:
                url = self.master_url()
                continue
            job = answer.json()
            if job["phase"] == phase and job["tasks_done"] >= at_least:
                return True
            if job["state"] in ("done", "failed"):
                return False
        raise AssertionError(f"job {job_id} was last {answer.text}")
