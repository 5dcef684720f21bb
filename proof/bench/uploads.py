"""Pictures and tasks: from an upload to its result, on five worker processes, and how that grows.

The floor of a picture is what one process and no cluster would do with it (``pictures.py``); uploads and
floor take turns.
"""

import statistics
import tempfile
import time
from pathlib import Path

from proof.bench.cluster import Cluster, form
from proof.bench.growth import Growth, Point, Series
from proof.bench.measuring import Effort, Figure
from proof.bench.pictures import in_one_process, picture

# Megapixels -> samples.
_PICTURES = {1: 15, 4: 7, 12: 7, 40: 7, 75: 9}
# Memory that is fresh from the system is slow: warmed up with as many as results are kept. The next size is
# fresh again, but for what the last one has left.
_WARM_UP = {1: 11, 4: 3, 12: 3, 40: 5, 75: 11}
# The 1,000 rows of a picture of one megapixel: tasks -> rows per map task. There are two phases.
_TASKS = {20: 100, 80: 25, 200: 10, 500: 4, 2000: 1}
_TASK_SAMPLES = 3
_MOST_TASKS_SAMPLES = 2  # each takes long, and holds thousands of tasks that vary little

_PICTURES_LIMIT = (
    "Processor time: every byte is decoded, checked, mapped and copied to two disks by processes that share "
    "the machine's cores. Below some 4 MP the job's own steps in ZooKeeper are most of it."
)
_TASKS_LIMIT = (
    "ZooKeeper's commits: a task is a claim and a result, one transaction each, and the ensemble orders one "
    "after another. With few tasks the job's own steps are shared by fewer."
)


def of_pictures(cluster: Cluster, effort: Effort) -> list[Figure | Growth]:
    ours, floor = {}, {}
    for size in effort.loads(tuple(_PICTURES)):
        ours[size], floor[size] = _in_turn(cluster, size, effort)
    growth = Growth(
        title="Pictures",
        load="megapixels",
        value="seconds from upload to done",
        series=(_series("five workers", ours), _series("one process, no cluster", floor)),
        limit=_PICTURES_LIMIT,
        rate="MP/s",
    )
    figures = [
        Figure("upload to done, 1 MP", ours[1], "s", 0.2),
        Figure("one process, 1 MP", floor[1], "s", 0.2),
    ]
    if 75 in ours:
        alone = floor[75]
        figures += [
            Figure("upload to done, 75 MP", ours[75], "s", 1.5 * alone),
            Figure(f"the same, over one process ({alone:.2f} s)", ours[75] / alone, "x", 1.5),
            Figure("largest worker's peak, 75 MP", cluster.peak_mib(), "MiB", 400),
        ]
    return [*figures, growth]


def _series(of: str, seconds: dict[int, float]) -> Series:
    return Series(of, tuple(Point(size, took, size / took) for size, took in seconds.items()))


def _in_turn(cluster: Cluster, megapixels: int, effort: Effort) -> tuple[float, float]:
    """Medians in seconds: the cluster's, one process's."""
    warm_up, samples = (effort.times(count) for count in (_WARM_UP[megapixels], _PICTURES[megapixels]))
    data = picture(megapixels)
    body = form(data)
    ours, floor = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        source.write_bytes(data)
        for _ in range(warm_up + samples):
            ours.append(cluster.patient_upload(body))
            began = time.perf_counter()
            in_one_process(source, target)
            floor.append(time.perf_counter() - began)
    return statistics.median(ours[warm_up:]), statistics.median(floor[warm_up:])


def of_tasks(cluster: Cluster, effort: Effort) -> list[Figure | Growth]:
    """The same picture in more and more tasks."""
    body = form(picture(1))
    each_ms = {}
    for tasks in effort.loads(tuple(_TASKS)):
        cluster.configure(_TASKS[tasks])
        cluster.patient_upload(body)
        samples = range(effort.times(_MOST_TASKS_SAMPLES if tasks == 2000 else _TASK_SAMPLES))
        each_ms[tasks] = 1000 * statistics.median(cluster.patient_upload(body) for _ in samples) / tasks
    cluster.configure(1024)
    points = tuple(Point(tasks, took, 1000 / took) for tasks, took in each_ms.items())
    growth = Growth(
        title="Tasks",
        load="tasks of one job",
        value="milliseconds a task",
        series=(Series("five workers", points),),
        limit=_TASKS_LIMIT,
        rate="tasks/s",
    )
    if 2000 not in each_ms:
        return [growth]
    over = each_ms[2000] / each_ms[20]
    return [Figure(f"a task of 2,000 ({each_ms[2000]:.1f} ms) over one of 20", over, "x", 1.5), growth]
