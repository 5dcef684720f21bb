"""What ZooKeeper itself can carry, on this machine, now: the figures of docs/beyond.md.

    python -m lab run -- python -m docs.limits [--quick]

One client on the eventlet handler, its own root, removed at the end. Medians, but for the rates.
"""

import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from app.demo.run import remove
from app.zookeeper import client as zk

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
WATCHERS = (1, 10, 100, 1_000)
PIPELINED = 1_000
SAMPLES = 41
DEADLINE_S = 20.0


def main(*, quick: bool) -> int:
    """``quick``: a tenth of all, to see that it runs."""
    samples, pipelined = (SAMPLES // 10, PIPELINED // 10) if quick else (SAMPLES, PIPELINED)
    root = f"/demos/limits-{uuid.uuid4().hex[:8]}"
    client = zk.connect(os.environ["ZK_HOSTS"], session_timeout_s=10)
    try:
        zk.ensure(client, (root,), zk.Deadline(DEADLINE_S))
        tell("a get of 100 bytes", f"{of_a_get(client, root, samples):.1f} ms")
        for size in SIZES:
            tell(f"a set of {size:,} bytes", f"{of_a_set(client, root, size, samples):.1f} ms")
        tell(
            f"{pipelined:,} sets, all sent at once", f"{rate_of_sets(client, root, pipelined):,.0f} a second"
        )
        for watchers in WATCHERS[:-1] if quick else WATCHERS:
            took_ms = of_telling(client, root, watchers)
            tell(f"a set, until {watchers:,} watches of one session have fired", f"{took_ms:.1f} ms")
    finally:
        remove(client, root, zk.Deadline(DEADLINE_S))
        zk.disconnect(client)
    return 0


def tell(what: str, figure: str) -> None:
    print(f"{what:<60} {figure:>16}", flush=True)  # noqa: T201 (a command-line tool)


def of_a_get(client: Any, root: str, samples: int) -> float:
    path = made(client, root, b"x" * 100)
    return median_ms(lambda: zk.wait(client.get_async(path), zk.Deadline(DEADLINE_S)), samples)


def of_a_set(client: Any, root: str, size: int, samples: int) -> float:
    path, data = made(client, root), os.urandom(size)
    return median_ms(lambda: zk.wait(client.set_async(path, data), zk.Deadline(DEADLINE_S)), samples)


def rate_of_sets(client: Any, root: str, number: int) -> float:
    path, data = made(client, root), os.urandom(100)
    began = time.monotonic()
    for result in [client.set_async(path, data) for _ in range(number)]:
        zk.wait(result, zk.Deadline(DEADLINE_S))
    return number / (time.monotonic() - began)


def of_telling(client: Any, root: str, watchers: int) -> float:
    """Each watch is on a znode of its own, all of which one transaction changes."""
    paths = [f"{root}/{uuid.uuid4().hex}" for _ in range(watchers)]
    for result in [client.create_async(path, b"") for path in paths]:
        zk.wait(result, zk.Deadline(DEADLINE_S))

    def once() -> float:
        left, all_told = set(range(watchers)), client.handler.event_object()

        def told(number: int) -> None:
            left.discard(number)
            if not left:
                all_told.set()

        asked = [
            client.exists_async(path, watch=lambda _, number=number: told(number))
            for number, path in enumerate(paths)
        ]
        for result in asked:
            zk.wait(result, zk.Deadline(DEADLINE_S))
        began = time.monotonic()
        change = client.transaction()
        for path in paths:
            change.set_data(path, b"-")
        zk.commit(change, zk.Deadline(DEADLINE_S))
        all_told.wait(timeout=DEADLINE_S)
        return 1000 * (time.monotonic() - began)

    return statistics.median(once() for _ in range(9))


def made(client: Any, root: str, data: bytes = b"") -> str:
    path = f"{root}/{uuid.uuid4().hex}"
    zk.wait(client.create_async(path, data), zk.Deadline(DEADLINE_S))
    return path


def median_ms(act: Callable[[], object], samples: int) -> float:
    times = []
    for _ in range(samples):
        began = time.monotonic()
        act()
        times.append(time.monotonic() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main(quick="--quick" in sys.argv))
