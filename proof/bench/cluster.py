"""Five real worker processes on the bench's servers, and a client of theirs.

The client sends bytes that it has ready and learns the end from the event stream, so that measuring costs
little of the cores that all of them share.
"""

import http.client
import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.consistency.eventual import publish
from app.zookeeper import client as zk, paths
from lab.console import print_to_stderr
from lab.workers import Worker, Workers
from proof.bench.measuring import NotDone

_READY_S = 60.0
_ANSWER_S = 30.0
_JOB_S = 120.0
# On a machine that is too busy for its ZooKeeper an upload may be refused or in doubt: another is sent.
_UPLOADS = 3
_BREATH_S = 2.0

BOUNDARY = uuid.uuid4().hex


class Cluster:
    """Five workers, and a client. What doesn't come in time raises NotDone."""

    def __init__(self, workers: Workers, hosts: str) -> None:
        self._workers = workers
        self._hosts = hosts

    def answer(self, worker: Worker, path: str, method: str = "GET", **more: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=_ANSWER_S)
        try:
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            message = f"{worker.pod} did not answer {method} {path}: {error!r}"
            raise NotDone(message) from error
        finally:
            connection.close()

    def who(self, role: str, but: Worker | None = None) -> Worker:
        """Wait until a worker has this role."""
        others = [worker for worker in self._workers.all if worker is not but]
        found: Worker = _soon(lambda: next((one for one in others if one.role() == role), None), f"a {role}")
        return found

    def settled(self) -> None:
        """Wait until five are ready, one master and one backup among them."""
        expected = ["backup", "master", "worker", "worker", "worker"]
        _soon(
            lambda: sorted(worker.role() or "" for worker in self._workers.all) == expected,
            "five ready workers, a master and a backup among them",
        )

    def revive(self) -> None:
        self._workers.revive()
        self.settled()

    def upload_to_done(self, body: bytes) -> float:
        """Send one upload to the master; seconds until the event stream reports its result."""
        master = self.who("master")
        stream = http.client.HTTPConnection("127.0.0.1", master.port, timeout=_JOB_S)
        try:
            stream.request("GET", "/events")
            events = stream.getresponse()
            events.readline()  # the welcome: from here on nothing is missed
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            began = time.perf_counter()
            status, said = self.answer(master, "/upload", "POST", body=body, headers=headers)
            if status != 200:
                message = f"an upload was answered {status}: {said.get('error', said)}"
                raise NotDone(message)
            self._done(said["job_id"], events, time.monotonic() + _JOB_S)
            return time.perf_counter() - began
        except (OSError, http.client.HTTPException) as error:
            message = f"{master.pod} reported nothing of an upload: {error!r}"
            raise NotDone(message) from error
        finally:
            stream.close()

    def patient_upload(self, body: bytes) -> float:
        """As :meth:`upload_to_done`; what was not done is said aloud, not counted, and tried again."""
        for _ in range(_UPLOADS - 1):
            try:
                return self.upload_to_done(body)
            except NotDone as error:
                print_to_stderr(f"bench: again, since {error}")
                time.sleep(_BREATH_S)
                self.settled()
        return self.upload_to_done(body)

    def _done(self, job_id: str, events: Any, deadline: float) -> None:
        """Wait until a job is done. When the event stream ends (its master has), by asking who leads now."""
        for line in iter(events.readline, b""):
            if line.startswith(b"data: {") and job_id.encode() in line and _is_done(json.loads(line[6:])):
                return
            if time.monotonic() > deadline:
                message = f"job {job_id} is not done within {_JOB_S:g} s"
                raise NotDone(message)
        _soon(lambda: _is_done(self.answer(self.who("master"), f"/jobs/{job_id}")[1]), f"job {job_id} done")

    def configure(self, chunk_size: int) -> None:
        """Publish it, and wait until every worker has it."""
        client = zk.connect(self._hosts, session_timeout_s=10)
        version = publish(client, {"chunk_size": chunk_size}).mzxid
        zk.disconnect(client)
        _soon(lambda: self._all_have(version), f"every worker with chunk_size={chunk_size}")

    def _all_have(self, version: int) -> bool:
        status, said = self.answer(self.who("master"), "/cluster")
        return status == 200 and all(node["config_version"] >= version for node in said["nodes"])

    def footprint(self) -> tuple[int, int, int]:
        """(largest resident size in MiB, znodes but for records, files)."""
        client = zk.connect(self._hosts, session_timeout_s=10)
        deadline = zk.Deadline(_ANSWER_S)

        def count(path: str) -> int:
            return len(zk.wait(client.get_children_async(path), deadline))

        jobs = zk.wait(client.get_children_async(paths.JOBS), deadline)
        below = sum(count(paths.job(job_id)) - 3 for job_id in jobs)
        znodes = below + count(paths.OBJECTS) + count(paths.BOARD)
        zk.disconnect(client)
        roots = [self._workers.shared_dir, *(worker.backup_dir for worker in self._workers.all)]
        files = sum(len(names) for root in roots for _, _, names in os.walk(root))
        return max(map(_resident_mib, self._workers.all)), znodes, files

    def peak_mib(self) -> int:
        return max(_resident_mib(worker, "VmHWM") for worker in self._workers.all)

    def cpu_s(self) -> float:
        """Processor time of all workers so far, in seconds."""
        return sum(map(cpu_s, self._workers.all))

    def takeover(self, signum: signal.Signals) -> float:
        """Seconds from a signal to the master until another answers for the page."""
        old = self.who("master")
        self.who("backup")
        began = time.perf_counter()
        old.send(signum)
        self.who("master", but=old)
        took = time.perf_counter() - began
        old.gone(time.monotonic() + 20)
        self.revive()
        return took


def form(data: bytes) -> bytes:
    """A multipart body, ready to send."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.tif"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def cpu_s(worker: Worker) -> float:
    """Processor time of one worker so far, in seconds."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_done(job: dict[str, Any]) -> bool:
    if job.get("state") == "failed":
        message = f"job {job['id']} failed: {job['error']}"
        raise NotDone(message)
    return job.get("state") == "done"


def _soon(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _READY_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            message = f"not within {_READY_S:g} s: {what}"
            raise NotDone(message)
        time.sleep(0.02)
    return seen


def _resident_mib(worker: Worker, field: str = "VmRSS") -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) // 1024
