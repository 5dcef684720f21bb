"""How things look in JSON: the interface that pages, students and tests rely on."""

import time
from typing import Any

from app import jobs
from app.mapreduce.runner import Progress


def job_view(progress: Progress) -> dict[str, Any]:
    """One job, as ``GET /jobs/<id>`` answers it."""
    result = progress.result
    running = progress.state in ("replicated", "running")
    seconds = max(0.0, time.time() - progress.started) if running else result.seconds if result else None
    return {
        "id": progress.id,
        "job": progress.manifest.job,
        "name": progress.manifest.name,
        "size": progress.manifest.size,
        "state": progress.state,
        "phase": progress.phase,
        "phases": phases_of(progress.manifest.job),
        "tasks_done": progress.done,
        "tasks_total": progress.total,
        "seconds": None if seconds is None else round(seconds, 3),
        "error": result.error if result else None,
        "download": download_path(progress),
    }


def phases_of(kind: str) -> list[str]:
    """The phases of a job of this kind; none of one whose file isn't there any more."""
    return list(jobs.find(kind).phases) if kind in _KINDS else []


# Once: a folder is listed for it.
_KINDS = frozenset(jobs.names())


def download_path(progress: Progress) -> str | None:
    result = progress.result
    if result is None or result.file is None:
        return None
    return f"/download/{progress.id}_final{result.extension}"
