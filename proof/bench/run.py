"""The whole bench: section after section, and what is done with what came out."""

import os
import platform
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.errors import BadSettingError, LessonError
from app.zookeeper import client as zk
from lab.console import print_to_stderr
from lab.guard import GuardedDirectory
from lab.workers import Workers, WorkersError
from proof.bench import clients, configuration, primary_backup, quorum, replicas, uploads, watchers, worker
from proof.bench.cluster import Cluster
from proof.bench.growth import Growth
from proof.bench.measuring import Effort, Figure, NotDone, Row
from proof.bench.report import Report

# What ends a section, and not the bench.
_LEFT_OUT: tuple[type[Exception], ...] = (LessonError, NotDone, WorkersError, OSError, *zk.NO_REPLY)

Measured = Sequence[Row | Figure | Growth]
Section = Callable[[], Measured]


def measure(hosts: str, options: Namespace) -> str:
    """Measure and tell; "held" also where a target is missed, since a busy machine misses some."""
    report = Report(options.samples, _machine())
    try:
        if (
            options.into is not None
        ):  # what can't be written shall be known now, and not after the measurement
            options.into.mkdir(parents=True, exist_ok=True)
        zk.disconnect(zk.connect(hosts, session_timeout_s=10))  # said now, and not section by section
        _measure(hosts, options.only, Effort(options.samples), report)
        report.machine["load after"] = _load()
        _deliver(options, report)
    except OSError as error:
        raise BadSettingError(f"{error.filename} can't be written: {error.strerror}") from error
    return "in doubt" if report.left_out else "held"


def _measure(hosts: str, only: Sequence[str], effort: Effort, report: Report) -> None:
    """The sections that were asked for; those of the workers on one cluster of them."""
    alone: dict[str, Section] = {
        "primary-backup": lambda: primary_backup.measure(hosts, effort.samples),
        "quorum": lambda: quorum.measure(hosts, effort.samples),
        "configuration": lambda: configuration.measure(hosts, effort.samples),
        "replicas": lambda: replicas.measure(hosts, effort),
        "watchers": lambda: watchers.measure(hosts, effort),
        "clients": lambda: clients.measure(hosts, effort),
    }
    for name in only:
        if name in alone:
            _section(name, alone[name], report)
    if not set(only) <= set(alone):
        _section("five workers", lambda: _of_workers(hosts, only, effort, report), report)


def _of_workers(hosts: str, only: Sequence[str], effort: Effort, report: Report) -> Measured:
    """The sections that need five processes. Raises what ends a section, where those don't come up."""
    with GuardedDirectory() as den, Workers(5, hosts, den, print_to_stderr) as workers:
        cluster = Cluster(workers, hosts)
        cluster.settled()
        cluster.configure(1024)
        run_all: dict[str, Section] = {
            "pictures": lambda: uploads.of_pictures(cluster, effort),
            "tasks": lambda: uploads.of_tasks(cluster, effort),
            "worker": lambda: worker.measure(cluster, hosts, effort),
        }
        for name in only:
            if name in run_all:
                _section(name, run_all[name], report)
    return ()


def _section(name: str, measure: Section, report: Report) -> None:
    """One section; what keeps it from its end is said in the report, and the next one is measured."""
    began = time.monotonic()
    try:
        report.take(measure())
    except _LEFT_OUT as error:
        report.left_out.append(f"{name}: {str(error) or repr(error)}")
    print_to_stderr(f"bench: {name}, {time.monotonic() - began:.0f} s")


def _deliver(options: Namespace, report: Report) -> None:
    """Print it, and write the files that were asked for."""
    files: dict[Path, str] = {}
    if options.into is not None:
        files[options.into / "bench.txt"] = report.as_text() + "\n"
        files[options.into / "bench.json"] = report.as_json() + "\n"
    if charts := [path for path in (options.svg, options.into and options.into / "bench.svg") if path]:
        from proof.bench.chart import as_svg  # matplotlib is a development package

        files |= dict.fromkeys(charts, as_svg(report))
    print(report.as_json() if options.json else report.as_text())
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        print_to_stderr(f"bench: written: {path}")


def _machine() -> dict[str, object]:
    """What a reader of the figures wants to know of the place where they were measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "load before": _load(),
    }


def _load() -> float:
    """Of the last minute: how many processes wanted a core, ours and others'."""
    return round(os.getloadavg()[0], 2)
