"""The worker: from an upload to its result, how long a new master takes, and what a long day leaves behind.

Five real processes on the bench's servers; a client that sends bytes it has ready and is told of the end by
the event stream, so that measuring costs little of the two cores that all of them share. Uploads and the
floor (``pictures.py``) take turns.
"""

import http.client
import json
import os
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app import paths, zk
from app.consistency.eventual import publish
from lab.bench.pictures import in_one_process, picture
from lab.ensemble import ask
from lab.guard import GuardedDirectory
from lab.ladder import print_to_stderr
from lab.workers import Worker, Workers

_READY_S = 60.0
_JOB_S = 120.0
# Memory that is fresh from the system is slow: warmed up with as many as results are kept.
_WARM_UP = 11
_SAMPLES = {1: 15, 75: 9}
_LONG_DAY = 20
_IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its target: at most that."""

    what: str
    value: float
    unit: str
    target: float

    @property
    def over(self) -> bool:
        return round(self.value, 2) > self.target

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "over": self.over}


class Cluster:
    """Five workers, and a client."""

    def __init__(self, workers: Workers, hosts: str) -> None:
        self._workers = workers
        self._hosts = hosts

    def answer(self, worker: Worker, path: str, method: str = "GET", **more: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=30)
        try:
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def who(self, role: str, but: Worker | None = None) -> Worker:
        """Wait until a worker has this role."""
        others = [worker for worker in self._workers.all if worker is not but]
        found: Worker = _soon(lambda: next((one for one in others if one.role() == role), None))
        return found

    def settled(self) -> None:
        """Wait until five are ready, one master and one backup among them."""
        expected = ["backup", "master", "worker", "worker", "worker"]
        _soon(lambda: sorted(worker.role() or "" for worker in self._workers.all) == expected)

    def revive(self) -> None:
        self._workers.revive()
        self.settled()

    def upload_to_done(self, body: bytes) -> float:
        """Send one upload to the master; seconds until its result is told by the event stream."""
        master = self.who("master")
        stream = http.client.HTTPConnection("127.0.0.1", master.port, timeout=_JOB_S)
        stream.request("GET", "/events")
        events = stream.getresponse()
        events.readline()  # the welcome: from here on nothing is missed
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        began = time.perf_counter()
        status, said = self.answer(master, "/upload", "POST", body=body, headers=headers)
        if status != 200:
            message = f"an upload was answered {status}: {said}"
            raise RuntimeError(message)
        self._done(said["job_id"], events, time.monotonic() + _JOB_S)
        took = time.perf_counter() - began
        stream.close()
        return took

    def _done(self, job_id: str, events: Any, deadline: float) -> None:
        """Wait until a job is done. When the event stream ends (its master has), by asking who leads now."""
        for line in iter(events.readline, b""):
            if line.startswith(b"data: {") and job_id.encode() in line and _is_done(json.loads(line[6:])):
                return
            if time.monotonic() > deadline:
                message = f"job {job_id} is not done within {_JOB_S:g} s"
                raise RuntimeError(message)
        _soon(lambda: _is_done(self.answer(self.who("master"), f"/jobs/{job_id}")[1]))

    def configure(self, chunk_size: int) -> None:
        client = zk.connect(self._hosts, session_timeout_s=10)
        version = publish(client, {"chunk_size": chunk_size}).mzxid
        zk.disconnect(client)
        _soon(
            lambda: all(
                n["config_version"] >= version
                for n in self.answer(self.who("master"), "/cluster")[1]["nodes"]
            )
        )

    def footprint(self) -> tuple[int, int, int]:
        """(largest resident size in MiB, znodes but for records, files)."""
        client = zk.connect(self._hosts, session_timeout_s=10)
        jobs = client.get_children(paths.JOBS)
        below = sum(len(client.get_children(paths.job(job_id))) - 3 for job_id in jobs)
        znodes = below + len(client.get_children(paths.OBJECTS)) + len(client.get_children(paths.BOARD))
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


def _is_done(job: dict[str, Any]) -> bool:
    if job.get("state") == "failed":
        message = f"job {job['id']} failed: {job['error']}"
        raise RuntimeError(message)
    return job.get("state") == "done"


BOUNDARY = uuid.uuid4().hex


def form(data: bytes) -> bytes:
    """A multipart body, ready to be sent."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.tif"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def measure(hosts: str, quick: bool = False) -> list[Figure]:
    """All figures of the worker, on the servers ``hosts``. ``quick``: one look at each, to see it work."""
    with GuardedDirectory() as den, Workers(5, hosts, den, print_to_stderr) as workers:
        cluster = Cluster(workers, hosts)
        cluster.settled()
        cluster.configure(1024)
        return [
            *_uploads(cluster, 1, quick),
            *_uploads(cluster, 75, quick),
            Figure("largest worker's peak, 75 MP", cluster.peak_mib(), "MiB", 400),
            _tasks(cluster, 1 if quick else 3),
            *_idle(cluster, hosts, 2.0 if quick else _IDLE_S),
            *_long_day(cluster, 4 if quick else _LONG_DAY),
            Figure("new master after SIGTERM", cluster.takeover(signal.SIGTERM), "s", 2),
            Figure("new master after SIGKILL", cluster.takeover(signal.SIGKILL), "s", 10),
        ]


