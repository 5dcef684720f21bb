"""The worker: what five of them cost idle, what a long day leaves behind, and how long a new master takes."""

import signal
import time

from lab.ensemble import ask
from proof.bench.cluster import Cluster, form
from proof.bench.measuring import Effort, Figure
from proof.bench.pictures import picture

_LONG_DAY = 20
_IDLE_S = 30.0
# What the last job has left in ZooKeeper, thousands of tasks perhaps, is removed after its end.
_TIDIED_S = 3.0


def measure(cluster: Cluster, hosts: str, effort: Effort) -> list[Figure]:
    return [
        *_idle(cluster, hosts, max(1.0, effort.seconds(_IDLE_S))),
        *_long_day(cluster, 2 * effort.times(_LONG_DAY // 2)),
        Figure("new master after SIGTERM", cluster.takeover(signal.SIGTERM), "s", 2),
        Figure("new master after SIGKILL", cluster.takeover(signal.SIGKILL), "s", 10),
    ]


def _idle(cluster: Cluster, hosts: str, seconds: float) -> list[Figure]:
    """What five idle workers cost."""
    time.sleep(_TIDIED_S)
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
        cluster.patient_upload(body)
    time.sleep(1)
    before = cluster.footprint()
    for _ in range(uploads // 2):
        cluster.patient_upload(body)
    time.sleep(1)
    after = cluster.footprint()
    return [
        Figure(f"{uploads} uploads of 12 MP: largest worker grew by", after[0] - before[0], "MiB", 20),
        Figure(f"{uploads} uploads of 12 MP: znodes beside records grew by", after[1] - before[1], "", 0),
        Figure(f"{uploads} uploads of 12 MP: files grew by", after[2] - before[2], "", 0),
    ]
