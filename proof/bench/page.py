"""What the page costs: ``make pagebench``, or ``python -m lab run -- python -m proof.bench.page``.

    latency   from the call that changes a znode to the event at each of ten listeners
    CPU       of the master, idle and while a job of 2,000 tasks runs; with ten listeners and without
    heap      of a page in Chromium over 200 jobs (left out where there is no Chromium)

Listeners here are sockets: what is measured is the master, and not ten browsers on the same two cores.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.consistency.eventual import publish
from app.zookeeper import client as zk
from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.workers import Worker, Workers
from proof import browser
from proof.bench.cluster import Cluster, cpu_s, form
from proof.bench.pictures import picture

PAGES = 10
CHANGES = 50
IDLE_S = 20.0
ROUNDS = 3
JOBS = 200


class Listener:
    """One page's connection; ``heard(text)`` is called with every event's data."""

    def __init__(self, port: int, heard: Callable[[bytes], None]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", "/events?page")
        self._answer = self._connection.getresponse()
        self._heard = heard
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        # It ends as its connection does.
        for line in iter(self._readline, b""):
            if line.startswith(b"data: "):
                self._heard(line)

    def _readline(self) -> bytes:
        try:
            return self._answer.readline()
        except (OSError, ValueError, http.client.HTTPException):
            return b""

    def close(self) -> None:
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()


@contextmanager
def pages(port: int, heard: Callable[[int, bytes], None] = lambda number, line: None) -> Iterator[None]:
    """Ten of them."""
    listeners = [Listener(port, lambda line, number=number: heard(number, line)) for number in range(PAGES)]  # type: ignore[misc]
    try:
        time.sleep(1)
        yield
    finally:
        for listener in listeners:
            listener.close()


def latency_ms(cluster: Cluster, hosts: str) -> dict[str, list[float]]:
    """Of each change at each page: since the call that made it, and since that call was answered.

    The change itself is between the two: on a busy disk the call takes long, and the page is not to blame.
    """
    heard: dict[tuple[int, int], float] = {}

    def note(number: int, line: bytes) -> None:
        at = time.monotonic()
        for size in range(2000, 2000 + CHANGES):
            if b'"chunk_size":%d,' % size in line:
                heard.setdefault((number, size), at)

    client = zk.connect(hosts, session_timeout_s=10)
    called: dict[int, float] = {}
    answered: dict[int, float] = {}
    with pages(cluster.who("master").port, note):
        for size in range(2000, 2000 + CHANGES):
            called[size] = time.monotonic()
            publish(client, {"chunk_size": size})
            answered[size] = time.monotonic()
            time.sleep(0.3)
    zk.disconnect(client)
    if len(heard) < PAGES * CHANGES:
        print_to_stderr(f"{PAGES * CHANGES - len(heard)} events of {PAGES * CHANGES} did not come")
    since = {"since the call": called, "since its answer": answered}
    return {
        what: sorted(1000 * (at - began[size]) for (_, size), at in heard.items())
        for what, began in since.items()
    }


def share(worker: Worker, during: Callable[[], object]) -> float:
    """Of one core, in per cent."""
    before, began = cpu_s(worker), time.monotonic()
    during()
    return 100 * (cpu_s(worker) - before) / (time.monotonic() - began)


def in_turn(cluster: Cluster, during: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The master's share (without pages, with ten of them), medians."""
    master = cluster.who("master")
    without, having = [], []
    for _ in range(rounds):
        without.append(share(master, during))
        with pages(master.port):
            having.append(share(master, during))
        time.sleep(21)  # a page that has gone counts as there for some 20 s
    return statistics.median(without), statistics.median(having)


def heap(cluster: Cluster, jobs: int) -> list[tuple[int, float, int]] | None:
    """(jobs so far, MB of JavaScript's heap, DOM nodes), each after a collection; None without a browser."""
    program = browser.found()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        return None
    body, seen = form(picture(1)), []
    with sync_playwright() as playwright:
        chromium = browser.launch(playwright, program)
        page = chromium.new_page()
        page.goto(cluster.who("master").url)
        page.click("#show-logs")
        tools = page.context.new_cdp_session(page)
        for number in range(jobs + 21):
            insisting(cluster, body)
            if number in (20, 20 + jobs // 2, 20 + jobs):
                page.wait_for_timeout(2000)
                seen.append((number, *_measured(tools)))
        chromium.close()
    return seen


def _measured(tools: Any) -> tuple[float, int]:
    for _ in range(2):
        tools.send("HeapProfiler.collectGarbage")
    used = tools.send("Runtime.getHeapUsage")["usedSize"]
    return round(used / 1e6, 2), tools.send("Memory.getDOMCounters")["nodes"]


def measure(cluster: Cluster, hosts: str, jobs: int) -> Iterator[tuple[str, object]]:
    """One figure after the other."""
    for what, found in latency_ms(cluster, hosts).items():
        at = {"p50": statistics.median(found), "p95": found[int(len(found) * 0.95)], "most": found[-1]}
        yield f"latency_ms {what}", {name: round(value, 1) for name, value in at.items()}
    idle = in_turn(cluster, lambda: time.sleep(IDLE_S), 1)
    yield "idle_percent_of_a_core", {"without": round(idle[0], 2), "with": round(idle[1], 2)}
    cluster.configure(1)
    many_tasks = form(picture(1))
    busy = in_turn(cluster, lambda: insisting(cluster, many_tasks), ROUNDS)
    yield "job_percent_of_a_core", {"without": round(busy[0], 1), "with": round(busy[1], 1)}
    cluster.configure(1024)
    yield "heap", heap(cluster, jobs)


def insisting(cluster: Cluster, body: bytes) -> None:
    """One job to its end; on a machine that is too busy for its ZooKeeper, another."""
    for _ in range(5):
        try:
            cluster.upload_to_done(body)
        except RuntimeError as error:
            print_to_stderr(f"again: {error}")
            time.sleep(2)
        else:
            return
    raise RuntimeError("five jobs in a row were not done")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proof.bench.page", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help=f"while the heap is measured ({JOBS})"
    )
    options = parser.parse_args()
    hosts = os.environ["ZK_HOSTS"]
    with GuardedDirectory() as den, Workers(5, hosts, den, print_to_stderr) as workers:
        cluster = Cluster(workers, hosts)
        cluster.settled()
        for what, value in measure(cluster, hosts, options.jobs):
            print(json.dumps({what: value}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