def _uploads(cluster: Cluster, megapixels: int, quick: bool) -> list[Figure]:
    data = picture(megapixels)
    body = form(data)
    ours, floor = [], []
    warm_up, samples = (1, 1) if quick else (_WARM_UP, _SAMPLES[megapixels])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        source.write_bytes(data)
        for sample in range(warm_up + samples):
            took = cluster.upload_to_done(body)
            began = time.perf_counter()
            in_one_process(source, target)
            if sample >= warm_up:
                ours.append(took)
                floor.append(time.perf_counter() - began)
    seconds, alone = statistics.median(ours), statistics.median(floor)
    what = f"upload to done, {megapixels} MP"
    if megapixels == 1:
        return [Figure(what, seconds, "s", 0.2), Figure(f"one process, {megapixels} MP", alone, "s", 0.2)]
    return [
        Figure(what, seconds, "s", 1.5 * alone),
        Figure(f"{what}: ratio to one process ({alone:.2f} s)", seconds / alone, "x", 1.5),
    ]


def _tasks(cluster: Cluster, samples: int) -> Figure:
    """What a task costs when there are 2,000 of them, over what it costs when there are 20."""
    body = form(picture(1))  # 1,000 rows, two phases
    each = {}
    for rows, tasks in ((100, 20), (1, 2000)):
        cluster.configure(rows)
        cluster.upload_to_done(body)
        each[tasks] = statistics.median(cluster.upload_to_done(body) for _ in range(samples)) / tasks
    cluster.configure(1024)
    return Figure(
        f"a task of 2,000 ({1000 * each[2000]:.1f} ms) over one of 20", each[2000] / each[20], "x", 1.5
    )


def _idle(cluster: Cluster, hosts: str, seconds: float) -> list[Figure]:
    """What five workers cost while nobody asks anything of them."""
    before, began = (cluster.cpu_s(), _requests(hosts)), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    cpu, requests = cluster.cpu_s() - before[0], _requests(hosts) - before[1]
    return [
        Figure("idle: five workers' share of one core", 100 * cpu / took, "%", 1),
        Figure("idle: ZooKeeper requests a second, pings too", requests / took, "", 5),
    ]


def _requests(hosts: str) -> int:
    """Packets that the servers have received from all clients so far."""
    return sum(ask(server).received for server in hosts.split(","))


def _long_day(cluster: Cluster, uploads: int) -> list[Figure]:
    """20 uploads of 12 MP: what is there after the 20th, over what was there after the tenth."""
    body = form(picture(12))
    for _ in range(uploads // 2):
        cluster.upload_to_done(body)
    time.sleep(1)
    before = cluster.footprint()
    for _ in range(uploads // 2):
        cluster.upload_to_done(body)
    time.sleep(1)
    after = cluster.footprint()
    return [
        Figure(f"{uploads} uploads of 12 MP: largest worker grew by", after[0] - before[0], "MiB", 20),
        Figure(f"{uploads} uploads of 12 MP: znodes beside records grew by", after[1] - before[1], "", 0),
        Figure(f"{uploads} uploads of 12 MP: files grew by", after[2] - before[2], "", 0),
    ]


def as_table(figures: list[Figure]) -> str:
    width = max(len(figure.what) for figure in figures)
    lines = [f"{'the worker: five processes':{width}}     measured   at most"]
    lines += [
        f"{figure.what:{width}}  {figure.value:9.2f} {figure.unit:3}  {figure.target:7.2f}"
        f"{'  over' if figure.over else ''}"
        for figure in figures
    ]
    return "\n".join(lines)


def _soon(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _READY_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            message = "the workers are not as they should be within a minute"
            raise RuntimeError(message)
        time.sleep(0.02)
    return seen


def cpu_s(worker: Worker) -> float:
    """Processor time of one worker so far, in seconds."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(worker: Worker, field: str = "VmRSS") -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) // 1024
